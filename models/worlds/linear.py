"""Linear worlds: SARIMA with stable roots, random walks, growth on the log scale, walks with seasons.

Shapes: B items, V variates, T steps, F frequencies of the filter.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.worlds.rng import Dice, Series, innovations, seasonal_pattern

# Steps dropped at the start of a circular filter: 0.95 ** 64 = 0.04 of the last step is left in the first.
RUN_IN = 64


def sarima(dice: Dice, items: int, variates: int, steps: int) -> Series:
    """SARIMA(p, d, q)(P, 0, Q) with p, q <= 3, d <= 1, P, Q <= 1, some with a seasonal difference."""
    season = dice.season(items, steps)
    season = torch.where(dice.chance(items, share=0.4), season, 1)
    seasonal = (season > 1)[:, None]
    ar = stable_polynomial(dice, items, order=3)
    ma = stable_polynomial(dice, items, order=3)
    near_unit = torch.where(
        dice.chance(items, 1, share=0.4), 0.98, dice.uniform(items, 1, low=-0.3, high=0.95)
    )
    seasonal_ar = torch.where(seasonal & dice.chance(items, 1, share=0.7), near_unit, 0.0)
    seasonal_ma = torch.where(
        seasonal & dice.chance(items, 1, share=0.5), dice.uniform(items, 1, high=0.9), 0.0
    )
    size = 2 ** math.ceil(math.log2(2 * steps))
    omega = 2 * math.pi * torch.arange(size // 2 + 1, device=dice.device) / size
    year = torch.polar(torch.ones((), device=dice.device), -omega * season[:, None])
    response = lag_response(ma, omega) * (1 - seasonal_ma * year)
    response = response / (lag_response(ar, omega) * (1 - seasonal_ar * year))
    noise = innovations(dice, items, variates, size)
    stationary = apply_filter(noise, response)[..., -steps:]
    drift = torch.where(dice.chance(items, 1, 1, share=0.4), 0.1 * dice.normal(items, variates, 1), 0.0)
    level = stationary.std(-1, keepdim=True)
    integrated = (stationary + drift * level).cumsum(-1)
    return Series(torch.where(dice.chance(items, 1, 1, share=0.5), integrated, stationary), season)


def stable_polynomial(dice: Dice, items: int, *, order: int) -> Tensor:
    """Coefficients [B, order] of 1 - sum a_k z^k with all roots outside the unit circle.

    Drawn as partial autocorrelations inside (-1, 1) and mapped by the Durbin-Levinson recursion
    (Barndorff-Nielsen and Schou 1973); the order of each item is drawn too.
    """
    partial = dice.uniform(items, order, low=-0.75, high=0.95)
    partial = torch.where(dice.chance(items, order, share=0.3), 0.3 * partial, partial)
    used = dice.integer(items, 1, low=0, high=order)
    partial = torch.where(torch.arange(order, device=dice.device) < used, partial, 0.0)
    coefficients = partial[:, :1]
    for k in range(1, order):
        last = partial[:, k : k + 1]
        coefficients = torch.cat([coefficients - last * coefficients.flip(1), last], dim=1)
    return coefficients


def lag_response(coefficients: Tensor, omega: Tensor) -> Tensor:
    """1 - sum_k a_k exp(-i omega k) [B, F] for coefficients a [B, K]."""
    lags = torch.arange(1, coefficients.shape[1] + 1, device=omega.device)
    wave = torch.polar(torch.ones((), device=omega.device), -omega * lags[:, None])
    return 1 - torch.complex(coefficients, torch.zeros_like(coefficients)) @ wave


def apply_filter(noise: Tensor, response: Tensor) -> Tensor:
    """Noise [B, V, T] through a linear filter given by its frequency response [B, F] (circular)."""
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(noise) * response[:, None, :], n=noise.shape[-1])
    return filtered


def autoregress(noise: Tensor, memory: Tensor) -> Tensor:
    """AR(1) [B, V, T] of noise [B, V, T] with coefficient memory [B, 1] (circular: drop the run-in)."""
    omega = 2 * math.pi * torch.arange(noise.shape[-1] // 2 + 1, device=noise.device) / noise.shape[-1]
    return apply_filter(noise, 1 / lag_response(memory, omega))


def growth(dice: Dice, items: int, variates: int, steps: int) -> Tensor:
    """Increments [B, V, T] of unit innovations: white, AR or MA, with or without drift."""
    noise = innovations(dice, items, variates, steps + RUN_IN)
    kind = dice.integer(items, 1, 1, low=0, high=3)
    autoregressive = autoregress(noise, dice.uniform(items, 1, low=-0.4, high=0.9))
    moving = noise - dice.uniform(items, 1, 1, low=-0.5, high=0.9) * noise.roll(1, -1)
    increments = torch.where(kind == 2, autoregressive, torch.where(kind == 3, moving, noise))[..., RUN_IN:]
    pace = torch.where(dice.chance(items, 1, 1, share=0.3), 0.5, 0.15)
    drift = torch.where(dice.chance(items, 1, 1, share=0.65), pace * dice.normal(items, variates, 1), 0.0)
    turning = torch.where(dice.chance(items, 1, 1, share=0.15), dice.uniform(items, 1, 1, high=0.06), 0.0)
    slope = (turning * dice.normal(items, variates, steps)).cumsum(-1)
    return increments + drift + slope


def walks(dice: Dice, items: int, variates: int, steps: int) -> Series:
    """Random walks and local levels: summed growth, some observed with noise."""
    level = growth(dice, items, variates, steps).cumsum(-1)
    blur = torch.where(
        dice.chance(items, 1, 1, share=0.3), dice.log_uniform(items, 1, 1, low=0.1, high=5.0), 0.0
    )
    values = level + blur * innovations(dice, items, variates, steps)
    return Series(values, torch.ones(items, dtype=torch.long, device=dice.device))


def geometric(dice: Dice, items: int, variates: int, steps: int) -> Series:
    """Walks on the log scale: positive series whose moves are shares of their level, some with a season."""
    volatility = dice.log_uniform(items, 1, 1, low=0.004, high=0.3)
    trend = torch.where(dice.chance(items, 1, 1, share=0.4), 0.02 * dice.normal(items, 1, 1), 0.0)
    season = dice.season(items, steps)
    season = torch.where(dice.chance(items, share=0.25), season, 1)
    swing = dice.log_uniform(items, 1, 1, low=0.5, high=8.0) * (season > 1)[:, None, None]
    pattern = swing * volatility * seasonal_pattern(dice, season, variates, steps)
    logs = (volatility * growth(dice, items, variates, steps) + trend).cumsum(-1) + pattern
    return Series(logs.clamp(-30.0, 30.0).exp(), season)


def seasonal_walks(dice: Dice, items: int, variates: int, steps: int) -> Series:
    """A wandering level plus a season that may itself drift, additive or multiplicative."""
    season = dice.season(items, steps)
    moves = growth(dice, items, variates, steps)
    level = (moves * dice.chance(items, 1, 1, share=0.85)).cumsum(-1)
    swing = dice.log_uniform(items, variates, 1, low=0.5, high=15.0)
    drift = dice.uniform(items, 1, 1, high=1.0) * dice.chance(items, 1, 1, share=0.4)
    blend = drift * torch.linspace(-0.5, 0.5, steps, device=dice.device)
    first = seasonal_pattern(dice, season, variates, steps)
    second = seasonal_pattern(dice, season, variates, steps)
    blur = torch.where(
        dice.chance(items, 1, 1, share=0.4), dice.log_uniform(items, 1, 1, low=0.1, high=3.0), 0.0
    )
    values = level + swing * (first + blend * second) + blur * innovations(dice, items, variates, steps)
    relative = dice.log_uniform(items, 1, 1, low=0.005, high=0.1)
    positive = (relative * values).clamp(-20.0, 20.0).exp()
    return Series(torch.where(dice.chance(items, 1, 1, share=0.3), positive, values), season)
