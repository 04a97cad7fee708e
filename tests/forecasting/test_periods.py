"""Calendar arithmetic against plain day-by-day walks, and the sentences that user errors become."""

import calendar
import datetime as dt
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.errors import InputError, OverspillError, StepError
from forecasting.periods import (
    Frequency,
    add_periods,
    calendar_quarter,
    label,
    month_end,
    period_end,
    period_ends,
    periods_between,
)

DAY = dt.timedelta(days=1)
DATES = st.dates(min_value=dt.date(1990, 1, 1), max_value=dt.date(2060, 12, 31))
DAILY = [frequency for frequency in Frequency if frequency is not Frequency.HOUR]
FREQUENCIES = st.sampled_from(DAILY)
FEW = settings(deadline=None, max_examples=50)


def ends_a_period(day: dt.date, frequency: Frequency) -> bool:
    """Oracle: whether a period ends with this day, read off the calendar."""
    if frequency is Frequency.DAY:
        return True
    if frequency is Frequency.WEEK:
        return calendar.day_name[day.weekday()] == "Sunday"
    last_months = {Frequency.MONTH: range(1, 13), Frequency.QUARTER: (3, 6, 9, 12), Frequency.YEAR: (12,)}
    return (day + DAY).day == 1 and day.month in last_months[frequency]


def next_end(day: dt.date, frequency: Frequency) -> dt.date:
    while not ends_a_period(day, frequency):
        day += DAY
    return day


@FEW
@given(day=DATES, frequency=FREQUENCIES)
def test_period_end_is_the_first_end_met_when_walking_day_by_day(day, frequency):
    assert period_end(day, frequency) == next_end(day, frequency)


@FEW
@given(day=DATES, frequency=FREQUENCIES, steps=st.integers(0, 9))
def test_adding_periods_is_walking_from_end_to_end(day, frequency, steps):
    start = end = next_end(day, frequency)
    for _ in range(steps):
        end = next_end(end + DAY, frequency)
    assert add_periods(start, steps, frequency) == end
    assert add_periods(end, -steps, frequency) == start
    assert periods_between(start, end, frequency) == steps
    assert periods_between(end, start, frequency) == -steps


@FEW
@given(day=DATES, frequency=FREQUENCIES, steps=st.integers(-400, 400))
def test_counting_periods_undoes_adding_them(day, frequency, steps):
    end = period_end(day, frequency)
    moved = add_periods(end, steps, frequency)
    assert period_end(moved, frequency) == moved
    assert periods_between(end, moved, frequency) == steps


@FEW
@given(year=st.integers(2000, 2030), month=st.integers(1, 12), carried=st.integers(-5, 5))
def test_a_month_outside_the_year_carries_into_it(year, month, carried):
    end = next_end(dt.date(year, month, 1), Frequency.MONTH)
    assert month_end(year, month) == end
    assert month_end(year - carried, month + 12 * carried) == end


def test_period_ends_count_from_the_origin():
    origin = dt.date(2026, 3, 31)
    assert period_ends(origin, range(-1, 2), Frequency.QUARTER) == [
        dt.date(2025, 12, 31),
        origin,
        dt.date(2026, 6, 30),
    ]


@pytest.mark.parametrize(
    ("fiscal_end", "quarter"),
    [
        (dt.date(2026, 1, 25), "2025Q4"),  # Nvidia, November to January
        (dt.date(2025, 1, 31), "2024Q4"),
        (dt.date(2025, 4, 27), "2025Q1"),  # Nvidia, February to April
        (dt.date(2025, 7, 27), "2025Q2"),
        (dt.date(2026, 2, 28), "2026Q1"),  # Oracle, December to February
        (dt.date(2025, 5, 31), "2025Q2"),
        (dt.date(2025, 8, 31), "2025Q3"),
        (dt.date(2025, 11, 30), "2025Q4"),
        (dt.date(2025, 12, 27), "2025Q4"),  # AMD, 52/53-week year
        (dt.date(2026, 3, 31), "2026Q1"),
    ],
)
def test_a_fiscal_quarter_belongs_to_the_calendar_quarter_that_holds_most_of_it(fiscal_end, quarter):
    assert label(calendar_quarter(fiscal_end), Frequency.QUARTER) == quarter


@FEW
@given(fiscal_end=DATES)
def test_most_days_of_thirteen_fiscal_weeks_lie_in_their_calendar_quarter(fiscal_end):
    days = Counter(next_end(fiscal_end - n * DAY, Frequency.QUARTER) for n in range(13 * 7))
    assert calendar_quarter(fiscal_end) == days.most_common(1)[0][0]


@FEW
@given(day=DATES)
def test_labels_name_the_period(day):
    names = [label(period_end(day, f), f) for f in (Frequency.QUARTER, Frequency.MONTH, Frequency.YEAR)]
    quarter = "111222333444"[day.month - 1]
    assert names == [f"{day.year}Q{quarter}", day.isoformat()[:7], str(day.year)]
    assert label(day, Frequency.DAY) == day.isoformat()


@pytest.mark.parametrize("frequency", list(Frequency))
def test_periods_of_a_year_add_up_to_its_weeks(frequency):
    assert frequency.periods_per_year * frequency.weeks == pytest.approx(365.25 / 7)
    hours = {"h": 1, "D": 24, "W": 168, "M": 730.5, "Q": 2191.5, "Y": 8766}[frequency.value]
    assert frequency.weeks * 168 == pytest.approx(hours)


def test_a_frequency_is_read_by_its_letter_alone():
    assert [Frequency.parse(text) for text in "hDWMQY"] == list(Frequency)
    sentence = r"^--freq: unknown frequency: expected one of h, D, W, M, Q, Y, found 'q'$"
    with pytest.raises(InputError, match=sentence):
        Frequency.parse("q")


def test_bad_input_exits_with_2_and_a_failure_with_1():
    assert (InputError("a rule").exit_code, StepError("a rule").exit_code) == (2, 1)
    assert isinstance(InputError("a rule"), OverspillError)
    assert isinstance(InputError("a rule"), ValueError)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({}, "orders must not be negative"),
        ({"expected": "0 or more"}, "orders must not be negative: expected 0 or more"),
        ({"found": "-3", "where": "row 7"}, "row 7: orders must not be negative: found -3"),
        (
            {"expected": "0 or more", "found": "-3", "where": "row 7"},
            "row 7: orders must not be negative: expected 0 or more, found -3",
        ),
    ],
)
def test_an_input_error_is_one_sentence_of_where_rule_expected_and_found(parts, sentence):
    assert str(InputError("orders must not be negative", **parts)) == sentence
