"""When events of a long table's series come: `events.parquet` of `overspill predict --event`.

I items, K measured series of an item, P paths, H horizon steps, Q quantile levels, V variates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from forecasting.panel.history import Floats, History
from forecasting.saturation.events import EventForecast, EventQuery

EVENT_PATHS = 1000


def event_table(
    query: EventQuery,
    history: History,
    future: Floats,
    *,
    stamps: pl.DataFrame,
    quantile_levels: Sequence[float],
) -> pl.DataFrame:
    """Rows of `events.parquet` for items that share one set of variates.

    Parameters
    ----------
    query : EventQuery
    history : History
    future : array [I, P, H, V]
    stamps : DataFrame
        unique_id, ds of the origin and of the horizon, H + 1 rows an item in the order of the history.
    quantile_levels : sequence of Q floats

    Returns
    -------
    DataFrame
        One row per series, event and step of the horizon: unique_id, variate, event, level, hold,
        true_at_origin, ds, probability (that the event has been confirmed by then), p_never (that it is not
        within the horizon), and for each level the date at which the probability reaches it, `date_q50` and
        so on (null where it does not: censored).
    """
    ordered = sorted(quantile_levels)
    found = query.forecast(history, future, ordered)
    parts = [
        _rows(event, names, forecast, stamps=stamps, levels=ordered)
        for event, (names, forecast) in found.items()
    ]
    return pl.concat(parts).with_columns(hold=pl.lit(query.hold, pl.Int32)).select(event_columns(ordered))


def date_column(level: float) -> str:
    """Name of the column with the date of a quantile level.

    >>> date_column(0.1), date_column(0.025)
    ('date_q10', 'date_q2.5')
    """
    return f"date_q{100 * level:.10g}"


def event_columns(levels: Sequence[float]) -> list[str]:
    """Columns of `events.parquet`; a table without variates has no `variate`."""
    names = [
        "unique_id",
        "variate",
        "event",
        "level",
        "hold",
        "true_at_origin",
        "ds",
        "probability",
        "p_never",
    ]
    return names + [date_column(level) for level in levels]


def _rows(
    event: str,
    names: tuple[str, ...],
    forecast: EventForecast,
    *,
    stamps: pl.DataFrame,
    levels: Sequence[float],
) -> pl.DataFrame:
    """Rows of one event, in the order item, measured series, step."""
    items, series, steps = forecast.probability.shape
    first = np.arange(items) * steps  # the row of an item's origin

    def repeated(values: Floats) -> np.typing.NDArray[Any]:
        return np.repeat(values.ravel(), steps - 1)

    places = np.broadcast_to(first[:, None, None] + np.arange(1, steps), (items, series, steps - 1))
    columns = {
        "unique_id": stamps["unique_id"][places.ravel()],
        "variate": np.tile(np.repeat(np.array(names), steps - 1), items),
        "event": np.full(places.size, event),
        "level": repeated(forecast.level),
        "true_at_origin": repeated(forecast.probability[..., 0]) == 1.0,
        "ds": stamps["ds"][places.ravel()],
        "probability": forecast.probability[..., 1:].ravel(),
        "p_never": repeated(forecast.never),
    }
    for level, quantile in zip(levels, np.moveaxis(forecast.quantiles, -1, 0), strict=True):
        censored = np.isnan(quantile)
        reached = first[:, None] + np.where(censored, 0, quantile).astype(np.int64)
        dates = stamps["ds"][repeated(reached)]
        columns[date_column(level)] = pl.select(
            pl.when(pl.Series(repeated(censored))).then(None).otherwise(dates)
        ).to_series()
    return pl.DataFrame(columns)


def event_records(events: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """One record per series and event: its columns, and `by`, the probabilities by date."""
    place = events.columns.index("probability")
    step = events.columns[place - 1 : place + 1]  # the date, whatever it is called, and the probability
    keys = [name for name in events.columns if name not in step]
    by = pl.struct(step).alias("by")
    yield from events.group_by(keys, maintain_order=True).agg(by).iter_rows(named=True)
