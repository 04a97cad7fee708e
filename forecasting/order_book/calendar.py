"""The vendor's reporting periods: weeks, months or quarters, calendar or fiscal, by arithmetic on days.

A period is named by its last day. Inside one calendar, periods are numbered without gaps: 0 holds FIRST_DAY.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import polars as pl

from forecasting.errors import InputError
from forecasting.frequencies import Frequency

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
EPOCH = dt.date(1970, 1, 1)
FIRST_DAY, LAST_DAY = dt.date(1950, 1, 1), dt.date(2099, 12, 31)  # days outside are no days of an order book
PERIODS = 8192  # more than there are weeks from FIRST_DAY to LAST_DAY
MARCH_1900 = (EPOCH - dt.date(1900, 3, 1)).days  # years counted from there end with their leap day
MONTHS_TO_FIRST = (FIRST_DAY.year - 1900) * 12 - 2  # from March 1900 to January 1950


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """Reporting periods of a vendor.

    Attributes
    ----------
    frequency : Frequency
        WEEK, MONTH or QUARTER.
    fiscal_year_end_month : int
        Last month of the fiscal year, 1 to 12; quarters end in it and in every third month.
    week_end : int
        ISO weekday on which weeks end, 1 (Monday) to 7 (Sunday).
    """

    frequency: Frequency
    fiscal_year_end_month: int = 12
    week_end: int = 7

    def __post_init__(self) -> None:
        if self.frequency not in (Frequency.WEEK, Frequency.MONTH, Frequency.QUARTER):
            raise InputError(
                "the periods of an order book are weeks, months or quarters",
                expected="W, M or Q",
                found=str(self.frequency),
            )
        if self.fiscal_year_end_month not in range(1, 13):
            raise InputError(
                "a fiscal year ends in a month", expected="1 to 12", found=str(self.fiscal_year_end_month)
            )
        if self.week_end not in range(1, 8):
            raise InputError(
                "a week ends on a weekday",
                expected="1 (Monday) to 7 (Sunday)",
                found=str(self.week_end),
            )

    def period_number(self, day: pl.Expr) -> pl.Expr:
        """Number of the period that holds a day.

        Parameters
        ----------
        day : Expr of Date
            FIRST_DAY to LAST_DAY.

        Returns
        -------
        Expr of Int32
            0 to PERIODS - 1, one more from each period to the next; null for null.
        """
        days = day.to_physical()
        if self.frequency == Frequency.WEEK:
            return (days - self._first_week_start) // 7
        months = _months(days)
        return months if self.frequency == Frequency.MONTH else (months + self._quarter_shift) // 3

    def end_of(self, number: pl.Expr) -> pl.Expr:
        """Last day (Date) of the period with a number."""
        if self.frequency == Frequency.WEEK:
            return (number * 7 + (self._first_week_start + 6)).cast(pl.Int32).cast(pl.Date)
        month = number if self.frequency == Frequency.MONTH else number * 3 + (2 - self._quarter_shift)
        first = pl.date(FIRST_DAY.year + month // 12, month % 12 + 1, 1)
        return first.dt.month_end()

    def period_end(self, day: pl.Expr) -> pl.Expr:
        """Last day (Date) of the period that holds a day."""
        return self.end_of(self.period_number(day))

    def panel_timestamp(self, end: pl.Expr) -> pl.Expr:
        """Timestamp of the panel (ends of calendar quarters and months, Sundays) for a period end.

        The panel's period that holds the middle of the vendor's; one to one, since both are equally long.
        """
        middle = {Frequency.WEEK: 3, Frequency.MONTH: 0, Frequency.QUARTER: 45}[self.frequency]
        return Calendar(frequency=self.frequency).period_end(end - pl.duration(days=middle))

    @property
    def _first_week_start(self) -> int:
        """Day number of the first day of week 0."""
        first = FIRST_DAY - dt.timedelta(days=(FIRST_DAY.isoweekday() - self.week_end - 1) % 7)
        return (first - EPOCH).days

    @property
    def _quarter_shift(self) -> int:
        """Months by which the quarter that holds FIRST_DAY began before it."""
        return -self.fiscal_year_end_month % 3


def _months(days: pl.Expr) -> pl.Expr:
    """Months since January 1950 of day numbers since 1970.

    Days are counted from 1 March, so that the leap day is the last of its year and month m (0: March) begins
    on day (153 m + 2) // 5: H. Hinnant, "chrono-compatible low-level date algorithms" (2014), for years
    without the exceptions of full centuries, March 1900 to February 2100. About twice as fast as a calendar.
    """
    since = days + MARCH_1900
    year = (4 * since + 3) // 1461
    day_of_year = since - 1461 * year // 4
    return 12 * year + (5 * day_of_year + 2) // 153 - MONTHS_TO_FIRST
