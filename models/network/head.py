"""The head: ordered quantiles with exponential tails per step, and a low-rank Gaussian copula over them.

The copula's factor has columns that all variates of an item share and columns of each variate alone; the
latter start from the correlation of a random walk, which the network then bends.

Shapes: B items, V variates, H horizon steps, Q quantiles, S shared and O own columns of the copula's factor,
R = S + V * O its rank, P draws, N = V * H.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.network.baselines import BASELINES, MOVES_PER_DEVIATION, SPREADS
from models.network.classics import FORECASTS
from models.network.scaling import VIEW_LIMIT
from models.network.structures import MEANS
from models.settings import NetworkSettings

# Smallest share of a step's own noise in the copula, so that the correlation is never singular.
NOISE_FLOOR = 1e-3
# Bias before softplus of an untrained head: a walk's lack of own noise.
NOISE_START = -3.5
# Mean excess of a normal beyond its 1 % point, over the distance from there to its 2.5 % point.
TAIL_PER_GAP = 0.93
# Largest mean excess: the view is logarithmic in large values, so that a tail of mean excess 1 / a is one of
# Pareto with index a there. An index of 2 is the least with which sums of paths have a settled spread.
TAIL_LIMIT = 0.5
# Largest log factor by which the network stretches a walk's spread or one of its gaps.
STRETCH = 8.0
# Probabilities are kept this far from 0 and 1: within float32's resolution of 1 - u.
EDGE = 1e-5
STEP_CHANNELS = 64


class PredictiveDistribution(NamedTuple):
    """Joint law of the scaled future.

    Attributes
    ----------
    quantiles : Tensor [B, V, H, Q]
        Ascending along the last axis.
    tails : Tensor [B, V, H, 2]
        Mean excess below the lowest and above the highest quantile, in (0, TAIL_LIMIT].
    shared : Tensor [B, V, H, S]
        Columns of the copula's factor that all variates load on.
    own : Tensor [B, V, H, O]
        Columns that each variate has alone.
    noise : Tensor [B, V, H]
        Diagonal part; the squares of shared and own and the noise sum to 1 for each step.
    """

    quantiles: Tensor
    tails: Tensor
    shared: Tensor
    own: Tensor
    noise: Tensor

    def mirrored(self) -> PredictiveDistribution:
        """Law of the future with its sign changed; a correlation does not see a change of all signs."""
        return self._replace(quantiles=-self.quantiles.flip(-1), tails=self.tails.flip(-1))

    def averaged(self, other: PredictiveDistribution, share: Tensor) -> PredictiveDistribution:
        """Law of the weighted mean of both quantile functions and of both correlations, of twice the rank.

        Parameters
        ----------
        other : PredictiveDistribution
        share : Tensor [B, V]
            Weight of the other, in [0, 1].
        """
        whole, here, there = share[..., None, None], (1 - share).sqrt(), share.sqrt()
        return PredictiveDistribution(
            quantiles=torch.lerp(self.quantiles, other.quantiles, whole),
            tails=torch.lerp(self.tails, other.tails, whole),
            shared=torch.cat(
                [self.shared * here[..., None, None], other.shared * there[..., None, None]], dim=-1
            ),
            own=torch.cat([self.own * here[..., None, None], other.own * there[..., None, None]], dim=-1),
            noise=torch.lerp(self.noise, other.noise, share[..., None]),
        )

    def factor(self) -> Tensor:
        """The copula's whole factor W [B, N, R]: W W^T + diag(noise) is the correlation."""
        variates = self.own.shape[1]
        apart = torch.eye(variates, device=self.own.device, dtype=self.own.dtype)
        alone = torch.einsum("bvho,vw->bvhwo", self.own, apart).flatten(3)
        return torch.cat([self.shared, alone], dim=-1).flatten(1, 2)


