"""Training losses: quantile loss and tail likelihood of the marginals, likelihood of the copula.

Shapes: B items, V variates, H horizon steps, Q quantiles.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from models.head import Law, copula_nll, cumulative, normal_scores


class Losses(NamedTuple):
    """Parts of the loss, each a scalar mean over the observed targets."""

    quantile: Tensor
    tail: Tensor
    copula: Tensor


def pinball(quantiles: Tensor, levels: Tensor, target: Tensor) -> Tensor:
    """Twice the mean quantile loss over the levels [...], an approximation of the CRPS.

    2 / Q sum_q (y - x_q) (level_q - 1{y < x_q}); Gneiting and Raftery 2007, section 4.2.
    """
    gap = target[..., None] - quantiles
    return 2 * torch.maximum(levels * gap, (levels - 1) * gap).mean(-1)


def tail_nll(law: Law, target: Tensor) -> Tensor:
    """Negative log density of exponential excesses beyond the outer quantiles [...], 0 inside them.

    The quantiles are taken as given, so that the tails cannot move them.
    """
    edges = law.quantiles.detach()
    below = edges[..., 0] - target
    above = target - edges[..., -1]
    low = torch.where(below > 0, law.tails[..., 0].log() + below / law.tails[..., 0], 0.0)
    high = torch.where(above > 0, law.tails[..., 1].log() + above / law.tails[..., 1], 0.0)
    return low + high


def losses(law: Law, levels: Tensor, target: Tensor, observed: Tensor) -> Losses:
    """All parts for scaled targets [B, V, H] where observed; the copula sees the marginals detached."""
    count = observed.sum().clamp(min=1)
    fixed = law._replace(quantiles=law.quantiles.detach(), tails=law.tails.detach())
    scores = normal_scores(cumulative(fixed, levels, target.contiguous()))
    dependence = copula_nll(law.factor(), law.noise.flatten(1), scores.flatten(1), observed.flatten(1))
    return Losses(
        quantile=(pinball(law.quantiles, levels, target) * observed).sum() / count,
        tail=(torch.where(observed, tail_nll(law, target), 0.0)).sum() / count,
        copula=dependence.sum() / count,
    )
