"""Joint sample paths of a law: low-rank products, the normal CDF, an interpolation.

Shapes: B items, V variates, H horizon steps, P paths, Q quantile levels.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from models.network.head import PredictiveDistribution, quantile

# Float32 arrays of the size of the paths that are alive at once while sampling.
ALIVE = 10
DEFAULT_BUDGET = 1 << 30
logger = logging.getLogger(__name__)


def sample_paths(
    distribution: PredictiveDistribution,
    levels: Tensor,
    *,
    paths: int,
    generator: torch.Generator,
    budget: int = DEFAULT_BUDGET,
) -> Tensor:
    """Scaled joint paths [B, V, H, P], drawn in chunks of paths that fit a memory budget.

    Where the device still runs out of memory the chunk is halved, the generator is set back, and a warning
    is logged; the same generator state and the same chunk give the same paths.

    Parameters
    ----------
    distribution : PredictiveDistribution
        Law of B items.
    levels : Tensor [Q]
        Quantile levels of the law.
    paths : int
        P >= 1.
    generator : torch.Generator
        On the law's device.
    budget : int
        Bytes for temporary arrays.

    Raises
    ------
    torch.OutOfMemoryError
        A chunk of one path does not fit.
    """
    chunk = max(1, min(paths, budget // (4 * ALIVE * max(1, distribution.noise.numel()))))
    state = generator.get_state()
    while True:
        try:
            sizes = [min(chunk, paths - start) for start in range(0, paths, chunk)]
            return torch.cat(
                [draw(distribution, levels, paths=size, generator=generator) for size in sizes], dim=-1
            )
        except torch.OutOfMemoryError:
            if chunk == 1:
                raise
        chunk = chunk // 2
        generator.set_state(state)
        logger.warning("out of memory while sampling: going on with %d paths at a time", chunk)


def correlated_scores(distribution: PredictiveDistribution, paths: int, generator: torch.Generator) -> Tensor:
    """Standard normal scores [B, V, H, P] with the correlation of the law's copula."""
    device = distribution.noise.device
    items, variates, _, rank = distribution.shared.shape
    common = torch.randn(items, 1, rank, paths, generator=generator, device=device)
    alone = torch.randn(
        items, variates, distribution.own.shape[-1], paths, generator=generator, device=device
    )
    noise = torch.randn(*distribution.noise.shape, paths, generator=generator, device=device)
    return torch.addcmul(
        distribution.shared @ common + distribution.own @ alone, distribution.noise.sqrt()[..., None], noise
    )


def draw(
    distribution: PredictiveDistribution, levels: Tensor, *, paths: int, generator: torch.Generator
) -> Tensor:
    """Scaled joint paths [B, V, H, P] in one piece, with gradients to the law."""
    return quantile(
        distribution, levels, torch.special.ndtr(correlated_scores(distribution, paths, generator))
    )