class Head(nn.Module):
    """From horizon tokens to the law of their steps."""

    levels: Tensor
    gaps: Tensor

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.patch_length = settings.patch_length
        count = len(settings.quantile_levels)
        self.sizes = (
            1,
            BASELINES,
            1,
            SPREADS,
            count // 2,
            count // 2,
            2,
            settings.shared_rank,
            settings.own_rank,
            settings.own_rank,
            1,
        )
        self.spread = nn.Linear(settings.width, settings.patch_length * STEP_CHANNELS)
        self.out = nn.Linear(STEP_CHANNELS, sum(self.sizes))
        self.classical = nn.Linear(STEP_CHANNELS, FORECASTS)
        self.structural = nn.Linear(STEP_CHANNELS, MEANS + 1, bias=False)
        self.step = nn.Parameter(torch.zeros(settings.max_horizon, STEP_CHANNELS))
        self.walk = nn.Parameter(walk_factor(settings.max_horizon, settings.own_rank))
        levels = torch.tensor(settings.quantile_levels)
        self.register_buffer("levels", levels, persistent=False)
        self.register_buffer("gaps", torch.special.ndtri(levels).diff(), persistent=False)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        nn.init.zeros_(self.classical.weight)
        nn.init.zeros_(self.classical.bias)
        nn.init.zeros_(self.structural.weight)
        with torch.no_grad():
            self.out.bias[-1] = NOISE_START

    def forward(
        self,
        tokens: Tensor,
        baselines: Tensor,
        spreads: Tensor,
        classics: Tensor,
        means: Tensor,
        spread: Tensor,
    ) -> PredictiveDistribution:
        """Law [B, V, H, ...] of tokens [B, V, T, D] that leans on what simple methods say.

        These are anchors [B, V, H, A], spreads [B, V, H, W], classical forecasts [B, V, H, K], and the means
        [B, V, H, 3] and spread [B, V, H, 1] of the bank of hypotheses.

        An untrained head says a Gaussian random walk: the median at the last value, a standard deviation of
        sqrt(pi / 2 * h) scales at step h, the correlation of a walk. The network moves the median, stretches
        the spread and each gap between two quantiles by a factor, and bends the correlation.
        """
        horizon = baselines.shape[2]
        steps = self.spread(tokens).unflatten(-1, (self.patch_length, -1)).flatten(2, 3)[:, :, :horizon]
        with torch.autocast(tokens.device.type, enabled=False):
            active = functional.silu(steps.float() + self.step[:horizon])
            raw = self.out(active)
            middle, lean, stretch, widen, down, up, tails, shared, bend, own, noise = raw.split(
                self.sizes, -1
            )
            centre = middle + (lean * baselines).sum(-1, keepdim=True)
            centre = centre + (self.classical(active) * classics).sum(-1, keepdim=True)
            lean_mean, lean_spread = self.structural(active).split((MEANS, 1), -1)
            centre = centre + (lean_mean * means).sum(-1, keepdim=True)
            stretch = stretch + (widen * spreads).sum(-1, keepdim=True) + lean_spread * spread
            quantiles = self.around(centre, stretch, down, up)
            edges = torch.stack(
                [quantiles[..., 1] - quantiles[..., 0], quantiles[..., -1] - quantiles[..., -2]], -1
            )
            tails = TAIL_PER_GAP * edges.detach().clamp(min=1e-5) * tails.clamp(-STRETCH, STRETCH).exp()
            tails = tails.clamp(max=TAIL_LIMIT)
            alone = self.walk[:horizon] * (1 + bend) + own
            together, alone, share = normalise_variance(
                shared, alone, functional.softplus(noise[..., 0]) + 1e-6
            )
        return PredictiveDistribution(quantiles, tails, together, alone, share)

    def around(self, centre: Tensor, stretch: Tensor, down: Tensor, up: Tensor) -> Tensor:
        """Ascending quantiles [B, V, H, Q]: a walk's around a centre, stretched as a whole and gap by gap."""
        half, horizon = down.shape[-1], down.shape[2]
        clock = torch.arange(1, horizon + 1, device=down.device, dtype=down.dtype)
        width = (clock.sqrt() / MOVES_PER_DEVIATION)[:, None] * stretch.clamp(-STRETCH, STRETCH).exp()
        below = self.gaps[:half].flip(0) * down.clamp(-STRETCH, STRETCH).exp()
        above = self.gaps[half:] * up.clamp(-STRETCH, STRETCH).exp()
        offsets = torch.cat([-below.cumsum(-1).flip(-1), torch.zeros_like(centre), above.cumsum(-1)], dim=-1)
        return torch.asinh(centre.clamp(-VIEW_LIMIT, VIEW_LIMIT).sinh() + width * offsets)


