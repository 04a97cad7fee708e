"""Frequencies and calendar arithmetic on period ends: units, aliases, seasons, steps, fiscal quarters.

A `timestamp` is always the last day of its period; for hours and minutes, the moment at which it begins.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import polars as pl

from forecasting.errors import InputError

DAYS_PER_YEAR = 365.25
DAYS_PER_WEEK = 7.0
WORKDAYS_PER_WEEK = 5
DAY_US = 86_400_000_000  # microseconds
MINUTES_IN_SHORT_STEPS = 5  # below, a season is an hour: a day of minutes is longer than any model's context
_DAYS_BEFORE_1970 = dt.date(1970, 1, 1).toordinal() - 1  # since the year 1, which began on a Monday
ALIAS = re.compile(
    r"(?P<multiple>[1-9]\d{0,3})?"
    r"(?:(?P<unit>min|T|h|H|D|B)|(?P<week>W)(?:-(?:SUN|MON|TUE|WED|THU|FRI|SAT))?"
    r"|(?P<month>B?M)[SE]?"
    r"|(?:(?P<quarter>B?Q)|(?P<year>B?[YA]))[SE]?(?:-(?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC))?)"
)
OLD_LETTERS = {"T": "min", "H": "h", "A": "Y", "BM": "M", "BQ": "Q", "BY": "Y", "BA": "Y"}
KNOWN = "min, h, D, B, W, M, Q, Y, a multiple such as 15min, or a pandas alias such as MS, BME, QE-DEC, W-SUN"


class Unit(StrEnum):
    """What a frequency counts; the value is its letter on the command line."""

    MINUTE = "min"
    HOUR = "h"
    DAY = "D"
    BUSINESS_DAY = "B"
    WEEK = "W"
    MONTH = "M"
    QUARTER = "Q"
    YEAR = "Y"


_NAMES = {Unit.BUSINESS_DAY: "business day"}
_MONTHS = {Unit.MONTH: 1, Unit.QUARTER: 3, Unit.YEAR: 12}
_SECONDS = {Unit.MINUTE: 60, Unit.HOUR: 3600, Unit.DAY: 86400, Unit.WEEK: 7 * 86400}
# Units in one season: the day of hours, the week of days, the year of the others.
_CYCLES = {
    Unit.MINUTE: 1440,
    Unit.HOUR: 24,
    Unit.DAY: 7,
    Unit.BUSINESS_DAY: WORKDAYS_PER_WEEK,
    Unit.WEEK: 52,
    Unit.MONTH: 12,
    Unit.QUARTER: 4,
    Unit.YEAR: 1,
}


@dataclass(frozen=True)
class Frequency:
    """Spacing of a series: a number of units. Where in its period a stamp lies, the data say.

    Attributes
    ----------
    unit : Unit
    multiple : int
        Units in one step, at least 1.
    """

    unit: Unit
    multiple: int = 1

    MINUTE: ClassVar[Frequency]
    HOUR: ClassVar[Frequency]
    DAY: ClassVar[Frequency]
    BUSINESS_DAY: ClassVar[Frequency]
    WEEK: ClassVar[Frequency]
    MONTH: ClassVar[Frequency]
    QUARTER: ClassVar[Frequency]
    YEAR: ClassVar[Frequency]

    def __str__(self) -> str:
        """As `--freq` takes it: Q, 15min."""
        return (str(self.multiple) if self.multiple > 1 else "") + self.unit.value

    @property
    def step_name(self) -> str:
        """One step in words: `1 month`, `15 minutes`, `1 business day`."""
        name = _NAMES.get(self.unit, self.unit.name.lower())
        return f"{self.multiple} {name}" + ("s" if self.multiple > 1 else "")

    @property
    def season_length(self) -> int:
        """Steps in one season (a day of hours, a week of days, else a year); 1 if they do not divide it."""
        cycle = _CYCLES[self.unit]
        if self.unit is Unit.MINUTE and self.multiple < MINUTES_IN_SHORT_STEPS:
            cycle = 60
        return 1 if cycle % self.multiple else cycle // self.multiple

    @property
    def weeks(self) -> float:
        """Mean length of one period in weeks."""
        if self.unit is Unit.BUSINESS_DAY:
            return self.multiple / WORKDAYS_PER_WEEK
        days = DAYS_PER_YEAR * self.months / 12 if self.months else self.seconds / 86400
        return days / DAYS_PER_WEEK

    @property
    def periods_per_year(self) -> float:
        """Mean number of periods in a year."""
        return DAYS_PER_YEAR / DAYS_PER_WEEK / self.weeks

    @property
    def months(self) -> int:
        """Calendar months in one period, 0 for periods that are not made of months."""
        return _MONTHS.get(self.unit, 0) * self.multiple

    @property
    def seconds(self) -> int:
        """Seconds in one period of fixed length, 0 for months, their multiples, and business days."""
        return _SECONDS.get(self.unit, 0) * self.multiple

    @property
    def is_within_days(self) -> bool:
        """Whether periods are shorter than a day: they then go by the clock and not by the calendar."""
        return self.unit in (Unit.MINUTE, Unit.HOUR)

    @classmethod
    def parse(cls, text: str, *, where: str = "--freq") -> Frequency:
        """Read a frequency: a unit, a multiple of it, or what pandas calls it in old and new versions.

        A suffix (`MS`, `ME`, `QE-DEC`, `W-SUN`) changes nothing: a table's own stamps are continued.

        >>> Frequency.parse("QE-DEC") == Frequency.QUARTER, Frequency.parse("15T").step_name
        (True, '15 minutes')

        Raises
        ------
        InputError
            If the text names none.
        """
        found = ALIAS.fullmatch(text)
        if found is None:
            raise InputError("unknown frequency", expected=KNOWN, found=repr(text), where=where)
        multiple, *letters = found.groups()
        letter = next(each for each in letters if each)
        return cls(Unit(OLD_LETTERS.get(letter, letter)), int(multiple or 1))


STANDARD: Mapping[Unit, Frequency] = {unit: Frequency(unit) for unit in Unit}
for _unit, _frequency in STANDARD.items():
    setattr(Frequency, _unit.name, _frequency)


def month_end(year: int, month: int) -> dt.date:
    """Last day of a month; `month` may lie outside 1..12 and then carries into the year."""
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    return dt.date(year, month, calendar.monthrange(year, month)[1])


def period_end(day: dt.date, frequency: Frequency) -> dt.date:
    """Last day of the calendar period that holds `day` (weeks end on Sunday, a weekend counts to Monday).

    Several days, weeks or months make up a period that is counted from the year 1; hours and minutes begin
    at their moment, and come back as a datetime.

    >>> period_end(dt.date(2026, 1, 15), Frequency.QUARTER)
    datetime.date(2026, 3, 31)
    >>> period_end(dt.datetime(2026, 1, 15, 10, 25), Frequency.HOUR)
    datetime.datetime(2026, 1, 15, 10, 0)
    """
    return _end(_number(day, frequency), frequency)


def add_periods(end: dt.date, steps: int, frequency: Frequency) -> dt.date:
    """Period end that lies `steps` periods after (or, if negative, before) the period end `end`.

    >>> add_periods(dt.date(2025, 12, 31), 3, Frequency.QUARTER)
    datetime.date(2026, 9, 30)
    >>> add_periods(dt.datetime(2025, 12, 31, 22), 3, Frequency.HOUR)
    datetime.datetime(2026, 1, 1, 1, 0)
    """
    if frequency.months:
        return month_end(end.year, end.month + steps * frequency.months)
    if frequency.unit is Unit.BUSINESS_DAY:
        return _end(_number(end, frequency) + steps, frequency)
    start = _moment(end) if frequency.is_within_days else end
    return start + dt.timedelta(seconds=steps * frequency.seconds)


def periods_between(first: dt.date, last: dt.date, frequency: Frequency) -> int:
    """Number of steps from period end `first` to period end `last` (negative if `last` is earlier).

    >>> periods_between(dt.date(2025, 12, 31), dt.date(2026, 9, 30), Frequency.QUARTER)
    3
    """
    if frequency.months:
        return ((last.year - first.year) * 12 + last.month - first.month) // frequency.months
    if frequency.unit is Unit.BUSINESS_DAY:
        return _number(last, frequency) - _number(first, frequency)
    return (_moment(last) - _moment(first)) // dt.timedelta(seconds=frequency.seconds)


def period_ends(origin: dt.date, steps: range, frequency: Frequency) -> list[dt.date]:
    """Period ends at the given step numbers, step 0 being `origin`."""
    return [add_periods(origin, step, frequency) for step in steps]


def calendar_quarter(fiscal_quarter_end: dt.date) -> dt.date:
    """Calendar quarter end of the quarter that holds most of a fiscal quarter: the one that holds its middle.

    >>> calendar_quarter(dt.date(2026, 1, 25))  # a fiscal quarter from November to January
    datetime.date(2025, 12, 31)
    """
    return period_end(fiscal_quarter_end - dt.timedelta(days=45), Frequency.QUARTER)


def label(end: dt.date, frequency: Frequency) -> str:
    """Short name of a period: 2026Q3, 2026-09, 2026, or the date (for hours, with the time) itself.

    >>> label(dt.date(2026, 9, 30), Frequency.QUARTER)
    '2026Q3'
    """
    if frequency == Frequency.QUARTER:
        return f"{end.year}Q{(end.month + 2) // 3}"
    if frequency == Frequency.MONTH:
        return f"{end:%Y-%m}"
    if isinstance(end, dt.datetime):
        return end.isoformat(" ", "minutes")
    return f"{end.year}" if frequency == Frequency.YEAR else end.isoformat()


def period_numbers(stamp: pl.Expr, frequency: Frequency) -> tuple[pl.Expr, pl.Expr]:
    """Number of the period that holds each stamp, and the place of the stamp in it; one step apart: 1 more.

    Parameters
    ----------
    stamp : Expr of Datetime("us") without zone
        On the wall's clock for periods of a day and more, in UTC for shorter ones.
    frequency : Frequency

    Returns
    -------
    number, place : Expr of Int64
        Numbers as `period_end` counts. Places are microseconds since the period began; of months, whole
        months since it began, and of business days neither nights nor weekends count.
    """
    if frequency.months:
        month = 12 * stamp.dt.year().cast(pl.Int64) + stamp.dt.month().cast(pl.Int64) - 1
        return month // frequency.months, month % frequency.months
    time = stamp.dt.epoch("us") + _DAYS_BEFORE_1970 * DAY_US
    if frequency.unit is Unit.BUSINESS_DAY:
        day, clock = time // DAY_US, time % DAY_US
        workday = WORKDAYS_PER_WEEK * (day // 7) + pl.min_horizontal(day % 7, pl.lit(WORKDAYS_PER_WEEK))
        return workday // frequency.multiple, workday % frequency.multiple * DAY_US + clock
    length = frequency.seconds * 1_000_000
    return time // length, time % length


def workday_dates(workday: pl.Expr) -> pl.Expr:
    """Date of each business day, counted from the year 1 as `period_numbers` does."""
    days = 7 * (workday // WORKDAYS_PER_WEEK) + workday % WORKDAYS_PER_WEEK - _DAYS_BEFORE_1970
    return days.cast(pl.Int32).cast(pl.Date)


def _moment(day: dt.date) -> dt.datetime:
    """The day itself if it has a time, else its midnight."""
    return day if isinstance(day, dt.datetime) else dt.datetime.combine(day, dt.time())


def _number(day: dt.date, frequency: Frequency) -> int:
    """Number of the period that holds a day, counted from the year 1."""
    if frequency.months:
        return (12 * day.year + day.month - 1) // frequency.months
    if frequency.unit is Unit.BUSINESS_DAY:
        week, weekday = divmod(day.toordinal() - 1, 7)
        workday = min(weekday, WORKDAYS_PER_WEEK)  # 5, a weekend, is the Monday of the week after
        return (WORKDAYS_PER_WEEK * week + workday) // frequency.multiple
    if frequency.is_within_days:
        return (_moment(day) - _moment(dt.date.min)) // dt.timedelta(seconds=frequency.seconds)
    return (day.toordinal() - 1) // (frequency.seconds // 86400)  # 1 January of the year 1 is a Monday


def _end(number: int, frequency: Frequency) -> dt.date:
    """Last day of a period, or the first moment of one shorter than a day."""
    if frequency.months:
        return month_end(0, (number + 1) * frequency.months)
    if frequency.is_within_days:
        return _moment(dt.date.min) + number * dt.timedelta(seconds=frequency.seconds)
    if frequency.unit is Unit.BUSINESS_DAY:
        week, weekday = divmod((number + 1) * frequency.multiple - 1, WORKDAYS_PER_WEEK)
        return dt.date.fromordinal(7 * week + weekday + 1)
    return dt.date.fromordinal((number + 1) * (frequency.seconds // 86400))
