"""Every rule that a row of an order book can break: its name, its sentence and its test, in this place alone.

A row that keeps every rule is `accepted` or, where a newer version of the same key exists, `superseded`;
every other row is quarantined under the first rule that it breaks.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import polars as pl

from forecasting.order_book.calendar import FIRST_DAY, LAST_DAY
from forecasting.order_book.schema import DAYS, MAX_UNITS

Tests: TypeAlias = list[tuple[str, pl.Expr]]  # the column at fault, and whether it is; null: it is not


@dataclass(frozen=True, kw_only=True)
class RowValues:
    """A row as its rules see it.

    Attributes
    ----------
    at : mapping of canonical column to expression
        The value; null where there is none or it cannot be read.
    unread : mapping of canonical column to expression
        Whether something stands there that cannot be read.
    as_of : date
        Day on which the book was drawn up.
    updates_end : datetime
        First moment after that day, as UTC without a zone.
    """

    at: Mapping[str, pl.Expr]
    unread: Mapping[str, pl.Expr]
    as_of: dt.date
    updates_end: dt.datetime

    @property
    def is_order(self) -> pl.Expr:
        """Whether the row orders something rather than returns it."""
        return self.at["quantity"] > 0


@dataclass(frozen=True)
class Rule:
    """A sentence that says what is wrong, and the test that finds it (None: it takes several rows)."""

    says: str
    test: Callable[[RowValues], Tests] | None = None


def _unknown_sku(row: RowValues) -> Tests:
    return [("sku", row.at["sku"].is_null())]


def _unknown_country(row: RowValues) -> Tests:
    return [(name, row.at[name].is_null()) for name in ("customer_country", "end_use_country")]


def _bad_quantity(row: RowValues) -> Tests:
    quantity, shipped = row.at["quantity"], row.at["shipped_quantity"]
    within = quantity.is_between(-MAX_UNITS, MAX_UNITS)
    return [
        ("quantity", quantity.is_null() | (quantity == 0) | ~within),
        ("shipped_quantity", ~shipped.is_between(0, MAX_UNITS)),
        ("shipped_quantity", row.unread["shipped_quantity"]),
    ]


def _bad_price(row: RowValues) -> Tests:
    return [("unit_price", row.unread["unit_price"])]


def _negative_without_reason(row: RowValues) -> Tests:
    return [("quantity", (row.at["quantity"] < 0) & row.at["return_reason"].is_null())]


def _missing_order_id(row: RowValues) -> Tests:
    return [
        ("order_id", row.at["order_id"].is_null()),
        ("line", row.at["line"].is_null()),
        ("split", row.unread["split"]),
    ]


def _bad_date(row: RowValues) -> Tests:
    outside = [(name, (row.at[name] < FIRST_DAY) | (row.at[name] > LAST_DAY)) for name in DAYS]
    return [*((name, row.unread[name]) for name in (*DAYS, "updated_at")), *outside]


def _missing_ordered_at(row: RowValues) -> Tests:
    return [("ordered_at", row.at["ordered_at"].is_null())]


def _missing_requested_at(row: RowValues) -> Tests:
    return [("requested_at", row.is_order & row.at["requested_at"].is_null())]


def _missing_shipped_at(row: RowValues) -> Tests:
    sent = row.is_order & (row.at["shipped_quantity"] > 0)
    return [("shipped_at", sent & row.at["shipped_at"].is_null())]


def _future_date(row: RowValues) -> Tests:
    days = [(name, row.at[name] > row.as_of) for name in ("ordered_at", "shipped_at", "cancelled_at")]
    return [*days, ("updated_at", row.at["updated_at"] >= row.updates_end)]


def _shipped_before_ordered(row: RowValues) -> Tests:
    return [("shipped_at", row.is_order & (row.at["shipped_at"] < row.at["ordered_at"]))]


def _shipped_more_than_ordered(row: RowValues) -> Tests:
    return [("shipped_quantity", row.is_order & (row.at["shipped_quantity"] > row.at["quantity"]))]


def _cancelled_before_ordered(row: RowValues) -> Tests:
    return [("cancelled_at", row.is_order & (row.at["cancelled_at"] < row.at["ordered_at"]))]


TABLE: Mapping[str, Rule] = MappingProxyType(
    {
        "unknown_sku": Rule("the SKU is not in the mapping of SKUs to chips", _unknown_sku),
        "unknown_country": Rule(
            "a country is neither an ISO 3166-1 code nor a name of one country alone", _unknown_country
        ),
        "bad_quantity": Rule(
            "a quantity is missing, zero, not whole or over 10^12, or the shipped one negative", _bad_quantity
        ),
        "bad_price": Rule("the price of one unit cannot be read", _bad_price),
        "negative_without_reason": Rule(
            "a negative quantity (a return) has no reason", _negative_without_reason
        ),
        "missing_order_id": Rule(
            "the order, line or split number is missing or cannot be read", _missing_order_id
        ),
        "bad_date": Rule("a date cannot be read", _bad_date),
        "missing_ordered_at": Rule("the date of the order is missing", _missing_ordered_at),
        "missing_requested_at": Rule(
            "the date for which delivery was requested is missing", _missing_requested_at
        ),
        "missing_shipped_at": Rule("something was shipped but the date is missing", _missing_shipped_at),
        "future_date": Rule(
            "an order, shipment, cancellation or update is dated after the day of the book", _future_date
        ),
        "shipped_before_ordered": Rule("the shipment is dated before the order", _shipped_before_ordered),
        "shipped_more_than_ordered": Rule("more was shipped than ordered", _shipped_more_than_ordered),
        "cancelled_before_ordered": Rule(
            "the cancellation is dated before the order", _cancelled_before_ordered
        ),
        "duplicate_line": Rule("the line stands more than once with the same content; the first is kept"),
        "conflicting_versions": Rule("two rows of one line and one update differ"),
    }
)
RULES: Mapping[str, str] = MappingProxyType({name: rule.says for name, rule in TABLE.items()})
ROW_RULES = tuple(name for name, rule in TABLE.items() if rule.test is not None)
VERSION_RULES = tuple(name for name, rule in TABLE.items() if rule.test is None)
OUTCOMES = ("accepted", "superseded", *VERSION_RULES)


def broken_rule(row: RowValues) -> pl.Expr:
    """First rule that a row breaks (Enum of ROW_RULES), null if none."""
    code = pl.lit(None, pl.UInt8)
    for place, name in reversed(list(enumerate(ROW_RULES))):
        broken = pl.any_horizontal(test for _, test in _tests(name, row))
        code = pl.when(broken).then(pl.lit(place, pl.UInt8)).otherwise(code)
    return code.cat.to(pl.Enum(ROW_RULES))


def column_at_fault(row: RowValues) -> pl.Expr:
    """Canonical column in which the first rule that a row breaks is broken (String), null if none is."""
    fault = pl.lit(None, pl.String)
    for name in reversed(ROW_RULES):
        for column, test in reversed(_tests(name, row)):
            fault = pl.when(test).then(pl.lit(column)).otherwise(fault)
    return fault


def _tests(name: str, row: RowValues) -> Tests:
    test = TABLE[name].test
    return [] if test is None else test(row)
