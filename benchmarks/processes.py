"""Processes of known law, and the event of crossing a barrier within the horizon that is asked about them.

Shapes: P paths, L context steps, H horizon steps, V variates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
HORIZON = 24
TRUTH_PATHS = 4000
HOLD = 3
BURN_IN = 100


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One series of a process.

    Attributes
    ----------
    history : array [V, L]
        What a forecaster sees.
    future : array [P, H, V]
        Draws of what may follow, from the process itself.
    season : int
        Steps per season as given to every forecaster; 1 where there is none.
    backlog : float
        Backlog at the origin (coupled process only).
    """

    history: Floats
    future: Floats
    season: int = 1
    backlog: float = 0.0


def continued(level: float, increments: Floats) -> Floats:
    """Paths [P, H] that go on from a level by increments [P, H]."""
    return level + increments.cumsum(axis=1)


def autoregression(
    rng: np.random.Generator, *, paths: int, steps: int, memory: float, start: float
) -> Floats:
    """AR(1) paths [P, steps] of unit innovations that go on from a start."""
    state, out = np.full(paths, start), np.empty((paths, steps))
    for step in range(steps):
        state = memory * state + rng.standard_normal(paths)
        out[:, step] = state
    return out


def random_walk(rng: np.random.Generator, length: int, *, drift: float) -> Sample:
    """y[t] = y[t-1] + drift + e[t]."""
    history = (drift + rng.standard_normal(length)).cumsum() + 50.0
    future = continued(history[-1], drift + rng.standard_normal((TRUTH_PATHS, HORIZON)))
    return Sample(history=history[None], future=future[..., None])


def growth_autoregression(rng: np.random.Generator, length: int) -> Sample:
    """y[t] = y[t-1] + 0.1 + g[t], g an AR(1) with coefficient 0.6."""
    growth = autoregression(rng, paths=1, steps=BURN_IN + length, memory=0.6, start=0.0)[0, BURN_IN:]
    history = (0.1 + growth).cumsum() + 80.0
    ahead = autoregression(rng, paths=TRUTH_PATHS, steps=HORIZON, memory=0.6, start=growth[-1])
    return Sample(history=history[None], future=continued(history[-1], 0.1 + ahead)[..., None])


def trend_stationary(rng: np.random.Generator, length: int) -> Sample:
    """y[t] = 0.08 t + u[t], u an AR(1) with coefficient 0.5."""
    noise = autoregression(rng, paths=1, steps=BURN_IN + length, memory=0.5, start=0.0)[0, BURN_IN:]
    clock = np.arange(length + HORIZON)
    ahead = autoregression(rng, paths=TRUTH_PATHS, steps=HORIZON, memory=0.5, start=noise[-1])
    history = 20.0 + 0.08 * clock[:length] + noise
    return Sample(history=history[None], future=(20.0 + 0.08 * clock[length:] + ahead)[..., None])


def seasonal_walk(rng: np.random.Generator, length: int) -> Sample:
    """A random walk with steps of 0.5 plus a fixed season of 12 steps."""
    walk = (0.5 * rng.standard_normal(length)).cumsum() + 30.0
    clock = np.arange(length + HORIZON)
    season = 2.0 * np.sin(2 * np.pi * clock / 12) + 0.8 * np.cos(4 * np.pi * clock / 12)
    future = continued(walk[-1], 0.5 * rng.standard_normal((TRUTH_PATHS, HORIZON))) + season[length:]
    return Sample(history=(walk + season[:length])[None], future=future[..., None], season=12)


def geometric_walk(rng: np.random.Generator, length: int) -> Sample:
    """Log y[t] = log y[t-1] + 0.01 + 0.08 e[t]."""
    logs = (0.01 + 0.08 * rng.standard_normal(length)).cumsum() + 3.0
    future = continued(logs[-1], 0.01 + 0.08 * rng.standard_normal((TRUTH_PATHS, HORIZON)))
    return Sample(history=np.exp(logs)[None], future=np.exp(future)[..., None])


