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
from forecasting.order_book import parsing
from forecasting.order_book.calendar import FIRST_DAY, LAST_DAY
from forecasting.order_book.countries import COUNTRIES
from forecasting.order_book.parsing import ParsedColumn
from forecasting.order_book.schema import COLUMNS, DAYS, MAX_UNITS, OPTIONAL, REQUIRED, ROW_RULES

READ = "order_book."  # prefix of canonical columns while the vendor's own still stand beside them
ROW, RULE, SAYS = "source_row", "broken_rule", "rule_says"
TYPO_CUTOFF = 0.75  # share of letters in common (difflib) from which a name is taken for a slip
RESERVED = ("source_file", ROW, RULE, SAYS)
COUNTRY = pl.Enum(COUNTRIES)


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
        offset).
    """

    skus: Mapping[str, str]
    as_of: dt.date
    columns: Mapping[str, str | None] = field(default_factory=dict)
    zone: str = "UTC"
    naive_zone: str | None = None
    date_format: str | None = None

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
            kind = next(kind for kind, columns in KINDS.items() if name in columns)
            if not parsing.READABLE[kind](schema[own]):
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
            raise InputError(f"column {own!r}{what} is missing", found=", ".join(names) + hint, where=where)
    _check_slips(names, intake, where=where)


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
            "a required column cannot do without a column of yours",
            expected=f"the name of yours for {name}",
            found="null",
            where="data.columns",
        )


def _nearest(name: str, among: Iterable[str], *, cutoff: float) -> list[str]:
    """Similar names, the most similar first, whatever their case and the blanks around them."""
    plain = {each.strip().casefold(): each for each in among}
    return [plain[near] for near in difflib.get_close_matches(name.strip().casefold(), plain, cutoff=cutoff)]


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
        `contract.COLUMNS` (sku an Enum of the mapping's SKUs; null where a value cannot be read), then
        `source_row` (UInt32, the first data row is 1) and `broken_rule` (Enum of ROW_RULES, null for a row
        that keeps them all). One row for each row of `raw`, in its order.

    Raises
    ------
    InputError
        As `check_columns`.
    """
    schema = raw.collect_schema()
    check_columns(schema, intake, where=where)
    readings = {name: _parse_column(name, schema, intake) for name in COLUMNS}
    unread = {
        "bad_date": [readings[name].unread for name in (*DAYS, "updated_at")],
        "missing_order_id": [readings[name].unread for name in ("line", "split")],
        "bad_quantity": [readings["shipped_quantity"].unread],
        "bad_price": [readings["unit_price"].unread],
    }
    canonical = [pl.col(READ + name).alias(name) for name in COLUMNS]
    return (
        raw.with_row_index(ROW, offset=1)
        .with_columns(reading.value.alias(READ + name) for name, reading in readings.items())
        .select(*canonical, ROW, _broken_rule(unread, intake))
    )


def _parse_column(name: str, schema: pl.Schema, intake: Intake) -> ParsedColumn:
    """How a canonical column is read from the vendor's; nulls, or 0 for the split, where there is none."""
    own = intake.own(name)
    kind = next(kind for kind, columns in KINDS.items() if name in columns)
    dtype = schema.get(own or "", pl.Null())
    column = pl.col(own) if own and own in schema else pl.lit(None)
    if name == "sku":
        return parsing.choice(column, dtype, pl.Enum(list(intake.skus)))
    if name in ("customer_country", "end_use_country"):
        return parsing.choice(column, dtype, COUNTRY)
    zones = parsing.Zones(reporting=intake.zone, naive=intake.naive_zone or intake.zone)
    reading = {
        "text": lambda: parsing.text(column, dtype),
        "whole numbers": lambda: parsing.whole(column, dtype),
        "numbers": lambda: parsing.number(column, dtype),
        "dates": lambda: parsing.day(column, dtype, zones=zones, pattern=intake.date_format),
        "time stamps": lambda: parsing.instant(column, dtype, zones=zones, pattern=intake.date_format),
    }[kind]()
    return reading._replace(value=reading.value.fill_null(0)) if name == "split" else reading


def _broken_rule(unread: Mapping[str, list[pl.Expr]], intake: Intake) -> pl.Expr:
    """First rule of ROW_RULES that a row breaks (Enum), null if none."""
    broken = {rule: pl.any_horizontal(tests) for rule, tests in _row_tests(intake, unread).items()}
    code = pl.lit(None, pl.UInt8)
    for place, rule in reversed(list(enumerate(ROW_RULES))):
        code = pl.when(broken[rule]).then(pl.lit(place, pl.UInt8)).otherwise(code)
    return code.cat.to(pl.Enum(list(ROW_RULES))).alias(RULE)


def _row_tests(intake: Intake, unread: Mapping[str, list[pl.Expr]]) -> dict[str, list[pl.Expr]]:
    """For each row rule the conditions that break it; one that is null does not."""
    at = {name: pl.col(READ + name) for name in COLUMNS}
    ordered, shipped, cancelled = (at[name] for name in ("ordered_at", "shipped_at", "cancelled_at"))
    quantity, shipped_quantity = at["quantity"], at["shipped_quantity"]
    order = quantity > 0
    return {
        "unknown_sku": [at["sku"].is_null()],
        "unknown_country": [at["customer_country"].is_null(), at["end_use_country"].is_null()],
        "bad_quantity": [
            quantity.is_null() | (quantity == 0) | ~quantity.is_between(-MAX_UNITS, MAX_UNITS),
            ~shipped_quantity.is_between(0, MAX_UNITS),
            *unread["bad_quantity"],
        ],
        "bad_price": unread["bad_price"],
        "negative_without_reason": [(quantity < 0) & at["return_reason"].is_null()],
        "missing_order_id": [at["order_id"].is_null(), at["line"].is_null(), *unread["missing_order_id"]],
        "bad_date": [
            *unread["bad_date"],
            *((at[name] < FIRST_DAY) | (at[name] > LAST_DAY) for name in DAYS),
        ],
        "missing_ordered_at": [ordered.is_null()],
        "missing_requested_at": [order & at["requested_at"].is_null()],
        "missing_shipped_at": [order & (shipped_quantity > 0) & shipped.is_null()],
        "future_date": [
            *(day > intake.as_of for day in (ordered, shipped, cancelled)),
            at["updated_at"] >= intake.updates_end,
        ],
        "shipped_before_ordered": [order & (shipped < ordered)],
        "shipped_more_than_ordered": [order & (shipped_quantity > quantity)],
        "cancelled_before_ordered": [order & (cancelled < ordered)],
    }
