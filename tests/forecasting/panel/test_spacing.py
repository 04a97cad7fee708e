"""Dates that lie evenly but several steps apart are of a coarser frequency: neither guessed nor bridged."""

from __future__ import annotations

import datetime as dt
from itertools import accumulate

import polars as pl
import pytest

from forecasting.errors import InputError
from forecasting.frequencies import Frequency
from forecasting.panel.long_table import check_long_table

DAY = dt.date
FIRST = DAY(2024, 1, 1)


def table(**series):
    rows = [
        {"unique_id": name, "ds": date, "y": float(k)}
        for name, dates in series.items()
        for k, date in enumerate(dates)
    ]
    return pl.DataFrame(rows)


def checked(frame, frequency=None):
    frequency = None if frequency is None else Frequency.parse(frequency)
    return check_long_table(frame, frequency=frequency, where="sales.csv")


def apart(days, number=18):
    return [FIRST + dt.timedelta(days=days * k) for k in range(number)]


MONTH_ENDS = [DAY(2024 + k // 12, k % 12 + 1, 1) - dt.timedelta(days=1) for k in range(1, 25)]
EVEN = {
    "ends of every other month": MONTH_ENDS[::2],
    "a day of the month that wanders": [DAY(2023, k, 25 + k % 3) for k in range(1, 13)],
    "the 1st and 15th of each month": [DAY(2024, k // 2 + 1, 15 if k % 2 else 1) for k in range(24)],
    "fiscal months of 4, 4 and 5 weeks": [FIRST + dt.timedelta(weeks=n) for n in accumulate([4, 4, 5] * 6)],
    "month ends, later month starts": [*MONTH_ENDS[:12], *(DAY(2025, k, 1) for k in range(2, 13))],
    "half years": [DAY(2016 + k // 2, *((12, 31) if k % 2 else (6, 30))) for k in range(14)],
}


@pytest.mark.parametrize("dates", EVEN.values(), ids=EVEN)
def test_dates_of_no_frequency_are_not_taken_for_days_or_weeks_with_gaps(dates):
    with pytest.raises(InputError, match="no frequency fits all series: .*most dates one step apart"):
        checked(table(a=dates))


def test_a_monthly_series_among_daily_ones_is_not_taken_for_a_daily_one():
    with pytest.raises(InputError, match="no frequency fits all series"):
        checked(table(months=MONTH_ENDS, days=[DAY(2025, 12, k) for k in range(1, 31)]))


@pytest.mark.parametrize("frequency", ["D", "B"])
def test_months_among_days_are_named_where_days_are_asked_for(frequency):
    firsts = [date + dt.timedelta(days=15) for date in MONTH_ENDS]
    weekdays = [date + dt.timedelta(days=(7 - date.weekday()) % 7) for date in firsts]  # the next Monday
    dates = MONTH_ENDS if frequency == "D" else weekdays
    with pytest.raises(InputError, match=r"series a: no two dates are one step .* its frequency is coarser"):
        checked(table(a=dates), frequency)


def test_fiscal_months_are_named_where_weeks_are_asked_for():
    weeks = EVEN["fiscal months of 4, 4 and 5 weeks"]
    with pytest.raises(InputError, match=r"found at least 4 steps, so that its frequency is coarser"):
        checked(table(a=weeks), "W")


@pytest.mark.parametrize(
    "steps",
    [
        [2, 3, 7, 2, 5, 4, 9, 3],  # rare days, at uneven distances
        [1, 6, 1, 7, 5, 6],  # two days in a row
        [31, 28, 1, 31, 30],
    ],
)
def test_uneven_dates_of_a_frequency_that_is_given_are_days_with_gaps(steps):
    dates = [FIRST + dt.timedelta(days=n) for n in accumulate([0, *steps])]
    assert checked(table(a=dates), "D").rows["number"].diff().drop_nulls().to_list() == steps


def test_days_of_which_a_third_is_missing_are_still_found():
    dates = [date for k, date in enumerate(apart(1, 60)) if k % 3]
    assert str(checked(table(a=dates)).frequency) == "D"