def coupled(rng: np.random.Generator, length: int) -> Sample:
    """Log orders revert with 0.8 to a trend of 2 %; log capacity grows by 2.5 % with shocks of 4 %."""
    noise = 0.12 * autoregression(rng, paths=1, steps=BURN_IN + length, memory=0.8, start=0.0)[0, BURN_IN:]
    clock = np.arange(length + HORIZON)
    orders = 0.02 * clock[:length] + noise + 0.12
    capacity = (0.025 + 0.04 * rng.standard_normal(length)).cumsum()
    capacity = capacity - capacity[-1] + 0.02 * length
    ahead = 0.12 * autoregression(rng, paths=TRUTH_PATHS, steps=HORIZON, memory=0.8, start=noise[-1] / 0.12)
    future_orders = 0.02 * clock[length:] + ahead + 0.12
    future_capacity = continued(capacity[-1], 0.025 + 0.04 * rng.standard_normal((TRUTH_PATHS, HORIZON)))
    future = np.stack([future_orders, future_capacity], axis=-1)
    backlog = 2.0 * float(np.exp(capacity[-1]))
    return Sample(history=np.exp(np.stack([orders, capacity])), future=np.exp(future), backlog=backlog)


PROCESSES: dict[str, Callable[[np.random.Generator, int], Sample]] = {
    "random walk": lambda rng, length: random_walk(rng, length, drift=0.0),
    "walk with drift": lambda rng, length: random_walk(rng, length, drift=0.15),
    "AR in growth": growth_autoregression,
    "trend-stationary": trend_stationary,
    "season plus walk": seasonal_walk,
    "geometric walk": geometric_walk,
    "orders and capacity": coupled,
}


def crossing_statistic(future: Floats, *, rising: bool, backlog: float) -> Floats:
    """Running extreme [P, H] whose passing of a barrier from below is the event by that step.

    One variate: the running maximum (or that of the mirrored path). Orders and capacity: minus the running
    minimum of the largest backlog over capacity within HOLD successive steps.
    """
    if future.shape[-1] == 1:
        return np.maximum.accumulate(future[..., 0] if rising else -future[..., 0], axis=1)
    waiting, ratio = np.full(len(future), backlog), np.empty(future.shape[:2])
    for step in range(future.shape[1]):
        waiting = np.maximum(0.0, waiting + future[:, step, 0] - future[:, step, 1])
        ratio[:, step] = waiting / future[:, step, 1]
    held = np.lib.stride_tricks.sliding_window_view(ratio, HOLD, axis=1).max(axis=-1)
    undecided = np.full((len(future), HOLD - 1), np.inf)
    return -np.minimum.accumulate(np.concatenate([undecided, held], axis=1), axis=1)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A series and a barrier: when is it first passed.

    Attributes
    ----------
    history : array [V, L]
    season : int
    backlog, barrier : float
    rising : bool
        Whether the barrier is passed upwards (one variate only).
    truth : array [H]
        P(T <= t) of the first passage T for each step, from the process itself.
    """

    history: Floats
    season: int
    backlog: float
    barrier: float
    rising: bool
    truth: Floats

    @classmethod
    def ask(cls, sample: Sample, *, rising: bool, target: float) -> Question:
        """Question whose barrier is passed within the horizon with the target probability."""
        reached = crossing_statistic(sample.future, rising=rising, backlog=sample.backlog)
        barrier = float(np.quantile(reached[:, -1], 1 - target))
        return cls(
            history=sample.history,
            season=sample.season,
            backlog=sample.backlog,
            barrier=barrier,
            rising=rising,
            truth=(reached > barrier).mean(axis=0),
        )

    def answer(self, paths: Floats) -> Floats:
        """P(T <= t) [H] by the share of the paths [P, H, V]."""
        reached = crossing_statistic(paths, rising=self.rising, backlog=self.backlog)
        return np.asarray((reached > self.barrier).mean(axis=0))


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Questions about one process after histories of one length, and the generator that drew them.

    Attributes
    ----------
    process : str
    length : int
        L.
    questions : list of Question
    rng : numpy Generator
        For forecasters that draw at random after the questions have been drawn.
    """

    process: str
    length: int
    questions: list[Question]
    rng: np.random.Generator

    @classmethod
    def draw(cls, process: str, length: int, *, series: int, seed: int) -> Problem:
        """Questions of a seed; the true probability of a crossing is uniform on 0.15-0.85."""
        rng = np.random.default_rng([seed, list(PROCESSES).index(process), length])
        samples = [PROCESSES[process](rng, length) for _ in range(series)]
        rising, targets = rng.random(series) < 0.5, rng.uniform(0.15, 0.85, series)
        questions = [
            Question.ask(sample, rising=bool(up), target=float(target))
            for sample, up, target in zip(samples, rising, targets, strict=True)
        ]
        return cls(process=process, length=length, questions=questions, rng=rng)
