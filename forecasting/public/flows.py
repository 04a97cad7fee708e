"""From shipments to the two flows, orders and capacity, with what is not known about them.

Shipments S alone are published. Capacity C is shipments while an item sells all it can make, else its recent
peak with a decay (lines move on to the successor). An item is called tight while shipments stay within a
tolerance of that decaying peak; a tight item carries a standing backlog of a stated lead time:

    envelope[t] = max(S[t], decay * envelope[t-1])        tight[t] = S[t] >= (1 - tolerance) * envelope[t]
    C[t] = S[t] if tight[t] else envelope[t]              standing[t] = lead_time * C[t] if tight[t] else 0
    O[t] = max((1 - cancelled) * ratio[t] * S[t], ratio[t] * S[t] + standing[t] - standing[t-1])

so while capacity is slack orders are shipments, except that a standing backlog is given up first, by at most
a stated share of a quarter's orders; `ratio` is due to delivered at portfolio level (see `bookings.py`) and 1
for a product. Every rule looks back only: no figure changes because of a later one.

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
    middle, ramp = assumptions.h200_midpoint_quarters, assumptions.h200_ramp_quarters.value

    def share(midpoint: float) -> pl.Expr:
        return pl.when(k >= 0).then(1 / (1 + (-(k - midpoint) / ramp).exp())).otherwise(0.0)

    pooled = shipments.filter(pl.col("item_id") == "H100/H200")
    parts = []
    for chip_id, of in (("H200", share), ("H100", lambda midpoint: 1 - share(midpoint))):
        parts.append(
            pooled.with_columns(
                spread_columns(combine_errors(OWN, sides(of(middle.low), of(middle.value), of(middle.high)))),
                item_id=pl.lit(chip_id),
                shipments=pl.col("shipments") * of(middle.value),
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
    shipments: pl.LazyFrame, assumptions: PublicAssumptions, *, weeks_per_period: float
) -> pl.LazyFrame:
    """Derive orders and capacity from shipments (module docstring), with their errors.

    Parameters
    ----------
    shipments : LazyFrame
        vintage, item_id, timestamp, shipments, down, up, ratio (due to delivered; 1 for a product),
        ratio_down and ratio_up (its log standard deviations).
    weeks_per_period : float

    Returns
    -------
    LazyFrame
        The same with orders, orders_down, orders_up, capacity, capacity_down, capacity_up, tight.
    """
    a = assumptions
    lead, decay = a.tight_lead_time_weeks, a.capacity_decay
    frame = shipments.with_columns(step=pl.col("timestamp").rank("dense").over(SERIES).cast(pl.Int64))
    frame = frame.with_columns(envelope=_envelope(decay.value))
    frame = frame.with_columns(
        tight=pl.col("shipments") >= (1 - a.tight_tolerance.value) * pl.col("envelope")
    )
    frame = frame.with_columns(
        capacity=pl.when("tight").then("shipments").otherwise("envelope"),
        **{
            name: _orders(weeks / weeks_per_period, cancelled=a.cancelled_at_most_share.value)
            for name, weeks in (("orders", lead.value), ("orders_low", lead.low), ("orders_high", lead.high))
        },
    )
    orders_errors = combine_errors(
        OWN,
        Sides(pl.col("ratio_down"), pl.col("ratio_up")),
        sides(pl.col("orders_low"), pl.col("orders"), pl.col("orders_high")),
    )
    decay_errors = sides(_envelope(decay.low), pl.col("envelope"), _envelope(decay.high))
    slack_only = Sides(*(pl.when("tight").then(0.0).otherwise(side) for side in decay_errors))
    capacity_errors = combine_errors(OWN, slack_only)
    return frame.with_columns(
        orders_down=orders_errors.down,
        orders_up=orders_errors.up,
        capacity_down=capacity_errors.down,
        capacity_up=capacity_errors.up,
    ).drop("step", "envelope", "orders_low", "orders_high")


def _envelope(decay: float) -> pl.Expr:
    """Recent peak with a decay: max over j of S[t-j] * decay^j."""
    scaled = pl.col("shipments") * pl.lit(decay).pow(-pl.col("step"))
    return scaled.cum_max().over(SERIES, order_by="step") * pl.lit(decay).pow(pl.col("step"))


def _orders(lead_time_quarters: float, *, cancelled: float) -> pl.Expr:
    flow = pl.col("ratio") * pl.col("shipments")
    standing = pl.when("tight").then(lead_time_quarters * pl.col("shipments")).otherwise(0.0)
    change = standing - standing.shift(1, fill_value=0.0).over(SERIES, order_by="step")
    return (flow + change).clip(lower_bound=(1 - cancelled) * flow)
