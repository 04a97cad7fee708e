"""Linear worlds: SARIMA with stable roots, random walks, growth on the log scale, walks with seasons.

Shapes: B items, V variates, T steps, F frequencies of the filter.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.worlds.rng import RandomSource, WorldSeries, innovations, seasonal_pattern

# Steps dropped at the start of a circular filter: 0.95 ** 64 = 0.04 of the last step is left in the first.
RUN_IN = 64
# Spread of the drift in standard deviations of a one-step move. Its root mean square, 0.41, lies among those
# of real series, less the noise of their estimate: 0.25 (M3 monthly), 0.3 (FRED-MD), 0.5 (M3 quarterly).
DRIFT = (0.05, 1.0)


def sarima(rng: RandomSource, items: int, variates: int, steps: int) -> WorldSeries:
    """SARIMA(p, d, q)(P, 0, Q) with p, q <= 3, d <= 1, P, Q <= 1, some with a seasonal difference."""
    season = rng.season(items, steps)
    season = torch.where(rng.chance(items, share=0.4), season, 1)
    seasonal = (season > 1)[:, None]
    ar = stable_polynomial(rng, items, order=3)
    ma = stable_polynomial(rng, items, order=3)
    near_unit = torch.where(rng.chance(items, 1, share=0.4), 0.98, rng.uniform(items, 1, low=-0.3, high=0.95))
    seasonal_ar = torch.where(seasonal & rng.chance(items, 1, share=0.7), near_unit, 0.0)
    seasonal_ma = torch.where(
        seasonal & rng.chance(items, 1, share=0.5), rng.uniform(items, 1, high=0.9), 0.0
    )
    size = 2 ** math.ceil(math.log2(2 * steps))
    omega = 2 * math.pi * torch.arange(size // 2 + 1, device=rng.device) / size
    year = torch.polar(torch.ones((), device=rng.device), -omega * season[:, None])
    response = lag_response(ma, omega) * (1 - seasonal_ma * year)
    response = response / (lag_response(ar, omega) * (1 - seasonal_ar * year))
    noise = innovations(rng, items, variates, size)
    stationary = apply_filter(noise, response)[..., -steps:]
    drift = rng.log_uniform(items, 1, 1, low=0.02, high=0.5) * rng.normal(items, variates, 1)
    level = stationary.std(-1, keepdim=True)
    integrated = (stationary + drift * level).cumsum(-1)
    return WorldSeries(torch.where(rng.chance(items, 1, 1, share=0.5), integrated, stationary), season)


def stable_polynomial(rng: RandomSource, items: int, *, order: int) -> Tensor:
    """Coefficients [B, order] of 1 - sum a_k z^k with all roots outside the unit circle.

    Drawn as partial autocorrelations inside (-1, 1) and mapped by the Durbin-Levinson recursion
    (Barndorff-Nielsen and Schou 1973); the order of each item is drawn too.
    """
    partial = rng.uniform(items, order, low=-0.75, high=0.95)
    partial = torch.where(rng.chance(items, order, share=0.3), 0.3 * partial, partial)
    used = rng.integer(items, 1, low=0, high=order)
    partial = torch.where(torch.arange(order, device=rng.device) < used, partial, 0.0)
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


def growth(rng: RandomSource, items: int, variates: int, steps: int) -> Tensor:
    """Increments [B, V, T] of unit innovations: white, AR or MA, with a drift."""
    noise = innovations(rng, items, variates, steps + RUN_IN)
    kind = rng.integer(items, 1, 1, low=0, high=3)
    autoregressive = autoregress(noise, rng.uniform(items, 1, low=-0.4, high=0.9))
    moving = noise - rng.uniform(items, 1, 1, low=-0.5, high=0.9) * noise.roll(1, -1)
    increments = torch.where(kind == 2, autoregressive, torch.where(kind == 3, moving, noise))[..., RUN_IN:]
    pace = rng.log_uniform(items, 1, 1, low=DRIFT[0], high=DRIFT[1])
    drift = pace * rng.normal(items, variates, 1)
    turning = torch.where(rng.chance(items, 1, 1, share=0.15), rng.uniform(items, 1, 1, high=0.06), 0.0)
    slope = (turning * rng.normal(items, variates, steps)).cumsum(-1)
    return increments + drift + slope


def walks(rng: RandomSource, items: int, variates: int, steps: int) -> WorldSeries:
    """Random walks and local levels: summed growth, some observed with noise."""
    level = growth(rng, items, variates, steps).cumsum(-1)
    blur = torch.where(
        rng.chance(items, 1, 1, share=0.3), rng.log_uniform(items, 1, 1, low=0.1, high=5.0), 0.0
    )
    values = level + blur * innovations(rng, items, variates, steps)
    return WorldSeries(values, torch.ones(items, dtype=torch.long, device=rng.device))


def geometric(rng: RandomSource, items: int, variates: int, steps: int) -> WorldSeries:
    """Walks on the log scale: positive series whose moves are shares of their level, some with a season."""
    volatility = rng.log_uniform(items, 1, 1, low=0.004, high=0.3)
    trend = torch.where(rng.chance(items, 1, 1, share=0.4), 0.02 * rng.normal(items, 1, 1), 0.0)
    season = rng.season(items, steps)
    season = torch.where(rng.chance(items, share=0.25), season, 1)
    swing = rng.log_uniform(items, 1, 1, low=0.5, high=8.0) * (season > 1)[:, None, None]
    pattern = swing * volatility * seasonal_pattern(rng, season, variates, steps)
    logs = (volatility * growth(rng, items, variates, steps) + trend).cumsum(-1) + pattern
    return WorldSeries(logs.clamp(-30.0, 30.0).exp(), season)


def seasonal_walks(rng: RandomSource, items: int, variates: int, steps: int) -> WorldSeries:
    """A wandering level plus a season that may itself drift, additive or multiplicative."""
    season = rng.season(items, steps)
    moves = growth(rng, items, variates, steps)
    level = (moves * rng.chance(items, 1, 1, share=0.85)).cumsum(-1)
    swing = rng.log_uniform(items, variates, 1, low=0.5, high=15.0)
    drift = rng.uniform(items, 1, 1, high=1.0) * rng.chance(items, 1, 1, share=0.4)
    blend = drift * torch.linspace(-0.5, 0.5, steps, device=rng.device)
    first = seasonal_pattern(rng, season, variates, steps)
    second = seasonal_pattern(rng, season, variates, steps)
    blur = torch.where(
        rng.chance(items, 1, 1, share=0.4), rng.log_uniform(items, 1, 1, low=0.1, high=3.0), 0.0
    )
    values = level + swing * (first + blend * second) + blur * innovations(rng, items, variates, steps)
    relative = rng.log_uniform(items, 1, 1, low=0.005, high=0.1)
    positive = (relative * values).clamp(-20.0, 20.0).exp()
    return WorldSeries(torch.where(rng.chance(items, 1, 1, share=0.3), positive, values), season)
