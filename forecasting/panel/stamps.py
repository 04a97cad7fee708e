"""Stamps of a long table: how they are read, how they are written, and which ones follow.

Periods of a day and more go by the clock on the wall, in the column's own zone or by the offset that each
stamp carries; hours and minutes go by elapsed time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from forecasting.errors import InputError
from forecasting.frequencies import WORKDAYS_PER_WEEK, Frequency, Unit, period_numbers, workday_dates

# What statistics on computers span; a year outside is a typing error, such as a year of two digits.
FIRST_YEAR, LAST_YEAR = 1800, 2200
DATE_FORMATS = {  # year first: with day or month first a date could be read in two ways
    "%Y-%m-%d": pl.Date(),
    "%Y-%m-%d %H:%M:%S%.f": pl.Datetime("us"),
    "%Y-%m-%d %H:%M": pl.Datetime("us"),
    "%Y-%m-%d %H:%M:%S%.f%#z": pl.Datetime("us"),
    "%Y-%m-%d %H:%M%#z": pl.Datetime("us"),
}
OFFSET = r"\s*(?:Z|[+-]\d{2}(?::?\d{2})?)$"
HOUR_US = 3_600_000_000


@dataclass(frozen=True, kw_only=True)
class StampStyle:
    """How the stamps of a table are written.

    Attributes
    ----------
    dtype : DataType
        Date, or Datetime with the zone of the column; of text with offsets, Datetime without a zone.
    offsets : bool
        Each stamp was text with an offset from UTC of its own; there is no zone that says how it changes.
    fixed_zone : str, optional
        With offsets: the zone of the one offset that all series end with; None where they differ, or where it
        is not of whole hours: then the future is written as text.
    """

    dtype: pl.DataType
    offsets: bool = False
    fixed_zone: str | None = None

    @property
    def zone(self) -> str | None:
        """Zone of the column, None where it has none."""
        return self.dtype.time_zone if isinstance(self.dtype, pl.Datetime) else None

    def with_last(self, offsets: pl.Series) -> StampStyle:
        """The style for series that end with these offsets (Duration)."""
        only = set(offsets.dt.total_microseconds())
        if not self.offsets or len(only) > 1 or (offset := only.pop()) % HOUR_US:
            return self
        return replace(self, fixed_zone=f"Etc/GMT{-offset // HOUR_US:+d}")  # POSIX counts to the west

    def write(self, local: pl.Expr) -> pl.Expr:
        """Stamps on the wall's clock as the column holds them.

        A time that a clock change skips becomes the one an hour later, one that it repeats the earlier one.
        """
        if self.zone is None:
            return local.cast(self.dtype)
        return pl.coalesce(in_zone(local, self.zone), in_zone(local + pl.duration(hours=1), self.zone)).cast(
            self.dtype
        )


def in_zone(local: pl.Expr, zone: str) -> pl.Expr:
    """Stamps on the wall's clock in their zone; null where a clock change skips the time."""
    return local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")


def read_stamps(
    dates: pl.Series, *, name: str, rows: pl.Series, where: str
) -> tuple[pl.DataFrame, StampStyle]:
    """Read a column of dates or of text.

    Parameters
    ----------
    dates : Series of Date, Datetime or String
    name : str
        Of the column, for messages.
    rows : Series of String
        Where each one stands, for messages.
    where : str
        File.

    Returns
    -------
    DataFrame
        `ds`; `local`, the time on the wall's clock; `instant`, the time in UTC (the same without a zone).
    StampStyle

    Raises
    ------
    InputError
        If a date cannot be read or lies outside the years 1800 to 2200, with its row.
    """
    if isinstance(dates.dtype, pl.String):
        read, style = _read_text(dates, rows, where)
    elif isinstance(dates.dtype, pl.Date | pl.Datetime):
        style = StampStyle(dtype=dates.dtype)
        read = _clocks(dates)
    else:
        raise InputError(f"column {name!r} must hold dates", found=str(dates.dtype), where=where)
    outside = (~read["local"].dt.year().is_between(FIRST_YEAR, LAST_YEAR)).fill_null(value=False)
    if outside.any():
        at = int(outside.arg_max() or 0)
        raise InputError(
            "a date lies outside any series",
            expected=f"a year of four digits from {FIRST_YEAR} to {LAST_YEAR}",
            found=f"{str(dates[at])!r}, the year {read['local'][at].year}",
            where=f"{where}, {rows[at]}",
        )
    return read, style


