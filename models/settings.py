"""Every number that shapes the network, its worlds and its training.

Frozen keyword-only dataclasses that carry a pydantic configuration without importing pydantic, so that
a YAML file can be validated into them and this package needs nothing but torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

QUANTILE_LEVELS = (
    *(0.01, 0.025, 0.05),
    *(round(0.1 + 0.05 * k, 2) for k in range(17)),
    *(0.95, 0.975, 0.99),
)


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Shape of the network.

    Attributes
    ----------
    patch_length : int
        Steps per token.
    width, blocks, heads, feedforward : int
        Channels per token, transformer blocks, attention heads, hidden channels of a feed-forward layer.
    shared_rank, own_rank : int
        Columns of the copula's low-rank factor that all variates of an item share, and that each has alone.
    covariates, statics : int
        Slots for known-future covariates per item, and for static covariates per variate.
    max_context, max_horizon : int
        Longest context that is read, longest horizon that is decoded in one pass, steps.
    quantile_levels : tuple of float
        Levels of the head, ascending, symmetric around 0.5.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    patch_length: int = 4
    width: int = 128
    blocks: int = 5
    heads: int = 4
    feedforward: int = 352
    shared_rank: int = 8
    own_rank: int = 16
    covariates: int = 2
    statics: int = 2
    max_context: int = 512
    max_horizon: int = 64
    quantile_levels: tuple[float, ...] = QUANTILE_LEVELS

    def __post_init__(self) -> None:
        levels = self.quantile_levels
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width must be a multiple of twice the heads, found {self.width} and {self.heads}"
            )
        if self.max_horizon % self.patch_length or self.max_context % self.patch_length:
            raise ValueError("max_context and max_horizon must be multiples of patch_length")
        if len(levels) < 3 or len(levels) % 2 == 0 or levels[len(levels) // 2] != 0.5:
            raise ValueError("quantile_levels must be an odd number of levels with 0.5 in the middle")
        if any(low >= high for low, high in pairwise(levels)):
            raise ValueError("quantile_levels must ascend")
        if not 0 < levels[0] < levels[-1] < 1:
            raise ValueError("quantile_levels must lie between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class WorldSettings:
    """Mixture of synthetic worlds that the network is trained on.

    Attributes
    ----------
    generators : tuple of str
        Names of the generators, in equal shares; empty for all of them.
    shapes : tuple of (context_length, horizon, variates)
        A batch takes one of these shapes at random; a shape named twice is taken twice as often.
    series_per_batch : int
        Series of 128 steps per batch; longer shapes get fewer, so that a batch costs about the same.
    batches_per_draw : int
        Batches of one shape that are generated together.
    gap_share, covariate_share, season_hidden : float
        Share of items with missing values, with a known-future covariate, with their season hidden.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    generators: tuple[str, ...] = ()
    shapes: tuple[tuple[int, int, int], ...] = (
        *((24, 24, 1), (48, 24, 1), (96, 24, 1)) * 3,
        *((64, 16, 1), (128, 32, 1), (256, 48, 1), (512, 64, 1)),
        *((24, 16, 2), (40, 16, 2), (40, 24, 2)) * 2,
        *((96, 24, 2), (128, 64, 2), (64, 24, 3)),
    )
    series_per_batch: int = 96
    batches_per_draw: int = 8
    gap_share: float = 0.2
    covariate_share: float = 0.15
    season_hidden: float = 0.15


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Recipe of one training run.

    Attributes
    ----------
    steps, warmup_steps : int
        Optimiser steps in all, and those over which the learning rate rises linearly.
    schedule : "stable" or "cosine"
        After the warm-up the learning rate stays as it is, so that the training can be made longer at any
        time, or follows a cosine to zero at the last step.
    decay_from : int, optional
        Step from which a stable rate goes to zero at the last step, by one minus the root of the share
        that is done (Haegele et al. 2024, arXiv 2405.18392).
    learning_rate, weight_decay, clip_norm : float
        Rate and decay of Muon and AdamW alike, and the bound on the gradient's norm.
    ema_decay : float
        Decay per step of the averaged weights, which are the ones that are kept.
    copula_weight, tail_weight, path_weight : float
        Weights of the copula's and the tails' negative log-likelihood, and of the CRPS of the running
        extremes of sampled paths, beside the quantile loss.
    paths_per_item : int
        Paths from which that CRPS is estimated.
    seed : int
        Base seed; initial weights and every batch derive from it.
    bfloat16 : bool
        Autocast matrix products to bfloat16.
    compile_network : bool
        Compile the network with torch.compile in its default mode.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    steps: int = 200_000
    warmup_steps: int = 150
    schedule: Literal["stable", "cosine"] = "stable"
    decay_from: int | None = None
    learning_rate: float = 2.5e-3
    weight_decay: float = 0.02
    clip_norm: float = 1.0
    ema_decay: float = 0.998
    copula_weight: float = 0.5
    tail_weight: float = 0.2
    path_weight: float = 1.5
    paths_per_item: int = 16
    seed: int = 20261123
    bfloat16: bool = True
    compile_network: bool = False


@dataclass(frozen=True, kw_only=True)
class PretrainSettings:
    """The whole recipe of the shipped weights: network, worlds and training.

    Attributes
    ----------
    init : str
        Folder of the checkpoint whose weights the training begins from; empty for random ones.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    network: NetworkSettings = NetworkSettings()
    worlds: WorldSettings = WorldSettings()
    training: TrainingSettings = TrainingSettings()
    init: str = ""
