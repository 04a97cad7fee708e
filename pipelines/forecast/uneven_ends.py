"""Forecasts after a date that some series do not reach: from the last observation of each.

I items, P paths, Q quantile levels, L context steps, H horizon steps, V variates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from forecasting.errors import InputError
from forecasting.forecasters.base import PathForecaster
from forecasting.frequencies import add_periods
from forecasting.panel.history import Floats, History
from forecasting.panel.schema import FLOWS

PATHS_FOR_QUANTILES = 1000
HORIZON_LIMIT = 4096
Steps: TypeAlias = npt.NDArray[np.intp]


@runtime_checkable
class HasQuantiles(Protocol):
    """A path forecaster that knows quantiles without counting paths."""

    def quantiles(self, horizon: int, levels: Floats) -> Floats | None:
        """Quantiles [I, Q, H, V] of the items last given to `fit`; None where only paths tell them."""
        ...


@runtime_checkable
class HasLongestHorizon(Protocol):
    """A path forecaster that refuses longer horizons."""

    longest_horizon: int


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What is asked: H, the levels in ascending order, the number of paths (0 for none), and the seed."""

    horizon: int
    levels: Floats
    paths: int
    seed: int


class Ahead(NamedTuple):
    """Quantiles [I, Q, H, V] and at least as many paths [I, P, H, V] as were asked for."""

    quantiles: Floats
    paths: Floats


def trailing_gaps(history: History) -> Steps:
    """Steps [I, V] without an observation at the end of each series.

    Orders and capacity are read by their ratio: both count as ended where one of them has.
    """
    observed = history.observed_mask
    if history.variates == FLOWS:
        observed = np.broadcast_to(observed.all(axis=1, keepdims=True), observed.shape)
    return np.asarray(observed[..., ::-1].argmax(axis=-1))


def alike(gaps: Steps) -> Iterator[list[int]]:
    """Places of gaps [I] that are alike: none, 1, 2 to 3, 4 to 7 and so on.

    >>> list(alike(np.array([0, 3, 0, 2, 4])))
    [[0, 2], [1, 3], [4]]
    """
    size = np.frexp(gaps)[1]
    for each in np.unique(size):
        yield np.flatnonzero(size == each).tolist()


def ended(history: History, gaps: Steps) -> History:
    """The history with each item [I] moved to end so many steps earlier; what comes after is dropped."""
    if not gaps.any():
        return history
    column = np.arange(history.context_length) - gaps[:, None, None]

    def moved(values: Floats) -> Floats:
        at = np.broadcast_to(np.maximum(column, 0), values.shape)
        return np.where(column >= 0, np.take_along_axis(values, at, axis=-1), np.nan)

    return History(
        item_ids=history.item_ids,
        variates=history.variates,
        values=moved(history.values),
        value_p05=moved(history.value_p05),
        value_p95=moved(history.value_p95),
        origins=tuple(
            add_periods(origin, -gap, history.frequency)
            for origin, gap in zip(history.origins, gaps.tolist(), strict=True)
        ),
        frequency=history.frequency,
    )


def forecast_ahead(forecaster: PathForecaster, history: History, demand: Demand) -> Ahead:
    """Forecast items after the last date of each.

    An item whose variates all lack their last values is forecast from the last observation of any. A variate
    that ended earlier than the others of its item is forecast by itself from its own last observation. Its
    paths are then paired with those of the others: the ranks of their moves over the horizon are those that
    they have where all variates are forecast together.

    Raises
    ------
    InputError
        If the steps without values and the horizon together are more than the forecaster reaches, or as it
        raises itself.
    """
    gaps = trailing_gaps(history)
    ends = gaps.min(axis=1)
    found = _from_end(forecaster, history, ends, demand=demand, skipped=ends)
    count = found.paths.shape[1]
    for v, variate in enumerate(history.variates):
        earlier = np.flatnonzero(gaps[:, v] > ends)
        for places in alike(gaps[earlier, v]):
            some = earlier[places]
            own = _from_end(
                forecaster,
                history.only(variate).select(some.tolist()),
                gaps[some, v],
                demand=Demand(
                    horizon=demand.horizon + 1, levels=demand.levels, paths=count, seed=demand.seed
                ),
                skipped=gaps[some, v] - 1,
            )
            found.quantiles[some, ..., v] = own.quantiles[:, :, 1:, 0]
            found.paths[some, ..., v] = paired(own.paths[:, :count, :, 0], found.paths[some, ..., v])
    return found


def paired(own: Floats, together: Floats) -> Floats:
    """Paths [I, P, H] of `own` [I, P, 1 + H], which begin at the origin, in the order of others [I, P, H].

    Moves over the horizon get the ranks of the last values of `together` (Clark et al. 2004, the Schaake
    shuffle, Journal of Hydrometeorology 5:243).
    """
    order = np.argsort(own[..., -1] - own[..., 0], axis=1, kind="stable")
    rank = np.argsort(np.argsort(together[..., -1], axis=1, kind="stable"), axis=1)
    chosen = np.take_along_axis(order, rank, axis=1)
    return np.take_along_axis(own[..., 1:], chosen[..., None], axis=1)


def _from_end(
    forecaster: PathForecaster, history: History, gaps: Steps, *, demand: Demand, skipped: Steps
) -> Ahead:
    """Forecast items that end so many steps [I] earlier, without the first steps [I] of the forecast."""
    steps = demand.horizon + int(skipped.max())
    _check_reach(forecaster, history, gaps, steps=steps)
    fitted = forecaster.fit(ended(history, gaps))
    quantiles = fitted.quantiles(steps, demand.levels) if isinstance(fitted, HasQuantiles) else None
    count = demand.paths if quantiles is not None else max(demand.paths, PATHS_FOR_QUANTILES)
    paths = _after(fitted.sample(steps, max(count, 1), demand.seed), skipped, demand.horizon)
    if quantiles is None:
        return Ahead(np.moveaxis(np.quantile(paths, demand.levels, axis=1), 0, 1), paths)
    return Ahead(_after(quantiles, skipped, demand.horizon), paths)


def _after(values: Floats, skipped: Steps, horizon: int) -> Floats:
    """Values [I, K, H, V] of the steps after those skipped [I]."""
    if not skipped.any():
        return values[:, :, :horizon]
    step = (skipped[:, None] + np.arange(horizon))[:, None, :, None]
    shape = (*values.shape[:2], horizon, values.shape[3])
    return np.take_along_axis(values, np.broadcast_to(step, shape), axis=2)


def _check_reach(forecaster: PathForecaster, history: History, gaps: Steps, *, steps: int) -> None:
    reach = forecaster.longest_horizon if isinstance(forecaster, HasLongestHorizon) else HORIZON_LIMIT
    longest = int(gaps.argmax())
    if gaps[longest] and steps > reach:
        raise InputError(
            "a series ends too long before its item's last date, or its last values are missing for too long",
            expected=f"at most {reach} steps from its last observation to the end of the horizon "
            f"(--model {forecaster.name})",
            found=f"{steps}, {gaps[longest]} of them without a value",
            where=f"series {history.item_ids[longest]}, {', '.join(history.variates)}",
        )
