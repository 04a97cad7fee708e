"""Calendar arithmetic against plain day-by-day walks, and the sentences that user errors become."""

import calendar
import datetime as dt
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.errors import InputError, OverspillError, StepError
from forecasting.frequencies import (
    STANDARD,
    Frequency,
    Unit,
    add_periods,
    calendar_quarter,
    label,
    month_end,
    period_end,
    period_ends,
    period_numbers,
    periods_between,
    workday_dates,
)

DAY = dt.timedelta(days=1)
DATES = st.dates(min_value=dt.date(1990, 1, 1), max_value=dt.date(2060, 12, 31))
DAILY = [STANDARD[unit] for unit in (Unit.DAY, Unit.WEEK, Unit.MONTH, Unit.QUARTER, Unit.YEAR)]
FREQUENCIES = st.sampled_from(DAILY)
FEW = settings(deadline=None, max_examples=50)


def ends_a_period(day: dt.date, frequency: Frequency) -> bool:
    """Oracle: whether a period ends with this day, read off the calendar."""
    if frequency == Frequency.DAY:
        return True
    if frequency == Frequency.WEEK:
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


@pytest.mark.parametrize("frequency", list(STANDARD.values()))
def test_periods_of_a_year_add_up_to_its_weeks(frequency):
    assert frequency.periods_per_year * frequency.weeks == pytest.approx(365.25 / 7)
    hours = {"min": 1 / 60, "h": 1, "D": 24, "B": 33.6, "W": 168, "M": 730.5, "Q": 2191.5, "Y": 8766}
    assert frequency.weeks * 168 == pytest.approx(hours[str(frequency)])


ALIASES = {
    "min": "min 1min T",
    "15min": "15min 15T",
    "h": "h H 1h",
    "6h": "6h 6H",
    "D": "D 1D",
    "B": "B",
    "W": "W W-SUN W-MON W-TUE W-WED W-THU W-FRI W-SAT",
    "2W": "2W 2W-FRI",
    "M": "M MS ME 1M BM BME BMS",
    "2M": "2M 2MS 2ME",
    "Q": "Q QS QE QE-DEC QS-JAN Q-MAR BQE BQS-OCT",
    "Y": "Y YS YE A AS AE YE-DEC A-JUN BYE BA-DEC",
}


@pytest.mark.parametrize("name", ALIASES)
def test_a_frequency_has_its_letter_and_the_old_and_new_names_of_pandas(name):
    for alias in ALIASES[name].split():
        assert str(Frequency.parse(alias)) == name


@pytest.mark.parametrize(
    "text", ["q", "X", "", "0D", "W-XXX", "-1D", "1.5h", "M-JAN", "minutes", "D ", "BMM"]
)
def test_what_names_no_frequency_is_refused(text):
    sentence = f"^--freq: unknown frequency: expected min, h, D, B, W, M, Q, Y, .*, found '{text}'$"
    with pytest.raises(InputError, match=sentence):
        Frequency.parse(text)


@pytest.mark.parametrize(
    ("text", "season"),
    [
        *(("min", 60), ("5min", 288), ("15min", 96), ("30min", 48), ("h", 24), ("6h", 4), ("5h", 1)),
        *(("D", 7), ("2D", 1), ("B", 5), ("W", 52), ("2W", 26), ("M", 12), ("3M", 4), ("Q", 4), ("Y", 1)),
    ],
)
def test_a_season_is_a_day_a_week_or_a_year_where_whole_steps_make_it_up(text, season):
    assert Frequency.parse(text).season_length == season


CLOCKS = st.datetimes(min_value=dt.datetime(1990, 1, 1), max_value=dt.datetime(2060, 1, 1))  # noqa: DTZ001
WITHIN_DAYS = st.sampled_from([Frequency.parse(text) for text in ("h", "6h", "15min", "min")])


@FEW
@given(moment=CLOCKS, frequency=WITHIN_DAYS, steps=st.integers(-500, 500))
def test_hours_and_minutes_move_by_the_clock_and_not_by_whole_days(moment, frequency, steps):
    length = dt.timedelta(minutes={"h": 60, "6h": 360, "15min": 15, "min": 1}[str(frequency)])
    begin = period_end(moment, frequency)
    assert begin <= moment < begin + length
    assert (begin - dt.datetime(1990, 1, 1)) % length == dt.timedelta(0)  # noqa: DTZ001
    moved = add_periods(begin, steps, frequency)
    assert moved == begin + steps * length
    assert periods_between(begin, moved, frequency) == steps


def test_an_hour_after_a_plain_date_is_one_after_its_midnight():
    moved = add_periods(dt.date(2026, 3, 1), -1, Frequency.HOUR)
    assert moved == dt.datetime(2026, 2, 28, 23)  # noqa: DTZ001
    assert label(moved, Frequency.HOUR) == "2026-02-28 23:00"


@FEW
@given(day=DATES, steps=st.integers(0, 12))
def test_business_days_are_walked_from_one_to_the_next_and_a_weekend_counts_to_monday(day, steps):
    start = end = day if day.isoweekday() <= 5 else day + (8 - day.isoweekday()) * DAY
    assert period_end(day, Frequency.BUSINESS_DAY) == start
    for _ in range(steps):
        end += DAY
        while end.isoweekday() > 5:
            end += DAY
    assert add_periods(start, steps, Frequency.BUSINESS_DAY) == end
    assert add_periods(end, -steps, Frequency.BUSINESS_DAY) == start
    assert periods_between(start, end, Frequency.BUSINESS_DAY) == steps


@FEW
@given(
    moments=st.lists(CLOCKS, min_size=2, max_size=6),
    frequency=st.sampled_from(
        [
            Frequency.parse(text)
            for text in ("min", "15min", "h", "D", "3D", "B", "2B", "W", "M", "Q", "Y", "2M")
        ]
    ),
)
def test_numbers_of_a_column_count_the_periods_between_its_stamps(moments, frequency):
    frame = pl.DataFrame({"stamp": pl.Series(moments, dtype=pl.Datetime("us"))})
    number, place = period_numbers(pl.col("stamp"), frequency)
    found = frame.select(number=number, place=place)
    first = moments[0] if frequency.is_within_days else moments[0].date()
    for moment, counted, inside in zip(moments, found["number"], found["place"], strict=True):
        day = moment if frequency.is_within_days else moment.date()
        ends = period_end(first, frequency), period_end(day, frequency)
        assert counted - found["number"][0] == periods_between(*ends, frequency)
        assert inside >= 0


@FEW
@given(day=DATES)
def test_the_date_of_a_business_day_is_had_back_from_its_number(day):
    number, _ = period_numbers(pl.col("stamp"), Frequency.BUSINESS_DAY)
    frame = pl.DataFrame({"stamp": [dt.datetime.combine(day, dt.time())]}).select(day=workday_dates(number))
    assert frame["day"][0] == period_end(day, Frequency.BUSINESS_DAY)


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
