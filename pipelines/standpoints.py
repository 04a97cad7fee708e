"""Where a backtest stands: on each day what had been published by then, and what came after it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from forecasting.backtest import rolling_splits
from forecasting.errors import InputError
from forecasting.forecaster import PathSet
from forecasting.history import History
from forecasting.market import Market, market
from forecasting.panel import as_of, last_common_period, latest, to_history
from forecasting.periods import add_periods, periods_between
from pipelines.forecast import FLOWS, forecastable
from pipelines.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Standpoint:
    """One day on which forecasters stand: what was known, and what came after it (H' known steps)."""

    as_of: dt.date
    history: History
    outcomes: dict[str, Market]
    steps: int


def standpoint(panel: pl.DataFrame, day: dt.date, settings: Settings) -> Standpoint | None:
    """What was known on a day, and what came; None if nothing could be forecast or nothing came yet."""
    known = as_of(panel.lazy(), day).collect()
    if known.is_empty():
        return None
    items, _ = forecastable(known, settings.data.min_observations)
    final = latest(panel.lazy()).collect()
    origin, end = last_common_period(known), last_common_period(final)
    steps = periods_between(origin, end, settings.data.step)
    items = [item for item in items if _last(final, item) == end]
    if not items or steps < 1:
        return None
    history = to_history(
        known, items=items, origin=origin, frequency=settings.data.step, variates=[*FLOWS, "shipments"]
    )
    return Standpoint(
        as_of=day,
        history=history,
        outcomes=_outcomes(final, items, steps=steps, end=end, settings=settings),
        steps=steps,
    )


def _last(final: pl.DataFrame, item: str) -> object:
    return final.filter(pl.col("item_id") == item, pl.col("variate") == "orders")["timestamp"].max()


def _outcomes(
    final: pl.DataFrame, items: Sequence[str], *, steps: int, end: dt.date, settings: Settings
) -> dict[str, Market]:
    """Each item's market as it came, on one path: the central figures of the newest vintage."""
    history = to_history(
        final, items=items, origin=end, frequency=settings.data.step, variates=[*FLOWS, "shipments"]
    )
    paths = PathSet(
        item_ids=history.item_ids,
        variates=history.variates,
        origins=(add_periods(end, -steps, history.frequency),) * len(items),
        frequency=history.frequency,
        context_length=history.context_length - steps,
        values=np.moveaxis(history.values, 1, 2)[:, None],
    )
    return {item: market(paths, item) for item in items}


def standpoints(panel: pl.DataFrame, settings: Settings) -> list[Standpoint]:
    """All standpoints of the backtest, at ends of periods, oldest first.

    Raises
    ------
    InputError
        If there is none.
    """
    backtest, frequency = settings.backtest, settings.data.step
    end = last_common_period(latest(panel.lazy()).collect())
    splits = rolling_splits(
        first_origin=backtest.first_as_of,
        last_origin=add_periods(end, -1, frequency),
        step=backtest.step,
        horizon=backtest.horizon,
        frequency=frequency,
    )
    stood = [standpoint(panel, split.as_of, settings) for split in splits]
    found = [stand for stand in stood if stand is not None]
    if not found:
        raise InputError(
            "no day of the backtest has both a past to forecast from and an outcome",
            expected=f"a first day well before {end}",
            found=str(backtest.first_as_of),
            where="backtest.first_as_of",
        )
    return found
