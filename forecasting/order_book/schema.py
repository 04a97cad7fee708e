"""What an order line is: every column declared once. The rules that its values keep stand in `rules`.

A row is the state of one split of an order line in one version.
"""

from __future__ import annotations

import dataframely as dy

from forecasting.order_book.countries import COUNTRIES

MAX_UNITS = 10**12  # of a line, either way: sums of millions of lines fit into 64 bits


class OrderLines(dy.Schema):
    """Order lines that keep every row rule, as `normalise` returns them (there with `source_row`).

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
DISPENSABLE = ("promised_at", "unit_price", "updated_at")  # read as absent where no value can be read
REQUIRED = tuple(name for name in COLUMNS if name not in OPTIONAL)
DAYS = ("ordered_at", "requested_at", "promised_at", "shipped_at", "cancelled_at")
