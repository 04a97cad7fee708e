"""The panel as training series: what the day had published and no more, items that have ended included."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from forecasting.errors import InputError
from forecasting.frequencies import Frequency
from forecasting.panel.schema import as_of
from pipelines.etl.step import public_panel
from pipelines.train.training_series import observed_series

DAY = dt.date(2025, 4, 2)


@pytest.fixture(scope="module")
def panel(small_settings):
    return public_panel(small_settings.data)[0]


def series(panel, day=DAY):
    return observed_series(panel, day, frequency=Frequency.QUARTER, horizon=6)


def test_it_holds_book_to_bill_and_capacity_as_known_on_the_day(panel):
    observed = series(panel)
    known = as_of(panel.lazy(), DAY).collect()
    items = (
        known.filter(pl.col("variate") == "capacity", ~pl.col("item_id").str.contains("^(china|context)"))
        .get_column("item_id")
        .unique()
        .sort()
        .to_list()
    )
    assert len(items) == len(observed.values)
    first = known.filter(pl.col("variate").is_in(["orders", "capacity"]), pl.col("item_id").is_in(items))
    first = first["timestamp"].min()
    for item_id in ("H100", "A100", "portfolio/nvidia"):
        rows = known.filter(pl.col("item_id") == item_id)
        for stamp, orders in (
            rows.filter(pl.col("variate") == "orders").select("timestamp", "value").iter_rows()
        ):
            step = (stamp.year - first.year) * 4 + (stamp.month - first.month) // 3
            capacity = rows.filter(pl.col("variate") == "capacity", pl.col("timestamp") == stamp)["value"][0]
            found = observed.values[items.index(item_id), :, step]
            assert found == pytest.approx([orders / capacity, capacity])
    assert (observed.season_length, observed.horizon) == (4, 6)


def test_nothing_published_after_the_day_is_read(panel):
    later = panel.with_columns(
        pl.when(pl.col("published_at") > DAY)
        .then(pl.col("value") * 7)
        .otherwise(pl.col("value"))
        .alias("value")
    )
    np.testing.assert_array_equal(series(panel).values, series(later).values)
    early = series(panel, dt.date(2024, 12, 31)).values
    assert early.shape[-1] < series(panel).values.shape[-1]


def test_the_order_of_rows_does_not_matter(panel):
    shuffled = panel.sample(fraction=1, shuffle=True, seed=1)
    np.testing.assert_array_equal(series(panel).values, series(shuffled).values)


def test_items_that_have_ended_are_kept(panel):
    last = series(panel, dt.date(2026, 12, 31)).values[:, 1, -1]
    assert np.isnan(last).any()
    assert (~np.isnan(last)).any()


def test_a_day_before_anything_was_published_is_refused(panel):
    with pytest.raises(InputError, match="there is nothing to train on: expected .* published by 2001-01-01"):
        series(panel, dt.date(2001, 1, 1))
