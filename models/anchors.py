"""Point forecasts of five simple methods, which the network reads and its median may lean on.

Shapes: B items, V variates, L context steps, H horizon steps, A anchors.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.scaling import VIEW_LIMIT, Scaling

ANCHORS = 5
# Earlier seasons that the seasonal anchor averages.
SEASONS = 3
# Largest log growth over the horizon that the exponential anchor extrapolates.
GROWTH_LIMIT = 10.0


def build_anchors(filled: Tensor, observed: Tensor, season: Tensor, scaling: Scaling, horizon: int) -> Tensor:
    """Scaled views [B, V, H, A] of five forecasts: drift, log drift, mean, least-squares line, seasonal move.

    Parameters
    ----------
    filled, observed : Tensor [B, V, L]
        Context with gaps filled forward, and where it was observed.
    season : Tensor [B]
        Steps per season; 0 or 1 where there is none (the seasonal anchor is then 0).
    scaling : Scaling
        Location and scale of the context.
    horizon : int
        H.
    """
    relative = (filled - scaling.loc[..., None]) / scaling.scale[..., None]
    ahead = torch.arange(1, horizon + 1, device=filled.device, dtype=filled.dtype)
    elapsed = (filled.shape[-1] - 1 - observed.to(torch.uint8).argmax(-1)).clamp(min=1)
    drift = -relative[..., :1] / elapsed[..., None] * ahead
    mean, slope = trend_line(relative, observed)
    anchors = [
        drift,
        _log_drift(filled, elapsed, scaling, ahead, drift),
        mean[..., None].expand_as(drift),
        mean[..., None] + slope[..., None] * (ahead + _centre(observed, relative.dtype)[..., None]),
        seasonal_move(relative, observed, season, horizon),
    ]
    return torch.stack(anchors, -1).asinh().clamp(-VIEW_LIMIT, VIEW_LIMIT).float()


def trend_line(relative: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and least-squares slope per step [B, V] of the observed part of [B, V, L]."""
    count = observed.sum(-1).clamp(min=1)
    clock = (
        torch.arange(1 - relative.shape[-1], 1, device=relative.device)
        + _centre(observed, relative.dtype)[..., None]
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
        + _centre(observed, relative.dtype)[..., None]
    )
    return (relative - mean[..., None] - slope[..., None] * clock) * observed


def _centred_clock(relative: Tensor, observed: Tensor) -> Tensor:
    """Steps [B, V, L] from the mean observed step."""
    clock = torch.arange(1 - relative.shape[-1], 1, device=relative.device)
    return clock + _centre(observed, relative.dtype)[..., None]


def _centre(observed: Tensor, dtype: torch.dtype) -> Tensor:
    """Mean steps [B, V] from an observation to the origin."""
    back = torch.arange(observed.shape[-1] - 1, -1, -1, device=observed.device)
    return (back * observed).sum(-1).to(dtype) / observed.sum(-1).clamp(min=1)


def _log_drift(filled: Tensor, elapsed: Tensor, scaling: Scaling, ahead: Tensor, drift: Tensor) -> Tensor:
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