def _clocks(dates: pl.Series) -> pl.DataFrame:
    """The stamps themselves, on the wall's clock, and in UTC."""
    zoned = isinstance(dates.dtype, pl.Datetime) and dates.dtype.time_zone is not None
    utc = dates.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zoned else dates
    local = dates.dt.replace_time_zone(None) if zoned else dates
    plain = pl.Datetime("us")
    return pl.DataFrame({"ds": dates, "local": local.cast(plain), "instant": utc.cast(plain)})


def _read_text(dates: pl.Series, rows: pl.Series, where: str) -> tuple[pl.DataFrame, StampStyle]:
    text = dates.str.strip_chars().str.replace("T", " ", literal=True)
    readings = {form: text.str.strptime(dtype, form, strict=False) for form, dtype in DATE_FORMATS.items()}
    form, best = min(readings.items(), key=lambda reading: reading[1].null_count())
    unread = best.is_null() & dates.is_not_null()
    if unread.any():
        at = int(unread.arg_max() or 0)
        raise InputError(
            "a date cannot be read",
            expected="2026-03-31 or 2026-03-31T12:00:00, one way throughout",
            found=repr(dates[at]),
            where=f"{where}, {rows[at]}",
        )
    if not form.endswith("z"):
        return _clocks(best), StampStyle(dtype=best.dtype)
    plain, zoneless = text.str.replace(OFFSET, ""), form.removesuffix("%#z")
    local = plain.str.strptime(pl.Datetime("us"), zoneless, strict=False)
    instant = best.dt.replace_time_zone(None)
    if local.equals(instant):
        return _clocks(best), StampStyle(dtype=best.dtype)
    read = pl.DataFrame({"ds": local, "local": local, "instant": instant})
    return read, StampStyle(dtype=pl.Datetime("us"), offsets=True)


def place(frequency: Frequency) -> tuple[pl.Expr, pl.Expr]:
    """Number of the period of each stamp and the place in it, from the columns `local` and `instant`."""
    return period_numbers(pl.col("instant" if frequency.is_within_days else "local"), frequency)


def is_month_end(local: pl.Expr) -> pl.Expr:
    """Whether a stamp lies on the last day of its month."""
    return local.dt.date() == local.dt.month_end().dt.date()


def is_first_workday(local: pl.Expr) -> pl.Expr:
    """Whether a stamp lies on the first day of its month from Monday to Friday."""
    return local.dt.day() == 1 + _to_monday(local.dt.month_start())


def is_last_workday(local: pl.Expr) -> pl.Expr:
    """Whether a stamp lies on the last day of its month from Monday to Friday."""
    end = local.dt.month_end()
    return local.dt.day() == end.dt.day() - _since_friday(end)


def _to_monday(date: pl.Expr) -> pl.Expr:
    """Days until the next workday, 0 for one."""
    weekday = date.dt.weekday().cast(pl.Int64)
    return pl.when(weekday > WORKDAYS_PER_WEEK).then(8 - weekday).otherwise(0)


def _since_friday(date: pl.Expr) -> pl.Expr:
    """Days since the last workday, 0 for one."""
    return pl.max_horizontal(date.dt.weekday().cast(pl.Int64) - WORKDAYS_PER_WEEK, pl.lit(0))


def grid_of(frequency: Frequency) -> dict[str, pl.Expr]:
    """What the future of an item hangs on, from the `local`, `instant` and `place` of its rows in order.

    `last_local` and `last_instant` are its last stamp; of days and weeks, at the hour of its first stamp: on
    the last day a clock change may have skipped that hour.
    """
    local, first = pl.col("local").last(), pl.col("place").first() - pl.col("place").last()
    if frequency.seconds and not frequency.is_within_days:
        local = local + pl.duration(microseconds=first)
    return {
        "last": pl.col("ds").last(),
        "last_local": local,
        "last_instant": pl.col("instant").last(),
        "offset": (pl.col("local") - pl.col("instant")).last(),
        "month_ends": is_month_end(pl.col("local")).all(),
        "last_workdays": is_last_workday(pl.col("local")).all(),
        "first_workdays": is_first_workday(pl.col("local")).all() & (pl.col("local").dt.day().n_unique() > 1),
        "day": pl.col("local").dt.day().max().cast(pl.Int64),
    }


