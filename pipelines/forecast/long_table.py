"""Quantiles and joint sample paths of every series of a long table, by any forecaster.

I items, P paths, Q quantile levels, H horizon steps, V variates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, get_args, runtime_checkable

import numpy as np
import polars as pl

from forecasting.errors import InputError
from forecasting.forecasters.base import PathForecaster
from forecasting.forecasters.bounds import Floor
from forecasting.panel.history import Floats, History
from forecasting.panel.long_table import LongTable, histories
from forecasting.panel.stamps import future_dates
from forecasting.saturation.events import EventQuery
from pipelines.forecast.ahead import HORIZON_LIMIT, Demand, alike, ended, forecast_ahead, trailing_gaps
from pipelines.forecast.events import EVENT_PATHS, event_table

ITEMS_PER_BLOCK = 200
Block: TypeAlias = tuple[PathForecaster, History, pl.DataFrame]


@dataclass(frozen=True, kw_only=True)
class ForecastOptions:
    """What is asked about a long table.

    Attributes
    ----------
    horizon : int
        Steps ahead, 1 to 4096.
    quantile_levels : sequence of float
        Each between 0 and 1, and once.
    paths : int
        Joint sample paths to return; 0 for none.
    seed : int
    floor : Floor
        `auto`: a series that was never negative is not forecast below zero; `0`: none is; `none`: no floor.
    events : EventQuery, optional
        Levels whose first passage is asked about; None for no events.

    Raises
    ------
    InputError
        If a number is out of range; the sentence names the option.
    """

    horizon: int
    quantile_levels: Sequence[float]
    paths: int
    seed: int
    floor: Floor = "auto"
    events: EventQuery | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.horizon <= HORIZON_LIMIT:
            raise InputError(
                "the horizon is out of range",
                expected=f"1 to {HORIZON_LIMIT} steps",
                found=str(self.horizon),
                where="--horizon",
            )
        if self.paths < 0:
            raise InputError(
                "the number of paths must not be negative", found=str(self.paths), where="--paths"
            )
        if self.seed < 0:
            raise InputError("the seed must not be negative", found=str(self.seed), where="--seed")
        if self.floor not in get_args(Floor):
            raise InputError(
                "unknown floor", expected="auto, 0 or none", found=repr(self.floor), where="--floor"
            )
        for level in self.quantile_levels:
            if not 0 < level < 1:
                raise InputError(
                    "a quantile level must lie between 0 and 1", found=f"{level:g}", where="--quantiles"
                )
        if len(set(self.quantile_levels)) < len(self.quantile_levels) or not self.quantile_levels:
            raise InputError("quantile levels must be given, each once", where="--quantiles")


@runtime_checkable
class LearnsFromPanel(Protocol):
    """A path forecaster that learns something from all items before it is fitted to some of them."""

    def learned(self, history: History, horizon: int) -> PathForecaster:
        """The forecaster that has learned from the history for that horizon."""
        ...


class ForecastTables(NamedTuple):
    """Tables with the columns unique_id, ds, variate (if given), quantile_level or path, and value.

    `events`, where asked for, has those of `event_table`.
    """

    quantiles: pl.DataFrame
    paths: pl.DataFrame
    events: pl.DataFrame | None = None


def forecast_long_table(
    table: LongTable,
    forecaster: PathForecaster,
    options: ForecastOptions,
    progress: Callable[[Sequence[Block]], Iterable[Block]] = iter,
) -> ForecastTables:
    """Forecast every series of a checked table; `progress` may watch the blocks go by."""
    parts_of_table = list(histories(table))
    for _, last in parts_of_table:  # refuses a horizon that the dates cannot hold before anything is forecast
        _dates(last, table, options.horizon, first=options.horizon - 1)
    blocks = [
        block for history, last in parts_of_table for block in _blocks(forecaster, history, last, options)
    ]
    parts = [_forecast(*block, table, options) for block in progress(blocks)]
    return ForecastTables(
        quantiles=pl.concat([part.quantiles for part in parts]).sort(*table.keys, "ds", "quantile_level"),
        paths=pl.concat([part.paths for part in parts]).sort(*table.keys, "path", "ds"),
        events=_join_events([part.events for part in parts if part.events is not None], table),
    )


def _join_events(parts: Sequence[pl.DataFrame], table: LongTable) -> pl.DataFrame | None:
    """Events of all blocks by item, in the order asked; None where none were asked."""
    if not parts:
        return None
    events = pl.concat(parts).sort("unique_id", maintain_order=True)
    return events if table.has_variates else events.drop("variate")


def _learned(forecaster: PathForecaster, history: History, horizon: int) -> PathForecaster:
    return forecaster.learned(history, horizon) if isinstance(forecaster, LearnsFromPanel) else forecaster


def _blocks(
    forecaster: PathForecaster, history: History, last: pl.DataFrame, options: ForecastOptions
) -> Iterator[Block]:
    """Cut the items into blocks whose paths fit into memory, each of items that end alike."""
    gaps = trailing_gaps(history).min(axis=1)
    for rows in alike(gaps):
        steps = options.horizon + int(gaps[rows].max())
        learned = _learned(forecaster, ended(history.select(rows), gaps[rows]), steps)
        for start in range(0, len(rows), ITEMS_PER_BLOCK):
            some = rows[start : start + ITEMS_PER_BLOCK]
            yield learned, history.select(some), last[some]


def _forecast(
    forecaster: PathForecaster,
    history: History,
    last: pl.DataFrame,
    table: LongTable,
    options: ForecastOptions,
) -> ForecastTables:
    """Quantiles and paths of the items that share one set of variates."""
    levels = np.sort(np.asarray(options.quantile_levels, dtype=np.float64))
    asked = options.paths or (EVENT_PATHS if options.events else 0)
    demand = Demand(horizon=options.horizon, levels=levels, paths=asked, seed=options.seed)
    quantiles, sampled = forecast_ahead(forecaster, history, demand)
    dates = _dates(last, table, options.horizon)
    of = _Layout(
        dates=dates.sort("unique_id", "step"), variates=history.variates if table.has_variates else None
    )
    events = None
    if options.events is not None:
        stamps = _dates(last, table, options.horizon, first=-1)
        events = event_table(
            options.events,
            history,
            sampled[:, :asked],
            stamps=stamps.sort("unique_id", "step"),
            quantile_levels=options.quantile_levels,
        )
    return ForecastTables(
        quantiles=of.table(quantiles, "quantile_level", levels),
        paths=of.table(sampled[:, : options.paths], "path", np.arange(options.paths, dtype=np.int32)),
        events=events,
    )


def _dates(last: pl.DataFrame, table: LongTable, horizon: int, *, first: int = 0) -> pl.DataFrame:
    return future_dates(last, horizon=horizon, frequency=table.frequency, style=table.style, first=first)


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Lays arrays [I, K, H, V] out as rows, K being what `name` counts."""

    dates: pl.DataFrame
    variates: tuple[str, ...] | None

    def table(self, values: Floats, name: str, labels: np.typing.NDArray[np.generic]) -> pl.DataFrame:
        items, count, horizon, variates = values.shape
        rows = np.arange(items * horizon).reshape(items, 1, horizon, 1)
        shape = (items, count, horizon, variates)
        dates = self.dates[np.broadcast_to(rows, shape).ravel()]
        columns = {"unique_id": dates["unique_id"], "ds": dates["ds"]}
        if self.variates is not None:
            columns["variate"] = pl.Series(np.broadcast_to(np.array(self.variates), shape).ravel())
        columns[name] = pl.Series(np.broadcast_to(labels.reshape(1, count, 1, 1), shape).ravel())
        return pl.DataFrame({**columns, "value": values.ravel()})
