"""The work of `overspill etl` on an order book in DuckDB SQL; prints sums by destination as JSON.

    python benchmarks/order_book_duckdb.py BOOK [--out DIR]

Without a folder: the bare aggregation (order_book.sql). With one: what the step does beyond it as well
(order_book_checks.sql), its tables written there as Parquet.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
from pathlib import Path

import duckdb

from forecasting.order_book.countries import COUNTRIES

HERE = Path(__file__).parent
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
TABLES = ("ageing", "dues", "lead_days", "shipped_by_country")
CHECKED = ("broken", "lost", "overtaken", "contents")


def aggregated(book: Path) -> duckdb.DuckDBPyConnection:
    """Run order_book.sql on a book."""
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
    connection.execute((HERE / "order_book.sql").read_text())
    return connection


def checked(connection: duckdb.DuckDBPyConnection, out: Path) -> dict[str, object]:
    """Run order_book_checks.sql and write all tables; returns what it counted."""
    connection.execute((HERE / "order_book_checks.sql").read_text())
    out.mkdir(parents=True, exist_ok=True)
    for name in (*TABLES, *CHECKED):
        connection.execute(f"COPY {name} TO '{out / name}.parquet'")
    counts = connection.execute("SELECT outcome, sum(rows)::BIGINT FROM outcomes GROUP BY ALL").fetchall()
    overtaken = connection.execute("SELECT count(DISTINCT (filename, file_row_number)) FROM overtaken")
    return {"outcomes": dict(counts), "overtaken_us_lines": (overtaken.fetchone() or (0,))[0]}


def main() -> None:
    """Read the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("book", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    connection = aggregated(options.book)
    found: dict[str, object] = {"units": connection.execute(SUMS).fetchall()}
    if options.out:
        found |= checked(connection, options.out)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
