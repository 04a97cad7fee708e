"""Nonlinear worlds: regimes, smooth kernels, trend x season x noise, counts, shifts of level.

Shapes: B items, V variates, T steps, F random features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.worlds.linear import RUN_IN, autoregress
from models.worlds.rng import Dice, Series, innovations, regimes, seasonal_pattern


def no_season(dice: Dice, items: int) -> Tensor:
    """Season lengths [B] of series that have none."""
    return torch.ones(items, dtype=torch.long, device=dice.device)


def mean_reverting(dice: Dice, items: int, variates: int, steps: int) -> Series:
    """Ornstein-Uhlenbeck series whose mean, pull and volatility switch between two regimes."""
    switch = dice.log_uniform(items, 1, low=0.002, high=0.1)
    start = dice.integer(items, 1, low=0, high=1)
    flips = dice.uniform(items, steps) < switch
    regime = ((start + flips.long().cumsum(-1)) % 2)[:, None, :].expand(-1, variates, -1)
    single = dice.chance(items, 1, 1, share=0.4)
    regime = torch.where(single, 0, regime)
    centre = (2.0 * dice.normal(items, variates, 2)).gather(2, regime)
    pull = dice.log_uniform(items, variates, 2, low=0.01, high=0.8).gather(2, regime)
    size = dice.log_uniform(items, variates, 2, low=0.3, high=2.0).gather(2, regime)
    shock = (
        size * (2 * pull - pull.square()).sqrt() * innovations(dice, items, variates, steps) + pull * centre
    )
    keep = 1 - pull
    state = centre[..., 0] + size[..., 0] * dice.normal(items, variates)
    path = []
    for keep_now, shock_now in zip(keep.unbind(-1), shock.unbind(-1), strict=True):
        state = torch.addcmul(shock_now, keep_now, state)
        path.append(state)
    values = torch.stack(path, dim=-1)
    exponential = dice.chance(items, 1, 1, share=0.25)
    return Series(
        torch.where(exponential, (0.4 * values).clamp(-20, 20).exp(), values), no_season(dice, items)
    )


def kernels(dice: Dice, items: int, variates: int, steps: int) -> Series:
    """Gaussian processes by random Fourier features (Rahimi and Recht 2007).

    A sum of a smooth or rough stationary kernel (frequencies normal or Cauchy), sometimes a periodic one, a
    line, and white noise.
    """
    features = 16
    clock = torch.arange(steps, device=dice.device) / steps
    length = dice.log_uniform(items, variates, 1, low=0.03, high=1.0)
    rough = dice.chance(items, 1, 1, share=0.4)
    tail = torch.where(rough, dice.normal(items, variates, features).abs() + 0.05, 1.0)
    frequency = (dice.normal(items, variates, features) / tail / length).clamp(
        -math.pi * steps, math.pi * steps
    )
    angle = frequency[..., None] * clock + dice.uniform(items, variates, features, 1, high=2 * math.pi)
    smooth = torch.cos(angle).mul_(dice.normal(items, variates, features, 1)).sum(2) * math.sqrt(2 / features)
    season = torch.where(dice.chance(items, share=0.4), dice.season(items, steps), 1)
    swing = dice.uniform(items, variates, 1, high=2.0) * (season > 1)[:, None, None]
    line = dice.normal(items, variates, 1) * dice.chance(items, 1, 1, share=0.4) * 2 * clock
    blur = dice.log_uniform(items, 1, 1, low=0.01, high=1.0)
    values = smooth + swing * seasonal_pattern(dice, season, variates, steps) + line
    return Series(values + blur * innovations(dice, items, variates, steps), season)


def trend_season_noise(dice: Dice, items: int, variates: int, steps: int) -> Series:
    """A deterministic trend, a season and autocorrelated heavy-tailed noise, added or multiplied."""
    clock = torch.arange(steps, device=dice.device) / steps
    reach = dice.log_uniform(items, variates, 1, low=0.3, high=40.0) * dice.normal(items, variates, 1).sign()
    reach = reach * dice.chance(items, 1, 1, share=0.8)
    bend = torch.where(
        dice.chance(items, 1, 1, share=0.6), 1.0, dice.log_uniform(items, variates, 1, low=0.4, high=2.5)
    )
    knee = dice.uniform(items, variates, 1, low=0.1, high=0.9)
    broken = torch.where(dice.chance(items, 1, 1, share=0.25), dice.normal(items, variates, 1), 0.0)
    trend = reach * (clock**bend + broken * (clock - knee).clamp(min=0.0))
    season = torch.where(dice.chance(items, share=0.5), dice.season(items, steps), 1)
    swing = dice.log_uniform(items, variates, 1, low=0.2, high=10.0) * (season > 1)[:, None, None]
    memory = dice.uniform(items, 1, low=-0.3, high=0.95) * dice.chance(items, 1, share=0.7)
    shocks = (1 - memory.square()).sqrt()[..., None] * innovations(dice, items, variates, steps + RUN_IN)
    noise = autoregress(shocks, memory)[..., RUN_IN:]
    values = trend + swing * seasonal_pattern(dice, season, variates, steps) + noise
    relative = dice.log_uniform(items, 1, 1, low=0.005, high=0.15)
    multiplied = (relative * values).clamp(-20.0, 20.0).exp()
    return Series(torch.where(dice.chance(items, 1, 1, share=0.35), multiplied, values), season)


def counts(dice: Dice, items: int, variates: int, steps: int) -> Series:
    """Intermittent and regular counts: Poisson or over-dispersed, the rate wandering or seasonal."""
    season = torch.where(dice.chance(items, share=0.35), dice.season(items, steps), 1)
    rate = dice.log_uniform(items, variates, 1, low=0.1, high=50.0)
    wander = dice.uniform(items, 1, 1, high=0.12) * dice.chance(items, 1, 1, share=0.6)
    log_rate = (wander * innovations(dice, items, variates, steps)).cumsum(-1)
    log_rate = log_rate + 0.5 * (season > 1)[:, None, None] * seasonal_pattern(dice, season, variates, steps)
    spread = dice.uniform(items, 1, 1, high=0.8) * dice.chance(items, 1, 1, share=0.5)
    log_rate = log_rate + spread * dice.normal(items, variates, steps)
    active = dice.uniform(items, variates, steps) < dice.uniform(items, 1, 1, low=0.1, high=1.6)
    return Series(dice.poisson(rate * log_rate.clamp(-5.0, 5.0).exp()) * active, season)


def level_shifts(dice: Dice, items: int, variates: int, steps: int) -> Series:
    """Levels that hold and then jump, with noise, single outliers and dead stretches."""
    chance = dice.log_uniform(items, 1, 1, low=0.003, high=0.1)
    jump = (dice.uniform(items, variates, steps) < chance) * dice.normal(items, variates, steps)
    level = (dice.log_uniform(items, 1, 1, low=1.0, high=10.0) * jump).cumsum(-1)
    blur = torch.where(
        dice.chance(items, 1, 1, share=0.15), 0.0, dice.log_uniform(items, 1, 1, low=0.1, high=1.5)
    )
    outlier = dice.chance(items, variates, steps, share=0.02) & dice.chance(items, 1, 1, share=0.3)
    values = (
        level
        + blur * innovations(dice, items, variates, steps)
        + outlier * 6.0 * dice.normal(items, variates, steps)
    )
    dead = regimes(dice, items, steps, share=0.03)[:, None, :].bool() & dice.chance(items, 1, 1, share=0.1)
    values = torch.where(dead, 0.0, values)
    return Series(values, no_season(dice, items))
