"""Seeded random numbers on the training device, and the innovations that drive most worlds.

Shapes: B items, V variates, T steps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class WorldSeries(NamedTuple):
    """What a generator returns.

    Attributes
    ----------
    values : Tensor [B, V, T]
        The series, in any unit.
    season : Tensor [B]
        Steps per season as an integer; 1 where there is none.
    ratio : Tensor [B], optional
        True where the first variate of a coupled world is orders over capacity instead of orders.
    """

    values: Tensor
    season: Tensor
    ratio: Tensor | None = None


class RandomSource:
    """Draws from one explicit generator, all on its device."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        self.generator = torch.Generator(device).manual_seed(seed)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform on [low, high)."""
        return torch.rand(*shape, generator=self.generator, device=self.device) * (high - low) + low

    def log_uniform(self, *shape: int, low: float, high: float) -> Tensor:
        """Log-uniform on [low, high)."""
        return self.uniform(*shape, low=math.log(low), high=math.log(high)).exp()

    def normal(self, *shape: int) -> Tensor:
        """Standard normal."""
        return torch.randn(*shape, generator=self.generator, device=self.device)

    def chance(self, *shape: int, share: float) -> Tensor:
        """True with probability `share`."""
        return torch.rand(*shape, generator=self.generator, device=self.device) < share

    def integer(self, *shape: int, low: int, high: int) -> Tensor:
        """Integers from low to high, both included."""
        return torch.randint(low, high + 1, shape, generator=self.generator, device=self.device)

    def poisson(self, rate: Tensor) -> Tensor:
        """Poisson counts with the given rates, which are kept below 1e6."""
        return torch.poisson(rate.clamp(0.0, 1e6), generator=self.generator)

    def shuffle(self, size: int) -> Tensor:
        """A permutation of 0..size-1."""
        return torch.randperm(size, generator=self.generator, device=self.device)

    def season(self, items: int, steps: int) -> Tensor:
        """Season lengths [B]: mostly those of quarters, months, days and weeks, at most half the steps."""
        common = torch.tensor([4, 12, 4, 12, 12, 7, 24, 52], device=self.device)
        usual = common[self.integer(items, low=0, high=len(common) - 1)]
        odd = self.integer(items, low=2, high=30)
        length = torch.where(self.chance(items, share=0.85), usual, odd)
        return torch.where(length <= steps // 2, length, 4)


def innovations(rng: RandomSource, items: int, variates: int, steps: int) -> Tensor:
    """Unit-variance noise [B, V, T], correlated across variates by a law that changes over time.

    Each variate loads on one common factor; the loadings jump between two regimes. A share of the items
    has heavy tails (log-normal variance mixture) or a volatility that wanders.
    """
    own = rng.normal(items, variates, steps)
    if variates > 1:
        loading = rng.uniform(items, 2, variates, low=-0.6, high=0.98)
        loading = torch.where(rng.chance(items, 1, 1, share=0.3), 0.0, loading)
        regime = regimes(rng, items, steps, share=0.01)[:, None, :].expand(-1, variates, -1)
        now = loading.transpose(1, 2).gather(2, regime)
        own = now * rng.normal(items, 1, steps) + (1 - now.square()).sqrt() * own
    spread = torch.where(rng.chance(items, 1, 1, share=0.3), rng.uniform(items, 1, 1, low=0.2, high=0.9), 0.0)
    wander = torch.where(
        rng.chance(items, 1, 1, share=0.15), rng.uniform(items, 1, 1, low=0.02, high=0.12), 0.0
    )
    log_volatility = spread * rng.normal(items, variates, steps)
    log_volatility = log_volatility - spread.square() + (wander * rng.normal(items, 1, steps)).cumsum(-1)
    return own * log_volatility.clamp(-4.0, 4.0).exp()


def regimes(rng: RandomSource, items: int, steps: int, *, share: float) -> Tensor:
    """Two-state chain [B, T] of 0 and 1 that switches with probability `share` at each step."""
    start = rng.integer(items, 1, low=0, high=1)
    return (start + rng.chance(items, steps, share=share).long().cumsum(-1)) % 2


def seasonal_pattern(rng: RandomSource, season: Tensor, variates: int, steps: int) -> Tensor:
    """Patterns [B, V, T] that repeat every `season` [B] steps: smooth harmonics or free dummies."""
    items = season.shape[0]
    clock = torch.arange(steps, device=rng.device)
    phase = clock % season[:, None]
    dummies = rng.normal(items, variates, 64).gather(
        2, phase[:, None, :].expand(-1, variates, -1).clamp(max=63)
    )
    harmonic = torch.arange(1, 5, device=rng.device)
    angle = 2 * math.pi * phase[:, None, None, :] / season[:, None, None, None] * harmonic[:, None]
    weight = rng.normal(items, variates, 4, 1) / harmonic[:, None]
    smooth = (weight * torch.sin(angle + rng.uniform(items, variates, 4, 1, high=2 * math.pi))).sum(2)
    return torch.where(rng.chance(items, 1, 1, share=0.5), dummies, smooth)