def future_dates(
    last: pl.DataFrame, *, horizon: int, frequency: Frequency, style: StampStyle, first: int = 0
) -> pl.DataFrame:
    """Stamps of the horizon per item: unique_id, step (`first` to H - 1), ds. Step -1 is the last one known.

    They continue an item's own: the first or the last day or workday of the month or any other day (day 31
    becomes the last of a shorter month), the same hour. Stamps with offsets keep the offset of the last one.

    Parameters
    ----------
    last : DataFrame
        unique_id, and the columns of `grid_of`.
    horizon : int
    frequency : Frequency
    style : StampStyle
    first : int

    Raises
    ------
    InputError
        If the column's type cannot hold a stamp: nanoseconds end in 2262.
    """
    steps = pl.DataFrame({"step": np.arange(first, horizon, dtype=np.int32)})
    ahead = pl.col("step").cast(pl.Int64) + 1
    if frequency.is_within_days:
        instant = pl.col("last_instant") + pl.duration(seconds=ahead * frequency.seconds)
        if style.zone is not None:
            ds = instant.dt.replace_time_zone("UTC").dt.convert_time_zone(style.zone).cast(style.dtype)
        else:
            ds = style.write(instant + pl.col("offset"))
    else:
        ds = style.write(_future_local(ahead, frequency))
    try:
        laid = last.join(steps, how="cross").with_columns(ds=ds)
    except pl.exceptions.InvalidOperationError as error:
        raise InputError(
            "the horizon leaves the dates that the column can hold",
            expected=f"a shorter one, or a column in microseconds instead of {style.dtype}",
            found=f"{horizon} steps of {frequency.step_name} after {last['last'].max()!s}",
            where="--horizon",
        ) from error
    if style.offsets:
        laid = laid.with_columns(ds=_with_offset(laid, style))
    return laid.select("unique_id", "step", "ds")


def _future_local(ahead: pl.Expr, frequency: Frequency) -> pl.Expr:
    """Stamps so many steps ahead on the wall's clock."""
    local = pl.col("last_local")
    if frequency.seconds:
        return local + pl.duration(seconds=ahead * frequency.seconds)
    time = local - local.dt.truncate("1d")
    if frequency.unit is Unit.BUSINESS_DAY:
        workday, _ = period_numbers(local, Frequency.BUSINESS_DAY)
        return workday_dates(workday + ahead * frequency.multiple).cast(pl.Datetime("us")) + time
    month = 12 * local.dt.year().cast(pl.Int64) + local.dt.month().cast(pl.Int64) - 1
    month = month + ahead * frequency.months
    first = pl.date(month // 12, month % 12 + 1, 1)
    length = first.dt.month_end().dt.day().cast(pl.Int64)
    day = (
        pl.when("month_ends")
        .then(length)
        .when("last_workdays")
        .then(length - _since_friday(first.dt.month_end()))
        .when("first_workdays")
        .then(1 + _to_monday(first))
        .otherwise(pl.min_horizontal("day", length))
    )
    return (first + pl.duration(days=day - 1)).cast(pl.Datetime("us")) + time


def _with_offset(laid: pl.DataFrame, style: StampStyle) -> pl.Series:
    """Stamps with their offset: in the zone of that offset, or as text where no zone has it."""
    if style.fixed_zone is not None:
        return laid["ds"].dt.replace_time_zone(style.fixed_zone)
    minutes = pl.col("offset").dt.total_minutes()
    parts = (
        pl.col("ds").dt.to_string("%Y-%m-%dT%H:%M:%S"),
        pl.when(minutes < 0).then(pl.lit("-")).otherwise(pl.lit("+")),
        (minutes.abs() // 60).cast(pl.String).str.zfill(2),
        (minutes.abs() % 60).cast(pl.String).str.zfill(2),
    )
    return laid.select(ds=pl.format("{}{}{}:{}", *parts)).to_series()
