"""Stamps at the ends of a table: offsets of several variates, dates beyond 2262, rows that stand twice."""

import datetime as dt

import polars as pl
import pytest

from forecasting.errors import InputError
from forecasting.frequencies import Frequency
from forecasting.panel.long_table import check_long_table, histories
from forecasting.panel.stamps import future_dates


def following(table, horizon):
    ((_, last),) = histories(table)
    return future_dates(last, horizon=horizon, frequency=table.frequency, style=table.style)["ds"]


def test_the_future_has_the_offset_of_the_latest_stamp_of_all_variates():
    hours = [f"2026-03-28T{hour:02}:00:00+01:00" for hour in range(4)]
    later = [f"2026-03-29T{hour:02}:00:00+02:00" for hour in range(6, 10)]
    frame = pl.DataFrame(
        {
            "unique_id": "s",
            "variate": ["a"] * 8 + ["b"] * 4,
            "ds": [*hours, *later, *hours],
            "y": [float(n) for n in range(12)],
        }
    )
    table = check_long_table(frame, frequency=Frequency.parse("h"), where="t.csv")
    first = following(table, 1)
    summer = dt.timezone(dt.timedelta(hours=2))
    assert first.to_list() == [dt.datetime(2026, 3, 29, 10, tzinfo=summer)]
    assert first[0].utcoffset() == dt.timedelta(hours=2)


def nanoseconds():
    dates = pl.Series([dt.datetime(year, 1, 1) for year in range(2020, 2026)]).cast(pl.Datetime("ns"))  # noqa: DTZ001
    frame = pl.DataFrame({"unique_id": "s", "ds": dates, "y": 1.0})
    return check_long_table(frame, frequency=Frequency.parse("Y"), where="t.parquet")


def test_a_horizon_beyond_what_nanoseconds_can_hold_is_refused():
    assert following(nanoseconds(), 237)[-1].year == 2262
    with pytest.raises(InputError, match=r"--horizon: the horizon leaves the dates that the column can hold"):
        following(nanoseconds(), 238)


@pytest.mark.parametrize("repeated", [3, 1])
def test_rows_that_stand_twice_are_named_where_no_frequency_is_given(repeated):
    dates = [dt.date(2026, 1, day) for day in (1, 2, 3)]
    frame = pl.DataFrame({"unique_id": "s", "ds": dates + dates[:repeated], "y": 1.0})
    rule = r"a series may have one row per date: expected one row in 2026-01-01 \(--freq D\).*row 1.*row 4"
    with pytest.raises(InputError, match=rule):
        check_long_table(frame, frequency=None, where="t.csv")
