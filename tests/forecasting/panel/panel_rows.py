"""Rows of a small panel, for the tests of its rules."""

import datetime as dt

import polars as pl

from forecasting.frequencies import Frequency, add_periods
from forecasting.panel.schema import check_panel

Q = Frequency.QUARTER
START = dt.date(2025, 3, 31)


def row(item_id="H200", step=0, variate="orders", *, value=100.0, late=92, **changes):
    end = add_periods(START, step, Q)
    return {
        "item_id": item_id,
        "timestamp": end,
        "variate": variate,
        "published_at": end + dt.timedelta(days=late),
        "value": value,
        "value_p05": 0.9 * value,
        "value_p95": 1.2 * value,
        "unit": "units",
        "kind": "derived",
        "source_id": "somebody",
        **changes,
    }


def good_rows():
    return [
        row(item, step, variate, value=10.0 * step + place)
        for place, (item, variate) in enumerate(
            [("H200", "orders"), ("H200", "capacity"), ("H100", "orders")]
        )
        for step in range(3)
    ]


def checked(rows):
    return check_panel(pl.DataFrame(rows), frequency=Q)
