"""How the bank reads series: as they are, and positive ones as logarithms too; newest first, without units.

N series, R readings, L differences of the longest series.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from forecasting.panel.history import Bools, Floats

LONE_CHANGE = 0.2  # one-step move over the value, of a series that has but one (scaling.DEFAULT_VOLATILITY)

LEAST_SHARE = 0.01  # of the moves that is not drift


class Readings(NamedTuple):
    """Series on the scale on which they are read.

    Attributes
    ----------
    series : array [R] of int
        Row of the series.
    logs : array [R] of bool
    last : array [R]
        Value at the origin, or its logarithm.
    unit : array [R]
        Deviation of one-step moves; 0 where a series never moved.
    differences : array [R, L]
        From the last value, newest first, in units; 0 where nothing was observed.
    observed : array [R, L] of bool
    log_jacobian : array [R]
        Log density of the values but the last given that of `differences`: what makes logs and plain readings
        comparable.
    """

    series: npt.NDArray[np.intp]
    logs: Bools
    last: Floats
    unit: Floats
    differences: Floats
    observed: Bools
    log_jacobian: Floats


def read(values: Floats, *, season: int) -> Readings:
    """Read series [N, 1 + L] that are all observed in the last column."""
    rows = np.arange(len(values))
    with np.errstate(invalid="ignore"):
        positive = (np.isnan(values) | (values > 0)).all(axis=1)
    logged = np.log(values[positive])
    scaled = np.concatenate([values, logged])
    logs = np.arange(len(scaled)) >= len(values)
    unit = one_step_move(scaled, season=season)
    observed = ~np.isnan(scaled[:, -2::-1])
    alone = ~observed.any(axis=1)
    unit[alone] = np.where(logs[alone], LONE_CHANGE, LONE_CHANGE * np.abs(scaled[alone, -1]))
    differences = np.where(observed, scaled[:, -2::-1] - scaled[:, -1:], 0.0)
    divisor = np.where(unit > 0, unit, 1.0)
    jacobian = -observed.sum(axis=1) * np.log(divisor)
    jacobian[logs] -= np.where(observed[logs], scaled[logs, -2::-1], 0.0).sum(axis=1)
    return Readings(
        series=np.concatenate([rows, rows[positive]]),
        logs=logs,
        last=scaled[:, -1].copy(),
        unit=unit,
        differences=differences / divisor[:, None],
        observed=observed,
        log_jacobian=jacobian,
    )


def one_step_move(scaled: Floats, *, season: int) -> Floats:
    """Standard deviation [R] of the moves from one observation to the next, per root of the steps between.

    It is taken about the mean move and at least `LEAST_SHARE` of the root mean square: 0 for constants alone.

    A season moves a series without being a move of it: where moves less those of a season ago are smaller
    (their mean square halved, as they are differences of two), these count.
    """
    unit = np.array([_move(row[~np.isnan(row)], np.flatnonzero(~np.isnan(row))) for row in scaled])
    moves = np.diff(scaled, axis=1)
    if season > 1 and moves.shape[1] > season:
        changes = (moves[:, season:] - moves[:, :-season]) ** 2 / 2
        known = ~np.isnan(changes)
        count = known.sum(axis=1)
        size = np.sqrt(np.where(known, changes, 0.0).sum(axis=1) / np.maximum(count, 1))
        size = np.maximum(size, LEAST_SHARE * unit)
        unit = np.where(count >= season, np.minimum(unit, size), unit)
    return unit


def _move(values: Floats, places: npt.NDArray[np.intp]) -> float:
    """Deviation of the moves of one series; 0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    steps = np.diff(places)
    moves = np.diff(values) / np.sqrt(steps)
    size = float(np.sqrt(np.mean(moves**2)))
    if len(moves) < 3:
        return size
    rest = (np.diff(values) - steps * (values[-1] - values[0]) / steps.sum()) / np.sqrt(steps)
    return max(float(np.sqrt(np.sum(rest**2) / (len(rest) - 1))), LEAST_SHARE * size)
