"""Origins of the backtest: for each day, what had been published by then and what followed."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from forecasting.errors import InputError
from forecasting.evaluation.rolling_origin import rolling_splits
from forecasting.forecasters.base import PathSet
from forecasting.frequencies import add_periods, periods_between
from forecasting.panel.history import History
from forecasting.panel.schema import (
    CONTEXT,
    FLOWS,
    STATE,
    as_of,
    estimates,
    forecastable,
    latest,
    newest_period,
    path_variates,
    to_history,
)
from forecasting.saturation.market import BACKLOG, Market, market
from pipelines.runtime.config.settings import Settings

ORIGINS = 8  # tried where no first one is set: two years of quarters


class NoOriginError(InputError):
    """The history allows no origin from which to backtest."""


@dataclass(frozen=True, kw_only=True)
class BacktestOrigin:
    """One origin: the day, what was known on it, and the actuals of the H' steps after it."""

    as_of: dt.date
    history: History
    actuals: dict[str, Market]
    steps: int


def origin_on(panel: pl.DataFrame, day: dt.date, settings: Settings) -> BacktestOrigin | None:
    """What was known on a day, and the actuals after it; None if nothing could be forecast or is known yet.

    An item whose series has since ended is scored on the steps it had.
    """
    known = as_of(panel.lazy(), day).collect()
    items = forecastable(known, settings.data.min_observations)[0] if _has_flows(known) else []
    if not items:
        return None
    origin, frequency = newest_period(known), settings.data.panel_frequency
    final = latest(estimates(panel.lazy())).collect()
    actuals = {item: _actuals(final, item, origin=origin, settings=settings) for item in items}
    observed = {item: outcome for item, outcome in actuals.items() if outcome is not None}
    if not observed:
        return None
    history = to_history(
        known, items=list(observed), origin=origin, frequency=frequency, variates=path_variates(known)
    )
    steps = max(outcome.horizon for outcome in observed.values())
    return BacktestOrigin(as_of=day, history=history, actuals=observed, steps=steps)


def publication_days(panel: pl.DataFrame) -> dict[dt.date, dt.date]:
    """Day on which the first orders and capacity of each period were published."""
    flows = panel.filter(pl.col("variate").is_in(FLOWS), ~pl.col("item_id").str.starts_with(CONTEXT))
    return dict(flows.group_by("timestamp").agg(pl.col("published_at").min()).iter_rows())


def _has_flows(known: pl.DataFrame) -> bool:
    return (
        known.filter(pl.col("variate").is_in(FLOWS), ~pl.col("item_id").str.starts_with(CONTEXT)).height > 0
    )


def _actuals(final: pl.DataFrame, item: str, *, origin: dt.date, settings: Settings) -> Market | None:
    """An item's actual market as one path of the newest central figures; None if the item had ended."""
    stamps = final.filter(pl.col("item_id") == item, pl.col("variate") == "orders")["timestamp"].sort()
    if stamps.is_empty():
        return None
    steps = periods_between(origin, stamps[-1], settings.data.panel_frequency)
    if steps < 1:
        return None
    history = to_history(
        final,
        items=[item],
        origin=stamps[-1],
        frequency=settings.data.panel_frequency,
        variates=[*FLOWS, "shipments", *([BACKLOG] if STATE[0] in path_variates(final) else [])],
    )
    paths = PathSet(
        item_ids=history.item_ids,
        variates=history.variates,
        origins=(origin,),
        frequency=history.frequency,
        context_length=history.context_length - steps,
        values=np.moveaxis(history.values, 1, 2)[:, None],
    )
    return market(paths, item)


def backtest_origins(panel: pl.DataFrame, settings: Settings) -> list[BacktestOrigin]:
    """All origins of the backtest, oldest first, each on the day its figures were published.

    Raises
    ------
    NoOriginError
        If there is none.
    """
    backtest, frequency = settings.backtest, settings.data.panel_frequency
    known = estimates(panel.lazy()).collect()
    last = add_periods(newest_period(latest(known.lazy()).collect()), -1, frequency)
    first = backtest.first_origin or add_periods(last, -backtest.step * (ORIGINS - 1), frequency)
    try:
        splits = rolling_splits(
            first_origin=first,
            last_origin=last,
            step=backtest.step,
            horizon=backtest.horizon,
            frequency=frequency,
        )
    except InputError as error:
        raise NoOriginError(error.rule, expected=error.expected, found=error.found) from error
    days = publication_days(known)
    splits = tuple(replace(split, as_of=days.get(split.origin, split.as_of)) for split in splits)
    candidates = [origin_on(panel, split.as_of, settings) for split in splits]
    found = [origin for origin in candidates if origin is not None]
    if not found:
        raise NoOriginError(
            "no origin of the backtest has both a past to forecast from and an outcome",
            expected=f"a first origin well before {splits[-1].origin}",
            found=str(first),
            where="backtest.first_origin",
        )
    return found
