"""A few structural hypotheses about a series, as covariances, and their factors for histories of any length.

Gaussian structures: walk, walk under noise, growth that remembers, damped slope, bending slope, reversion to
a line. As in the bank of forecasters a history is read newest first, so that a leading block of one Cholesky
factor serves each shorter history.

Shapes: K hypotheses, F families, T times, W newest differences that are read, H horizon steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

FAMILIES = ("walk", "level", "growth", "damped", "bend", "trend")
# Newest differences that are read, and the longest usual horizon.
WINDOW, REACH = 128, 64
# Mean of the drift of logs beforehand, in its standard deviations: positive series tend to grow.
GROWTH = 0.5


class Hypothesis(NamedTuple):
    """A Gaussian process up to its level and scale, in one-step moves."""

    family: str
    walk: float = 0.0
    noise: float = 0.0
    growth: float = 0.0
    reverting: float = 0.0
    memory: float = 0.0
    drift: float = 0.0
    bend: float = 0.0


class Factors(NamedTuple):
    """What the hypotheses make of histories of any length, float32.

    Attributes
    ----------
    whitener : Tensor [K, W, W]
        Lower triangular; times the differences, newest first, it gives independent numbers of variance 1.
    expected : Tensor [K, W]
        What it makes of the line by which logs are expected to have grown.
    log_determinant : Tensor [K, W + 1]
        Of the covariance of the n newest differences.
    response : Tensor [K, W, H]
        Weights of those numbers in the mean of each step ahead.
    variance : Tensor [K, H]
        Of the steps ahead before anything is known.
    drift : Tensor [K]
        Standard deviation of the drift.
    prior : Tensor [K]
        Log probability: families alike, and their members.
    families : Tensor [K, F]
        Which family each is of.
    """

    whitener: Tensor
    expected: Tensor
    log_determinant: Tensor
    response: Tensor
    variance: Tensor
    drift: Tensor
    prior: Tensor
    families: Tensor


def hypotheses() -> Iterator[Hypothesis]:
    """The grid, in one-step moves of variance about 1."""
    for drift in (0.05, 0.15, 0.4):
        yield Hypothesis("walk", walk=1.0, drift=drift)
    for share, drift in product((0.03, 0.15, 0.45), (0.1, 0.4)):
        yield Hypothesis("level", walk=share, noise=(1 - share) / 2, drift=drift * math.sqrt(share))
    for memory in (-0.3, 0.3, 0.6, 0.85):
        yield Hypothesis("growth", growth=1.0, memory=memory, drift=0.15)
    for share, memory in ((0.1, 0.95), (0.4, 0.8), (0.4, 0.95)):
        yield Hypothesis("damped", walk=1 - share, growth=share, memory=memory, drift=0.1)
    for share, step in ((1.0, 0.1), (0.2, 0.1), (0.2, 0.3)):
        yield Hypothesis("bend", walk=share, noise=(1 - share) / 2, drift=0.3, bend=step * math.sqrt(share))
    for memory, drift in product((0.0, 0.4, 0.7, 0.9), (0.03, 0.2)):
        yield Hypothesis("trend", reverting=1.0, memory=memory, drift=drift)


def covariance(each: Hypothesis, times: Tensor) -> Tensor:
    """Covariance [T, T] of the differences from the value at time 0, by the changes' variances."""
    gap = (times[:, None] - times[None, :]).abs()
    steps = torch.arange(int(torch.maximum(gap.max(), times.abs().max())) + 1, dtype=times.dtype)
    # Variance of the sum of k values of an AR(1) of variance 1: k + 2 sum over j < k of (k - j) memory^j.
    memory = each.memory**steps
    remembered = torch.cat([torch.zeros(1, dtype=times.dtype), (2 * memory.cumsum(0) - 1).cumsum(0)])[:-1]
    reverting = (1 - memory) / max(1 - each.memory, 1e-9)
    change = (
        each.walk * steps
        + each.growth * remembered
        + each.reverting * reverting
        + 2 * each.noise * steps.clamp(max=1)
        + each.drift**2 * steps.square()
    )
    variance = change[times.abs().long()]
    found = (variance[:, None] + variance[None, :] - change[gap.long()]) / 2
    return found + each.bend**2 * _bends(times)


def _bends(times: Tensor) -> Tensor:
    """Covariance [T, T] of the sum of a slope that walks from 0 at time 0, to either side apart."""
    size = torch.where(times < 0, -times - 1, times)
    same = times.sign()[:, None] == times.sign()[None, :]
    low = torch.minimum(size[:, None], size[None, :])
    high = torch.maximum(size[:, None], size[None, :])
    # Sum over i <= low of (low - i + 1) (high - i + 1), the cumulative sums of white noise summed twice.
    total = low * (low + 1) * (2 * low + 1) / 6 + (high - low) * low * (low + 1) / 2
    return torch.where(same, total, 0.0)


@lru_cache(maxsize=4)
def factors(device: torch.device, reach: int) -> Factors:
    """Factors of `hypotheses` for the longest window and a horizon; a leading part serves shorter ones."""
    grid = list(hypotheses())
    times = torch.cat([-torch.arange(1, WINDOW + 1), torch.arange(1, reach + 1)]).double()
    whole = torch.stack([covariance(each, times) for each in grid])
    root = torch.linalg.cholesky(whole[:, :WINDOW, :WINDOW])
    whitener = torch.linalg.solve_triangular(root, torch.eye(WINDOW).double().expand_as(root), upper=False)
    drift = torch.tensor([each.drift for each in grid]).double()
    known = 2 * root.diagonal(dim1=1, dim2=2).log().cumsum(-1)
    families = torch.tensor([[each.family == name for name in FAMILIES] for each in grid]).double()
    found = Factors(
        whitener=whitener,
        expected=GROWTH * drift[:, None] * (whitener @ times[:WINDOW]),
        log_determinant=torch.cat([torch.zeros(len(grid), 1).double(), known], 1),
        response=whitener @ whole[:, :WINDOW, WINDOW:],
        variance=whole[:, WINDOW:, WINDOW:].diagonal(dim1=1, dim2=2),
        drift=drift,
        prior=-(families @ families.sum(0)).log() - math.log(len(FAMILIES)),
        families=families,
    )
    return Factors(*(part.float().to(device) for part in found))
