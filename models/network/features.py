"""What the network reads of a series: views of the context, seasonal lags per horizon step, statistics.

Shapes: B items, V variates, L context steps, H horizon steps, K covariates, S statics, C channels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from models.network.baselines import BASELINES, SPREADS, build_baselines, build_spreads, detrended
from models.network.classics import Classics, build_classics
from models.network.scaling import SeriesScaling, carry_forward, fit_scaling

# Seasons back from which a horizon step reads the value at its own phase.
SEASONAL_LAGS = 3
CONTEXT_CHANNELS = 6
HORIZON_CHANNELS = 2 * SEASONAL_LAGS + BASELINES + SPREADS
SHARED_CHANNELS = 5
STATISTICS = 23


class Inputs(NamedTuple):
    """What a forecast is made from.

    Attributes
    ----------
    values, observed : Tensor [B, V, L]
        Context and where it was observed; unobserved values are not read.
    season : Tensor [B]
        Steps per season; 0 or 1 where there is none or it is not known.
    covariates : Tensor [B, K, L+H]
        Covariates known over context and horizon, 0 in unused slots.
    statics : Tensor [B, V, S]
        Static covariates, 0 in unused slots.
    """

    values: Tensor
    observed: Tensor
    season: Tensor
    covariates: Tensor
    statics: Tensor

    def picked(self, items: Tensor, *, begin: int) -> Inputs:
        """Inputs of some items whose contexts begin at a step of these."""
        return Inputs(
            values=self.values[items, :, begin:],
            observed=self.observed[items, :, begin:],
            season=self.season[items],
            covariates=self.covariates[items, :, begin:],
            statics=self.statics[items],
        )

    @property
    def horizon(self) -> int:
        """H, the steps that the covariates reach beyond the context."""
        return self.covariates.shape[-1] - self.values.shape[-1]


class Features(NamedTuple):
    """Network inputs derived from `Inputs`.

    Attributes
    ----------
    scaling : SeriesScaling
        Location and scale per series [B, V].
    context : Tensor [B, V, L, C]
        Channels per context step.
    horizon : Tensor [B, V, H, C]
        Channels per horizon step.
    baselines : Tensor [B, V, H, A]
        Scaled forecasts of simple methods; they are among the channels too.
    spreads : Tensor [B, V, H, W]
        Log spreads of simple methods relative to a walk's; among the channels too.
    statistics : Tensor [B, V, S]
        Numbers per series.
    classics : Classics
        Classical forecasts, and what the history says of them.
    """

    scaling: SeriesScaling
    context: Tensor
    horizon: Tensor
    baselines: Tensor
    spreads: Tensor
    statistics: Tensor
    classics: Classics


def build_features(inputs: Inputs, *, bank: bool = True) -> Features:
    """Views, lags and statistics of the context, all finite float32; what the bank says is 0 without it."""
    values, observed, season = inputs.values, inputs.observed, inputs.season
    length, horizon = values.shape[-1], inputs.horizon
    scaling = fit_scaling(values, observed)
    filled = carry_forward(values, observed)
    view = torch.where(observed, scaling.view(values), 0.0)
    log_view, log_statistics = _log_view(values, filled, observed, scaling.loc)
    clock = torch.arange(-length, horizon, device=values.device) + 1
    lagged, lag_seen = _look_up(filled, observed, _lagged_steps(clock[:length], season, 1) + length - 1)
    change = ((values - lagged) / scaling.scale[..., None]).asinh()
    change_seen = lag_seen & observed & (season > 1)[:, None, None]
    change = torch.where(change_seen, change, 0.0)
    shared = _shared_channels(clock, season, inputs.covariates)[:, None].expand(-1, values.shape[1], -1, -1)
    channels = [view, log_view, change, observed, change_seen, filled_age(observed)]
    context = torch.cat(
        [torch.stack([channel.float() for channel in channels], -1), shared[:, :, :length].float()], -1
    )
    baselines = build_baselines(filled, observed, season, scaling, horizon)
    spreads = build_spreads(filled, observed, season, scaling, horizon)
    lags = _seasonal_lags(filled, observed, season, scaling, horizon)
    ahead = torch.cat([lags, baselines, spreads, shared[:, :, length:].float()], -1)
    statistics = _statistics(filled, observed, season, scaling, change)
    statistics = torch.cat([statistics, log_statistics, inputs.statics.to(statistics.dtype)], -1).float()
    return Features(
        scaling=scaling,
        context=context,
        horizon=ahead,
        baselines=baselines,
        spreads=spreads,
        statistics=statistics.nan_to_num(0.0).clamp(-20.0, 20.0),
        classics=build_classics(filled, observed, season, scaling, horizon, bank=bank),
    )


def filled_age(observed: Tensor) -> Tensor:
    """Log of one plus the steps since the last observation, [B, V, L]."""
    steps = torch.arange(observed.shape[-1], device=observed.device)
    last = torch.where(observed, steps, -1).cummax(-1).values
    return torch.log1p((steps - last).float())


def _log_view(values: Tensor, filled: Tensor, observed: Tensor, loc: Tensor) -> tuple[Tensor, Tensor]:
    """View of the logs of an all-positive series [B, V, L] (0 elsewhere), and four statistics of it."""
    positive = ((values > 0) | ~observed).all(-1) & (loc > 0)
    tiny = torch.finfo(values.dtype).tiny
    logs = torch.where(
        positive[..., None], filled.clamp(min=tiny).log() - loc.clamp(min=tiny).log()[..., None], 0.0
    )
    moves = logs.diff(dim=-1)
    transitions = (observed.sum(-1) - 1).clamp(min=1)
    scale = moves.abs().sum(-1) / transitions + 1e-6
    view = torch.where(observed, (logs / scale[..., None]).asinh(), 0.0)
    drift = moves.sum(-1) / transitions / scale
    numbers = [positive, positive * scale.log() / 4, drift, autocorrelation(moves)]
    return view, torch.stack([number.float() for number in numbers], -1)


def _lagged_steps(clock: Tensor, season: Tensor, seasons: int) -> Tensor:
    """Clock steps [B, T] that lie a number of seasons before `clock` [T], relative to the origin at 0."""
    return clock - seasons * season[:, None].clamp(min=1)


def _look_up(filled: Tensor, observed: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Values [B, V, T] at context positions [B, T], and whether they lie in the context and were observed."""
    inside = (index >= 0) & (index < filled.shape[-1])
    where = index.clamp(0, filled.shape[-1] - 1)[:, None, :].expand(-1, filled.shape[1], -1)
    return filled.gather(-1, where), observed.gather(-1, where) & inside[:, None, :]


