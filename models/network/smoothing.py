"""Exponential smoothing and autoregressions of many series at once, with their in-sample likelihoods.

Shapes: N series, L context steps, H horizon steps, G parameter triples.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

# (alpha, beta, phi) of level += alpha e, slope = phi slope + beta e, by family.
SIMPLE = tuple((alpha, 0.0, 0.0) for alpha in (0.05, 0.15, 0.3, 0.5, 0.75, 1.0))
THETA = tuple((alpha, 0.0, 1.0) for alpha in (0.1, 0.3, 0.6, 1.0))
DAMPED = tuple((a, a * b, phi) for a, b, phi in product((0.2, 0.5, 0.9), (0.1, 0.4), (0.85, 0.97)))
FAMILIES = (SIMPLE, THETA, DAMPED)
# Share of the least-squares slope that the Theta method extrapolates (Hyndman and Billah 2003).
THETA_SHARE = 0.5
# Observations whose one-step errors are not counted: the filter has not settled.
UNSETTLED = 2
# Smallest one-step variance relative to that of the moves.
VARIANCE_FLOOR = 1e-4


class Forecasts(NamedTuple):
    """Forecasts of one method and what the history says of it.

    Attributes
    ----------
    ahead : Tensor [N, H]
        Point forecasts.
    variance : Tensor [N]
        Mean square of the one-step errors in the history.
    """

    ahead: Tensor
    variance: Tensor


def smooth(values: Tensor, observed: Tensor, slope: Tensor, horizon: int) -> list[Forecasts]:
    """Simple exponential smoothing, Theta and damped Holt; one forecast each, averaged over its triples.

    Weights are the likelihoods of the triples with their own variances. A level begins at the first
    observation and moves by at least one over the number of observations; unobserved steps move it by the
    slope alone.

    Parameters
    ----------
    values, observed : Tensor [N, L]
        Series, and where it was observed.
    slope : Tensor [N]
        Least-squares slope per step.
    horizon : int
        H.
    """
    triples = [triple for family in FAMILIES for triple in family]
    alpha, beta, phi = torch.tensor(triples, device=values.device, dtype=values.dtype).T[:, :, None]
    level, steep, squares = _filter(values, observed, slope, (alpha, beta, phi))
    counted = (observed.sum(-1) - UNSETTLED).clamp(min=1)
    clock = torch.arange(1, horizon + 1, device=values.device, dtype=values.dtype)
    damped = (phi[..., None] ** clock).cumsum(-1)
    ahead = level[..., None] + steep[..., None] * damped
    found, start = [], 0
    for family in FAMILIES:
        part = slice(start, start + len(family))
        start += len(family)
        variance = squares[part] / counted
        floor = VARIANCE_FLOOR * variance.amax(0).clamp(min=1e-6)
        weight = torch.softmax(-0.5 * counted * variance.clamp(min=floor).log(), dim=0)
        found.append(Forecasts((weight[..., None] * ahead[part]).sum(0), (weight * variance).sum(0)))
    return found


def _filter(
    values: Tensor, observed: Tensor, slope: Tensor, triple: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Last level and slope, and sum of squared one-step errors, each [G, N]."""
    alpha, beta, phi = triple
    steps, seen = values.T, observed.T.to(values.dtype)
    before = (seen.cumsum(0) - seen).clamp(max=1e6)
    least = 1 / (before + 1)
    counts = seen * (before >= UNSETTLED)
    begin = observed.to(torch.uint8).argmax(-1)
    level = values.gather(-1, begin[:, None])[:, 0].expand(len(alpha), -1)
    steep = torch.where(phi == 1, THETA_SHARE, (phi > 0).to(values.dtype)) * slope
    squares = torch.zeros_like(level)
    started = observed.cummax(-1).values.T
    for now, here, gain, count, begun in zip(steps, seen, least, counts, started, strict=True):
        steep = torch.where(begun, phi * steep, steep)
        level = torch.where(begun, level + steep, level)
        error = (now - level) * here
        squares = torch.addcmul(squares, error * count, error)
        level = torch.addcmul(level, torch.maximum(alpha, gain), error)
        steep = torch.addcmul(steep, beta, error)
    return level, steep, squares


def second_order(values: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Yule-Walker coefficients of an AR(2) about zero, and its one-step variance, each [N].

    Autocovariances over the pairs that were observed, divided by the number of observations so that the
    process is stationary.
    """
    kept = torch.where(seen, values, 0.0)
    count = seen.sum(-1).clamp(min=1)
    zero, one, two = ((kept[:, lag:] * kept[:, : kept.shape[-1] - lag]).sum(-1) / count for lag in (0, 1, 2))
    power = zero.clamp(min=1e-12)
    first, second = one / power, two / power
    rest = (1 - first.square()).clamp(min=1e-3)
    near, far = first * (1 - second) / rest, (second - first.square()) / rest
    return near, far, zero * (1 - near * first - far * second).clamp(min=VARIANCE_FLOOR)


def autoregress_ahead(last: Tensor, before: Tensor, near: Tensor, far: Tensor, horizon: int) -> Tensor:
    """Forecasts [N, H] of an AR(2) from its last two values [N]."""
    steps = []
    for _ in range(horizon):
        last, before = near * last + far * before, last
        steps.append(last)
    return torch.stack(steps, -1)


def moves_ahead(values: Tensor, observed: Tensor, horizon: int) -> Forecasts:
    """A walk whose moves follow an AR(2) about their mean."""
    moves = values.diff(dim=-1)
    both = observed[:, 1:] & observed[:, :-1]
    mean = (moves * both).sum(-1, keepdim=True) / both.sum(-1, keepdim=True).clamp(min=1)
    centred = torch.where(both, moves - mean, 0.0)
    near, far, variance = second_order(centred, both)
    ahead = autoregress_ahead(centred[:, -1], centred[:, -2], near, far, horizon) + mean
    return Forecasts(values[:, -1:] + ahead.cumsum(-1), variance)


def line_ahead(residual: Tensor, observed: Tensor, line: Tensor) -> Forecasts:
    """A least-squares line [N, H], to which an AR(2) of what it leaves of the history [N, L] returns."""
    near, far, variance = second_order(residual, observed)
    last = residual[:, -1]
    ahead = autoregress_ahead(last, residual[:, -2], near, far, line.shape[-1])
    return Forecasts(line + ahead, variance)
