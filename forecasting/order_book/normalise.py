"""From a vendor's columns to canonical order lines: names, types, days in the reporting zone, broken rules.

Everything is a lazy, row-wise expression: nothing is read here, and any engine can run it.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from forecasting.errors import InputError
from forecasting.order_book import parsing, rules
from forecasting.order_book.countries import COUNTRIES
from forecasting.order_book.parsing import Dates, NumberForm, ParsedColumn, Zones
from forecasting.order_book.schema import COLUMNS, DAYS, DISPENSABLE, OPTIONAL, REQUIRED

READ = "order_book."  # prefix of canonical columns while the vendor's own still stand beside them
ROW, RULE, SAYS = "source_row", "broken_rule", "rule_says"
FAULT, VALUE = "broken_column", "broken_value"
TYPO_CUTOFF = 0.75  # share of letters in common (difflib) from which a name is taken for a slip
SHOWN_LETTERS = 1_000  # of a header, in an error
RESERVED = ("source_file", ROW, RULE, SAYS, FAULT, VALUE)
COUNTRY = pl.Enum(COUNTRIES)


@dataclass(frozen=True, kw_only=True)
class Forms:
    """How one file writes its values where that is not the standard way, by canonical column.

    Attributes
    ----------
    dates : mapping of column to strftime patterns
        Columns that are not ISO 8601.
    numbers : mapping of column to NumberForm
        Columns with other separators than a decimal point.
    countries : mapping of text to ISO code
        What stands in the file for a country, other than its code in capital letters.
    unreadable : tuple of str
        Columns out of DISPENSABLE of which no value can be read: they count as absent.
    """

    dates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: Mapping[str, NumberForm] = field(default_factory=dict)
    countries: Mapping[str, str] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Intake:
    """How to read one vendor's order lines.

    Attributes
    ----------
    columns : mapping of canonical name to the vendor's
        A column that is not named here has its canonical name; None: the vendor has no such column.
    skus : mapping of SKU to chip_id
    as_of : date
        Day on which the book was drawn up; later orders, shipments, cancellations and updates are refused.
    zone : str
        IANA zone of the vendor's reporting days. Zoned time stamps are turned into days there.
    naive_zone : str or None
        Zone in which time stamps without a zone are written; None: the reporting zone.
    date_format : str or None
        strftime pattern of dates given as text; None: ISO 8601 (2026-03-31, with or without a time and an
        offset), or what `forms` says.
    date_formats : mapping of canonical column to strftime patterns
        Goes before `date_format`. A date that two of a column's patterns read differently cannot be read.
    number_form : NumberForm or None
        Separators in numbers given as text; None: a decimal point alone, or what `forms` says.
    null_tokens : tuple of str
        Texts that stand for no value, whatever the case of their letters.
    forms : Forms
        What was recognised of the file at hand.
    """

    skus: Mapping[str, str]
    as_of: dt.date
    columns: Mapping[str, str | None] = field(default_factory=dict)
    zone: str = "UTC"
    naive_zone: str | None = None
    date_format: str | None = None
    date_formats: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    number_form: NumberForm | None = None
    null_tokens: tuple[str, ...] = ()
    forms: Forms = field(default_factory=Forms)

    def own(self, name: str) -> str | None:
        """The vendor's name of a canonical column; None if it is said that there is none."""
        return self.columns.get(name, name)

    @property
    def updates_end(self) -> dt.datetime:
        """First quarter of an hour after `as_of` in the reporting zone, as UTC without a zone."""
        midnight = dt.datetime.combine(self.as_of, dt.time())
        moments = pl.datetime_range(
            midnight, midnight + dt.timedelta(days=3), "15m", time_unit="us", eager=True
        )
        days = moments.dt.replace_time_zone("UTC").dt.convert_time_zone(self.zone).dt.date()
        first: Any = moments.filter(days > self.as_of).min()
        return dt.datetime.fromisoformat(str(first))

    def declares_dates(self, name: str) -> bool:
        """Whether it is stated how the dates of a canonical column are written."""
        return name in self.date_formats or self.date_format is not None

    def dates(self, name: str) -> Dates:
        """How the dates of a canonical column are read."""
        stated = () if self.date_format is None else (self.date_format,)
        return Dates(
            zones=Zones(reporting=self.zone, naive=self.naive_zone or self.zone),
            patterns=self.date_formats.get(name) or stated or self.forms.dates.get(name, ()),
            null_tokens=self.null_tokens,
        )

    def ignored(self, names: Iterable[str]) -> list[str]:
        """Those of a file's columns that are not read."""
        used = {self.own(name) for name in COLUMNS}
        return [name for name in names if name not in used]


