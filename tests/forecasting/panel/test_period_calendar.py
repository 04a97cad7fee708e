"""A calendar of one's own: its periods are the steps, its dates come back, and it must reach the horizon."""

import datetime as dt
import itertools

import polars as pl
import pytest

from forecasting.errors import InputError
from forecasting.panel.long_table import check_long_table, histories
from forecasting.panel.period_calendar import PeriodCalendar

WEEKS_OF_445 = [4, 4, 5] * 4


def ends_of(weeks, count, first=dt.date(2023, 1, 28)):
    pattern = itertools.islice(itertools.cycle(weeks), count - 1)
    return list(itertools.accumulate(pattern, lambda day, n: day + dt.timedelta(weeks=n), initial=first))


def table_of(dates):
    return pl.DataFrame({"unique_id": "a", "ds": dates, "y": [float(n) for n in range(len(dates))]})


def checked(dates, calendar):
    return check_long_table(table_of(dates), frequency=None, where="t.csv", calendar=calendar)


@pytest.mark.parametrize(
    ("ends", "name", "season"),
    [
        (ends_of(WEEKS_OF_445, 30), "1 month", 12),
        (ends_of([4], 40), "4 weeks", 13),
        (ends_of([13, 13, 13, 13, 13, 13, 13, 14], 30), "1 quarter", 4),
        (ends_of([52, 52, 52, 52, 53, 52], 12, dt.date(2010, 1, 30)), "1 year", 1),
        (ends_of([1], 60), "1 week", 52),
    ],
)
def test_the_frequency_is_the_regular_one_that_is_nearest(ends, name, season):
    frequency = PeriodCalendar.of(ends, where="c").frequency
    assert (frequency.step_name, frequency.season_length) == (name, season)


@pytest.mark.parametrize("starts", [False, True])
def test_the_future_continues_with_the_dates_of_the_calendar(starts):
    ends = ends_of(WEEKS_OF_445, 30)
    dates = [day + dt.timedelta(days=1) for day in ends[:-1]] if starts else ends
    table = checked(dates[:20], PeriodCalendar.of(ends, where="c"))
    [(history, last)] = list(histories(table))
    assert history.values[0, 0].tolist() == [float(n) for n in range(20)]
    assert table.future(last, horizon=6)["ds"].to_list() == dates[20:26]


def test_a_missing_period_is_a_gap():
    ends = ends_of(WEEKS_OF_445, 30)
    table = checked([*ends[:5], *ends[6:12]], PeriodCalendar.of(ends, where="c"))
    [(history, _)] = list(histories(table))
    assert history.values.shape[-1] == 12


def test_trading_days_leave_out_holidays():
    days = [dt.date(2025, 11, 3) + dt.timedelta(days=n) for n in range(60)]
    trading = [
        day for day in days if day.weekday() < 5 and day not in {dt.date(2025, 11, 27), dt.date(2025, 12, 25)}
    ]
    calendar = PeriodCalendar.of(trading, where="c")
    table = checked(trading[:18], calendar)
    [(_, last)] = list(histories(table))
    assert table.future(last, horizon=1)["ds"].to_list() == [dt.date(2025, 11, 28)]


def test_a_calendar_that_ends_too_early_and_a_date_outside_are_refused():
    ends = ends_of(WEEKS_OF_445, 14)
    table = checked(ends[:12], PeriodCalendar.of(ends, where="c.csv"))
    [(_, last)] = list(histories(table))
    with pytest.raises(InputError, match=r"^c\.csv: the calendar must reach .* expected 1 more period ends"):
        table.future(last, horizon=3)
    odd = [*ends[:5], ends[5] + dt.timedelta(days=3)]
    with pytest.raises(
        InputError, match=rf"^t\.csv, row 6: dates must be the period ends .* found {odd[-1]}"
    ):
        checked(odd, PeriodCalendar.of(ends, where="c.csv"))


@pytest.mark.parametrize(
    ("ends", "rule"),
    [
        (ends_of([4], 3), "a calendar needs period ends: expected at least 4, found 3"),
        (ends_of([4], 5)[::-1], "period ends must rise"),
        (ends_of([9], 8), "the spacing of the period ends is that of no calendar"),
    ],
)
def test_what_is_no_calendar_is_refused(ends, rule):
    with pytest.raises(InputError, match=rule):
        PeriodCalendar.of(ends, where="c")


def test_a_calendar_is_read_from_its_column():
    table = pl.DataFrame({"period_end": [day.isoformat() for day in ends_of([1], 6)]})
    assert PeriodCalendar.read(table, where="c").ends == tuple(ends_of([1], 6))
    with pytest.raises(InputError, match="column 'period_end' is missing"):
        PeriodCalendar.read(table.rename({"period_end": "end"}), where="c")
