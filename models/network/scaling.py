"""Location and scale of a series from its observed context, and the arcsinh view of it.

Shapes: B items, V variates, L context steps, H horizon steps.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# A series that never moved has no scale of its own: a hundredth of its level, or 1 at zero.
STILL_SCALE = 0.01
# A move within so many roundings of the values is none.
ROUNDINGS = 4.0
# sinh is finite in float32 below 88; no view is let beyond this.
VIEW_LIMIT = 30.0


class SeriesScaling(NamedTuple):
    """Location and scale per series.

    Attributes
    ----------
    loc : Tensor [B, V]
        Last observed value.
    scale : Tensor [B, V]
        Mean absolute difference of successive observed values, > 0.
    still : Tensor [B, V]
        True where the context never moves, so that the scale is a convention.
    """

    loc: Tensor
    scale: Tensor
    still: Tensor

    def view(self, values: Tensor) -> Tensor:
        """arcsinh((values - loc) / scale) for values [B, V, T], clamped to finite."""
        scaled = torch.asinh((values - self.loc[..., None]) / self.scale[..., None])
        return scaled.clamp(-VIEW_LIMIT, VIEW_LIMIT)

    def restore(self, view: Tensor) -> Tensor:
        """Inverse of `view`, for [B, V, ...] of any further axes."""
        shape = (*self.loc.shape, *(1,) * (view.ndim - self.loc.ndim))
        return torch.sinh(view) * self.scale.reshape(shape) + self.loc.reshape(shape)


def carry_forward(values: Tensor, observed: Tensor) -> Tensor:
    """Fill unobserved steps with the last observed value before them, or the first one after.

    Parameters
    ----------
    values, observed : Tensor [B, V, L]
        Values and where they were observed; unobserved values are not read.

    Returns
    -------
    Tensor [B, V, L]
        Zero where a series has no observation at all.
    """
    steps = torch.arange(values.shape[-1], device=values.device)
    last_seen = torch.where(observed, steps, -1).cummax(dim=-1).values
    first_seen = observed.to(torch.uint8).argmax(dim=-1, keepdim=True)
    clean = torch.where(observed, values, 0.0)
    return clean.gather(-1, torch.where(last_seen < 0, first_seen, last_seen))


def fit_scaling(values: Tensor, observed: Tensor) -> SeriesScaling:
    """Location and scale from the observed context alone.

    Parameters
    ----------
    values, observed : Tensor [B, V, L]
        Context and where it was observed; unobserved values are not read.
    """
    filled = carry_forward(values, observed)
    loc = filled[..., -1]
    moves = filled.diff(dim=-1).abs().sum(dim=-1)
    transitions = (observed.sum(dim=-1) - 1).clamp(min=1)
    scale = moves / transitions
    convention = torch.where(loc == 0, 1.0, STILL_SCALE * loc.abs())
    precision = torch.finfo(values.dtype)
    floor = ROUNDINGS * precision.eps * filled.abs().amax(dim=-1) + precision.tiny
    still = scale <= floor
    return SeriesScaling(loc=loc, scale=torch.where(still, convention, scale), still=still)