def _seasonal_lags(
    filled: Tensor, observed: Tensor, season: Tensor, scaling: SeriesScaling, horizon: int
) -> Tensor:
    """Scaled values at each step's phase in the last seasons, and which exist.

    Shape [B, V, H, 2 * SEASONAL_LAGS].
    """
    step = torch.arange(1, horizon + 1, device=filled.device)
    length = season[:, None].clamp(min=1)
    cycles = (step + length - 1) // length
    channels = []
    for back in range(SEASONAL_LAGS):
        index = step - (cycles + back) * length + filled.shape[-1] - 1
        value, seen = _look_up(filled, observed, index)
        seen = seen & (season > 1)[:, None, None]
        channels += [torch.where(seen, scaling.view(value), 0.0).float(), seen.float()]
    return torch.stack(channels, -1)


def _shared_channels(clock: Tensor, season: Tensor, covariates: Tensor) -> Tensor:
    """Channels of context and horizon alike [B, L+H, 5 + K]: phase, distance from the origin, covariates."""
    seasonal = (season > 1)[:, None]
    angle = 2 * math.pi * clock / season[:, None].clamp(min=1)
    distance = (clock.sign() * torch.log1p(clock.abs()) / 4).expand_as(angle)
    nearby = (clock / 64).clamp(-1.0, 1.0).expand_as(angle)
    phase = [angle.sin() * seasonal, angle.cos() * seasonal, distance, nearby]
    spread = covariates.std(-1, keepdim=True)
    unit = (covariates - covariates.mean(-1, keepdim=True)) / spread.clamp(min=torch.finfo(spread.dtype).tiny)
    unit = torch.where(spread > 0, unit, 0.0).nan_to_num(0.0).clamp(-10.0, 10.0)
    known = (spread > 0).any(1).expand_as(angle)
    columns = [*phase, *unit.unbind(1), known]
    return torch.stack([column.float() for column in columns], -1)


def autocorrelation(moves: Tensor, lag: int = 1) -> Tensor:
    """Autocorrelation at a lag of [..., T] about its mean; 0 where it does not vary or is too short."""
    if moves.shape[-1] <= lag:
        return torch.zeros_like(moves[..., 0])
    unit = moves / moves.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(moves.dtype).tiny)
    centred = unit - unit.mean(-1, keepdim=True)
    energy = centred.square().sum(-1)
    return (centred[..., lag:] * centred[..., :-lag]).sum(-1) / energy.clamp(min=1e-12)


def _statistics(
    filled: Tensor, observed: Tensor, season: Tensor, scaling: SeriesScaling, change: Tensor
) -> Tensor:
    """Numbers per series [B, V, 19] on length, drift, memory, tails of the moves, season and level."""
    seen = observed.sum(-1).clamp(min=1)
    transitions = (seen - 1).clamp(min=1)
    relative = (filled - scaling.loc[..., None]) / scaling.scale[..., None]
    moves = relative.diff(dim=-1)
    drift = moves.sum(-1) / transitions
    residual = detrended(relative, observed)
    seasonal_moves = change.diff(dim=-1)
    mean, spread, off_line = (
        (relative * observed).sum(-1) / seen,
        (relative * observed).square().sum(-1) / seen,
        residual.square().sum(-1) / seen,
    )
    columns = [
        torch.log1p(seen.float()) / 4,
        drift.asinh(),
        drift * transitions.sqrt(),
        mean.asinh(),
        torch.log1p(spread) / 4,
        torch.log1p(off_line) / 4,
        autocorrelation(moves),
        autocorrelation(moves, lag=2),
        autocorrelation(residual),
        residual[..., -1].asinh(),
        torch.log1p(moves.square().sum(-1) / transitions) / 2,
        torch.log1p(moves.abs().amax(-1)) / 2,
        torch.log1p(moves[..., -8:].abs().mean(-1)),
        change.abs().mean(-1),
        seasonal_moves.abs().mean(-1),
        autocorrelation(change),
        scaling.loc.abs() / (scaling.loc.abs() + scaling.scale),
        scaling.still,
        ((season > 1) * torch.log(season.clamp(min=1).float()) / 4)[:, None].expand_as(mean),
    ]
    return torch.stack([column.float() for column in columns], -1)
