"""Reporting periods against walking from day to day, and against the project's own calendar arithmetic."""

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.errors import InputError
from forecasting.frequencies import Frequency, add_periods, calendar_quarter, period_end
from forecasting.order_book.calendar import FIRST_DAY, LAST_DAY, PERIODS, Calendar

FEW = settings(deadline=None, max_examples=30)
DAYS = st.dates(FIRST_DAY, LAST_DAY)
CALENDARS = st.builds(
    Calendar,
    frequency=st.sampled_from([Frequency.WEEK, Frequency.MONTH, Frequency.QUARTER]),
    fiscal_year_end_month=st.integers(1, 12),
    week_end=st.integers(1, 7),
)


def ends(calendar, days):
    return pl.DataFrame({"day": days}).select(calendar.period_end(pl.col("day"))).to_series().to_list()


@FEW
@given(calendar=CALENDARS, days=st.lists(DAYS, min_size=1, max_size=20))
def test_a_period_ends_on_the_day_that_one_reaches_by_walking(book, calendar, days):
    assert ends(calendar, days) == [book.end_of_period(day, calendar) for day in days]


@pytest.mark.parametrize("frequency", [Frequency.WEEK, Frequency.MONTH, Frequency.QUARTER])
def test_without_a_fiscal_year_periods_are_those_of_the_project(frequency):
    days = pl.date_range(FIRST_DAY, LAST_DAY, "3d", eager=True).to_list()
    assert ends(Calendar(frequency=frequency), days) == [period_end(day, frequency) for day in days]


@FEW
@given(calendar=CALENDARS)
def test_periods_are_numbered_from_0_without_gaps(calendar):
    days = pl.date_range(FIRST_DAY, LAST_DAY, "1d", eager=True).to_frame("day")
    numbers = days.select(calendar.period_number(pl.col("day"))).to_series()
    assert numbers[0] == 0
    assert numbers.diff().drop_nulls().is_in([0, 1]).all()
    assert numbers[-1] < PERIODS - 1


def test_no_day_has_no_period():
    assert ends(Calendar(frequency=Frequency.QUARTER), [None, dt.date(2026, 1, 15)]) == [
        None,
        dt.date(2026, 3, 31),
    ]


@FEW
@given(calendar=CALENDARS, day=DAYS.filter(lambda day: 1951 < day.year < 2098))
def test_successive_periods_stand_on_successive_timestamps_of_the_panel(calendar, day):
    numbers = pl.DataFrame({"day": [day]}).select(calendar.period_number(pl.col("day"))).to_series()
    two = pl.DataFrame({"number": [numbers[0], numbers[0] + 1]}).select(end=calendar.end_of(pl.col("number")))
    stamps = two.select(calendar.panel_timestamp(pl.col("end"))).to_series().to_list()
    assert stamps[0] == period_end(stamps[0], calendar.frequency)
    assert stamps[1] == add_periods(stamps[0], 1, calendar.frequency)
    length = {Frequency.WEEK: 7, Frequency.MONTH: 31, Frequency.QUARTER: 92}[calendar.frequency]
    assert abs((stamps[0] - two["end"][0]).days) <= length / 2


def test_fiscal_quarters_stand_where_those_of_the_public_data_do():
    calendar = Calendar(frequency=Frequency.QUARTER, fiscal_year_end_month=1)
    stamp = (
        pl.DataFrame({"end": [dt.date(2026, 1, 31)]}).select(calendar.panel_timestamp(pl.col("end"))).item()
    )
    assert stamp == calendar_quarter(dt.date(2026, 1, 31)) == dt.date(2025, 12, 31)


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ({"frequency": Frequency.DAY}, "weeks, months or quarters: expected W, M or Q, found D"),
        ({"frequency": Frequency.WEEK, "week_end": 0}, r"1 \(Monday\) to 7 \(Sunday\), found 0"),
        ({"frequency": Frequency.QUARTER, "fiscal_year_end_month": 13}, "expected 1 to 12, found 13"),
    ],
)
def test_a_calendar_that_cannot_be_is_refused(terms, sentence):
    with pytest.raises(InputError, match=sentence):
        Calendar(**terms)
