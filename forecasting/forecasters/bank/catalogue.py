"""The hypotheses of the bank: which structures a series may have, and how likely each is beforehand.

A series is `level + season + structure`, in units of a one-step move without its season. T times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product

import numpy as np

from forecasting.forecasters.bank import kernels
from forecasting.forecasters.bank.kernels import Times
from forecasting.panel.history import Floats

DRIFTS = (0.05, 0.15, 0.4)  # real series: 0.25 (M3 monthly) to 0.5 (M3 quarterly) of a one-step move
WEAK_DRIFTS = (0.03, 0.15)
STEEP = (2.0, 20.0, 100.0)  # of series that run almost straight
RARE = 0.1  # prior of a steep member over that of another
WALK_SHARES = (0.03, 0.15, 0.45)  # of the variance of a one-step move; the rest is noise
GROWTH_MEMORIES = (-0.3, 0.3, 0.6, 0.85)
DAMPED = tuple(product((0.1, 0.4), (0.8, 0.95)))  # share of the moves' variance that lasts, and its memory
BENDS = tuple(product((1.0, 0.2), (0.03, 0.1, 0.3)))  # walk share, step of the slope
TREND_MEMORIES = ((0.0, 0.0), (0.4, 0.0), (0.7, 0.0), (0.9, 0.0))
LONG_MEMORIES = ((0.5, 0.0), (0.8, 0.0), (0.95, 0.0), (0.8, 0.5), (0.95, 0.5), (0.95, 0.8))
TREND_SLOPES = (0.03, 0.1, 0.3)
STRENGTHS = (0.7, 2.0, 6.0)
SEASON_WAYS = ((np.inf, 0.0), (12.0, 0.0), (np.inf, 1.5))  # seasons that a shape lasts, its roughness
LONG_SHAPES = (
    (2.0, np.inf, 0.0),
    (8.0, np.inf, 0.0),
    (8.0, 12.0, 0.0),
    (2.0, np.inf, 1.5),
    (8.0, np.inf, 1.5),
    (30.0, np.inf, 1.5),
)  # strength, seasons that it lasts, roughness
SHORT_SEASON = 4  # too short to have a smooth shape
LONG_SEASON = 13  # longer seasons have fewer structures


@dataclass(frozen=True, kw_only=True)
class Season:
    """A repeating shape.

    Attributes
    ----------
    length : int
        Steps.
    strength : float
        Standard deviation of a phase, in one-step moves.
    roughness : float
        0 for independent phases, larger for smooth shapes.
    lasting : float
        Seasons after which the shape has forgotten 63 % of itself; infinite for a frozen one.
    """

    length: int
    strength: float
    roughness: float = 0.0
    lasting: float = np.inf

    def covariance(self, times: Times) -> Floats:
        """Covariance [T, T]."""
        memory = float(np.exp(-1.0 / (self.lasting * self.length)))
        shape = kernels.season(times, self.length, roughness=self.roughness, memory=memory)
        return np.asarray(self.strength**2 * shape)


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """A Gaussian process up to its level and its scale, both of which are integrated out.

    Attributes
    ----------
    family : str
        One of `FAMILIES`.
    walk, noise : float
        Variance of the steps of a random walk, and of white noise about it.
    growth, growth_memory : float
        Variance and memory of a growth that is an AR(1).
    reverting, memory, second_memory : float
        Variance of the moves of an AR(2) about the level, and its two roots.
    drift, bend : float
        Standard deviation of the slope at the origin, and of its steps.
    seasons : tuple of Season
    prior : float
        Probability beforehand, up to a factor common to all.
    """

    family: str
    walk: float = 0.0
    noise: float = 0.0
    growth: float = 0.0
    growth_memory: float = 0.0
    reverting: float = 0.0
    memory: float = 0.0
    second_memory: float = 0.0
    drift: float = 0.0
    bend: float = 0.0
    seasons: tuple[Season, ...] = ()
    prior: float = 1.0

    @property
    def shape(self) -> tuple[float, ...]:
        """What `structure` hangs on."""
        return (
            self.walk,
            self.noise,
            self.growth,
            self.growth_memory,
            self.reverting,
            self.memory,
            self.second_memory,
            self.drift,
            self.bend,
        )

    def structure(self, times: Times) -> Floats:
        """Covariance [T, T] of all but the seasons."""
        terms = (
            (self.walk, kernels.walk),
            (self.noise, kernels.noise),
            (self.growth, partial(kernels.growth, memory=self.growth_memory)),
            (self.reverting, partial(kernels.autoregression, memory=self.memory, second=self.second_memory)),
            (self.drift**2, kernels.line),
            (self.bend**2, kernels.bend),
        )
        return sum((size * kernel(times) for size, kernel in terms if size), np.zeros((len(times),) * 2))

    def covariance(self, times: Times) -> Floats:
        """Covariance [T, T] of the differences from the value at the origin; 0 there."""
        return from_origin(
            sum((season.covariance(times) for season in self.seasons), self.structure(times)), times
        )


def from_origin(covariance: Floats, times: Times) -> Floats:
    """Covariance [T, T] of the differences from the value at the origin."""
    at_origin = covariance[times == 0]
    return np.asarray(covariance - at_origin - at_origin.T + at_origin[0, times == 0])


def _walks(drifts: Sequence[float], *, brief: bool) -> Iterator[Hypothesis]:
    """Random walks with drift; as all members of a family, with one-step moves of variance 1, drift apart."""
    yield from (Hypothesis(family="walk", walk=1.0, drift=drift) for drift in drifts)
    yield from (Hypothesis(family="walk", walk=1.0, drift=drift, prior=RARE) for drift in STEEP if not brief)


def _levels(drifts: Sequence[float], *, brief: bool) -> Iterator[Hypothesis]:  # noqa: ARG001
    """A walk under noise."""
    for share, drift in product(WALK_SHARES, drifts):
        yield Hypothesis(family="level", walk=share, noise=(1 - share) / 2, drift=drift * share**0.5)


def _growths(drifts: Sequence[float], *, brief: bool) -> Iterator[Hypothesis]:
    """Growth that remembers."""
    for memory, drift in product(GROWTH_MEMORIES[1:2] if brief else GROWTH_MEMORIES, drifts):
        yield Hypothesis(family="growth", growth=1.0, growth_memory=memory, drift=drift)


def _damped(drifts: Sequence[float], *, brief: bool) -> Iterator[Hypothesis]:  # noqa: ARG001
    """A walk whose slope comes and goes."""
    for share, memory in DAMPED[:1] if brief else DAMPED:
        yield Hypothesis(family="damped", walk=1 - share, growth=share, growth_memory=memory, drift=0.1)


def _bends(drifts: Sequence[float], *, brief: bool) -> Iterator[Hypothesis]:  # noqa: ARG001
    """A walk under noise whose slope walks too."""
    for share, step in BENDS[4:5] if brief else BENDS:
        slope = step * share**0.5
        yield Hypothesis(family="bend", walk=share, noise=(1 - share) / 2, drift=0.3, bend=slope)


def _trends(drifts: Sequence[float], *, brief: bool) -> Iterator[Hypothesis]:  # noqa: ARG001
    """A reversion to a straight line."""
    slopes = TREND_SLOPES[:1] if brief else TREND_SLOPES
    for (memory, second), slope in product(LONG_MEMORIES if brief else TREND_MEMORIES, slopes):
        yield Hypothesis(family="trend", reverting=1.0, memory=memory, second_memory=second, drift=slope)
    for memory, slope in product((0.0, 0.7), () if brief else STEEP):
        yield Hypothesis(family="trend", reverting=1.0, memory=memory, drift=slope, prior=RARE)


MEMBERS: dict[str, Callable[..., Iterator[Hypothesis]]] = {
    "walk": _walks,
    "level": _levels,
    "growth": _growths,
    "damped": _damped,
    "bend": _bends,
    "trend": _trends,
}
FAMILIES = tuple(MEMBERS)


@cache
def catalogue(seasons: tuple[int, ...]) -> tuple[Hypothesis, ...]:
    """All hypotheses for series with seasons of these lengths (none, one or several at once).

    Families have the same prior, and so have the members of a family but for rare ones; a given season is
    there in three of four cases.
    """
    brief = max(seasons, default=1) >= LONG_SEASON
    found = []
    for members in MEMBERS.values():
        some = list(members(DRIFTS[1:2] if brief else DRIFTS, brief=brief))
        total = sum(each.prior for each in some)
        found += [replace(each, prior=each.prior / total) for each in some]
    if not seasons:
        return tuple(found)
    choices = _seasons(seasons)
    plain = [replace(each, prior=0.25 * each.prior) for each in found]
    seasonal = [
        replace(each, seasons=choice, prior=0.75 * each.prior / len(choices))
        for each, choice in product(found, choices)
    ]
    return (*plain, *seasonal)


def _seasons(lengths: tuple[int, ...]) -> list[tuple[Season, ...]]:
    """Shapes that seasons of these lengths may have; several seasons come together or the first alone."""
    ways = SEASON_WAYS if min(lengths) > SHORT_SEASON else SEASON_WAYS[:2]
    shapes = [(strength, lasting, rough) for strength, (lasting, rough) in product(STRENGTHS, ways)]
    if max(lengths) >= LONG_SEASON:
        shapes = list(LONG_SHAPES)
    return [
        tuple(Season(length=m, strength=strength, lasting=lasting, roughness=rough) for m in lengths[:count])
        for strength, lasting, rough in shapes
        for count in range(1, len(lengths) + 1)
    ]
