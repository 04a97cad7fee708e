"""Forecasts of five simple methods and spreads of four, which the network reads and its law may lean on.

Shapes: B items, V variates, L context steps, H horizon steps, A anchors, W spreads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.network.scaling import VIEW_LIMIT, SeriesScaling

BASELINES = 5
SPREADS = 4
# Mean absolute move of a Gaussian walk over its standard deviation is sqrt(2 / pi).
MOVES_PER_DEVIATION = math.sqrt(2 / math.pi)
# Earlier seasons that the seasonal anchor averages.
SEASONS = 3
# Largest log growth over the horizon that the exponential anchor extrapolates.
GROWTH_LIMIT = 10.0


def build_baselines(
    filled: Tensor, observed: Tensor, season: Tensor, scaling: SeriesScaling, horizon: int
) -> Tensor:
    """Scaled views [B, V, H, A] of five forecasts: drift, log drift, mean, least-squares line, seasonal move.

    Parameters
    ----------
    filled, observed : Tensor [B, V, L]
        Context with gaps filled forward, and where it was observed.
    season : Tensor [B]
        Steps per season; 0 or 1 where there is none (the seasonal anchor is then 0).
    scaling : SeriesScaling
        Location and scale of the context.
    horizon : int
        H.
    """
    relative = (filled - scaling.loc[..., None]) / scaling.scale[..., None]
    ahead = torch.arange(1, horizon + 1, device=filled.device, dtype=filled.dtype)
    elapsed = (filled.shape[-1] - 1 - observed.to(torch.uint8).argmax(-1)).clamp(min=1)
    drift = -relative[..., :1] / elapsed[..., None] * ahead
    mean, slope = trend_line(relative, observed)
    baselines = [
        drift,
        _log_drift(filled, elapsed, scaling, ahead, drift),
        mean[..., None].expand_as(drift),
        mean[..., None] + slope[..., None] * (ahead + centre(observed, relative.dtype)[..., None]),
        seasonal_move(relative, observed, season, horizon),
    ]
    return torch.stack(baselines, -1).asinh().clamp(-VIEW_LIMIT, VIEW_LIMIT).float()


def build_spreads(
    filled: Tensor, observed: Tensor, season: Tensor, scaling: SeriesScaling, horizon: int
) -> Tensor:
    """Log spreads [B, V, H, W] of four simple methods, relative to a walk's: 0 where one says the same.

    A Gaussian walk whose mean absolute move is the scale has, h steps ahead, a standard deviation of
    sqrt(pi / 2 * h) scales. The four: root mean square of the h-step moves off the least-squares line; of
    what that line leaves; of the one-step moves; of the seasonal differences, as of a walk beneath a season.

    Parameters
    ----------
    filled, observed, season, scaling, horizon
        As in `build_baselines`.
    """
    residual = detrended((filled - scaling.loc[..., None]) / scaling.scale[..., None], observed)
    ahead = torch.arange(1, horizon + 1, device=filled.device, dtype=residual.dtype)
    walk = ahead.sqrt() / MOVES_PER_DEVIATION
    off_line = (residual.square().sum(-1) / observed.sum(-1).clamp(min=1)).sqrt()[..., None]
    spreads = [
        lag_moves(residual, observed, horizon),
        off_line.expand(*off_line.shape[:-1], horizon),
        lag_moves(residual, observed, 1) * ahead.sqrt(),
        _beneath_season(residual, observed, season) * ahead.sqrt(),
    ]
    floor = 0.02 / MOVES_PER_DEVIATION
    logs = [torch.where(spread > 0, (spread.clamp(min=floor) / walk).log(), 0.0) for spread in spreads]
    return torch.stack(logs, -1).clamp(-5.0, 5.0).float()


def lag_moves(values: Tensor, observed: Tensor, lags: int) -> Tensor:
    """Root mean square [B, V, H] of values[t + h] - values[t] for h = 1..lags, over observed pairs.

    By sums of products at each lag (Wiener-Khinchin), so that any gaps cost nothing. 0 where fewer than two
    pairs were observed.
    """
    seen = observed.to(values.dtype)
    size = 2 ** math.ceil(math.log2(values.shape[-1] + lags))
    spectra = torch.fft.rfft(torch.stack([values * seen, values.square() * seen, seen]), n=size)
    first, second, count = spectra
    products = torch.stack([first.abs().square(), 2 * (second * count.conj()).real, count.abs().square()])
    cross, squares, pairs = torch.fft.irfft(products, n=size)[..., 1 : lags + 1]
    total = (squares - 2 * cross).clamp(min=0.0)
    return torch.where(pairs > 1.5, (total / pairs.clamp(min=1.0)).sqrt(), 0.0)


def _beneath_season(residual: Tensor, observed: Tensor, season: Tensor) -> Tensor:
    """Standard deviation [B, V, 1] of a walk's steps beneath a fixed season; 0 without a season."""
    span = season.clamp(min=1)
    index = torch.arange(residual.shape[-1], device=residual.device) - span[:, None]
    before, was_seen = _at(residual, observed, index)
    both = was_seen & observed & (season > 1)[:, None, None]
    change = torch.where(both, residual - before, 0.0)
    count = both.sum(-1, keepdim=True)
    centred = torch.where(both, change - change.sum(-1, keepdim=True) / count.clamp(min=1), 0.0)
    variance = centred.square().sum(-1, keepdim=True) / count.clamp(min=1)
    return torch.where(count > 2, (variance / span[:, None, None]).sqrt(), 0.0)


