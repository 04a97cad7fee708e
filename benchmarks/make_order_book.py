"""Write an order book of any size with every oddity of real ones in known counts; `truth.json` tells them.

    python benchmarks/make_order_book.py FOLDER --lines 1000000 --files 100 [--stamps zoned] [--csv]
    overspill etl --config order_book --set data.path=FOLDER --set data.mapping=FOLDER/mapping.yaml

Seeded and streamed: memory is bounded by a few batches of rows, whatever the size.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from order_book_lines import COUNTRIES, MISSING, SKUS, Book, Rows
from order_book_oddities import FATES, REASONS, UNKNOWN_COUNTRIES, batches
from polars.io.plugins import register_io_source

FLOWS = ("orders", "shipments", "cancellations", "returns")
KINDS = ("splits", "partial_shipments", "cancelled_whole", "cancelled_after_partial_shipment", "returns")


def count(rows: Rows, truth: Counter[str]) -> None:
    """Add to the truth what the rows hold: fates, kinds of accepted rows, units by destination."""
    for fate, number in enumerate(np.bincount(rows["fate"], minlength=len(FATES))):
        truth[FATES[fate]] += int(number)
    kept = {name: column[rows["fate"] == FATES.index("accepted")] for name, column in rows.items()}
    quantity, cancelled = kept["quantity"], kept["cancelled_at"] != MISSING
    shipped = np.where(kept["shipped_at"] == MISSING, 0, kept["shipped_quantity"])
    bought = quantity > 0
    kinds = {
        "splits": kept["split"] > 0,
        "returns": ~bought,
        "partial_shipments": (shipped > 0) & (shipped < quantity),
        "cancelled_whole": cancelled & (shipped == 0),
        "cancelled_after_partial_shipment": cancelled & (shipped > 0),
    }
    for kind, mask in kinds.items():
        truth[kind] += int(mask.sum())
    us = kept["end_use_country"] == 0
    for destination, there in (("us", us), ("export", ~us)):
        truth[f"{destination}/orders"] += int(quantity[there & bought].sum())
        truth[f"{destination}/shipments"] += int(shipped[there].sum())
        truth[f"{destination}/cancellations"] += int((quantity - shipped)[there & cancelled].sum())
        truth[f"{destination}/returns"] -= int(quantity[there & ~bought].sum())


def stamp(name: str, book: Book) -> pl.Expr:
    """Day number (and minute of the local day) as a date, a local time or a zoned one."""
    if book.stamps == "date":
        return pl.col(name).cast(pl.Int32).cast(pl.Date)
    local = ((pl.col(name) * 1440 + pl.col("minute")) * 60_000).cast(pl.Datetime("ms"))
    if book.stamps == "datetime":
        return local
    zoned = local.dt.replace_time_zone(book.zone)
    return zoned.dt.to_string("%Y-%m-%dT%H:%M:%S%:z") if book.csv else zoned.dt.convert_time_zone("UTC")


def named(names: tuple[str, ...], index: str) -> pl.Expr:
    """Names in place of their numbers."""
    return pl.lit(pl.Series(names)).gather(pl.col(index)).alias(index)


def frame(rows: Rows, book: Book) -> pl.DataFrame:
    """The rows as a user's table."""
    table = pl.DataFrame(rows).select(
        pl.when(pl.col(name) != MISSING).then(pl.col(name)).alias(name) for name in rows
    )
    countries = COUNTRIES + UNKNOWN_COUNTRIES
    table = table.select(
        (pl.lit("SO-") + pl.col("order").cast(pl.String).str.zfill(10)).alias("order_id"),
        pl.col("line", "split").cast(pl.Int32),
        named((*SKUS, "RMA-KIT-7"), "sku"),
        (pl.lit("C") + pl.col("customer").cast(pl.String).str.zfill(5)).alias("customer_id"),
        named(countries, "customer_country"),
        named(countries, "end_use_country"),
        "quantity",
        *(stamp(name, book) for name in ("ordered_at", "requested_at", "promised_at", "shipped_at")),
        "shipped_quantity",
        stamp("cancelled_at", book),
        (pl.col("cents") / 100).alias("unit_price"),
        stamp("updated_at", book),
        named(REASONS, "return_reason"),
        bad_date=pl.col("fate") == FATES.index("bad_date"),
    )
    if book.csv:
        day = pl.col("requested_at").cast(pl.String)
        table = table.with_columns(requested_at=pl.when("bad_date").then(pl.lit("2023-02-30")).otherwise(day))
    return table.drop("bad_date")


def write_order_book(folder: Path, book: Book) -> dict[str, Any]:
    """Write the files of the book, `truth.json` and `mapping.yaml` into `folder`; returns the truth."""
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Counter[str]] = [Counter() for _ in range(book.files)]
    overtaken: list[int] = []

    def tables(parts: Iterable[tuple[int, Rows]]) -> Iterator[pl.DataFrame]:
        for file, rows in parts:
            count(rows, files[file])
            yield frame(rows, book)

    for file, parts in itertools.groupby(batches(book, overtaken), key=itemgetter(0)):
        source = tables(parts)
        first = next(source)
        rest = register_io_source(lambda *_, source=source: source, schema=first.schema)
        path = folder / f"orders-{file:05d}.{'csv' if book.csv else 'parquet'}"
        whole = pl.concat([first.lazy(), rest])
        whole.sink_csv(path) if book.csv else whole.sink_parquet(path)
    truth = truth_of(book, files, overtaken)
    (folder / "truth.json").write_text(json.dumps(truth, indent=2))
    (folder / "mapping.yaml").write_text(json.dumps(mapping(book), indent=2))  # JSON is YAML
    return truth


def truth_of(book: Book, files: list[Counter[str]], overtaken: list[int]) -> dict[str, Any]:
    """What a reader of the book must find, exactly."""
    total = sum(files, Counter())
    quarantined = {rule: total[rule] for rule in FATES[:-2] if total[rule]}
    units = {there: {flow: total[f"{there}/{flow}"] for flow in FLOWS} for there in ("us", "export")}
    for flows in units.values():
        flows["backlog"] = flows["orders"] - flows["shipments"] - flows["cancellations"]
    return {
        "rows": {
            "in": book.lines,
            "accepted": total["accepted"],
            "superseded": total["superseded"],
            "quarantined": sum(quarantined.values()),
        },
        "quarantined": quarantined,
        "accepted": {kind: total[kind] for kind in KINDS},
        "units": units,
        "overtaken_us_lines": {"lines": len(overtaken), "units": sum(overtaken)},
        "files": [{fate: file[fate] for fate in FATES if file[fate]} for file in files],
    }


def mapping(book: Book) -> dict[str, Any]:
    """Settings with which `overspill etl` reads the book."""
    zone = book.zone if book.stamps == "zoned" else "UTC"
    return {"as_of": book.as_of.isoformat(), "time_zone": zone, "skus": SKUS}


def main() -> None:
    """Read the options, write, tell the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stamps", choices=("date", "datetime", "zoned"), default="date")
    parser.add_argument("--csv", action="store_true")
    options = vars(parser.parse_args())
    truth = write_order_book(options.pop("folder"), Book(**options))
    print(json.dumps({name: truth[name] for name in ("rows", "quarantined", "accepted", "units")}, indent=2))


if __name__ == "__main__":
    main()