def check_columns(schema: pl.Schema, intake: Intake, *, where: str) -> None:
    """Refuse a table that lacks required columns, or has columns of a type that cannot hold them.

    So is a table without an optional column where a column that would be ignored has nearly its name.

    Raises
    ------
    InputError
        Naming the column, the file, and the nearest column that the file has.
    """
    names = schema.names()
    for reserved in RESERVED:
        if reserved in names:
            raise InputError(
                "a column has a name that is needed for the quarantine report", found=reserved, where=where
            )
    for name in COLUMNS:
        own = intake.own(name)
        if own is None:
            _check_not_required(name)
        elif own in names:
            kind = kind_of(name)
            if not readable(name, schema[own]) and name not in DISPENSABLE:
                raise InputError(
                    f"column {own!r} is of a type that cannot be read as {kind}",
                    expected=parsing.EXPECTED[kind],
                    found=str(schema[own]),
                    where=where,
                )
        elif name in REQUIRED or name in intake.columns:
            near = _nearest(own, names, cutoff=0.5)
            hint = f"; the nearest is {near[0]!r}" if near else ""
            what = "" if own == name else f" (for {name})"
            raise InputError(f"column {own!r}{what} is missing", found=_shown(names) + hint, where=where)
    _check_slips(names, intake, where=where)


def _shown(names: Sequence[str]) -> str:
    """Names of a file's columns, cut where they are no header for people."""
    text = ", ".join(names)
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}..."


def _check_slips(names: Sequence[str], intake: Intake, *, where: str) -> None:
    """Refuse a column that would be ignored and has nearly the name of an optional one that is absent."""
    absent = [name for name in OPTIONAL if name not in names and name not in intake.columns]
    for slip in intake.ignored(names):
        near = _nearest(slip, absent, cutoff=TYPO_CUTOFF)
        if near:
            name = " or ".join(repr(each) for each in near)
            raise InputError(
                f"the optional column {name} is missing, and one of nearly that name would be ignored",
                expected=f"data.columns to say so: {{{near[0]}: {slip!r}}}, or {{{near[0]}: null}} for none",
                found=repr(slip),
                where=where,
            )


def _check_not_required(name: str) -> None:
    if name in REQUIRED:
        raise InputError(
            "a required column must be one of your file's columns",
            expected=f"the name of your column for {name}",
            found="null",
            where="data.columns",
        )


def _nearest(name: str, among: Iterable[str], *, cutoff: float) -> list[str]:
    """Similar names, the most similar first, whatever their case and the blanks around them."""
    plain = {each.strip().casefold(): each for each in among}
    return [plain[near] for near in difflib.get_close_matches(name.strip().casefold(), plain, cutoff=cutoff)]


COUNTRY_COLUMNS = ("customer_country", "end_use_country")
KINDS: Mapping[str, tuple[str, ...]] = {
    "text": ("order_id", "sku", "customer_id", "customer_country", "end_use_country", "return_reason"),
    "whole numbers": ("line", "split", "quantity", "shipped_quantity"),
    "numbers": ("unit_price",),
    "dates": DAYS,
    "time stamps": ("updated_at",),
}


def normalise(raw: pl.LazyFrame, intake: Intake, *, where: str = "order book") -> pl.LazyFrame:
    """Canonical order lines of one file, each with the row rule that it breaks.

    Parameters
    ----------
    raw : LazyFrame
        As scanned, any column types: text (CSV), numbers, dates, time stamps.
    intake : Intake
    where : str
        The file, for errors.

    Returns
    -------
    LazyFrame
        `schema.COLUMNS` (sku an Enum of the mapping's SKUs; null where a value cannot be read), then
        `source_row` (UInt32, the first data row is 1) and `broken_rule` (Enum of ROW_RULES, null for a row
        that keeps them all). One row for each row of `raw`, in its order.

    Raises
    ------
    InputError
        As `check_columns`.
    """
    check_columns(raw.collect_schema(), intake, where=where)
    return canonical_lines(raw, intake)


