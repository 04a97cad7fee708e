"""Training losses of the marginals (quantile loss, tails), the copula (likelihood) and whole paths (CRPS).

Shapes: B items, V variates, H horizon steps, Q quantiles, P paths.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from models.network.head import PredictiveDistribution, copula_nll, cumulative, normal_scores
from models.network.sampling import draw
from models.network.scaling import VIEW_LIMIT


class Losses(NamedTuple):
    """Parts of the loss, each a scalar mean over the observed targets."""

    quantile: Tensor
    tail: Tensor
    copula: Tensor
    path: Tensor


def pinball(quantiles: Tensor, levels: Tensor, target: Tensor) -> Tensor:
    """Twice the mean quantile loss over the levels [...], an approximation of the CRPS.

    2 / Q sum_q (y - x_q) (level_q - 1{y < x_q}); Gneiting and Raftery 2007, section 4.2.
    """
    gap = target[..., None] - quantiles
    return 2 * torch.maximum(levels * gap, (levels - 1) * gap).mean(-1)


def tail_nll(distribution: PredictiveDistribution, target: Tensor) -> Tensor:
    """Negative log density of exponential excesses beyond the outer quantiles [...], 0 inside them.

    The quantiles are taken as given, so that the tails cannot move them.
    """
    edges = distribution.quantiles.detach()
    below = edges[..., 0] - target
    above = target - edges[..., -1]
    low = torch.where(below > 0, distribution.tails[..., 0].log() + below / distribution.tails[..., 0], 0.0)
    high = torch.where(above > 0, distribution.tails[..., 1].log() + above / distribution.tails[..., 1], 0.0)
    return low + high


def ensemble_crps(draws: Tensor, target: Tensor) -> Tensor:
    """Fair CRPS [...] of draws [..., P]: mean |x - y| - 1 / 2 mean over pairs |x - x'| (Ferro 2014)."""
    count = draws.shape[-1]
    ranked = draws.sort(dim=-1).values
    weight = 2.0 * torch.arange(1, count + 1, device=draws.device, dtype=draws.dtype) - count - 1
    return (draws - target[..., None]).abs().mean(-1) - (ranked * weight).sum(-1) / (count * (count - 1))


def path_loss(paths: Tensor, target: Tensor, observed: Tensor, signs: Tensor) -> Tensor:
    """Mean CRPS of the running maximum and minimum of paths, a scalar.

    P(T <= t) of a first passage over a level is the distribution of the running maximum up to t, so that this
    is the integrated Brier score of all barriers at once. Where an item has several variates, a signed sum of
    them counts as one more series: orders against capacity.

    Parameters
    ----------
    paths : Tensor [B, V, H, P]
        Sampled paths, with gradients to the law.
    target, observed : Tensor [B, V, H]
        What happened, and where it was observed; unobserved steps are passed over.
    signs : Tensor [B, V]
        Weights of the variates in their sum.
    """
    if paths.shape[1] > 1:
        paths = torch.cat([paths, torch.einsum("bv,bvhp->bhp", signs, paths)[:, None]], dim=1)
        target = torch.cat([target, torch.einsum("bv,bvh->bh", signs, target)[:, None]], dim=1)
        observed = torch.cat([observed, observed.all(1, keepdim=True)], dim=1)
    bound = VIEW_LIMIT * paths.shape[1]
    started = observed.cummax(dim=-1).values
    total = torch.zeros((), device=paths.device)
    for sign in (1.0, -1.0):
        drawn = (sign * paths).masked_fill(~observed[..., None], -bound).cummax(dim=2).values
        known = (sign * target).masked_fill(~observed, -bound).cummax(dim=-1).values
        total = total + (ensemble_crps(drawn, known) * started).sum()
    return total / started.sum().clamp(min=1)


def losses(
    distribution: PredictiveDistribution,
    levels: Tensor,
    target: Tensor,
    observed: Tensor,
    *,
    paths: int,
    generator: torch.Generator,
) -> Losses:
    """All parts for scaled targets; the copula's likelihood sees the marginals detached.

    Parameters
    ----------
    distribution : PredictiveDistribution
        Law of the scaled future.
    levels : Tensor [Q]
        Quantile levels of the law.
    target, observed : Tensor [B, V, H]
        Scaled future and where it was observed.
    paths : int
        P, the paths per item that the path loss is estimated from; >= 2.
    generator : torch.Generator
        Draws the paths, on the law's device.
    """
    count = observed.sum().clamp(min=1)
    fixed = distribution._replace(
        quantiles=distribution.quantiles.detach(), tails=distribution.tails.detach()
    )
    scores = normal_scores(cumulative(fixed, levels, target.contiguous()))
    dependence = copula_nll(
        distribution.factor(), distribution.noise.flatten(1), scores.flatten(1), observed.flatten(1)
    )
    drawn = draw(distribution, levels, paths=paths, generator=generator)
    coin = torch.rand(target.shape[:2], generator=generator, device=target.device)
    return Losses(
        quantile=(pinball(distribution.quantiles, levels, target) * observed).sum() / count,
        tail=(torch.where(observed, tail_nll(distribution, target), 0.0)).sum() / count,
        copula=dependence.sum() / count,
        path=path_loss(drawn, target, observed, torch.where(coin < 0.5, -1.0, 1.0)),
    )
