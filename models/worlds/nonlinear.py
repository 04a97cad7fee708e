"""Nonlinear worlds: regimes, smooth kernels, trend x season x noise, counts, shifts of level.

Shapes: B items, V variates, T steps, F random features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.worlds.linear import RUN_IN, autoregress
from models.worlds.rng import RandomSource, WorldSeries, innovations, regimes, seasonal_pattern


def no_season(rng: RandomSource, items: int) -> Tensor:
    """Season lengths [B] of series that have none."""
    return torch.ones(items, dtype=torch.long, device=rng.device)


def mean_reverting(rng: RandomSource, items: int, variates: int, steps: int) -> WorldSeries:
    """Ornstein-Uhlenbeck series whose mean, pull and volatility switch between two regimes."""
    switch = rng.log_uniform(items, 1, low=0.002, high=0.1)
    start = rng.integer(items, 1, low=0, high=1)
    flips = rng.uniform(items, steps) < switch
    regime = ((start + flips.long().cumsum(-1)) % 2)[:, None, :].expand(-1, variates, -1)
    single = rng.chance(items, 1, 1, share=0.4)
    regime = torch.where(single, 0, regime)
    centre = (2.0 * rng.normal(items, variates, 2)).gather(2, regime)
    pull = rng.log_uniform(items, variates, 2, low=0.01, high=0.8).gather(2, regime)
    size = rng.log_uniform(items, variates, 2, low=0.3, high=2.0).gather(2, regime)
    shock = (
        size * (2 * pull - pull.square()).sqrt() * innovations(rng, items, variates, steps) + pull * centre
    )
    keep = 1 - pull
    state = centre[..., 0] + size[..., 0] * rng.normal(items, variates)
    path = []
    for keep_now, shock_now in zip(keep.unbind(-1), shock.unbind(-1), strict=True):
        state = torch.addcmul(shock_now, keep_now, state)
        path.append(state)
    values = torch.stack(path, dim=-1)
    exponential = rng.chance(items, 1, 1, share=0.25)
    return WorldSeries(
        torch.where(exponential, (0.4 * values).clamp(-20, 20).exp(), values), no_season(rng, items)
    )


def kernels(rng: RandomSource, items: int, variates: int, steps: int) -> WorldSeries:
    """Gaussian processes by random Fourier features (Rahimi and Recht 2007).

    A sum of a smooth or rough stationary kernel (frequencies normal or Cauchy), sometimes a periodic one, a
    line, and white noise.
    """
    features = 16
    clock = torch.arange(steps, device=rng.device) / steps
    length = rng.log_uniform(items, variates, 1, low=0.03, high=1.0)
    rough = rng.chance(items, 1, 1, share=0.4)
    tail = torch.where(rough, rng.normal(items, variates, features).abs() + 0.05, 1.0)
    frequency = (rng.normal(items, variates, features) / tail / length).clamp(
        -math.pi * steps, math.pi * steps
    )
    angle = frequency[..., None] * clock + rng.uniform(items, variates, features, 1, high=2 * math.pi)
    smooth = torch.cos(angle).mul_(rng.normal(items, variates, features, 1)).sum(2) * math.sqrt(2 / features)
    season = torch.where(rng.chance(items, share=0.4), rng.season(items, steps), 1)
    swing = rng.uniform(items, variates, 1, high=2.0) * (season > 1)[:, None, None]
    line = rng.normal(items, variates, 1) * rng.chance(items, 1, 1, share=0.4) * 2 * clock
    blur = rng.log_uniform(items, 1, 1, low=0.01, high=1.0)
    values = smooth + swing * seasonal_pattern(rng, season, variates, steps) + line
    return WorldSeries(values + blur * innovations(rng, items, variates, steps), season)


def trend_season_noise(rng: RandomSource, items: int, variates: int, steps: int) -> WorldSeries:
    """A deterministic trend, a season and autocorrelated heavy-tailed noise, added or multiplied."""
    clock = torch.arange(steps, device=rng.device) / steps
    reach = rng.log_uniform(items, variates, 1, low=0.3, high=40.0) * rng.normal(items, variates, 1).sign()
    reach = reach * rng.chance(items, 1, 1, share=0.8)
    bend = torch.where(
        rng.chance(items, 1, 1, share=0.6), 1.0, rng.log_uniform(items, variates, 1, low=0.4, high=2.5)
    )
    knee = rng.uniform(items, variates, 1, low=0.1, high=0.9)
    broken = torch.where(rng.chance(items, 1, 1, share=0.25), rng.normal(items, variates, 1), 0.0)
    trend = reach * (clock**bend + broken * (clock - knee).clamp(min=0.0))
    season = torch.where(rng.chance(items, share=0.5), rng.season(items, steps), 1)
    swing = rng.log_uniform(items, variates, 1, low=0.2, high=10.0) * (season > 1)[:, None, None]
    memory = rng.uniform(items, 1, low=-0.3, high=0.95) * rng.chance(items, 1, share=0.7)
    shocks = (1 - memory.square()).sqrt()[..., None] * innovations(rng, items, variates, steps + RUN_IN)
    noise = autoregress(shocks, memory)[..., RUN_IN:]
    values = trend + swing * seasonal_pattern(rng, season, variates, steps) + noise
    relative = rng.log_uniform(items, 1, 1, low=0.005, high=0.15)
    multiplied = (relative * values).clamp(-20.0, 20.0).exp()
    return WorldSeries(torch.where(rng.chance(items, 1, 1, share=0.35), multiplied, values), season)


def counts(rng: RandomSource, items: int, variates: int, steps: int) -> WorldSeries:
    """Intermittent and regular counts: Poisson or over-dispersed, the rate wandering or seasonal."""
    season = torch.where(rng.chance(items, share=0.35), rng.season(items, steps), 1)
    rate = rng.log_uniform(items, variates, 1, low=0.1, high=50.0)
    wander = rng.uniform(items, 1, 1, high=0.12) * rng.chance(items, 1, 1, share=0.6)
    log_rate = (wander * innovations(rng, items, variates, steps)).cumsum(-1)
    log_rate = log_rate + 0.5 * (season > 1)[:, None, None] * seasonal_pattern(rng, season, variates, steps)
    spread = rng.uniform(items, 1, 1, high=0.8) * rng.chance(items, 1, 1, share=0.5)
    log_rate = log_rate + spread * rng.normal(items, variates, steps)
    active = rng.uniform(items, variates, steps) < rng.uniform(items, 1, 1, low=0.1, high=1.6)
    return WorldSeries(rng.poisson(rate * log_rate.clamp(-5.0, 5.0).exp()) * active, season)


def level_shifts(rng: RandomSource, items: int, variates: int, steps: int) -> WorldSeries:
    """Levels that hold and then jump, with noise, single outliers and dead stretches."""
    chance = rng.log_uniform(items, 1, 1, low=0.003, high=0.1)
    jump = (rng.uniform(items, variates, steps) < chance) * rng.normal(items, variates, steps)
    level = (rng.log_uniform(items, 1, 1, low=1.0, high=10.0) * jump).cumsum(-1)
    blur = torch.where(
        rng.chance(items, 1, 1, share=0.15), 0.0, rng.log_uniform(items, 1, 1, low=0.1, high=1.5)
    )
    outlier = rng.chance(items, variates, steps, share=0.02) & rng.chance(items, 1, 1, share=0.3)
    values = (
        level
        + blur * innovations(rng, items, variates, steps)
        + outlier * 6.0 * rng.normal(items, variates, steps)
    )
    dead = regimes(rng, items, steps, share=0.03)[:, None, :].bool() & rng.chance(items, 1, 1, share=0.1)
    values = torch.where(dead, 0.0, values)
    return WorldSeries(values, no_season(rng, items))
