"""From shipments to the two flows, orders and capacity, with what is not known about them.

Shipments S alone are published. Whether they show what was ordered or what could be made depends on the
state of the market, of which `market_state.py` gives the probabilities:

    envelope[t] = max(S[t], decay * envelope[t-1])        recent peak; lines move on to the successor
    O[t] = ratio[t] * S[t]                                the flow of new orders
    C[t] = met[t] * envelope[t] + (1 - met[t]) * S[t]     expected; on each path one or the other
    B[t] = short[t] * (lead_time * S[t] + excess[t])      expected queue

`ratio` is due to delivered at portfolio level (see `bookings.py`) and 1 for a product; `excess` is what
orders beyond shipments have added up to. The queue is a stock beside the flows: it does not come or go as
orders of one quarter when the state is judged anew. `state_paths.py` draws a state, and with it capacity and
queue, for each path. Every rule looks back only: no figure changes because of a later one.

Errors are carried as a pair of log standard deviations, down and up, and added in quadrature; an assumption's
range counts as its 5 % and 95 % points. All functions take and return lazy frames with the columns
vintage, item_id, timestamp, and act within each (vintage, item_id).
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import polars as pl

from forecasting.panel.measurement_error import Z_95
from forecasting.public.assumptions import PublicAssumptions
from forecasting.public.bookings import quarter_number
from forecasting.public.market_state import with_states

SERIES = ["vintage", "item_id"]


class Sides(NamedTuple):
    """Log standard deviations of a figure, below and above its central value."""

    down: pl.Expr
    up: pl.Expr


def sides(low: pl.Expr, middle: pl.Expr, high: pl.Expr) -> Sides:
    """Log standard deviations from the 5 %, 50 % and 95 % points; 0 where one of them is 0.

    `low` and `high` are what the figure is at either end of a range, in either order.
    """
    known = (low > 0) & (middle > 0) & (high > 0)
    least, most = pl.min_horizontal(low, middle, high), pl.max_horizontal(low, middle, high)
    return Sides(
        down=pl.when(known).then((middle / least).log() / Z_95).otherwise(0.0),
        up=pl.when(known).then((most / middle).log() / Z_95).otherwise(0.0),
    )


def spread_columns(errors: Sides) -> list[pl.Expr]:
    """Columns `down` and `up`."""
    return [errors.down.alias("down"), errors.up.alias("up")]


def combine_errors(*errors: Sides) -> Sides:
    """Independent errors together: log standard deviations added in quadrature."""
    return Sides(
        down=pl.sum_horizontal([e.down**2 for e in errors]).sqrt(),
        up=pl.sum_horizontal([e.up**2 for e in errors]).sqrt(),
    )


OWN = Sides(down=pl.col("down"), up=pl.col("up"))


def us_shipments(owners: pl.LazyFrame, assumptions: PublicAssumptions) -> pl.LazyFrame:
    """Units shipped for use in the United States, per chip pool.

    US owners count with the share they install at home, owners of unknown seat with a share of their own.
    The errors of owners are alike (one method, one set of prices), so their quantiles add.

    Parameters
    ----------
    owners : LazyFrame
        vintage, chip_pool, vendor, timestamp, owner_region, units_p05, units_p50, units_p95 (a publicly
        counted shipment has no 5 and 95 % points and is taken as exact), source_id, carried (quarters for
        which the owners' shares were carried forward).

    Returns
    -------
    LazyFrame
        vintage, item_id (the chip pool), vendor, timestamp, shipments (units), down, up, source_id.
    """
    us, unknown = assumptions.us_end_use_share, assumptions.unknown_owner_us_share
    share = pl.when(pl.col("owner_region") == "US").then(us.value).otherwise(unknown.value)
    low = pl.when(pl.col("owner_region") == "US").then(us.low).otherwise(unknown.low)
    high = pl.when(pl.col("owner_region") == "US").then(us.high).otherwise(unknown.high)
    units = pl.col("units_p50")
    return (
        owners.filter(pl.col("owner_region").is_in(["US", "unknown"]))
        .group_by("vintage", "vendor", "timestamp", item_id="chip_pool")
        .agg(
            (pl.coalesce("units_p05", "units_p50") * share).sum().alias("p05"),
            (units * share).sum().alias("shipments"),
            (pl.coalesce("units_p95", "units_p50") * share).sum().alias("p95"),
            (units * low).sum().alias("share_low"),
            (units * high).sum().alias("share_high"),
            carried=pl.col("carried").max(),
            source_id=joined_sources(),
        )
        .with_columns(drift=assumptions.carried_share_drift.value * pl.col("carried").sqrt())
        .with_columns(
            spread_columns(
                combine_errors(
                    sides(pl.col("p05"), pl.col("shipments"), pl.col("p95")),
                    sides(pl.col("share_low"), pl.col("shipments"), pl.col("share_high")),
                    Sides(down=pl.col("drift"), up=pl.col("drift")),
                )
            )
        )
        .select(*SERIES, "vendor", "timestamp", "shipments", "down", "up", "source_id")
    )


def joined_sources() -> pl.Expr:
    """Sources of the rows of a group, each once, joined by `+`."""
    return pl.col("source_id").cast(pl.String).str.split("+").explode().unique().sort().str.join("+")


def split_hopper(shipments: pl.LazyFrame, assumptions: PublicAssumptions, *, launch: dt.date) -> pl.LazyFrame:
    """Divide the pooled H100/H200 estimate between the two chips by a logistic ramp after the H200's launch.

    The share of H200 in the k-th quarter after its launch quarter is 1 / (1 + exp(-(k - midpoint) / ramp)),
    and 0 before. The estimates pool both chips and no source parts them, so the midpoint is an assumption.
    `launch` is the end of the launch quarter.
    """
    k = quarter_number("timestamp") - (launch.year * 4 + (launch.month + 2) // 3)
    middle, ramp = assumptions.h200_midpoint_quarters, assumptions.h200_ramp_quarters

    def share(midpoint: float = middle.value, scale: float = ramp.value) -> pl.Expr:
        return pl.when(k >= 0).then(1 / (1 + (-(k - midpoint) / scale).exp())).otherwise(0.0)

    def rest(midpoint: float = middle.value, scale: float = ramp.value) -> pl.Expr:
        return 1 - share(midpoint, scale)

    pooled = shipments.filter(pl.col("item_id") == "H100/H200")
    parts = []
    for chip_id, of in (("H200", share), ("H100", rest)):
        parts.append(
            pooled.with_columns(
                spread_columns(
                    combine_errors(
                        OWN,
                        sides(of(middle.low), of(), of(middle.high)),
                        sides(of(scale=ramp.low), of(), of(scale=ramp.high)),
                    )
                ),
                item_id=pl.lit(chip_id),
                shipments=pl.col("shipments") * of(),
            ).filter((pl.lit(chip_id) == "H100") | (k >= 0))
        )
    return pl.concat([shipments.filter(pl.col("item_id") != "H100/H200"), *parts])


def aggregate_shipments(shipments: pl.LazyFrame, groups: pl.LazyFrame) -> pl.LazyFrame:
    """Sum chips into families and portfolios in H100e.

    Parameters
    ----------
    shipments : LazyFrame
        As `us_shipments` returns it, per chip pool.
    groups : LazyFrame
        chip_pool, group (the item it counts towards), h100e_per_unit.
    """
    in_h100e = (
        shipments.join(groups, left_on="item_id", right_on="chip_pool")
        .with_columns(pl.col("shipments") * pl.col("h100e_per_unit"))
        .with_columns(
            p05=pl.col("shipments") * (-Z_95 * pl.col("down")).exp(),
            p95=pl.col("shipments") * (Z_95 * pl.col("up")).exp(),
        )
    )
    return (
        in_h100e.group_by("vintage", "timestamp", item_id="group")
        .agg(pl.col("p05", "shipments", "p95").sum(), ahead=pl.col("ahead").max(), source_id=joined_sources())
        .with_columns(spread_columns(sides(pl.col("p05"), pl.col("shipments"), pl.col("p95"))))
        .select(*SERIES, "timestamp", "shipments", "down", "up", "ahead", "source_id")
    )


def orders_and_capacity(
    shipments: pl.LazyFrame,
    assumptions: PublicAssumptions,
    *,
    weeks_per_period: float,
    quoted: pl.DataFrame | None = None,
) -> pl.LazyFrame:
    """Derive orders, capacity and the standing queue from shipments (module docstring), with their errors.

    Parameters
    ----------
    shipments : LazyFrame
        vintage, item_id, timestamp, shipments, down, up, ahead, ratio (due to delivered; 1 for a product),
        ratio_down and ratio_up (its log standard deviations).
    weeks_per_period : float
    quoted : DataFrame, optional
        Quoted lead times (`statements.lead_times`).

    Returns
    -------
    LazyFrame
        The same with orders, orders_down, orders_up, capacity, capacity_down, capacity_up, backlog, and the
        probabilities short, ended and end_hazard.
    """
    decay, lead = assumptions.capacity_decay, assumptions.tight_lead_time_weeks.value / weeks_per_period
    frame = shipments.with_columns(step=pl.col("timestamp").rank("dense").over(SERIES).cast(pl.Int64))
    frame = with_states(frame, assumptions, quoted)
    met = 1 - pl.col("short") - pl.col("ended")

    def capacity(kept: float) -> pl.Expr:
        return met * _envelope(kept) + (1 - met) * pl.col("shipments")

    frame = frame.with_columns(
        orders=pl.col("ratio") * pl.col("shipments"),
        capacity=capacity(decay.value),
        capacity_low=capacity(decay.low),
        capacity_high=capacity(decay.high),
        backlog=pl.col("short") * (lead * pl.col("shipments") + _excess()),
    )
    orders_errors = combine_errors(OWN, Sides(pl.col("ratio_down"), pl.col("ratio_up")))
    capacity_errors = combine_errors(
        OWN, sides(pl.col("capacity_low"), pl.col("capacity"), pl.col("capacity_high"))
    )
    return frame.with_columns(
        orders_down=orders_errors.down,
        orders_up=orders_errors.up,
        capacity_down=capacity_errors.down,
        capacity_up=capacity_errors.up,
    ).drop("step", "capacity_low", "capacity_high")


def _envelope(decay: float) -> pl.Expr:
    """Recent peak with a decay: max over j of S[t-j] * decay^j."""
    scaled = pl.col("shipments") * pl.lit(decay).pow(-pl.col("step"))
    return scaled.cum_max().over(SERIES, order_by="step") * pl.lit(decay).pow(pl.col("step"))


def _excess() -> pl.Expr:
    """Orders beyond shipments added up, never below nothing: X - min(0, running min of X)."""
    added = ((pl.col("ratio") - 1) * pl.col("shipments")).cum_sum().over(SERIES, order_by="step")
    lowest = added.cum_min().over(SERIES, order_by="step").clip(upper_bound=0.0)
    return added - lowest
