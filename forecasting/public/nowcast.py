"""From the last estimate of each chip to the last quarter that has ended: what it has probably shipped since.

Every chip has its own last observation (the ragged edge). A chip that had figures in the last quarter its
vendor is covered for goes on from there,

    log S[t+1] = log S[t] + persistence * (log S[t] - log S[t-1]) + e,    e ~ N(0, step^2),

its last change shrinking by `persistence` from quarter to quarter; one that had ended before does not. Where
the vendor has already reported data-centre revenue for such a quarter, its chips are scaled together so that
their H100e grow as that revenue did: revenue per H100e has been about stable. The spread adds up over the
quarters and to the error of the last estimate; it was measured on the past, as was what pays
(docs/nowcast.md).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from forecasting.public.assumptions import PublicAssumptions

LONGEST = 6  # quarters; beyond a year and a half it would be a forecast
LARGEST_CHANGE = 1.5  # log; the ramp from a launch quarter does not go on
LARGEST_ERROR = 0.8  # log standard deviation; the change since a quarter that is known no better says nothing
REVENUE: Mapping[str, str] = {"nvidia": "data_center_revenue", "amd": "data_center_segment_revenue"}


@dataclass(frozen=True, kw_only=True)
class NowcastInputs:
    """What the nowcast reads besides the shipments.

    Attributes
    ----------
    revenue : LazyFrame
        vintage, vendor, timestamp, revenue: data-centre revenue as known at each vintage.
    per_unit : LazyFrame
        chip_pool, h100e_per_unit.
    real_from : date
        Day of the first edition; no vintage before it is real and none is extended.
    """

    revenue: pl.LazyFrame
    per_unit: pl.LazyFrame
    real_from: dt.date


def with_nowcast(pools: pl.LazyFrame, assumptions: PublicAssumptions, inputs: NowcastInputs) -> pl.LazyFrame:
    """Add, for each real vintage, the quarters that had ended by then and have no estimate.

    Parameters
    ----------
    pools : LazyFrame
        vintage, item_id (the chip pool), vendor, timestamp, shipments, down, up, source_id.
    assumptions : PublicAssumptions
    inputs : NowcastInputs

    Returns
    -------
    LazyFrame
        The same with `ahead`: 0 for an estimate, else how many quarters ahead of the last one a row is.
    """
    last = _last_estimates(pools, inputs.real_from)
    steps = pl.LazyFrame({"ahead": range(1, LONGEST + 1)}, schema={"ahead": pl.Int64})
    persistence, ahead = assumptions.nowcast_persistence.value, pl.col("ahead")
    carried = pl.sum_horizontal(pl.lit(persistence) ** k * (ahead >= k) for k in range(1, LONGEST + 1))
    end = pl.col("timestamp").dt.offset_by("1d").dt.offset_by(pl.format("{}q", ahead)).dt.offset_by("-1d")
    added = (
        last.join(steps, how="cross")
        .with_columns(base_timestamp="timestamp", base=pl.col("shipments"))
        .with_columns(timestamp=end, shipments=pl.col("base") * (carried * pl.col("growth")).exp())
        .filter(pl.col("timestamp") <= pl.col("vintage"))
    )
    tied = _tied_to_revenue(added, inputs)
    return pl.concat(
        [pools.with_columns(ahead=pl.lit(0, pl.Int64)), tied.drop("growth", "base", "base_timestamp")],
        how="diagonal",
    )


def _last_estimates(pools: pl.LazyFrame, real_from: dt.date) -> pl.LazyFrame:
    """The last estimate of each chip that reaches as far as its vendor's, with the log change before it."""

    def before(column: str) -> pl.Expr:
        return pl.col(column).shift(1).over("vintage", "item_id", order_by="timestamp")

    growth = (pl.col("shipments") / before("shipments")).log().clip(-LARGEST_CHANGE, LARGEST_CHANGE)
    is_known = before("up") < LARGEST_ERROR
    return (
        pools.with_columns(growth=pl.when(is_known).then(growth).otherwise(0.0).fill_null(0.0))
        .filter(pl.col("vintage") >= real_from, pl.col("shipments") > 0)
        .filter(pl.col("timestamp") == pl.col("timestamp").max().over("vintage", "vendor"))
    )


def _tied_to_revenue(added: pl.LazyFrame, inputs: NowcastInputs) -> pl.LazyFrame:
    """Scale a vendor's chips so that their H100e grow as its revenue, as far as that is known."""
    revenue = inputs.revenue.select("vintage", "vendor", "timestamp", "revenue")
    at_base = revenue.rename({"timestamp": "base_timestamp", "revenue": "base_revenue"})
    h100e, keys = pl.col("h100e_per_unit"), ["vintage", "vendor"]
    scale = (
        pl.col("revenue")
        / pl.col("base_revenue")
        * (pl.col("base") * h100e).sum().over(*keys, "timestamp")
        / (pl.col("shipments") * h100e).sum().over(*keys, "timestamp")
    )
    return (
        added.join(inputs.per_unit, left_on="item_id", right_on="chip_pool", how="left")
        .join(revenue, on=[*keys, "timestamp"], how="left")
        .join(at_base, on=[*keys, "base_timestamp"], how="left")
        .with_columns(scale=scale)
        .with_columns(scale=pl.col("scale").forward_fill().over("vintage", "item_id", order_by="timestamp"))
        .with_columns(shipments=pl.col("shipments") * pl.col("scale").fill_null(1.0))
        .drop("h100e_per_unit", "revenue", "base_revenue", "scale")
    )


def step_error(assumptions: PublicAssumptions, *, of_portfolio: pl.Expr) -> pl.Expr:
    """Log standard deviation that the quarters `ahead` of the last estimate add to an item's error."""
    chip, portfolio = assumptions.nowcast_step.value, assumptions.nowcast_portfolio_step.value
    return pl.when(of_portfolio).then(portfolio).otherwise(chip) * pl.col("ahead").sqrt()
