"""Covariances of simple processes over successive times; a hypothesis is a sum of them.

T times, whole steps from the origin: negative in the past, 0 at the origin, positive ahead. Processes that
wander are anchored at the origin, where they are 0: a bank looks only at differences from the last value.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forecasting.panel.history import Floats

Times = npt.NDArray[np.int64]


def of_lag(times: Times, covariance: Floats) -> Floats:
    """Covariance [T, T] of a stationary process from its values at lags 0, 1, ... T - 1."""
    return np.asarray(covariance[np.abs(times[:, None] - times[None, :])])


def lags(times: Times) -> Times:
    """Lags 0 .. T - 1 between the times."""
    return np.arange(len(times))


def anchored(times: Times, variance: Floats) -> Floats:
    """Covariance [T, T] of a process with stationary increments that is 0 at the origin.

    `C(s, t) = (v(|s|) + v(|t|) - v(|s - t|)) / 2` with v(k) the variance of a change over k steps.
    """
    size = np.abs(times)
    between = variance[np.abs(times[:, None] - times[None, :])]
    return np.asarray((variance[size][:, None] + variance[size][None, :] - between) / 2)


def walk(times: Times) -> Floats:
    """Random walk with steps of variance 1."""
    return anchored(times, lags(times).astype(float))


def noise(times: Times) -> Floats:
    """White noise of variance 1."""
    return np.eye(len(times))


def autoregression(times: Times, memory: float, second: float = 0.0) -> Floats:
    """Stationary AR(2) with these roots, the first larger, and one-step moves of variance 1; AR(1) for 0.

    Its autocovariance is proportional to `a^(k+1) / (1 - a^2) - b^(k+1) / (1 - b^2)` for roots a and b
    (Box and Jenkins, 3.2.4).
    """
    power = lags(times).astype(float) + 1
    shape = memory**power / (1 - memory**2) - second**power / (1 - second**2)
    if memory == second == 0.0:
        shape = np.where(power == 1, 1.0, 0.0)
    step = shape[0] - (shape[1] if len(shape) > 1 else 0.0)
    return of_lag(times, shape / (2 * step))


def growth(times: Times, memory: float) -> Floats:
    """Sum of a growth that is a stationary AR(1) of variance 1.

    The variance over k steps is the sum of `memory ** |i - j|` over i, j < k: twice summed autocovariances.
    """
    correlation = memory ** lags(times).astype(float)
    new = 2 * np.cumsum(correlation) - 1  # v(k + 1) - v(k)
    return anchored(times, np.concatenate([[0.0], np.cumsum(new)[:-1]]))


def line(times: Times) -> Floats:
    """Straight line through the origin whose slope has variance 1."""
    return np.outer(times, times).astype(float)


def bend(times: Times) -> Floats:
    """Sum of a slope that walks at random with steps of variance 1, from 0 in the step to the origin."""
    slopes = walk(times)
    origin = int(np.flatnonzero(times == 0)[0])
    for _ in range(2):  # sum over rows, then over columns; the sum up to the origin is taken off
        total = np.cumsum(slopes, axis=0)
        slopes = (total - total[origin]).T
    return slopes


def season(times: Times, length: int, *, roughness: float, memory: float) -> Floats:
    """Repeating shape of mean 0 and variance 1 that forgets itself at the rate `memory` per step.

    `sum over j of w[j] cos(2 pi j lag / length) memory ** lag`, weights `j ** -roughness`: at 0 the phases
    are independent but for their mean of 0, at 2 the shape is smooth. A product of two covariances is one
    (Schur), so every such kernel is positive semidefinite.
    """
    waves = np.arange(1, length // 2 + 1)
    weight = waves ** -float(roughness) * np.where(2 * waves == length, 0.5, 1.0)
    phase = 2 * np.pi * np.outer(lags(times) % length, waves) / length
    return of_lag(times, np.cos(phase) @ weight / weight.sum() * memory ** lags(times).astype(float))
