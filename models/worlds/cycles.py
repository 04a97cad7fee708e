"""Levels times frozen shapes: cycles of unchanging proportions, of one period or of a day and a week.

Shapes: B items, V variates, T steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.worlds.linear import growth
from models.worlds.rng import RandomSource, WorldSeries, innovations, seasonal_pattern

HOURS, DAYS = 24, 7


def frozen_shapes(rng: RandomSource, items: int, variates: int, steps: int) -> WorldSeries:
    """A positive level times a shape that never changes, some with hours of the day and days of the week.

    Where two weeks of hours fit, half of the items have both; the period that is given is the day's.
    """
    both = rng.chance(items, share=0.5) & (steps >= 2 * HOURS * DAYS)
    season = torch.where(both, HOURS, rng.season(items, steps))
    shape = daily_shape(rng, season, variates, steps)
    week = weekly_shape(rng, items, variates, steps) * both[:, None, None]
    size = rng.log_uniform(items, 1, 1, low=0.002, high=0.1)
    moves = growth(rng, items, variates, steps) * rng.chance(items, 1, 1, share=0.8)
    level = (size * moves.clamp(-8.0, 8.0)).cumsum(-1).clamp(-12.0, 12.0)
    blur = rng.log_uniform(items, 1, 1, low=0.01, high=0.4) * innovations(rng, items, variates, steps)
    multiplied = (level + week + blur.clamp(-3.0, 3.0)).exp() * shape
    added = level.exp() + 0.3 * (shape - 1) + 0.3 * week + 0.3 * blur
    return WorldSeries(torch.where(rng.chance(items, 1, 1, share=0.75), multiplied, added), season)


def daily_shape(rng: RandomSource, season: Tensor, variates: int, steps: int) -> Tensor:
    """Factors [B, V, T] of mean about 1 that repeat; in some items they are 0 in part of the cycle."""
    items = len(season)
    swing = rng.log_uniform(items, 1, 1, low=0.03, high=1.0)
    shape = (swing * seasonal_pattern(rng, season, variates, steps)).clamp(-4.0, 4.0).exp()
    low = rng.uniform(items, 1, 1, low=0.2, high=1.0) * rng.chance(items, 1, 1, share=0.15)
    shape = (shape - low).clamp(min=0.0)
    return shape / shape.mean(-1, keepdim=True).clamp(min=1e-3)


def weekly_shape(rng: RandomSource, items: int, variates: int, steps: int) -> Tensor:
    """Log factors [B, V, T] of the days of a week of hours, with a weekend of its own."""
    day = (torch.arange(steps, device=rng.device) // HOURS) % DAYS
    swing = rng.log_uniform(items, 1, 1, low=0.02, high=0.5)
    days = swing * rng.normal(items, variates, DAYS)
    weekend = rng.uniform(items, 1, 1, low=-1.5, high=0.3) * rng.chance(items, 1, 1, share=0.5)
    days = days + weekend * (torch.arange(DAYS, device=rng.device) >= DAYS - 2)
    start = rng.integer(items, 1, low=0, high=DAYS - 1)
    index = ((day + start) % DAYS)[:, None, :].expand(-1, variates, -1)
    return days.gather(-1, index)