def trend_line(relative: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and least-squares slope per step [B, V] of the observed part of [B, V, L]."""
    count = observed.sum(-1).clamp(min=1)
    clock = (
        torch.arange(1 - relative.shape[-1], 1, device=relative.device)
        + centre(observed, relative.dtype)[..., None]
    )
    mean = (relative * observed).sum(-1) / count
    lever = clock * observed
    slope = (lever * (relative - mean[..., None])).sum(-1) / lever.square().sum(-1).clamp(min=0.25)
    return mean, slope


def detrended(relative: Tensor, observed: Tensor) -> Tensor:
    """What the least-squares line leaves of the observed part of [B, V, L]; 0 where it was not observed."""
    mean, slope = trend_line(relative, observed)
    clock = (
        torch.arange(1 - relative.shape[-1], 1, device=relative.device)
        + centre(observed, relative.dtype)[..., None]
    )
    return (relative - mean[..., None] - slope[..., None] * clock) * observed


def centre(observed: Tensor, dtype: torch.dtype) -> Tensor:
    """Mean steps [B, V] from an observation to the origin."""
    back = torch.arange(observed.shape[-1] - 1, -1, -1, device=observed.device)
    return (back * observed).sum(-1).to(dtype) / observed.sum(-1).clamp(min=1)


def _log_drift(
    filled: Tensor, elapsed: Tensor, scaling: SeriesScaling, ahead: Tensor, drift: Tensor
) -> Tensor:
    """Scaled exponential extrapolation of an all-positive series [B, V, H]; the plain drift elsewhere."""
    positive = (filled > 0).all(-1)
    tiny = torch.finfo(filled.dtype).tiny
    first, last = filled[..., 0].clamp(min=tiny), scaling.loc.clamp(min=tiny)
    growth = ((last.log() - first.log()) / elapsed)[..., None] * ahead
    grown = torch.expm1(growth.clamp(-GROWTH_LIMIT, GROWTH_LIMIT)) * (scaling.loc / scaling.scale)[..., None]
    return torch.where(positive[..., None], grown, drift)


def seasonal_move(relative: Tensor, observed: Tensor, season: Tensor, horizon: int) -> Tensor:
    """Mean over the last seasons of the move that followed the origin's phase [B, V, H].

    Step h averages y[origin + h - j m] - y[origin - j m] over the SEASONS smallest j for which the first is
    in the context, as far as both are observed; 0 where none is.
    """
    length = relative.shape[-1]
    step = torch.arange(1, horizon + 1, device=relative.device)
    span = season[:, None].clamp(min=1)
    cycles = (step + span - 1) // span
    total, count = torch.zeros_like(relative[..., :1]), torch.zeros_like(relative[..., :1])
    for back in range(SEASONS):
        start = length - 1 - (cycles + back) * span
        before, was_seen = _at(relative, observed, start)
        after, is_seen = _at(relative, observed, start + step)
        both = was_seen & is_seen & (season > 1)[:, None, None]
        total = total + torch.where(both, after - before, 0.0)
        count = count + both
    return total / count.clamp(min=1)


def _at(values: Tensor, observed: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Values [B, V, H] at context positions [B, H], and whether they lie in the context and were observed."""
    inside = (index >= 0)[:, None, :]
    where = index.clamp(min=0)[:, None, :].expand(-1, values.shape[1], -1)
    return values.gather(-1, where), observed.gather(-1, where) & inside
