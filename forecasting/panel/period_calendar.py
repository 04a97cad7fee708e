"""A calendar of one's own: a table of period ends, for fiscal periods (4-4-5, 52/53 weeks) and trading days.

Dates are moved to a regular grid of the nearest frequency, forecast there, and moved back.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from forecasting.errors import InputError
from forecasting.frequencies import STANDARD, Frequency, Unit, add_periods, period_end
from forecasting.panel.stamps import read_stamps

COLUMN = "period_end"
MIN_PERIODS = 4
# Mean days between two period ends, and what such a calendar is: a trading year has some 252 days.
SPACING = {
    STANDARD[Unit.DAY]: 1.0,
    STANDARD[Unit.BUSINESS_DAY]: 1.45,
    STANDARD[Unit.WEEK]: 7.0,
    Frequency(Unit.WEEK, 2): 14.0,
    Frequency(Unit.WEEK, 4): 28.0,
    STANDARD[Unit.MONTH]: 365.25 / 12,
    STANDARD[Unit.QUARTER]: 365.25 / 4,
    STANDARD[Unit.YEAR]: 365.25,
}
TOLERANCE = 0.06  # of the logarithm: 28 days and a twelfth of a year are 0.08 apart


@dataclass(frozen=True, kw_only=True)
class PeriodCalendar:
    """Period ends in order, and how a table writes its dates in it.

    Attributes
    ----------
    ends : tuple of date
    frequency : Frequency
        The regular one that is nearest: its season is that of the calendar.
    where : str
        File, for messages.
    starts : bool
        Dates of the table are first days of periods; else they are the ends.
    dtype : DataType
        Of the table's dates.
    """

    ends: tuple[dt.date, ...]
    frequency: Frequency
    where: str
    starts: bool = False
    dtype: pl.DataType = pl.Date()  # noqa: RUF009 - a type without state

    @classmethod
    def of(cls, ends: Sequence[dt.date], *, where: str) -> PeriodCalendar:
        """The calendar of some period ends.

        Raises
        ------
        InputError
            For fewer than 4, for ends out of order, or for a spacing that is no known one.

        >>> weeks = [4, 4, 5, 4, 4, 5]
        >>> days = [dt.date(2026, 1, 3) + dt.timedelta(weeks=sum(weeks[:k])) for k in range(7)]
        >>> PeriodCalendar.of(days, where="a 4-4-5 calendar").frequency.step_name
        '1 month'
        """
        if len(ends) < MIN_PERIODS:
            raise InputError(
                "a calendar needs period ends",
                expected=f"at least {MIN_PERIODS}",
                found=str(len(ends)),
                where=where,
            )
        for before, after in itertools.pairwise(ends):
            if after <= before:
                raise InputError("period ends must rise", found=f"{after} after {before}", where=where)
        return cls(ends=tuple(ends), frequency=_nearest(ends, where), where=where)

    @classmethod
    def read(cls, table: pl.DataFrame, *, where: str) -> PeriodCalendar:
        """The calendar of a table with the column `period_end`.

        Raises
        ------
        InputError
            Where it has no such column, a date cannot be read, or as `of` raises.
        """
        if COLUMN not in table.columns:
            raise InputError(f"column {COLUMN!r} is missing", found=", ".join(table.columns), where=where)
        rows = pl.select(pl.format("row {}", pl.int_range(1, table.height + 1))).to_series()
        stamps, _ = read_stamps(table[COLUMN], name=COLUMN, rows=rows, where=where)
        return cls.of(stamps["local"].drop_nulls().dt.date().to_list(), where=where)

    def placed(
        self, stamps: pl.DataFrame, *, rows: pl.Series, where: str
    ) -> tuple[pl.DataFrame, PeriodCalendar]:
        """Stamps (`ds`, `local`, `instant`) with the last two on the regular grid, and how they were written.

        Raises
        ------
        InputError
            If a date is neither the end nor the first day of a period of the calendar, with its row.
        """
        dates = stamps["local"].dt.date()
        for starts in (False, True):
            found = dates.replace_strict(self._written(starts=starts), self._grid(), default=None)
            if not (found.is_null() & dates.is_not_null()).any():
                moments = found.cast(pl.Datetime("us"))
                on_grid = stamps.with_columns(local=moments, instant=moments)
                return on_grid, replace(self, starts=starts, dtype=stamps["ds"].dtype)
        ends = dates.is_in(list(self.ends)) | dates.is_null()
        at = int((~ends).arg_max() or 0)
        raise InputError(
            "dates must be the period ends of the calendar, or all of them first days of its periods",
            expected=f"ends from {self.ends[0]} to {self.ends[-1]} ({self.where})",
            found=str(dates[at]),
            where=f"{where}, {rows[at]}",
        )

    def restored(self, stamps: pl.Series) -> pl.Series:
        """Dates of the regular grid as the calendar's own.

        Raises
        ------
        InputError
            If the calendar ends before them.
        """
        dates = stamps.cast(pl.Date)
        found = dates.replace_strict(self._grid(), self._written(starts=self.starts), default=None)
        missing = dates.filter(found.is_null()).n_unique()
        if missing:
            raise InputError(
                "the calendar must reach the end of the horizon",
                expected=f"{missing} more period ends after {self.ends[-1]}",
                found=f"{len(self.ends)} period ends",
                where=self.where,
            )
        return found.cast(self.dtype)

    def _grid(self) -> pl.Series:
        first = period_end(self.ends[0], self.frequency)
        return pl.Series(
            [add_periods(first, k, self.frequency) for k in range(len(self.ends))], dtype=pl.Date
        )

    def _written(self, *, starts: bool) -> pl.Series:
        """Dates as the table has them: ends, or the days after the ends before."""
        ends = pl.Series(self.ends, dtype=pl.Date)
        return ends.shift(1).dt.offset_by("1d").fill_null(dt.date.min) if starts else ends


def _nearest(ends: Sequence[dt.date], where: str) -> Frequency:
    spacing = (ends[-1] - ends[0]).days / (len(ends) - 1)
    frequency = min(SPACING, key=lambda each: abs(math.log(SPACING[each] / spacing)))
    if abs(math.log(SPACING[frequency] / spacing)) > TOLERANCE:
        raise InputError(
            "the spacing of the period ends is that of no calendar",
            expected="days, workdays, 1, 2 or 4 weeks, months, quarters or years on average",
            found=f"{spacing:.1f} days",
            where=where,
        )
    return frequency
