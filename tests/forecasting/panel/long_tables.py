"""Long tables whose dates are known, for the tests that read them."""

import calendar
import datetime as dt

import polars as pl

from forecasting.frequencies import Frequency
from forecasting.panel.long_table import check_long_table

MONTHS = {"M": 1, "Q": 3, "Y": 12}
FIXED = {"h": dt.timedelta(hours=1), "D": dt.timedelta(days=1), "W": dt.timedelta(days=7)}
THREE = {0: 1.0, 1: 2.0, 2: 3.0}
DAY = dt.date


def date_at(frequency, step, day=1):
    """Oracle: date of a step; `day` of the month, 31 standing for its last day."""
    if frequency in FIXED:
        start = dt.datetime(2024, 2, 27, 5) if frequency == "h" else dt.date(2024, 2, 27)  # noqa: DTZ001
        return start + step * FIXED[frequency]
    years, month = divmod(1 + step * MONTHS[frequency], 12)
    last = calendar.monthrange(2023 + years, month + 1)[1]
    return dt.date(2023 + years, month + 1, min(day, last))


def table(series, frequency="D", *, day=1, variate=False):
    """Long table of {name or (name, variate): {step: value}}."""
    rows = [
        {
            "unique_id": key[0] if variate else key,
            **({"variate": key[1]} if variate else {}),
            "ds": date_at(frequency, step, day),
            "y": value,
        }
        for key, values in series.items()
        for step, value in values.items()
    ]
    schema = {"y": pl.Float64}
    return pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)


def dated(*dates):
    return pl.DataFrame({"unique_id": "a", "ds": dates, "y": 1.0})


def checked(frame, frequency="D"):
    return check_long_table(frame, frequency=Frequency.parse(frequency), where="sales.csv")
