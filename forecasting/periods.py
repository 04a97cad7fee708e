"""Calendar arithmetic on period ends: frequencies, steps, and fiscal quarters laid on calendar quarters.

A `timestamp` is always the last day of its period (for `h`: the full hour).
"""

from __future__ import annotations

import calendar
import datetime as dt
from enum import StrEnum

from forecasting.errors import InputError

DAYS_PER_YEAR = 365.25
DAYS_PER_WEEK = 7.0


class Frequency(StrEnum):
    """Spacing of a series; the value is what `--freq` takes."""

    HOUR = "h"
    DAY = "D"
    WEEK = "W"
    MONTH = "M"
    QUARTER = "Q"
    YEAR = "Y"

    @property
    def season_length(self) -> int:
        """Steps in one season (a day for hours, a week for days, else a year)."""
        return {"h": 24, "D": 7, "W": 52, "M": 12, "Q": 4, "Y": 1}[self.value]

    @property
    def weeks(self) -> float:
        """Mean length of one period in weeks."""
        days = {"h": 1 / 24, "D": 1.0, "W": DAYS_PER_WEEK}.get(self.value, DAYS_PER_YEAR * self.months / 12)
        return days / DAYS_PER_WEEK

    @property
    def periods_per_year(self) -> float:
        """Mean number of periods in a year."""
        return DAYS_PER_YEAR / DAYS_PER_WEEK / self.weeks

    @property
    def months(self) -> int:
        """Calendar months in one period, 0 for periods that are not made of months."""
        return {"M": 1, "Q": 3, "Y": 12}.get(self.value, 0)

    @classmethod
    def parse(cls, text: str) -> Frequency:
        """Read a frequency.

        Raises
        ------
        InputError
            If the text is none of h, D, W, M, Q, Y.
        """
        try:
            return cls(text)
        except ValueError:
            raise InputError(
                "unknown frequency", expected="one of h, D, W, M, Q, Y", found=repr(text), where="--freq"
            ) from None


def month_end(year: int, month: int) -> dt.date:
    """Last day of a month; `month` may lie outside 1..12 and then carries into the year."""
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    return dt.date(year, month, calendar.monthrange(year, month)[1])


def period_end(day: dt.date, frequency: Frequency) -> dt.date:
    """Last day of the calendar period that holds `day` (weeks end on Sunday).

    >>> period_end(dt.date(2026, 1, 15), Frequency.QUARTER)
    datetime.date(2026, 3, 31)
    """
    if frequency is Frequency.WEEK:
        return day + dt.timedelta(days=6 - day.weekday())
    months = frequency.months
    if months == 0:
        return day
    return month_end(day.year, (day.month - 1) // months * months + months)


def add_periods(end: dt.date, steps: int, frequency: Frequency) -> dt.date:
    """Period end that lies `steps` periods after (or, if negative, before) the period end `end`.

    >>> add_periods(dt.date(2025, 12, 31), 3, Frequency.QUARTER)
    datetime.date(2026, 9, 30)
    """
    if frequency.months:
        return month_end(end.year, end.month + steps * frequency.months)
    return end + dt.timedelta(days=steps * (7 if frequency is Frequency.WEEK else 1))


def periods_between(first: dt.date, last: dt.date, frequency: Frequency) -> int:
    """Number of steps from period end `first` to period end `last` (negative if `last` is earlier).

    >>> periods_between(dt.date(2025, 12, 31), dt.date(2026, 9, 30), Frequency.QUARTER)
    3
    """
    if frequency.months:
        return ((last.year - first.year) * 12 + last.month - first.month) // frequency.months
    return (last - first).days // (7 if frequency is Frequency.WEEK else 1)


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
    """Short name of a period: 2026Q3, 2026-09, 2026, or the date itself.

    >>> label(dt.date(2026, 9, 30), Frequency.QUARTER)
    '2026Q3'
    """
    if frequency is Frequency.QUARTER:
        return f"{end.year}Q{(end.month + 2) // 3}"
    if frequency is Frequency.MONTH:
        return f"{end:%Y-%m}"
    return f"{end.year}" if frequency is Frequency.YEAR else end.isoformat()
