"""The panel as series that the network learns from: every item with orders and capacity, on one calendar.

I items, L steps.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

from forecasting.errors import InputError
from forecasting.frequencies import Frequency, periods_between
from forecasting.panel.history import exact_history
from forecasting.panel.schema import CHINA, CONTEXT, FLOWS, as_of, estimates
from models.training.observed_series import ObservedSeries
from pipelines.forecast.network import ROLES, network_view


def observed_series(
    panel: pl.DataFrame, day: dt.date, *, frequency: Frequency, horizon: int
) -> ObservedSeries:
    """What had been published by a day, as the network sees it; items that have ended are there too.

    Parameters
    ----------
    panel : DataFrame
        With every vintage.
    day : date
        Nothing published later is read.
    frequency : Frequency
    horizon : int
        Steps ahead that are wanted.

    Raises
    ------
    InputError
        If nothing had been published by then.
    """
    known = (
        as_of(estimates(panel.lazy()), day)
        .filter(pl.col("variate").is_in(FLOWS), ~pl.col("item_id").str.contains(f"^({CHINA}|{CONTEXT})"))
        .sort("item_id", "timestamp")
        .collect()
    )
    if known.is_empty():
        raise InputError(
            "there is nothing to train on",
            expected=f"orders and capacity published by {day}, the first day of the test",
            found="none",
            where="panel",
        )
    stamps = known["timestamp"].unique().sort().to_list()
    column = {stamp: periods_between(stamps[0], stamp, frequency) for stamp in stamps}
    items = known["item_id"].unique(maintain_order=True).to_list()
    values = np.full((len(items), len(FLOWS), column[stamps[-1]] + 1), np.nan)
    place = (
        known["item_id"].rle_id().to_numpy(),
        known["variate"]
        .replace_strict({name: v for v, name in enumerate(FLOWS)}, return_dtype=pl.Int64)
        .to_numpy(),
        known["timestamp"].replace_strict(column, return_dtype=pl.Int64).to_numpy(),
    )
    values[place] = known["value"].to_numpy()
    history = exact_history(
        values,
        item_ids=tuple(items),
        variates=FLOWS,
        origins=(stamps[-1],) * len(items),
        frequency=frequency,
    )
    return ObservedSeries(
        values=network_view(history),
        season_length=frequency.season_length,
        horizon=horizon,
        statics=ROLES,
    )
