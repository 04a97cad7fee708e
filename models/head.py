"""The head: ordered quantiles with exponential tails per step, and a low-rank Gaussian copula over them.

Shapes: B items, V variates, H horizon steps, Q quantiles, R copula rank, P draws, N = V * H.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.scaling import VIEW_LIMIT
from models.settings import NetworkSettings

# Smallest share of a step's own noise in the copula, so that the correlation is never singular.
NOISE_FLOOR = 1e-3
# Probabilities are kept this far from 0 and 1: within float32's resolution of 1 - u.
EDGE = 1e-5
STEP_CHANNELS = 64


class Law(NamedTuple):
    """Joint law of the scaled future.

    Attributes
    ----------
    quantiles : Tensor [B, V, H, Q]
        Ascending along the last axis.
    tails : Tensor [B, V, H, 2]
        Mean excess below the lowest and above the highest quantile, > 0.
    factor : Tensor [B, V, H, R]
        Low-rank part of the copula's correlation.
    noise : Tensor [B, V, H]
        Diagonal part; factor . factor + noise = 1 for each step.
    """

    quantiles: Tensor
    tails: Tensor
    factor: Tensor
    noise: Tensor


class Head(nn.Module):
    """From horizon tokens to the law of their steps."""

    levels: Tensor

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.patch_length = settings.patch_length
        count = len(settings.quantile_levels)
        self.sizes = (1, count // 2, count // 2, 2, settings.copula_rank, 1)
        self.spread = nn.Linear(settings.width, settings.patch_length * STEP_CHANNELS)
        self.out = nn.Linear(STEP_CHANNELS, sum(self.sizes))
        levels = torch.tensor(settings.quantile_levels)
        self.register_buffer("levels", levels, persistent=False)
        gaps = torch.special.ndtri(levels).diff()
        nn.init.zeros_(self.out.bias)
        with torch.no_grad():
            self.out.bias[1:count] = torch.log(
                torch.expm1(torch.cat([gaps[: count // 2].flip(0), gaps[count // 2 :]]))
            )

    def forward(self, tokens: Tensor, horizon: int) -> Law:
        """Law [B, V, H, ...] of tokens [B, V, T, D]; steps beyond the horizon are dropped."""
        steps = self.spread(tokens).unflatten(-1, (self.patch_length, -1)).flatten(2, 3)[:, :, :horizon]
        with torch.autocast(tokens.device.type, enabled=False):
            raw = self.out(functional.silu(steps.float()))
        middle, down, up, tails, factor, noise = raw.split(self.sizes, dim=-1)
        below = middle - functional.softplus(down).cumsum(-1)
        above = middle + functional.softplus(up).cumsum(-1)
        quantiles = torch.cat([below.flip(-1), middle, above], dim=-1)
        unit_factor, unit_noise = normalise(factor, functional.softplus(noise[..., 0]) + 1e-6)
        return Law(quantiles, functional.softplus(tails) + 1e-3, unit_factor, unit_noise)


def normalise(factor: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Factor [..., R] and noise [...] of unit total variance, noise no smaller than its floor."""
    total = factor.square().sum(-1) + noise
    share = NOISE_FLOOR + (1 - NOISE_FLOOR) * noise / total
    size = ((1 - NOISE_FLOOR) / total).sqrt()
    return factor * size[..., None], share


def cumulative(law: Law, levels: Tensor, values: Tensor) -> Tensor:
    """F(values) [B, V, H] in [EDGE, 1 - EDGE]: linear between quantiles, exponential beyond them."""
    quantiles = law.quantiles
    upper = torch.searchsorted(quantiles, values[..., None]).clamp(1, len(levels) - 1)
    low = quantiles.gather(-1, upper - 1)[..., 0]
    high = quantiles.gather(-1, upper)[..., 0]
    upper = upper[..., 0]
    share = ((values - low) / (high - low).clamp(min=1e-9)).clamp(0.0, 1.0)
    inside = levels[upper - 1] + share * (levels[upper] - levels[upper - 1])
    under = levels[0] * torch.exp(-(quantiles[..., 0] - values).clamp(min=0.0) / law.tails[..., 0])
    over = 1 - (1 - levels[-1]) * torch.exp(-(values - quantiles[..., -1]).clamp(min=0.0) / law.tails[..., 1])
    result = torch.where(
        values < quantiles[..., 0], under, torch.where(values > quantiles[..., -1], over, inside)
    )
    return result.clamp(EDGE, 1 - EDGE)


def quantile(law: Law, levels: Tensor, probability: Tensor) -> Tensor:
    """Inverse of `cumulative`: values [B, V, H, P] at probabilities [B, V, H, P]."""
    quantiles = law.quantiles
    probability = probability.clamp(EDGE, 1 - EDGE)
    upper = torch.bucketize(probability, levels).clamp(1, len(levels) - 1)
    low, high = quantiles.gather(-1, upper - 1), quantiles.gather(-1, upper)
    share = ((probability - levels[upper - 1]) / (levels[upper] - levels[upper - 1])).clamp(0.0, 1.0)
    inside = torch.lerp(low, high, share)
    under = (probability / levels[0]).clamp(max=1.0).log() * law.tails[..., :1]
    over = ((1 - probability) / (1 - levels[-1])).clamp(max=1.0).log() * law.tails[..., 1:]
    return (inside + under - over).clamp(-VIEW_LIMIT, VIEW_LIMIT)


def copula_nll(factor: Tensor, noise: Tensor, scores: Tensor, observed: Tensor) -> Tensor:
    """Negative log density of the Gaussian copula per item [B].

    With R = W W^T + diag(d): -log c(z) = (log|R| + z^T R^-1 z - z^T z) / 2, by the Woodbury identity and the
    matrix determinant lemma in R x R.

    Parameters
    ----------
    factor : Tensor [B, N, R]
        W, with the rows of unobserved steps not read.
    noise, scores : Tensor [B, N]
        d and z = Phi^-1(F(y)).
    observed : Tensor [B, N]
        Which steps count.
    """
    factor = torch.where(observed[..., None], factor, 0.0)
    noise = torch.where(observed, noise, 1.0)
    scores = torch.where(observed, scores, 0.0)
    weighted = factor / noise[..., None]
    rank = factor.shape[-1]
    inner = torch.eye(rank, device=factor.device) + factor.transpose(1, 2) @ weighted
    chol = torch.linalg.cholesky(inner)
    pulled = torch.linalg.solve_triangular(
        chol, (weighted * scores[..., None]).sum(1)[..., None], upper=False
    )
    log_det = 2 * chol.diagonal(dim1=-2, dim2=-1).log().sum(-1) + noise.log().sum(-1)
    quadratic = (scores.square() / noise).sum(-1) - pulled.square().sum((1, 2))
    nll: Tensor = 0.5 * (log_det + quadratic - scores.square().sum(-1))
    return nll


def normal_scores(probability: Tensor) -> Tensor:
    """Phi^-1 of probabilities inside (0, 1)."""
    return math.sqrt(2.0) * torch.erfinv(2 * probability - 1)
