"""Classical forecasts of every series, plain and on logs, beneath their seasons: what the median may lean on.

Shapes: B items, V variates, L context steps, H horizon steps, N = 2 B V readings of a series (values, then
logs), F methods, K forecasts, E numbers of evidence.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from models.network.baselines import GROWTH_LIMIT, centre, trend_line
from models.network.scaling import VIEW_LIMIT, SeriesScaling
from models.network.seasons import Seasons, decompose, level_times_shape
from models.network.smoothing import Forecasts, line_ahead, moves_ahead, smooth
from models.network.structures import Scales, structures, unsaid

# Simple smoothing, Theta, damped Holt, AR of moves, AR about a line: of values and of logs.
METHODS = 5
# These, level x shape, and their mean by likelihood.
FORECASTS = 2 * METHODS + 2
# Gain of each over a walk, two strengths of the season, weight of the logs, whether level x shape is there.
EVIDENCE = 2 * METHODS + 4
# Parameters that each method fits beyond a walk, for the penalty of its likelihood.
PARAMETERS = (1.0, 2.0, 3.0, 3.0, 4.0)
# Share of the log-likelihood that counts: in-sample errors of one step say less than their number.
TEMPER = 0.25


class Classics(NamedTuple):
    """Classical forecasts and what the history says of them.

    Attributes
    ----------
    forecasts : Tensor [B, V, H, K]
        Scaled views.
    evidence : Tensor [B, V, E]
        Numbers per series.
    beneath : Tensor [B, V, L]
        Scaled view of the context without its season; 0 where it was not observed.
    means, spread : Tensor [B, V, H, 3], Tensor [B, V, H, 1]
        Views of the means, and log spread relative to a walk's, of a bank of structural hypotheses.
    posterior : Tensor [B, V, F + 1]
        Weight of each of its families, and of logs.
    """

    forecasts: Tensor
    evidence: Tensor
    beneath: Tensor
    means: Tensor
    spread: Tensor
    posterior: Tensor

    @property
    def gains(self) -> tuple[Tensor, Tensor]:
        """Log-likelihood per observation over a walk's [B, V, F], of the values' methods and of the logs'."""
        return self.evidence[..., :METHODS], self.evidence[..., METHODS : 2 * METHODS]


class Reading(NamedTuple):
    """Values and logs of every series, each in units of its own mean move from its last value, as float32.

    Attributes
    ----------
    values, observed : Tensor [N, L]
        Gaps filled forward, and where they were observed.
    season : Tensor [N]
        Steps per season.
    unit : Tensor [B V]
        Mean absolute move of the logs; 1 where there are none.
    jacobian : Tensor [B V]
        Mean over the observations of the log of d log y / dy, in units of both readings.
    positive : Tensor [B V]
        Whether there are logs.
    """

    values: Tensor
    observed: Tensor
    season: Tensor
    unit: Tensor
    jacobian: Tensor
    positive: Tensor


@torch.no_grad()
def build_classics(
    filled: Tensor,
    observed: Tensor,
    season: Tensor,
    scaling: SeriesScaling,
    horizon: int,
    *,
    bank: bool = True,
) -> Classics:
    """Ten forecasts of five methods, level x shape, and the mean of all by their likelihood.

    Parameters
    ----------
    filled, observed : Tensor [B, V, L]
        Context with gaps filled forward, and where it was observed.
    season : Tensor [B]
        Steps per season; 0 or 1 where there is none.
    scaling : SeriesScaling
        Location and scale of the context.
    horizon : int
        H.
    bank : bool
        Whether to ask the bank of structural hypotheses; what it says is 0 otherwise.
    """
    shape = filled.shape[:2]
    reading = read(filled, observed, season, scaling)
    seasons = decompose(reading.values, reading.observed, reading.season, horizon)
    beneath = reading.values - seasons.past
    forecasts = methods_ahead(beneath, reading.observed, horizon)
    series = len(reading.unit)
    ahead = torch.stack([method.ahead + seasons.future for method in forecasts], -1)
    plain, logs = ahead[:series], _from_logs(ahead[series:], reading, scaling)
    logs = torch.where(reading.positive[:, None, None], logs, plain)
    count = observed.flatten(0, 1).sum(-1).to(plain.dtype)
    gains = _gains(forecasts, reading, count)
    weights = _weights(gains, reading.positive, count)
    every = torch.cat([plain, logs], -1)
    mean = (weights[:, None, :] * every.asinh()).sum(-1, keepdim=True)
    shaped, fits = _shaped(filled, observed, season, scaling, horizon)
    shaped = torch.where(fits[:, None], shaped, mean[..., 0].sinh())
    views = torch.cat([every.asinh(), shaped[..., None].asinh(), mean], -1)
    strengths = [seasons.strength[:series], seasons.strength[series:]]
    posterior = weights[:, METHODS:].sum(-1)
    evidence = torch.stack([*gains.unbind(-1), *strengths, posterior, fits.to(plain.dtype)], -1)
    scales = Scales(
        positive=reading.positive,
        jacobian=reading.jacobian,
        unit=reading.unit.float(),
        level=(scaling.loc / scaling.scale).flatten().float(),
    )
    with torch.autocast(filled.device.type, enabled=False):  # likelihoods need all digits
        said = (
            structures(beneath, reading.observed, seasons.future, scales) if bank else unsaid(views, horizon)
        )
    return Classics(
        torch.unflatten(views.clamp(-VIEW_LIMIT, VIEW_LIMIT).float(), 0, shape),
        torch.unflatten(evidence.clamp(-5.0, 5.0).float(), 0, shape),
        torch.unflatten(_beneath(reading, seasons, series), 0, shape) * observed,
        *(torch.unflatten(part.float(), 0, shape) for part in said),
    )


