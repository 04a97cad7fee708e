"""Small tables that tell which lines the US-first check must look at: days of exports, waits of US lines.

A part of a US line was overtaken only if, on some day on which it was delayed, an export line of its SKU was
shipped that had been requested on the same day or later.
"""

from __future__ import annotations

import polars as pl

from forecasting.order_book.countries import is_us_end_use
from forecasting.order_book.intake import ROW
from forecasting.order_book.partial import shipped_units, wanted_at

CODE = "code"  # place of the SKU in the enumeration of the mapping's
FOREVER = 2**30  # last day of a delay that has not ended
IS_US = is_us_end_use()


def overtaking_days(candidates: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Exports by day and delays of US lines, of the lines that `inversion_candidates` leaves.

    Returns
    -------
    dict
        `exports`: code, shipped_at, requested_at (the latest of that day's lines), len (lines).
        `waits`: code, requested, first, last (day numbers since 1970; of the request and of the delay), and
        source_row: one row for what was shipped late of a US line, one for what was not shipped.
    """
    lines = candidates.lazy().with_columns(pl.col("sku").to_physical().cast(pl.Int32).alias(CODE))
    exports = lines.filter(~IS_US).group_by(CODE, "shipped_at").agg(pl.col("requested_at").max(), pl.len())
    frames = pl.collect_all([exports, _waits(lines.filter(IS_US))], engine="in-memory")
    return dict(zip(("exports", "waits"), frames, strict=True))


def _waits(lines: pl.LazyFrame) -> pl.LazyFrame:
    wanted, left = wanted_at().to_physical(), pl.col("quantity") - shipped_units()
    parts = [
        lines.select(
            CODE,
            pl.col("requested_at").to_physical().alias("requested"),
            (wanted + 1).alias("first"),
            (pl.col(closed).to_physical() - 1).fill_null(FOREVER).alias("last"),
            (units > 0).alias("any"),
            ROW,
        )
        for closed, units in (("shipped_at", shipped_units()), ("cancelled_at", left))
    ]
    return pl.concat(parts).filter(pl.col("any") & (pl.col("first") <= pl.col("last"))).drop("any")
