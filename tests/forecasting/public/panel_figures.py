"""Figures of the public panel by period, for its tests."""

import datetime as dt

import polars as pl

from forecasting.panel.schema import latest

LAST_WITH_OWNERS = dt.date(2025, 12, 31)


def newest(public):
    return latest(public.panel.lazy()).collect()


def series(panel, item_id, variate="shipments"):
    rows = panel.filter(pl.col("item_id") == item_id, pl.col("variate") == variate).sort("timestamp")
    return dict(rows.select("timestamp", "value").iter_rows())