def read(filled: Tensor, observed: Tensor, season: Tensor, scaling: SeriesScaling) -> Reading:
    """Both readings of every series; that of the logs is all 0 where a value is not positive."""
    flat, seen = filled.flatten(0, 1), observed.flatten(0, 1)
    loc, scale = scaling.loc.flatten(), scaling.scale.flatten()
    values = (flat - loc[:, None]) / scale[:, None]
    positive = (flat > 0).all(-1)
    tiny = torch.finfo(flat.dtype).tiny
    logs = torch.where(
        positive[:, None], flat.clamp(min=tiny).log() - loc.clamp(min=tiny).log()[:, None], 0.0
    )
    count = seen.sum(-1)
    unit = logs.diff(dim=-1).abs().sum(-1) / (count - 1).clamp(min=1)
    positive = positive & (unit > 1e-6)
    unit = torch.where(positive, unit, 1.0)
    ratio = (scale / loc.abs().clamp(min=tiny) / unit).clamp(1e-6, 1e6).log()
    jacobian = ratio - (logs * seen).sum(-1) / count.clamp(min=1)
    logs = torch.where(positive[:, None], logs / unit[:, None], 0.0)
    return Reading(
        values=torch.cat([values, logs]).float(),
        observed=torch.cat([seen, seen]),
        season=season.repeat_interleave(filled.shape[1]).repeat(2),
        unit=unit,
        jacobian=torch.where(positive, jacobian, 0.0).float(),
        positive=positive,
    )


def methods_ahead(values: Tensor, observed: Tensor, horizon: int) -> list[Forecasts]:
    """Forecasts [N, H] of the five methods for series [N, L] without seasons."""
    mean, slope = trend_line(values[None], observed[None])
    back = centre(observed[None], values.dtype)[0][:, None]
    mean, slope = mean[0][:, None], slope[0][:, None]
    clock = torch.arange(1 - values.shape[-1], horizon + 1, device=values.device)
    line = mean + slope * (clock + back)
    residual = (values - line[:, : values.shape[-1]]) * observed
    return [
        *smooth(values, observed, slope[:, 0], horizon),
        moves_ahead(values, observed, horizon),
        line_ahead(residual, observed, line[:, values.shape[-1] :]),
    ]


def _gains(forecasts: list[Forecasts], reading: Reading, count: Tensor) -> Tensor:
    """Log-likelihood per observation [B V, 2 F] over that of unit moves of the values."""
    spread = torch.stack([method.variance for method in forecasts], -1).clamp(min=1e-6).log()
    plain, logs = torch.chunk(-0.5 * spread, 2)
    penalty = torch.tensor(PARAMETERS, device=count.device) / count.clamp(min=1)[:, None]
    gains = torch.cat([plain - penalty, logs + reading.jacobian[:, None] - penalty], -1)
    there = reading.positive[:, None] | (torch.arange(2 * METHODS, device=count.device) < METHODS)
    return torch.where(there, gains, -5.0)


def _weights(gains: Tensor, positive: Tensor, count: Tensor) -> Tensor:
    """Share of each of the ten forecasts [B V, 2 F], by its tempered likelihood."""
    is_log = torch.arange(2 * METHODS, device=gains.device) >= METHODS
    barred = is_log & ~positive[:, None]
    scores = (TEMPER * count[:, None] * gains).masked_fill(barred, -torch.inf)
    return torch.softmax(scores, -1)


def _from_logs(ahead: Tensor, reading: Reading, scaling: SeriesScaling) -> Tensor:
    """Forecasts of logs [B V, H, F] as scaled values."""
    growth = (ahead * reading.unit[:, None, None]).clamp(-GROWTH_LIMIT, GROWTH_LIMIT)
    level = (scaling.loc / scaling.scale).flatten()[:, None, None]
    return (torch.expm1(growth) * level).to(ahead.dtype)


def _shaped(
    filled: Tensor, observed: Tensor, season: Tensor, scaling: SeriesScaling, horizon: int
) -> tuple[Tensor, Tensor]:
    """Level x shape as scaled values [B V, H], and where there is one [B V]."""
    loc, scale = scaling.loc.flatten()[:, None], scaling.scale.flatten()[:, None]
    flat, seen = filled.flatten(0, 1), observed.flatten(0, 1)
    unit = (flat / scale).float().clamp(-1e9, 1e9)
    forecast, fits = level_times_shape(unit, seen, season.repeat_interleave(filled.shape[1]), horizon)
    return forecast - (loc / scale).float(), fits


def _beneath(reading: Reading, seasons: Seasons, series: int) -> Tensor:
    """View of the values without their season, from its own last value [B V, L]."""
    values = (reading.values - seasons.past)[:series]
    return (values - values[:, -1:]).asinh().clamp(-VIEW_LIMIT, VIEW_LIMIT)
