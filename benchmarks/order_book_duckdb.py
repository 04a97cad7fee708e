"""The aggregation of `overspill etl` on an order book, in DuckDB SQL; prints sums by destination as JSON."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path

import duckdb

from forecasting.order_book.countries import COUNTRIES

NORMAL_LEAD_DAYS = 70  # configs/data/order_book.yaml: 10 weeks
SUMS = """
    SELECT
      destination,
      sum(units) FILTER (fate <> 'returned'),
      sum(units) FILTER (fate = 'shipped'),
      sum(units) FILTER (fate = 'cancelled'),
      -sum(units) FILTER (fate = 'returned')
    FROM ageing GROUP BY destination
"""


def aggregate(book: Path) -> list[tuple[object, ...]]:
    """Run order_book.sql on a book; rows of destination, orders, shipments, cancellations, returns."""
    mapping = json.loads((book / "mapping.yaml").read_text())
    variables = {
        "files": str(book / "*.parquet"),
        "skus": list(mapping["skus"]),
        "countries": list(COUNTRIES),
        "as_of": dt.date.fromisoformat(mapping["as_of"]),
        "normal_lead_days": NORMAL_LEAD_DAYS,
    }
    connection = duckdb.connect()
    for name, value in variables.items():
        connection.execute(f"SET VARIABLE {name} = ?", [value])
    connection.execute(Path(__file__).with_suffix(".sql").with_stem("order_book").read_text())
    return connection.execute(SUMS).fetchall()


if __name__ == "__main__":
    print(json.dumps(aggregate(Path(sys.argv[1]))))
