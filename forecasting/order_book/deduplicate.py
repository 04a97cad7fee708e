"""Several rows of one key: which one counts, and how to find such keys without holding them all.

The key is (order_id, line, split, day of the return): a return never supersedes the line that it returns, nor
another return of it on another day. Of an order that day is null.
"""

from __future__ import annotations

import polars as pl

from forecasting.order_book.calendar import EPOCH, FIRST_DAY
from forecasting.order_book.rules import OUTCOMES
from forecasting.order_book.schema import COLUMNS

KEY = (
    pl.col("order_id"),
    pl.col("line"),
    pl.col("split"),
    pl.when(pl.col("quantity") < 0).then(pl.col("ordered_at")).alias("returned_at"),
)
KEY_NAMES = [part.meta.output_name() for part in KEY]
OUTCOME = pl.Enum(OUTCOMES)
BEFORE = (FIRST_DAY - EPOCH).days - 1  # day from which those of returns are counted; 0: no return
OLDEST = -(2**63)  # an update without a date
# Odd constants that spread small numbers over 64 bits, products wrapping: G. Steele, D. Lea and C. Flood,
# "Fast splittable pseudorandom number generators" (2014).
LINE_FACTOR, SPLIT_FACTOR, RETURN_FACTOR = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def key_hash() -> pl.Expr:
    """UInt64 hash of a canonical line's key, null for a row without one. Stable within one version of Polars.

    Unequal keys may share a hash: `decide` compares the keys themselves.
    """
    order_id, line, split, returned_at = KEY
    day = (returned_at.to_physical().cast(pl.Int64) - BEFORE).fill_null(0)
    small = (
        line.reinterpret(signed=False) * pl.lit(LINE_FACTOR, pl.UInt64)
        + split.reinterpret(signed=False) * pl.lit(SPLIT_FACTOR, pl.UInt64)
        + day.reinterpret(signed=False) * pl.lit(RETURN_FACTOR, pl.UInt64)
    )
    return (order_id.hash() ^ small).alias("key_hash")


def decide(contested: pl.DataFrame) -> pl.DataFrame:
    """Say what becomes of each of the rows that may share a key.

    Within one key: rows of one `updated_at` (or without) and equal content are duplicates, the first by
    (source_file, source_row) stands for them; rows of one `updated_at` and different content are all in
    conflict. Of what then stands, the latest `updated_at` is accepted (no `updated_at` is the oldest), the
    others are superseded. A row that is refused supersedes nothing.

    Parameters
    ----------
    contested : DataFrame
        Canonical columns and `source_row`, with `source_file` (any sortable type); all rows of their keys
        that break no rule. Rows that share no key with another are simply accepted.

    Returns
    -------
    DataFrame
        The same rows in their order, with `outcome` (Enum of rules.OUTCOMES).
    """
    update = pl.col("updated_at").to_physical().fill_null(OLDEST)
    newest = pl.when(pl.col("refused").is_null()).then(update).max().over(KEY_NAMES)
    outcome = (
        pl.when(pl.col("refused").is_not_null())
        .then("refused")
        .when(update < newest)
        .then(pl.lit("superseded", OUTCOME))
        .otherwise(pl.lit("accepted", OUTCOME))
    )
    judged = (
        contested.select(*KEY, "updated_at")
        .with_row_index("place")
        .join(_refused(contested), on="place", how="left", maintain_order="left")
    )
    return contested.with_columns(judged.select(outcome=outcome).to_series())


def _refused(contested: pl.DataFrame) -> pl.DataFrame:
    """Rows (`place`) that are duplicates or in conflict, and which of it (`refused`).

    Few updates of a key stand more than once: they are found by a hash first, then compared.
    """
    version = [*KEY_NAMES, "updated_at"]
    found = (
        contested.lazy()
        .with_row_index("place")
        .with_columns(*KEY)
        .filter(pl.struct(version).hash().is_duplicated())
        .sort("source_file", "source_row")
        .with_columns(
            conflicts=pl.struct(COLUMNS).n_unique().over(version) > 1,
            repeats=pl.int_range(pl.len()).over(version) > 0,
        )
        .filter(pl.col("conflicts") | pl.col("repeats"))
    )
    verdict = pl.when("conflicts").then(pl.lit("conflicting_versions")).otherwise(pl.lit("duplicate_line"))
    return found.select("place", refused=verdict.cast(OUTCOME)).collect(engine="in-memory")
