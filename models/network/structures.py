"""Structural hypotheses weighed on every series in closed form: what the network reads of a small bank.

Each hypothesis is one of values and one of logs, beneath the season. The scale is integrated out, so that
laws are Student-t and marginal likelihoods exact, but for gaps: these are filled by straight lines, which is
exact for a walk alone.

Shapes: S series, N = 2 S readings (values, then logs), L context steps, H horizon steps, K hypotheses, F
families, W newest differences that are read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from models.network.baselines import GROWTH_LIMIT, MOVES_PER_DEVIATION
from models.network.hypotheses import FAMILIES, GROWTH, REACH, WINDOW, Factors, factors

# Means of values, of logs and of all.
MEANS = 3
# Posterior of each family, and of logs.
POSTERIORS = len(FAMILIES) + 1
# Share of the log-likelihood that counts: none of the structures is the truth.
TEMPER = 0.5
# Observations that the prior of the scale is worth.
PRIOR_FREEDOM = 2.0
# Largest distance of a mean from the last value, in moves.
FARTHEST = 1e6
# Largest deviation of a log ahead.
WIDEST = 2.0
# Log of the largest spread relative to a walk's, and of the inverse of the smallest.
SPREAD_LIMIT = 5.0
# Smallest variance of moves about their mean, relative to their mean square: that of a straight line.
LEAST_SHARE = 1e-4
# Smallest share of a one-step variance that a step ahead keeps.
LEAST_VARIANCE = 1e-4


class Past(NamedTuple):
    """Histories as the hypotheses read them.

    Attributes
    ----------
    differences : Tensor [N, W]
        From the last value, newest first, in units.
    inside : Tensor [N, W]
        Where the history had begun.
    length, seen : Tensor [N]
        Differences since the first observation, and observations among them.
    unit : Tensor [N]
        Standard deviation of the moves about their mean; 1 where there are none.
    """

    differences: Tensor
    inside: Tensor
    length: Tensor
    seen: Tensor
    unit: Tensor


class Laws(NamedTuple):
    """Predictive law of every hypothesis for every reading, from its last value.

    Attributes
    ----------
    score : Tensor [N, K]
        Tempered log posterior, up to what all readings of a series share.
    mean, deviation : Tensor [N, K, H]
    """

    score: Tensor
    mean: Tensor
    deviation: Tensor


class Scales(NamedTuple):
    """What turns the logs of a series into its scaled values.

    Attributes
    ----------
    positive : Tensor [S]
        Whether there are logs.
    jacobian : Tensor [S]
        Mean log density of the values given that of the logs, each in units of its reading.
    unit, level : Tensor [S]
        Unit of the logs; last value in units of the values.
    """

    positive: Tensor
    jacobian: Tensor
    unit: Tensor
    level: Tensor


class Structures(NamedTuple):
    """What the bank says of the future and of the history.

    Attributes
    ----------
    means : Tensor [S, H, 3]
        Scaled views of the means of values, of logs (of values where there are none) and of all.
    spread : Tensor [S, H, 1]
        Log spread of all, relative to a walk's.
    posterior : Tensor [S, F + 1]
        Weight of each family, and of logs.
    """

    means: Tensor
    spread: Tensor
    posterior: Tensor


def structures(beneath: Tensor, observed: Tensor, future: Tensor, scales: Scales) -> Structures:
    """Means, spread and posterior of the bank.

    Parameters
    ----------
    beneath, observed : Tensor [N, L]
        Both readings of every series without their seasons, from the last value of the series; gaps filled
        forward, and where they were observed.
    future : Tensor [N, H]
        Their seasons ahead.
    scales : Scales
    """
    count, horizon = len(scales.positive), future.shape[-1]
    found = factors(beneath.device, max(REACH, horizon))
    past = read_past(beneath, observed)
    law = laws(past, found, is_log=torch.arange(2 * count, device=beneath.device) >= count, horizon=horizon)
    weight = _weights(law.score, past.seen[:count], scales)
    law = law._replace(mean=law.mean + beneath[:, -1:, None] + future[:, None])
    mean, deviation = _as_values(law, scales)
    views, kinds = mean.asinh(), law.score.shape[-1]
    plain = _mean(views[:, :kinds], weight[:, :kinds])
    logs = _mean(views[:, kinds:], weight[:, kinds:])
    whole = _mean(views, weight)
    apart = (mean - whole.sinh()[:, None]).square()
    variance = _mean(deviation.square() + apart, weight).clamp(min=1e-12)
    walk = torch.arange(1, horizon + 1, device=beneath.device).sqrt() / MOVES_PER_DEVIATION
    family = (weight[:, :kinds] + weight[:, kinds:]) @ found.families
    return Structures(
        means=torch.stack([plain, torch.where(scales.positive[:, None], logs, plain), whole], -1),
        spread=(0.5 * variance.log() - walk.log()).clamp(-SPREAD_LIMIT, SPREAD_LIMIT)[..., None],
        posterior=torch.cat([family, weight[:, kinds:].sum(-1, keepdim=True)], -1),
    )


def unsaid(series: Tensor, horizon: int) -> Structures:
    """What a bank that is not asked says of series [S, ...]: zeros."""
    count = len(series)
    return Structures(
        means=series.new_zeros(count, horizon, MEANS),
        spread=series.new_zeros(count, horizon, 1),
        posterior=series.new_zeros(count, POSTERIORS),
    )


def interpolated(values: Tensor, observed: Tensor) -> Tensor:
    """Series [N, L] with straight lines over the gaps between observations; elsewhere as they are."""
    length = values.shape[-1]
    clock = torch.arange(length, device=values.device)
    before = torch.where(observed, clock, -1).cummax(-1).values
    after = torch.where(observed, clock, length).flip(-1).cummin(-1).values.flip(-1)
    start, end = values.gather(-1, before.clamp(min=0)), values.gather(-1, after.clamp(max=length - 1))
    share = (clock - before) / (after - before).clamp(min=1)
    between = (before >= 0) & (after < length) & ~observed
    return torch.where(between, start + share * (end - start), values)


def read_past(values: Tensor, observed: Tensor) -> Past:
    """Newest differences of series [N, L] whose gaps are filled forward."""
    window = min(WINDOW, values.shape[-1] - 1)
    line, known = interpolated(values, observed)[:, -window - 1 :], observed[:, -window - 1 :]
    length = window - known.to(torch.uint8).argmax(-1)
    inside = torch.arange(1, window + 1, device=values.device) <= length[:, None]
    moves = line.diff(dim=-1).flip(-1) * inside
    mean = moves.sum(-1, keepdim=True) / length.clamp(min=1)[:, None]
    off_mean = ((moves - mean) * inside).square().sum(-1) / (length - 1).clamp(min=1)
    least = LEAST_SHARE * moves.square().sum(-1) / length.clamp(min=1)
    size = torch.maximum(off_mean, least)
    unit = torch.where(size > 1e-10, size.sqrt(), 1.0)
    return Past(
        differences=(line[:, :-1] - line[:, -1:]).flip(-1) / unit[:, None],
        inside=inside,
        length=length,
        seen=torch.minimum(known[:, :-1].sum(-1), length).to(values.dtype),
        unit=unit,
    )


def laws(past: Past, found: Factors, *, is_log: Tensor, horizon: int) -> Laws:
    """Laws of the readings; logs are expected to grow beforehand.

    With n differences d of covariance s^2 C and an inverse-gamma prior of s^2 worth f observations, the log
    density and the variance ahead are those of a Student-t: -(log|C| + (f + n) log(1 + d' C^-1 d / f)) / 2 up
    to what depends on n alone, and (f + d' C^-1 d) / (f + n - 2) times the conditional variance (Rasmussen
    and Williams 2006, 2.2 and 9.9).
    """
    window, grows = past.inside.shape[-1], is_log.to(past.unit.dtype)
    response = found.response[:, :window, :horizon]
    whitened = torch.einsum("kij,nj->kni", found.whitener[:, :window, :window], past.differences)
    whitened = (whitened - found.expected[:, None, :window] * grows[:, None]) * past.inside
    square = whitened.square().sum(-1).T
    clock = torch.arange(1, horizon + 1, device=grows.device)
    drift = GROWTH * (grows[:, None] * found.drift)[..., None] * clock
    mean = torch.einsum("kni,kih->nkh", whitened, response) + drift
    explained = functional.pad(response.square().cumsum(1), (0, 0, 1, 0))
    left = (found.variance[:, None, :horizon] - explained).clamp(min=LEAST_VARIANCE)
    freedom = (PRIOR_FREEDOM + past.seen)[:, None]
    share = (past.seen / past.length.clamp(min=1))[:, None]
    likelihood = -0.5 * (
        share * found.log_determinant[:, past.length].T + freedom * torch.log1p(square / PRIOR_FREEDOM)
    )
    likelihood = likelihood - (past.seen * past.unit.log())[:, None]
    scale = ((PRIOR_FREEDOM + square) / (freedom - 2).clamp(min=1.0)).sqrt() * past.unit[:, None]
    return Laws(
        score=TEMPER * likelihood + found.prior,
        mean=mean * past.unit[:, None, None],
        deviation=left.sqrt()[:, past.length].transpose(0, 1) * scale[..., None],
    )


def _weights(score: Tensor, seen: Tensor, scales: Scales) -> Tensor:
    """Posterior [S, 2 K] of the hypotheses of values and of logs."""
    plain, logs = score.chunk(2)
    logs = logs + (TEMPER * seen * scales.jacobian)[:, None]
    return torch.softmax(torch.cat([plain, logs.masked_fill(~scales.positive[:, None], -torch.inf)], -1), -1)


def _as_values(law: Laws, scales: Scales) -> tuple[Tensor, Tensor]:
    """Mean and deviation [S, 2 K, H] of all hypotheses in scaled values.

    Of logs, the median and half of what lies between one deviation below it and one above.
    """
    (plain, logs), (narrow, wide) = law.mean.chunk(2), law.deviation.chunk(2)
    unit, level = scales.unit[:, None, None], scales.level.abs()[:, None, None].clamp(max=FARTHEST)
    growth = (logs * unit).clamp(-GROWTH_LIMIT, GROWTH_LIMIT)
    spread = growth.exp() * (wide * unit).clamp(max=WIDEST).sinh() * level
    mean = torch.cat([plain, growth.expm1() * level], 1).clamp(-FARTHEST, FARTHEST)
    return mean, torch.cat([narrow, spread], 1).clamp(max=FARTHEST)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean [S, H] of [S, K, H] by [S, K]; 0 where all weights are."""
    return torch.einsum("sk,skh->sh", weight, values) / weight.sum(-1, keepdim=True).clamp(min=1e-9)