def canonical_lines(raw: pl.LazyFrame, intake: Intake, *, first_row: int = 1) -> pl.LazyFrame:
    """`normalise` of a part of a file whose columns have been checked, from a row on.

    Columns that the part leaves out are read as absent.
    """
    frame, row = _read(raw, raw.collect_schema(), intake, first_row=first_row)
    canonical = [pl.col(READ + name).alias(name) for name in COLUMNS]
    return frame.select(*canonical, ROW, rules.broken_rule(row).alias(RULE))


def faults(raw: pl.LazyFrame, intake: Intake) -> pl.LazyFrame:
    """What breaks the first broken rule of each row: `broken_column` (the vendor's name) and `broken_value`.

    Both are null for a row that keeps every row rule. One row for each row of `raw`, in its order.
    """
    schema = raw.collect_schema()
    frame, row = _read(raw, schema, intake)
    at_fault = rules.column_at_fault(row)
    own = {name: intake.own(name) for name in COLUMNS}
    value = pl.lit(None, pl.String)
    for name, column in own.items():
        if column is not None and column in schema:
            shown = pl.col(column).cast(pl.String, strict=False)
            value = pl.when(pl.col(FAULT) == name).then(shown).otherwise(value)
    names = {name: column or name for name, column in own.items()}
    return (
        frame.with_columns(at_fault.alias(FAULT))
        .with_columns(value.alias(VALUE))
        .select(pl.col(FAULT).replace(list(names), list(names.values())), VALUE)
    )


def _read(
    raw: pl.LazyFrame, schema: pl.Schema, intake: Intake, *, first_row: int = 1
) -> tuple[pl.LazyFrame, rules.RowValues]:
    """The vendor's columns with the canonical ones beside them, and the row as its rules see it."""
    readings = {name: parse_column(name, schema, intake) for name in COLUMNS}
    frame = raw.with_row_index(ROW, offset=first_row).with_columns(
        reading.value.alias(READ + name) for name, reading in readings.items()
    )
    row = rules.RowValues(
        at={name: pl.col(READ + name) for name in COLUMNS},
        unread={name: reading.unread for name, reading in readings.items()},
        as_of=intake.as_of,
        updates_end=intake.updates_end,
    )
    return frame, row


def kind_of(name: str) -> str:
    """Kind of the values of a canonical column, a key of KINDS."""
    return next(kind for kind, columns in KINDS.items() if name in columns)


def readable(name: str, dtype: pl.DataType) -> bool:
    """Whether a type can hold the values of a canonical column."""
    return parsing.READABLE[kind_of(name)](dtype)


def parse_column(name: str, schema: pl.Schema, intake: Intake) -> ParsedColumn:
    """How a canonical column is read from the vendor's; nulls, or 0 for the split, where there is none."""
    own, kind = intake.own(name), kind_of(name)
    dtype = schema.get(own or "", pl.Null())
    if own not in schema or name in intake.forms.unreadable or not readable(name, dtype):
        dtype, own = pl.Null(), None
    column = pl.lit(None) if own is None else pl.col(own)
    if name == "sku":
        return parsing.choice(column, dtype, pl.Enum(list(intake.skus)))
    if name in COUNTRY_COLUMNS:
        return parsing.choice(column, dtype, COUNTRY, intake.forms.countries)
    form = intake.number_form or intake.forms.numbers.get(name)
    reading = {
        "text": lambda: parsing.text(column, dtype, intake.null_tokens),
        "whole numbers": lambda: parsing.whole(column, dtype, form, intake.null_tokens),
        "numbers": lambda: parsing.number(column, dtype, form, intake.null_tokens),
        "dates": lambda: parsing.day(column, dtype, intake.dates(name)),
        "time stamps": lambda: parsing.instant(column, dtype, intake.dates(name)),
    }[kind]()
    return reading._replace(value=reading.value.fill_null(0)) if name == "split" else reading
