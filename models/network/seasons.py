"""Seasonal profiles by moving-average decomposition, shrunk by their strength, of one period or of two.

Shapes: N series, L context steps, H horizon steps, M longest period.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Weight of a cycle relative to the one after it: seasons drift.
CYCLE_WEIGHT = 0.75
# Observations that the prior of the noise is worth: half of what the trend leaves is noise.
PRIOR_OBSERVATIONS = 2.0
# A period of at least so many steps may lie within one of seven times its length: hours, days and weeks.
SHORTEST_DAY = 20
DAYS_PER_WEEK = 7


class Seasons(NamedTuple):
    """Seasonal part of a series.

    Attributes
    ----------
    past : Tensor [N, L]
        Over the context.
    future : Tensor [N, H]
        Over the horizon.
    strength : Tensor [N]
        Share of the raw profile that shrinkage left, in [0, 1].
    """

    past: Tensor
    future: Tensor
    strength: Tensor


def moving_average(values: Tensor, period: Tensor) -> Tensor:
    """Centred average [N, L] over one period [N] (2 x period where it is even), float64.

    Within half a period of either end it is not valid (`central`).
    """
    length = values.shape[-1]
    sums = torch.nn.functional.pad(values.double().cumsum(-1), (1, 0))
    clock = torch.arange(length, device=values.device)
    span, half = period[:, None], period[:, None] // 2
    first = (clock - half).clamp(min=0)
    second = (clock - half + 1 - span % 2).clamp(min=0)
    total = sum(
        sums.gather(-1, (start + span).clamp(max=length)) - sums.gather(-1, start.clamp(max=length))
        for start in (first, second)
    )
    return total / (2 * span)


def central(observed: Tensor, period: Tensor) -> Tensor:
    """Steps [N, L] whose centred window of one period lies between the first observation and the origin."""
    length = observed.shape[-1]
    clock = torch.arange(length, device=observed.device)
    begin = observed.to(torch.uint8).argmax(-1, keepdim=True)
    half = period[:, None] // 2
    return (clock - half >= begin) & (clock + half < length)


def profile(detrended: Tensor, seen: Tensor, period: Tensor, *, longest: int, horizon: int) -> Seasons:
    """Weighted mean by phase of what a trend leaves, centred and shrunk toward zero.

    The shrinkage is that of an empirical Bayesian: the variance of the phases' means beyond what the noise
    within phases explains, over all of it (Efron and Morris 1973).

    Parameters
    ----------
    detrended, seen : Tensor [N, L]
        Values without their trend, and which count.
    period : Tensor [N]
        Steps per cycle; 1 or less gives no season.
    longest, horizon : int
        M and H.
    """
    length = detrended.shape[-1]
    span = period.clamp(min=1)[:, None]
    back = torch.arange(length - 1, -1, -1, device=detrended.device)
    phase = (back % span).expand_as(detrended)
    weight = CYCLE_WEIGHT ** (back // span) * seen
    kept = torch.where(seen, detrended, 0.0)
    empty = torch.zeros(len(detrended), longest, device=detrended.device, dtype=detrended.dtype)
    total = empty.scatter_add(-1, phase, weight.to(empty.dtype))
    squares = empty.scatter_add(-1, phase, weight.square().to(empty.dtype))
    means = empty.scatter_add(-1, phase, weight * kept) / total.clamp(min=1e-9)
    present = total > 0
    count = present.sum(-1, keepdim=True).clamp(min=1)
    means = torch.where(present, means - (means * present).sum(-1, keepdim=True) / count, 0.0)
    residual = (kept - means.gather(-1, phase)) * seen
    spread = (kept.square() * seen).sum(-1, keepdim=True) / seen.sum(-1, keepdim=True).clamp(min=1)
    free = (seen.sum(-1, keepdim=True) - count).clamp(min=0)
    noise = residual.square().sum(-1, keepdim=True) + PRIOR_OBSERVATIONS * spread / 2
    noise = noise / (free + PRIOR_OBSERVATIONS)
    error = noise * (squares / total.clamp(min=1e-9).square() * present).sum(-1, keepdim=True) / count
    power = means.square().sum(-1, keepdim=True) / count
    strength = ((power - error) / power.clamp(min=1e-12)).clamp(0.0, 1.0)
    strength = strength * (period[:, None] > 1) * (2 * count > span)
    means = strength * means
    ahead = (-torch.arange(1, horizon + 1, device=detrended.device)) % span
    return Seasons(means.gather(-1, phase), means.gather(-1, ahead), strength[:, 0])


def weekly(period: Tensor, length: int) -> Tensor:
    """Seven times a period [N] that may be a day, where two such cycles lie in the context; else 0."""
    fits = (period >= SHORTEST_DAY) & (2 * DAYS_PER_WEEK * period <= length)
    return torch.where(fits, DAYS_PER_WEEK * period, 0)


def decompose(values: Tensor, observed: Tensor, period: Tensor, horizon: int) -> Seasons:
    """Additive season of the given period, and of seven times it where that may be a week.

    Parameters
    ----------
    values, observed : Tensor [N, L]
        Series with gaps filled forward, and where it was observed.
    period : Tensor [N]
        Steps per season; 0 or 1 for none.
    horizon : int
        H.
    """
    length = values.shape[-1]
    longest = length if length < 2 * DAYS_PER_WEEK * SHORTEST_DAY else length // 2
    period = torch.where(period > longest, 0, period)
    found = _layer(values, observed, period, longest=longest, horizon=horizon)
    if length < 2 * DAYS_PER_WEEK * SHORTEST_DAY:
        return found
    week = _layer(values - found.past, observed, weekly(period, length), longest=longest, horizon=horizon)
    return Seasons(found.past + week.past, found.future + week.future, found.strength)


def level_times_shape(
    values: Tensor, observed: Tensor, period: Tensor, horizon: int
) -> tuple[Tensor, Tensor]:
    """Forecast [N, H] by the mean of the last cycle times the mean shape of a cycle, and where it is one [N].

    The level moves on by half of the last change between two cycles. Only where no value is below zero and
    two cycles are there; elsewhere 0. After Takato's level x shape (arXiv 2605.07222).
    """
    length = values.shape[-1]
    fits = (period > 1) & (2 * period <= observed.sum(-1)) & (values >= 0).all(-1)
    span = torch.where(fits, period, 1)
    level = moving_average(values, span).to(values.dtype)
    seen = central(observed, span) & observed & (level > 0)
    ratio = torch.where(seen, values / level.clamp(min=1e-9) - 1, 0.0)
    shape = profile(ratio, seen, span, longest=length // 2 + 1, horizon=horizon)
    sums = torch.nn.functional.pad(values.double().cumsum(-1), (1, 0))
    ends = length - span[:, None] * torch.arange(3, device=values.device)
    cycles = (-sums.gather(-1, ends.clamp(min=0)).diff(dim=-1) / span[:, None]).to(values.dtype)
    step = (cycles[:, 0] - cycles[:, 1]) / span / 2
    ahead = torch.arange(1, horizon + 1, device=values.device) + (span[:, None] - 1) / 2
    forecast = (cycles[:, :1] + step[:, None] * ahead).clamp(min=0.0) * (1 + shape.future).clamp(min=0.0)
    return torch.where(fits[:, None], forecast, 0.0), fits


def _layer(values: Tensor, observed: Tensor, period: Tensor, *, longest: int, horizon: int) -> Seasons:
    span = period.clamp(min=1)
    trend = moving_average(values, span).to(values.dtype)
    seen = central(observed, span) & observed & (period > 1)[:, None]
    return profile(values - trend, seen, period, longest=longest, horizon=horizon)
