"""The series of an order book: per SKU, destination and period, exact to the unit.

    opening_backlog + orders - shipments - cancellations = closing_backlog

and the closing backlog of one period is the opening backlog of the next. Returns stand apart.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import dataframely as dy
import polars as pl

from forecasting.order_book.aggregate import DESTINATIONS, Partial
from forecasting.order_book.calendar import PERIODS, Calendar
from forecasting.reference.chips import Chip

MARKET = ["sku", "destination"]
SPOT = [*MARKET, "period"]
LEAD_TIME_PERCENTS = (10, 50, 90)
NEVER = PERIODS  # number of a period that does not come
OPEN_DAYS = {  # fewest days since the end of the period of the order
    "open_0_90_days": 0,
    "open_91_180_days": 91,
    "open_181_365_days": 181,
    "open_over_365_days": 366,
}


class Series(dy.Schema):
    """Columns of `series.parquet`, one row per SKU, destination and period, without gaps."""

    sku = dy.String(primary_key=True, description="The vendor's article number")
    chip_id = dy.String(description="The chip it is")
    destination = dy.Enum(DESTINATIONS, primary_key=True, description="US end use, or any other")
    period = dy.Date(primary_key=True, description="Last day of the period")
    complete = dy.Bool(description="Whether the period had ended when the book was drawn up")
    opening_backlog = dy.Int64(min=0, description="Open at the start", metadata={"unit": "units"})
    orders = dy.Int64(min=0, description="Ordered in the period", metadata={"unit": "units"})
    shipments = dy.Int64(min=0, description="Shipped in the period", metadata={"unit": "units"})
    cancellations = dy.Int64(min=0, description="Cancelled in the period", metadata={"unit": "units"})
    closing_backlog = dy.Int64(min=0, description="Open at the end", metadata={"unit": "units"})
    returns = dy.Int64(min=0, description="Came back in the period", metadata={"unit": "units"})
    overdue_units = dy.Int64(
        nullable=True,
        min=0,
        description="Open at the end and due by then; null for a period that has not ended",
        metadata={"unit": "units"},
    )
    open_0_90_days = dy.Int64(
        min=0,
        description="Open at the end, by days since the end of the period of the order",
        metadata={"unit": "units"},
    )
    open_91_180_days = dy.Int64(min=0, description="As before", metadata={"unit": "units"})
    open_181_365_days = dy.Int64(min=0, description="As before", metadata={"unit": "units"})
    open_over_365_days = dy.Int64(min=0, description="As before", metadata={"unit": "units"})
    due_units = dy.Int64(
        nullable=True,
        min=0,
        description="Fell due in the period and was not cancelled by its due day; null as before",
        metadata={"unit": "units"},
    )
    fill_rate_promise = dy.Float64(
        nullable=True, min=0, max=1, description="Share of what fell due that was shipped by its due day"
    )
    fill_rate_normal_lead = dy.Float64(
        nullable=True,
        min=0,
        max=1,
        description="Share of what fell due that was shipped within the normal lead time of its request; "
        "null while that is not over for all of it",
    )
    on_time_share = dy.Float64(
        nullable=True, min=0, max=1, description="Share of what was shipped that was shipped by its due day"
    )
    lead_days_p10 = dy.Int32(
        nullable=True,
        description="Days from request to shipment that 10 % of the units shipped did not exceed",
        metadata={"unit": "days"},
    )
    lead_days_p50 = dy.Int32(nullable=True, description="As before, 50 %", metadata={"unit": "days"})
    lead_days_p90 = dy.Int32(nullable=True, description="As before, 90 %", metadata={"unit": "days"})
    shipped_tpp = dy.Float64(
        nullable=True,
        min=0,
        description="Total processing performance shipped; null for a chip without specs",
        metadata={"unit": "TOPS x bits"},
    )


def series(
    partial: Partial, *, calendar: Calendar, chips: Mapping[str, Chip], as_of: dt.date, normal_lead_days: int
) -> pl.DataFrame:
    """Table `series.parquet`: the columns of `Series`, sorted by its primary key.

    Parameters
    ----------
    partial : Partial
        Of all accepted lines.
    calendar : Calendar
        The one the partial was made with.
    chips : mapping of SKU to Chip
    as_of : date
        Day on which the book was drawn up; the period that holds it is the last.
    normal_lead_days : int
        As the partial was made with.
    """
    grid = _grid(partial, calendar, as_of)
    parts = [_flows(partial), _overdue(partial), _open_by_age(partial, calendar), _shares(partial)]
    for part in [*parts, lead_day_quantiles(partial.lead_days)]:
        grid = grid.join(part, on=SPOT, how="left")
    changes = [name for part in parts for name in part.columns if name not in SPOT]
    frame = grid.with_columns(pl.col(changes).fill_null(0)).sort(SPOT)
    stocks = ["overdue_units", *OPEN_DAYS]
    net = pl.col("orders") - pl.col("shipments") - pl.col("cancellations")
    frame = frame.with_columns(
        pl.col(stocks).cum_sum().over(MARKET), closing_backlog=net.cum_sum().over(MARKET)
    )
    ended = pl.col("period") <= as_of
    # No request is later than its due day, so that of every line due in the period lies in it, or before.
    decided = pl.col("period") + pl.duration(days=normal_lead_days) <= as_of
    tpp = pl.col("sku").replace_strict(
        {sku: chip.tpp for sku, chip in chips.items()}, return_dtype=pl.Float64
    )
    return frame.with_columns(
        chip_id=pl.col("sku").replace_strict({sku: chip.chip_id for sku, chip in chips.items()}),
        complete=ended,
        opening_backlog=pl.col("closing_backlog") - net,
        overdue_units=pl.when(ended).then("overdue_units"),
        due_units=pl.when(ended).then("due_units"),
        fill_rate_promise=pl.when(ended).then(_share("on_time_units", "due_units")),
        fill_rate_normal_lead=pl.when(decided).then(_share("normal_lead_units", "due_units")),
        on_time_share=_share("shipped_on_time", "shipments"),
        shipped_tpp=pl.col("shipments") * tpp,
    ).select(Series.column_names())


def shipped_tpp_by_country(partial: Partial, *, chips: Mapping[str, Chip]) -> pl.DataFrame:
    """What was shipped where: sku, chip_id, country, period, units, tpp (null for a chip without specs)."""
    sku = pl.col("sku")
    tpp = sku.replace_strict({each: chip.tpp for each, chip in chips.items()}, return_dtype=pl.Float64)
    return partial.shipped_by_country.select(
        "sku",
        sku.replace_strict({each: chip.chip_id for each, chip in chips.items()}).alias("chip_id"),
        "country",
        "period",
        "units",
        (pl.col("units") * tpp).alias("tpp"),
    )


def _grid(partial: Partial, calendar: Calendar, as_of: dt.date) -> pl.DataFrame:
    """Every period of each market, from its first order or return to the one that holds `as_of`."""
    last = calendar.period_number(pl.lit(as_of, pl.Date)) + 1
    first = calendar.period_number(pl.col("ordered_period").min())
    return (
        partial.ageing.group_by(MARKET)
        .agg(pl.int_range(first, last).alias("number"))
        .explode("number")
        .select(*MARKET, calendar.end_of(pl.col("number")).alias("period"))
    )


def _flows(partial: Partial) -> pl.DataFrame:
    """Units ordered, shipped, cancelled and returned, each in its own period."""
    fate, parts = pl.col("fate"), partial.ageing
    placed, back = parts.filter(fate != "returned"), parts.filter(fate == "returned")
    shipped, cancelled = parts.filter(fate == "shipped"), parts.filter(fate == "cancelled")
    return _by_period(
        placed.select(*MARKET, period="ordered_period", orders="units"),
        back.select(*MARKET, period="ordered_period", returns="units"),
        shipped.select(*MARKET, period="closed_period", shipments="units"),
        cancelled.select(*MARKET, period="closed_period", cancellations="units"),
    )


def _overdue(partial: Partial) -> pl.DataFrame:
    """Changes of what is open past its due day: up in the period in which it falls due, down as it closes."""
    crosses = pl.col("closed_period").is_null() | (pl.col("closed_period") > pl.col("due_period"))
    late = partial.dues.filter(crosses)
    return _by_period(
        late.select(*MARKET, period="due_period", overdue_units="units"),
        late.select(*MARKET, period="closed_period", overdue_units=-pl.col("units")),
    )


def _open_by_age(partial: Partial, calendar: Calendar) -> pl.DataFrame:
    """Changes of what is open in each bucket of age: a part moves from one to the next until it is closed."""
    parts = partial.ageing.filter(pl.col("fate") != "returned")
    closed = calendar.period_number(pl.col("closed_period")).fill_null(NEVER)
    starts = [
        calendar.period_number(pl.col("ordered_period") + pl.duration(days=days))
        for days in OPEN_DAYS.values()
    ]
    moves = []
    for name, start, end in zip(OPEN_DAYS, starts, [*starts[1:], pl.lit(NEVER)], strict=True):
        stays = parts.with_columns(start=start, end=pl.min_horizontal(end, closed)).filter(
            pl.col("start") < pl.col("end")
        )
        leaves = stays.filter(pl.col("end") < NEVER)
        moves += [
            stays.select(*MARKET, period=calendar.end_of(pl.col("start")), **{name: pl.col("units")}),
            leaves.select(*MARKET, period=calendar.end_of(pl.col("end")), **{name: -pl.col("units")}),
        ]
    return _by_period(*moves)


def _shares(partial: Partial) -> pl.DataFrame:
    """Units behind the shares: by the period in which they fell due, and on-time ones by that of shipment."""
    return _by_period(
        partial.dues.select(
            *MARKET, "on_time_units", "normal_lead_units", period="due_period", due_units="units"
        ),
        partial.dues.filter(pl.col("fate") == "shipped").select(
            *MARKET, period="closed_period", shipped_on_time="on_time_units"
        ),
    )


def _by_period(*parts: pl.DataFrame) -> pl.DataFrame:
    """Sums per market and period of tables with different columns; what has no period is left out."""
    together = pl.concat(parts, how="diagonal").drop_nulls("period")
    return together.group_by(SPOT).agg(pl.exclude(SPOT).sum())


def lead_day_quantiles(lead_days: pl.DataFrame) -> pl.DataFrame:
    """Lead times that 10, 50 and 90 % of the units shipped in a period did not exceed.

    The smallest number of days at which the share of units reaches the level (the inverse of the empirical
    distribution, R. Hyndman and Y. Fan, "Sample quantiles in statistical packages", 1996, type 1), in whole
    numbers throughout.
    """
    counted = lead_days.sort("days").with_columns(
        reached=pl.col("units").cum_sum().over(SPOT), total=pl.col("units").sum().over(SPOT)
    )
    return counted.group_by(SPOT).agg(
        pl.col("days")
        .filter(pl.col("reached") * 100 >= pl.col("total") * percent)
        .min()
        .alias(f"lead_days_p{percent}")
        for percent in LEAD_TIME_PERCENTS
    )


def _share(part: str, whole: str) -> pl.Expr:
    return pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole))
