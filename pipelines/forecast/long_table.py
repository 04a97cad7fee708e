"""Quantiles and joint sample paths of every series of a long table, by any forecaster.

I items, P paths, Q quantile levels, H horizon steps, V variates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, get_args, runtime_checkable

import numpy as np
import polars as pl

from forecasting.errors import InputError
from forecasting.forecasters.base import PathForecaster
from forecasting.forecasters.bounds import Bounds, Floor
from forecasting.forecasters.covariate_effects import CovariateEffects, covariate_effects
from forecasting.panel.history import Floats, History
from forecasting.panel.known_covariates import FutureTable, past_covariates
from forecasting.panel.long_table import LongTable, histories
from forecasting.panel.schema import FLOWS
from forecasting.saturation.events import EventQuery
from pipelines.forecast.events import EVENT_PATHS, event_table
from pipelines.forecast.uneven_ends import (
    HORIZON_LIMIT,
    PATHS_FOR_QUANTILES,
    Ahead,
    Demand,
    alike,
    ended,
    forecast_ahead,
    trailing_gaps,
)

ITEMS_PER_BLOCK = 200
MAX_PATH_VALUES = 1 << 25  # of a block, unless it is a single item: 256 MiB, several times over at work
MAX_PATH_ROWS = 200_000_000  # of the table of paths


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


class Block(NamedTuple):
    """Items that are forecast together, what their stamps hang on, and what their covariates do."""

    forecaster: PathForecaster
    history: History
    last: pl.DataFrame
    effects: CovariateEffects | None = None

    @property
    def seen(self) -> History:
        """The history as the forecaster sees it."""
        return self.history if self.effects is None else self.effects.removed(self.history)


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
    *,
    future: FutureTable | None = None,
) -> ForecastTables:
    """Forecast every series of a checked table.

    `progress` may watch the blocks go by; `future` has the covariates of the horizon.
    """
    parts_of_table = list(histories(table))
    _check_rows(parts_of_table, options)
    for _, last in parts_of_table:  # refuses a horizon that the dates cannot hold before anything is forecast
        table.future(last, horizon=options.horizon, first=options.horizon - 1)
    blocks = [
        block
        for history, last in parts_of_table
        for block in _blocks(
            Block(forecaster, history, last, _effects(table, history, last, options, future)), options
        )
    ]
    parts = [_forecast(block, table, options) for block in progress(blocks)]
    return ForecastTables(
        quantiles=pl.concat([part.quantiles for part in parts]).sort(*table.keys, "ds", "quantile_level"),
        paths=pl.concat([part.paths for part in parts]).sort(*table.keys, "path", "ds"),
        events=_join_events([part.events for part in parts if part.events is not None], table),
    )


def _effects(
    table: LongTable,
    history: History,
    last: pl.DataFrame,
    options: ForecastOptions,
    future: FutureTable | None,
) -> CovariateEffects | None:
    """Effects of the covariates on all items, None where the table has none."""
    if not table.covariates:
        return None
    if history.variates == FLOWS:
        raise InputError(
            "orders and capacity are forecast without covariates",
            expected="other names of the variates, or no --covariates",
            found=", ".join(table.covariates),
            where="--covariates",
        )
    if future is None:
        raise InputError(
            "covariates need their values over the horizon",
            expected="a table of them",
            found="none",
            where="--future",
        )
    dates = table.future(last, horizon=options.horizon).sort("unique_id", "step")
    rows = table.rows.group_by("unique_id").agg(pl.col("group").first()) if table.statics else None
    groups = (
        [""] * last.height
        if rows is None
        else last.join(rows, on="unique_id", maintain_order="left")["group"].to_list()
    )
    return covariate_effects(
        history,
        past_covariates(table, history, last),
        future.covariates(dates, history.variates, table.categories),
        groups=groups,
    )


def _join_events(parts: Sequence[pl.DataFrame], table: LongTable) -> pl.DataFrame | None:
    """Events of all blocks by item, in the order asked; None where none were asked."""
    if not parts:
        return None
    events = pl.concat(parts).sort("unique_id", maintain_order=True)
    return events if table.has_variates else events.drop("variate")


def _learned(forecaster: PathForecaster, history: History, horizon: int) -> PathForecaster:
    return forecaster.learned(history, horizon) if isinstance(forecaster, LearnsFromPanel) else forecaster


def _blocks(whole: Block, options: ForecastOptions) -> Iterator[Block]:
    """Cut the items into blocks whose paths fit into memory, each of items that end alike."""
    gaps = trailing_gaps(whole.history).min(axis=1)
    for rows in alike(gaps):
        steps = options.horizon + int(gaps[rows].max())
        learned = _learned(whole.forecaster, ended(whole.seen.select(rows), gaps[rows]), steps)
        size = _items_per_block(steps, len(whole.history.variates), options)
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            effects = None if whole.effects is None else whole.effects.select(some)
            yield Block(learned, whole.history.select(some), whole.last[some], effects)


def _items_per_block(steps: int, variates: int, options: ForecastOptions) -> int:
    """So many items that their paths hold at most `MAX_PATH_VALUES` values; one at least."""
    counted = max(options.paths, PATHS_FOR_QUANTILES, EVENT_PATHS if options.events else 0)
    return min(ITEMS_PER_BLOCK, max(1, MAX_PATH_VALUES // (counted * steps * variates)))


def _check_rows(parts: Sequence[tuple[History, pl.DataFrame]], options: ForecastOptions) -> None:
    """Refuse more paths than their table can hold, before anything is forecast."""
    series = sum(len(history.item_ids) * len(history.variates) for history, _ in parts)
    rows = series * options.paths * options.horizon
    if rows > MAX_PATH_ROWS:
        raise InputError(
            "the table of paths would be too long",
            expected=f"at most {MAX_PATH_ROWS:,} rows (series x paths x steps)",
            found=f"{series:,} x {options.paths:,} x {options.horizon:,} = {rows:,}",
            where="--paths",
        )


def forecast_block(block: Block, demand: Demand, floor: Floor) -> Ahead:
    """Quantiles and paths of a block, with what its covariates do."""
    if block.effects is None:
        return forecast_ahead(block.forecaster, block.history, demand)
    counted = replace(demand, paths=max(demand.paths, PATHS_FOR_QUANTILES))
    _, drawn = forecast_ahead(block.forecaster, block.seen, counted)
    paths = block.effects.added(drawn, item_ids=block.history.item_ids, seed=demand.seed)
    paths = Bounds.of(block.history, floor).keep(paths)
    return Ahead(np.moveaxis(np.quantile(paths, demand.levels, axis=1), 0, 1), paths)


def _forecast(block: Block, table: LongTable, options: ForecastOptions) -> ForecastTables:
    """Quantiles and paths of the items that share one set of variates."""
    levels = np.sort(np.asarray(options.quantile_levels, dtype=np.float64))
    asked = options.paths or (EVENT_PATHS if options.events else 0)
    demand = Demand(horizon=options.horizon, levels=levels, paths=asked, seed=options.seed)
    quantiles, sampled = forecast_block(block, demand, options.floor)
    dates = table.future(block.last, horizon=options.horizon)
    of = _Layout(
        dates=dates.sort("unique_id", "step"), variates=block.history.variates if table.has_variates else None
    )
    events = None
    if options.events is not None:
        stamps = table.future(block.last, horizon=options.horizon, first=-1)
        events = event_table(
            options.events,
            block.history,
            sampled[:, :asked],
            stamps=stamps.sort("unique_id", "step"),
            quantile_levels=options.quantile_levels,
        )
    return ForecastTables(
        quantiles=of.table(quantiles, "quantile_level", levels),
        paths=of.table(sampled[:, : options.paths], "path", np.arange(options.paths, dtype=np.int32)),
        events=events,
    )


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
