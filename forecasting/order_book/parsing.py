"""How one column of a vendor's file is read, whatever type it came in.

Each reader gives the value (null where there is none) and whether a value that is there cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
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
BLANKS = " \u00a0\u202f"  # as a separator of thousands: a blank, one that does not break, a narrow one


class ParsedColumn(NamedTuple):
    """Value of a column, and whether what stands there cannot be read."""

    value: pl.Expr
    unread: pl.Expr


class Zones(NamedTuple):
    """IANA zones: that of the vendor's reporting days, and that of time stamps written without a zone."""

    reporting: str
    naive: str


class NumberForm(NamedTuple):
    """Separators of decimals and of thousands in numbers that are text; `thousands` may be empty."""

    decimal: str
    thousands: str

    @property
    def pattern(self) -> str:
        """Regular expression of a number: groups of three digits, or none, before the decimals."""
        thousands = f"[{BLANKS}]" if self.thousands == " " else re.escape(self.thousands)
        groups = rf"|\d{{1,3}}(?:{thousands}\d{{3}})+" if self.thousands else ""
        return rf"^[+-]?(?:\d+{groups})(?:{re.escape(self.decimal)}\d*)?$"

    def plain(self, words: pl.Expr) -> pl.Expr:
        """The number with a decimal point and no other separator; null for text that is no such number."""
        digits: pl.Expr = pl.when(words.str.contains(self.pattern)).then(words)
        if self.thousands:
            digits = digits.str.replace_all(f"[{BLANKS}{re.escape(self.thousands)}]", "")
        return digits.str.replace(self.decimal, ".", literal=True)


class Dates(NamedTuple):
    """How dates are read: the zones, strftime patterns of text (none: ISO 8601), what stands for no value."""

    zones: Zones
    patterns: Sequence[str]
    null_tokens: Sequence[str]


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


def words_of(column: pl.Expr, null_tokens: Sequence[str]) -> pl.Expr:
    """Text without the blanks around it; null where that is empty or stands for no value."""
    words = column.cast(pl.String).str.strip_chars()
    spelt = {each for token in null_tokens for each in _spellings(token)}
    return words.replace(sorted(spelt | {""}), None)  # a third of the time of when/then


def _spellings(token: str) -> Iterator[str]:
    """A token as it may be written; comparing with a few spellings is faster than lower-casing a column."""
    yield from (token, token.lower(), token.upper(), token.capitalize(), token.title())


def text(column: pl.Expr, dtype: pl.DataType, null_tokens: Sequence[str] = ()) -> ParsedColumn:
    """Text without the blanks around it; blank text is none."""
    if dtype == pl.Null:
        return ParsedColumn(pl.lit(None, pl.String), NEVER)
    if dtype.is_integer():
        return ParsedColumn(column.cast(pl.String), NEVER)
    return ParsedColumn(words_of(column, null_tokens), NEVER)


def choice(
    column: pl.Expr, dtype: pl.DataType, choices: pl.Enum, aliases: Mapping[str, str] | None = None
) -> ParsedColumn:
    """One of some words or an alias of one, whatever blanks are around it; null for any other."""
    if dtype == choices:
        return ParsedColumn(column, NEVER)
    chosen = partial(_chosen, choices=choices, aliases=aliases or {})
    words = column.cast(pl.String)
    return ParsedColumn(words.map_batches(chosen, return_dtype=choices, is_elementwise=True), NEVER)


def _chosen(words: pl.Series, *, choices: pl.Enum, aliases: Mapping[str, str]) -> pl.Series:
    """Text is looked up as it stands; only what is not found is stripped and looked up again."""
    found = words.cast(choices, strict=False)
    if found.null_count() == words.null_count():
        return found
    left = (found.is_null() & words.is_not_null()).arg_true()
    plain = words.gather(left).str.strip_chars()
    plain = plain.replace(list(aliases), list(aliases.values())) if aliases else plain
    return found.scatter(left, plain.cast(choices, strict=False))


