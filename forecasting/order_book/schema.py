"""What an order line is: every column declared once, and every rule that a line can break, with its sentence.

A row is the state of one split of an order line in one version. A row that keeps every rule is `accepted` or,
where a newer version of the same key exists, `superseded`; every other row is quarantined under one rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import dataframely as dy
import polars as pl

from forecasting.order_book.countries import COUNTRIES

MAX_UNITS = 10**12  # of a line, either way: sums of millions of lines fit into 64 bits
ROW_RULES: Mapping[str, str] = MappingProxyType(
    {
        "unknown_sku": "the SKU is not in the mapping of SKUs to chips",
        "unknown_country": "a country is not an ISO 3166-1 alpha-2 code in capital letters",
        "bad_quantity": "a quantity is missing, zero, not whole or over 10^12, or the shipped one negative",
        "bad_price": "the price of one unit cannot be read",
        "negative_without_reason": "a negative quantity (a return) has no reason",
        "missing_order_id": "the order, line or split number is missing or cannot be read",
        "bad_date": "a date cannot be read",
        "missing_ordered_at": "the date of the order is missing",
        "missing_requested_at": "the date for which delivery was requested is missing",
        "missing_shipped_at": "something was shipped but the date is missing",
        "future_date": "an order, shipment, cancellation or update is dated after the day of the book",
        "shipped_before_ordered": "the shipment is dated before the order",
        "shipped_more_than_ordered": "more was shipped than ordered",
        "cancelled_before_ordered": "the cancellation is dated before the order",
    }
)
VERSION_RULES: Mapping[str, str] = MappingProxyType(
    {
        "duplicate_line": "the line stands more than once with the same content; the first is kept",
        "conflicting_versions": "two rows of one line and one update differ",
    }
)
RULES: Mapping[str, str] = MappingProxyType({**ROW_RULES, **VERSION_RULES})
OUTCOMES = ("accepted", "superseded", *VERSION_RULES)


class OrderLines(dy.Schema):
    """Order lines that keep every row rule, as `intake.normalise` returns them (there with `source_row`).

    Days are days in the vendor's reporting zone. For speed `sku` is an enumeration of the mapping's SKUs
    there; its text is what is declared here.
    """

    order_id = dy.String(description="Number of the order")
    line = dy.Int64(description="Line of the order")
    split = dy.Int64(description="Part of the line that is delivered on its own; 0 if it was not split")
    sku = dy.String(description="The vendor's article number; the mapping says which chip it is")
    customer_id = dy.String(nullable=True, description="Who ordered")
    customer_country = dy.Enum(COUNTRIES, description="Seat of the customer, ISO 3166-1 alpha-2")
    end_use_country = dy.Enum(COUNTRIES, description="Where the goods will be used, ISO 3166-1 alpha-2")
    quantity = dy.Int64(
        min=-MAX_UNITS,
        max=MAX_UNITS,
        description="Ordered; negative for a return",
        metadata={"unit": "units"},
    )
    ordered_at = dy.Date(description="Day of the order (of the return, for a return)")
    requested_at = dy.Date(
        nullable=True, description="Day for which the customer asked; not needed of a return"
    )
    promised_at = dy.Date(nullable=True, description="Day that the vendor promised")
    shipped_at = dy.Date(nullable=True, description="Day of the shipment")
    shipped_quantity = dy.Int64(
        nullable=True,
        min=0,
        max=MAX_UNITS,
        description="Shipped on that day; null with a shipping day means all of it",
        metadata={"unit": "units"},
    )
    cancelled_at = dy.Date(nullable=True, description="Day on which what had not been shipped was cancelled")
    unit_price = dy.Float64(
        nullable=True, description="Price of one unit", metadata={"unit": "as in the book"}
    )
    updated_at = dy.Datetime(
        nullable=True, time_unit="us", description="When this version was written, UTC; the latest wins"
    )
    return_reason = dy.String(nullable=True, description="Why the goods came back; only returns have one")

    @dy.rule()
    def a_quantity_is_not_zero(cls) -> pl.Expr:
        """A line orders something or returns something."""
        return pl.col("quantity") != 0

    @dy.rule()
    def a_return_has_a_reason(cls) -> pl.Expr:
        """Without one a negative quantity may be a slip."""
        return (pl.col("quantity") > 0) | pl.col("return_reason").is_not_null()

    @dy.rule()
    def an_order_has_a_requested_day(cls) -> pl.Expr:
        """Lead times are counted from it."""
        return (pl.col("quantity") < 0) | pl.col("requested_at").is_not_null()

    @dy.rule()
    def no_more_is_shipped_than_ordered(cls) -> pl.Expr:
        """Further shipments of a line are further splits, each with its own part of the quantity."""
        return (pl.col("quantity") < 0) | (pl.col("shipped_quantity") <= pl.col("quantity"))

    @dy.rule()
    def nothing_happens_before_the_order(cls) -> pl.Expr:
        """Shipments and cancellations follow orders."""
        ordered = pl.col("ordered_at")
        early = (pl.col("shipped_at") < ordered) | (pl.col("cancelled_at") < ordered)
        return (pl.col("quantity") < 0) | ~early.fill_null(value=False)


COLUMNS = tuple(OrderLines.column_names())
OPTIONAL = (
    "split",
    "promised_at",
    "shipped_at",
    "shipped_quantity",
    "cancelled_at",
    "unit_price",
    "updated_at",
    "return_reason",
)
REQUIRED = tuple(name for name in COLUMNS if name not in OPTIONAL)
DAYS = ("ordered_at", "requested_at", "promised_at", "shipped_at", "cancelled_at")
