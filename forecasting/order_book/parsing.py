"""How one column of a vendor's file is read, whatever type it came in.

Each reader gives the value (null where there is none) and whether a value that is there cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import polars as pl

ISO_PATTERNS = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M%#z",
)
MICROSECONDS = pl.Datetime("us")
NEVER = pl.lit(value=False)


class ParsedColumn(NamedTuple):
    """Value of a column, and whether what stands there cannot be read."""

    value: pl.Expr
    unread: pl.Expr


class Zones(NamedTuple):
    """IANA zones: that of the vendor's reporting days, and that of time stamps written without a zone."""

    reporting: str
    naive: str


def _is_text(dtype: pl.DataType) -> bool:
    return dtype in (pl.String, pl.Null) or isinstance(dtype, pl.Categorical | pl.Enum)


def _is_number(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype in (pl.String, pl.Null)


def _is_time(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Date | pl.Datetime) or dtype in (pl.String, pl.Null)


READABLE: Mapping[str, Callable[[pl.DataType], bool]] = {
    "text": lambda dtype: _is_text(dtype) or dtype.is_integer(),
    "whole numbers": _is_number,
    "numbers": _is_number,
    "dates": _is_time,
    "time stamps": _is_time,
}
EXPECTED: Mapping[str, str] = {
    "text": "text or whole numbers",
    "whole numbers": "numbers or text",
    "numbers": "numbers or text",
    "dates": "dates, time stamps or text",
    "time stamps": "dates, time stamps or text",
}


def text(column: pl.Expr, dtype: pl.DataType) -> ParsedColumn:
    """Text without the blanks around it; blank text is none."""
    if dtype == pl.Null:
        return ParsedColumn(pl.lit(None, pl.String), NEVER)
    if dtype.is_integer():
        return ParsedColumn(column.cast(pl.String), NEVER)
    words = column.cast(pl.String).str.strip_chars()
    return ParsedColumn(pl.when(words.str.len_bytes() > 0).then(words), NEVER)


def choice(column: pl.Expr, dtype: pl.DataType, choices: pl.Enum) -> ParsedColumn:
    """One of some words, whatever blanks are around it; null for any other."""
    if dtype == choices:
        return ParsedColumn(column, NEVER)
    words = column.cast(pl.String).str.strip_chars()
    return ParsedColumn(words.cast(choices, strict=False), NEVER)


def whole(column: pl.Expr, dtype: pl.DataType) -> ParsedColumn:
    """Whole number (Int64); 3.0 is one, 3.5 is not, and text like 1.000 is not: it may be a thousand."""
    if dtype == pl.Int64:
        return ParsedColumn(column, NEVER)
    value = column.cast(pl.Int64, strict=False)
    if dtype == pl.String:
        digits = column.str.strip_chars().str.replace(
            r"\.(0|00|0000+)?$", ""
        )  # no way through Float64: it ends at 2^53
        value = digits.cast(pl.Int64, strict=False)
    elif not dtype.is_integer() and dtype != pl.Null:
        value = _whole(column.cast(pl.Float64, strict=False))
    return ParsedColumn(value, _lost(column, value, dtype))


def number(column: pl.Expr, dtype: pl.DataType) -> ParsedColumn:
    """Number (Float64)."""
    value = _float(column) if dtype == pl.String else column.cast(pl.Float64, strict=False)
    return ParsedColumn(value, _lost(column, value, dtype))


def day(column: pl.Expr, dtype: pl.DataType, *, zones: Zones, pattern: str | None) -> ParsedColumn:
    """Day in the reporting zone.

    A time stamp in an hour that a change of clocks skips cannot be read; one in an hour that comes twice is
    the earlier.
    """
    if dtype in (pl.Date, pl.Null):
        return ParsedColumn(column.cast(pl.Date), NEVER)
    if isinstance(dtype, pl.Datetime):
        value = _day_of(column, dtype.time_zone, zones)
        return ParsedColumn(value, _lost(column, value, dtype) if dtype.time_zone is None else NEVER)
    words = _date_words(column, pattern)
    value = pl.coalesce(
        words.str.to_date(form, strict=False) if not _has_time(form) else _day_of(stamp, zone, zones)
        for form, stamp, zone in _stamps(words, pattern)
    )
    return ParsedColumn(value, words.is_not_null() & value.is_null())


def instant(column: pl.Expr, dtype: pl.DataType, *, zones: Zones, pattern: str | None) -> ParsedColumn:
    """Point in time in microseconds, as UTC without a zone; a day is its midnight in the naive zone."""
    if dtype == pl.Null:
        return ParsedColumn(column.cast(MICROSECONDS), NEVER)
    if isinstance(dtype, pl.Date | pl.Datetime):
        zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
        value = _utc(column.cast(pl.Datetime("us", zone)), zone, zones)
        return ParsedColumn(value, _lost(column, value, dtype) if zone is None else NEVER)
    words = _date_words(column, pattern)
    value = pl.coalesce(_utc(stamp, zone, zones) for _, stamp, zone in _stamps(words, pattern))
    return ParsedColumn(value, words.is_not_null() & value.is_null())


def _stamps(words: pl.Expr, pattern: str | None) -> list[tuple[str, pl.Expr, str | None]]:
    """Each pattern, the text read by it as time stamps, and their zone: UTC where the text has an offset."""
    stamps = []
    for form in (pattern,) if pattern else ISO_PATTERNS:
        if _has_time(form):
            stamp = words.str.to_datetime(form, time_unit="us", strict=False)
        else:
            stamp = words.str.to_date(form, strict=False).cast(MICROSECONDS)
        stamps.append((form, stamp, "UTC" if "z" in form else None))
    return stamps


def _has_time(pattern: str) -> bool:
    return any(part in pattern for part in ("%H", "%I", "%T", "%R", "%s"))


def _date_words(column: pl.Expr, pattern: str | None) -> pl.Expr:
    """Text of dates, null where it is empty; ISO 8601 with a space where it may have a T."""
    words = column.cast(pl.String).str.strip_chars()
    words = words.str.replace("T", " ", literal=True) if pattern is None else words
    return pl.when(words.str.len_bytes() > 0).then(words)


def _day_of(stamp: pl.Expr, zone: str | None, zones: Zones) -> pl.Expr:
    """Day in the reporting zone of time stamps in a zone (None: written in the naive one)."""
    if zone is None and zones.naive != zones.reporting:
        stamp, zone = _in_naive_zone(stamp, zones), zones.naive
    if zone is not None and zone != zones.reporting:
        stamp = stamp.dt.convert_time_zone(zones.reporting)
    return stamp.dt.date()


def _utc(stamp: pl.Expr, zone: str | None, zones: Zones) -> pl.Expr:
    """The same instants as UTC without a zone."""
    if zone is None:
        stamp = _in_naive_zone(stamp, zones)
    return stamp.dt.convert_time_zone("UTC").dt.replace_time_zone(None)


def _in_naive_zone(stamp: pl.Expr, zones: Zones) -> pl.Expr:
    return stamp.dt.replace_time_zone(zones.naive, ambiguous="earliest", non_existent="null")


def _float(words: pl.Expr) -> pl.Expr:
    return words.cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False)


def _whole(numbers: pl.Expr) -> pl.Expr:
    return pl.when(numbers == numbers.round()).then(numbers).cast(pl.Int64, strict=False)


def _lost(column: pl.Expr, value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Where something stands in a column and nothing could be read; empty text is nothing."""
    there = column.is_not_null()
    if dtype == pl.String:
        there = there & (column.str.strip_chars().str.len_bytes() > 0)
    return there & value.is_null()