def walk_factor(horizon: int, rank: int) -> Tensor:
    """Factor [H, rank] whose product is near the correlation sqrt(min(s, t) / max(s, t)) of a random walk.

    Leading eigenvectors after weighting step t by t^-1/4, so that the first steps are not given up for the
    many late ones: at rank 16 of 64 steps no step leaves more than 3 % of its variance.
    """
    step = torch.arange(1, horizon + 1, dtype=torch.float64)
    correlation = (torch.minimum(step[:, None], step) / torch.maximum(step[:, None], step)).sqrt()
    weight = step**-0.25
    values, vectors = torch.linalg.eigh(weight[:, None] * correlation * weight)
    leading = vectors[:, -rank:] * values[-rank:].sqrt() / weight[:, None]
    return functional.pad(leading, (0, rank - leading.shape[1])).float()


def normalise_variance(shared: Tensor, own: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Factors [..., S] and [..., O] and noise [...] of unit total variance, noise not below its floor."""
    total = shared.square().sum(-1) + own.square().sum(-1) + noise
    share = NOISE_FLOOR + (1 - NOISE_FLOOR) * noise / total
    size = ((1 - NOISE_FLOOR) / total).sqrt()[..., None]
    return shared * size, own * size, share


def cumulative(distribution: PredictiveDistribution, levels: Tensor, values: Tensor) -> Tensor:
    """F(values) [B, V, H] in [EDGE, 1 - EDGE]: linear between quantiles, exponential beyond them."""
    quantiles = distribution.quantiles
    upper = torch.searchsorted(quantiles, values[..., None]).clamp(1, len(levels) - 1)
    low = quantiles.gather(-1, upper - 1)[..., 0]
    high = quantiles.gather(-1, upper)[..., 0]
    upper = upper[..., 0]
    share = ((values - low) / (high - low).clamp(min=1e-9)).clamp(0.0, 1.0)
    inside = levels[upper - 1] + share * (levels[upper] - levels[upper - 1])
    under = levels[0] * torch.exp(-(quantiles[..., 0] - values).clamp(min=0.0) / distribution.tails[..., 0])
    over = 1 - (1 - levels[-1]) * torch.exp(
        -(values - quantiles[..., -1]).clamp(min=0.0) / distribution.tails[..., 1]
    )
    result = torch.where(
        values < quantiles[..., 0], under, torch.where(values > quantiles[..., -1], over, inside)
    )
    return result.clamp(EDGE, 1 - EDGE)


def quantile(distribution: PredictiveDistribution, levels: Tensor, probability: Tensor) -> Tensor:
    """Inverse of `cumulative`: values [B, V, H, P] at probabilities [B, V, H, P]."""
    quantiles = distribution.quantiles
    probability = probability.clamp(EDGE, 1 - EDGE)
    upper = torch.bucketize(probability, levels).clamp(1, len(levels) - 1)
    low, high = quantiles.gather(-1, upper - 1), quantiles.gather(-1, upper)
    share = ((probability - levels[upper - 1]) / (levels[upper] - levels[upper - 1])).clamp(0.0, 1.0)
    inside = torch.lerp(low, high, share)
    under = (probability / levels[0]).clamp(max=1.0).log() * distribution.tails[..., :1]
    over = ((1 - probability) / (1 - levels[-1])).clamp(max=1.0).log() * distribution.tails[..., 1:]
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