def whole(
    column: pl.Expr, dtype: pl.DataType, form: NumberForm | None = None, null_tokens: Sequence[str] = ()
) -> ParsedColumn:
    """Whole number (Int64); 3.0 is one, 3.5 is not.

    Without a form text like 1.000 is none: it may be a thousand.
    """
    if dtype == pl.Int64:
        return ParsedColumn(column, NEVER)
    if dtype == pl.String:
        words = words_of(column, null_tokens)
        digits = words if form is None else form.plain(words)
        zeros = r"\.(0|00|0000+)?$" if form is None else r"\.0*$"
        # No way through Float64: it ends at 2^53.
        value = digits.str.replace(zeros, "").cast(pl.Int64, strict=False)
        return ParsedColumn(value, words.is_not_null() & value.is_null())
    value = column.cast(pl.Int64, strict=False)
    if not dtype.is_integer() and dtype != pl.Null:
        value = _whole(column.cast(pl.Float64, strict=False))
    return ParsedColumn(value, column.is_not_null() & value.is_null())


def number(
    column: pl.Expr, dtype: pl.DataType, form: NumberForm | None = None, null_tokens: Sequence[str] = ()
) -> ParsedColumn:
    """Number (Float64)."""
    if dtype == pl.String:
        words = words_of(column, null_tokens)
        value = (words if form is None else form.plain(words)).cast(pl.Float64, strict=False)
        return ParsedColumn(value, words.is_not_null() & value.is_null())
    value = column.cast(pl.Float64, strict=False)
    return ParsedColumn(value, column.is_not_null() & value.is_null())


def day(column: pl.Expr, dtype: pl.DataType, dates: Dates) -> ParsedColumn:
    """Day in the reporting zone.

    A time stamp in an hour that a change of clocks skips cannot be read; one in an hour that comes twice is
    the earlier. Nor can text be read that two of the patterns read as different days.
    """
    zones = dates.zones
    if dtype in (pl.Date, pl.Null):
        return ParsedColumn(column.cast(pl.Date), NEVER)
    if isinstance(dtype, pl.Datetime):
        value = _day_of(column, dtype.time_zone, zones)
        naive = dtype.time_zone is None
        return ParsedColumn(value, column.is_not_null() & value.is_null() if naive else NEVER)
    words = _date_words(column, dates)
    found = [
        words.str.to_date(form, strict=False) if not _has_time(form) else _day_of(stamp, zone, zones)
        for form, stamp, zone in _stamps(words, dates.patterns)
    ]
    return _one_reading(words, found, several=len(dates.patterns) > 1)


def instant(column: pl.Expr, dtype: pl.DataType, dates: Dates) -> ParsedColumn:
    """Point in time in microseconds, as UTC without a zone; a day is its midnight in the naive zone."""
    if dtype == pl.Null:
        return ParsedColumn(column.cast(MICROSECONDS), NEVER)
    if isinstance(dtype, pl.Date | pl.Datetime):
        zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
        value = _utc(column.cast(pl.Datetime("us", zone)), zone, dates.zones)
        return ParsedColumn(value, column.is_not_null() & value.is_null() if zone is None else NEVER)
    words = _date_words(column, dates)
    found = [_utc(stamp, zone, dates.zones) for _, stamp, zone in _stamps(words, dates.patterns)]
    return _one_reading(words, found, several=len(dates.patterns) > 1)


def _one_reading(words: pl.Expr, found: Sequence[pl.Expr], *, several: bool) -> ParsedColumn:
    """The value that the patterns agree on; `several`: they are the vendor's own and may contradict."""
    value = pl.coalesce(found)
    if several:
        value = pl.when(pl.min_horizontal(found) == pl.max_horizontal(found)).then(value)
    return ParsedColumn(value, words.is_not_null() & value.is_null())


def _stamps(words: pl.Expr, patterns: Sequence[str]) -> list[tuple[str, pl.Expr, str | None]]:
    """Each pattern, the text read by it as time stamps, and their zone: UTC where the text has an offset."""
    stamps = []
    for form in patterns or ISO_PATTERNS:
        if _has_time(form):
            stamp = words.str.to_datetime(form, time_unit="us", strict=False)
        else:
            stamp = words.str.to_date(form, strict=False).cast(MICROSECONDS)
        stamps.append((form, stamp, "UTC" if "z" in form else None))
    return stamps


def _has_time(pattern: str) -> bool:
    return any(part in pattern for part in ("%H", "%I", "%T", "%R", "%s"))


def _date_words(column: pl.Expr, dates: Dates) -> pl.Expr:
    """Text of dates, null where there is none; ISO 8601 with a space where it may have a T."""
    words = words_of(column, dates.null_tokens)
    return words if dates.patterns else words.str.replace("T", " ", literal=True)


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


def _whole(numbers: pl.Expr) -> pl.Expr:
    return pl.when(numbers == numbers.round()).then(numbers).cast(pl.Int64, strict=False)
