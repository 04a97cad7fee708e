"""From an order book's series to the canonical panel: chips in units, families and portfolios in H100e.

An order book shows what was shipped, not what could have been. Of one chip and period, with US orders O, US
cancellations X, US shipments S, export shipments E, and units of US orders that are overdue at its end:

    tight     = overdue > tolerance * S
    peak[t]   = max(S[t] + E[t], decay * peak[t-1])
    capacity  = S if tight else peak
    orders[t] = rise of max(0, running maximum of the sum of O - X) from t-1 to t

While US orders wait, shipments to the US are the capacity that was offered there. While none do, whatever was
exported could have gone to the US as well, and so could what was lately shipped (see
`forecasting/public/flows.py`).
Orders are net of cancellations; where more is cancelled than ordered, later orders make up for it first.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from forecasting.errors import InputError
from forecasting.frequencies import Frequency
from forecasting.order_book.calendar import Calendar
from forecasting.panel.schema import COLUMNS, KEY
from forecasting.public.panel import round_figures
from forecasting.reference.chips import Chip, chip
from forecasting.saturation.market import H100E_CHIP, PORTFOLIO, US_PORTFOLIO

VARIATES = ("orders", "capacity", "shipments")


def order_book_panel(
    series: pl.DataFrame,
    *,
    calendar: Calendar,
    chips: Mapping[str, Chip],
    capacity_decay: float,
    tight_tolerance: float,
    source_id: str = "order_book",
) -> pl.LazyFrame:
    """Panel of orders, capacity and shipments of US customers, complete periods only.

    A period's figures count as published on its last day (or that of the panel's period, if later): the book
    has them as things happen. Amendments made since are in them.

    Parameters
    ----------
    series : DataFrame
        As `series.series` returns it.
    calendar : Calendar
        The one the series was made with.
    chips : mapping of SKU to Chip
        Several SKUs of one chip are added.
    capacity_decay : float
        Share of the recent peak that could still be shipped a quarter later while nothing presses; above 0,
        at most 1.
    tight_tolerance : float
        Overdue units, as a share of the period's shipments, up to which supply does not count as tight.
    source_id : str

    Returns
    -------
    LazyFrame
        Columns of `forecasting.panel.schema.PanelSchema`, sorted by key. Items: chips (units); families,
        portfolio/<vendor> and portfolio/us (H100e: by total processing performance, one H100 each).

    Raises
    ------
    InputError
        If the decay lies outside its range, or a chip of the series has no specs.
    """
    if not 0 < capacity_decay <= 1:
        raise InputError(
            "the share of the peak that can still be shipped lies above 0 and is at most 1",
            found=str(capacity_decay),
            where="capacity_decay",
        )
    per_period = capacity_decay ** (calendar.frequency.weeks / Frequency.QUARTER.weeks)
    markets = _markets(series.lazy().filter("complete"))
    flows = _flows(markets, decay=per_period, tolerance=tight_tolerance)
    groups = _groups({chips[sku].chip_id: chips[sku] for sku in series["sku"].unique()})
    in_units = _rows(flows.rename({"chip_id": "item_id"}), unit="units")
    in_h100e = (
        flows.join(groups, on="chip_id")
        .with_columns(pl.col(VARIATES) * pl.col("h100e_per_unit"))
        .group_by("item_id", "period")
        .agg(pl.col(VARIATES).sum(), pl.col("tight").all())
    )
    timestamp = calendar.panel_timestamp(pl.col("period"))
    return (
        pl.concat([in_units, _rows(in_h100e, unit="H100e")])
        .with_columns(
            timestamp=timestamp,
            published_at=pl.max_horizontal("period", timestamp),
            value=round_figures(pl.col("value")),
            source_id=pl.lit(source_id),
        )
        .with_columns(value_p05="value", value_p95="value")
        .select(COLUMNS)
        .sort(KEY)
    )


def _markets(series: pl.LazyFrame) -> pl.LazyFrame:
    """Chips by period: what happened in the US, and what was exported."""
    us = pl.col("destination") == "us"

    def total(name: str, destination: pl.Expr) -> pl.Expr:
        return pl.col(name).filter(destination).sum().cast(pl.Float64)

    return series.group_by("chip_id", "period").agg(
        ordered=total("orders", us) - total("cancellations", us),
        shipments=total("shipments", us),
        exported=total("shipments", ~us),
        overdue=total("overdue_units", us),
    )


def _flows(markets: pl.LazyFrame, *, decay: float, tolerance: float) -> pl.LazyFrame:
    """Orders and capacity of each chip (module docstring)."""

    def of_chip(expression: pl.Expr) -> pl.Expr:
        return expression.over("chip_id", order_by="period")

    step = of_chip(pl.int_range(pl.len()))
    fading = pl.lit(decay).pow(step)
    peak = of_chip(((pl.col("shipments") + pl.col("exported")) / pl.col("fading")).cum_max()) * pl.col(
        "fading"
    )
    tight = pl.col("overdue") > tolerance * pl.col("shipments")
    net = of_chip(pl.col("ordered").cum_sum().cum_max()).clip(lower_bound=0)
    return (
        markets.with_columns(fading=fading, net=net, tight=tight)
        .with_columns(
            orders=pl.col("net") - of_chip(pl.col("net").shift(1, fill_value=0)),
            capacity=pl.when("tight").then("shipments").otherwise(peak),
        )
        .select("chip_id", "period", *VARIATES, "tight")
    )


def _groups(chips: Mapping[str, Chip]) -> pl.LazyFrame:
    """Items that each chip counts towards, and how many H100 a unit is worth."""
    reference = chip(H100E_CHIP).required_tpp()
    return pl.LazyFrame(
        [
            (chip_id, item_id, each.required_tpp() / reference)
            for chip_id, each in chips.items()
            for item_id in (each.family, PORTFOLIO + each.vendor, US_PORTFOLIO)
        ],
        schema={"chip_id": pl.String, "item_id": pl.String, "h100e_per_unit": pl.Float64},
        orient="row",
    )


def _rows(flows: pl.LazyFrame, *, unit: str) -> pl.LazyFrame:
    """One row per item, period and variate; capacity is derived where it had to be inferred."""
    kind = {"capacity": pl.when("tight").then(pl.lit("reported")).otherwise(pl.lit("derived"))}
    return pl.concat(
        flows.select(
            "item_id",
            "period",
            variate=pl.lit(variate),
            value=pl.col(variate),
            unit=pl.lit(unit),
            kind=kind.get(variate, pl.lit("reported")),
        )
        for variate in VARIATES
    )
