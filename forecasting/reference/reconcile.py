"""Owners of the shipment estimates made to add up to the totals, with public counts counted once."""

from __future__ import annotations

import polars as pl

CELL = ["chip_pool", "quarter_end"]
POINTS = ["units_p05", "units_p50", "units_p95"]


def reconciled(owners: pl.DataFrame, totals: pl.DataFrame) -> pl.DataFrame:
    """Owners whose units add up to the total of each chip pool and quarter, counted ones as they are counted.

    Medians of one simulation do not add up, and publicly counted purchases (no 5 % and 95 % points) were laid
    over it, so that they are in the total once but among the owners twice. What the counted owners leave of
    the total is shared by the others in proportion.
    """
    counted, units = pl.col("units_p05").is_null(), pl.col("units_p50")
    left = pl.col("total") - units.filter(counted).sum().over(CELL)
    factor = left.clip(lower_bound=0.0) / units.filter(~counted).sum().over(CELL)
    scale = pl.when(counted | ~factor.is_finite()).then(1.0).otherwise(factor)
    return (
        owners.join(totals.select(*CELL, total="units_p50"), on=CELL, how="left")
        .with_columns(scale=scale)
        .with_columns(pl.col(POINTS) * pl.col("scale"))
        .drop("total", "scale")
    )
