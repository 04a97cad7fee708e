"""The public way in: packaged reference tables to the canonical panel, one plan for all vintages.

A vintage is a day on which something new was published. Every raw row is joined to the vintages that know
it, each rule works within its vintage, and a panel row is kept where its figure is new or was revised: so the
panel says of every day what was known then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl
import polars.selectors as cs

from forecasting.frequencies import Frequency
from forecasting.panel.measurement_error import Z_95
from forecasting.panel.schema import CHINA, COLUMNS, KEY, NOWCAST, RATIO, STATE
from forecasting.public.assumptions import Assumption, PublicAssumptions
from forecasting.public.bookings import CloudSeries, DeliveryProfile, cloud_books, due_and_delivered
from forecasting.public.context_series import context_rows
from forecasting.public.flows import (
    OWN,
    SERIES,
    Sides,
    aggregate_shipments,
    combine_errors,
    orders_and_capacity,
    sides,
    split_hopper,
    spread_columns,
    us_shipments,
)
from forecasting.public.nowcast import NowcastInputs, step_error, with_nowcast
from forecasting.public.sources import PublicSources, calendar_quarter_end, published
from forecasting.public.statements import lead_times
from forecasting.reference.chips import catalogue
from forecasting.saturation.market import PORTFOLIO, US_PORTFOLIO

SPLIT_POOL = "H100/H200"
FIGURES = ["value", "value_p05", "value_p95"]
DIGITS = 9  # beyond these, sums depend on the order in which parallel workers add them
HALF_UP = 1 + 1e-12  # rounds a half up whatever its last bits are
BEHIND_THE_RATIO = (
    "delivery_duration_quarters",
    "coreweave_double_counted_share",
    "microsoft_basis_ratio",
)
BOOK_SOURCE = "sec_filings_and_results_releases"


@dataclass(frozen=True, kw_only=True)
class BookSettings:
    """Clouds whose books count, the first quarter they cover, and the calm period of the calibration."""

    clouds: Mapping[str, CloudSeries]
    books_from: dt.date
    calm_from: dt.date
    calm_to: dt.date


def build_panel(sources: PublicSources, assumptions: PublicAssumptions, books: BookSettings) -> pl.LazyFrame:
    """Build the canonical panel of the public figures, with every vintage.

    Items: each chip in units, families, `portfolio/<vendor>` and `portfolio/us` in H100e (variates orders,
    capacity and shipments, US end use); `china/<chip>` shipments in units; `context/...` in USD million.

    Returns
    -------
    LazyFrame
        Columns of `panel.PanelSchema`, sorted by key and publication date.
    """
    owners, cloud, revenue = _seen(sources)
    # Seven balances of some 1,700 rows: 0.2 s by themselves, 2 s within the whole plan.
    ratios = due_ratios(cloud.collect().lazy(), assumptions, books).collect().lazy()
    inputs = NowcastInputs(
        revenue=revenue,
        per_unit=h100e_per_unit(sources.totals),
        real_from=sources.known_editions[0].published,
    )
    quoted = None if sources.statements is None else lead_times(sources.statements)
    flows = us_flows(owners, inputs, assumptions, ratios, quoted)
    rows = pl.concat(
        [
            drop_unchanged(flow_rows(flows)),
            drop_unchanged(china_rows(owners)),
            sources.by_then(context_rows(sources)),
        ]
    )
    return rows.with_columns(round_figures(pl.col(FIGURES))).sort(*KEY, "published_at")


def portfolio_ratios(
    sources: PublicSources, assumptions: PublicAssumptions, books: BookSettings
) -> pl.LazyFrame:
    """Due to delivered as known on the day of the newest publication (see `bookings.due_and_delivered`)."""
    _, cloud, _ = _seen(sources)
    ratios = due_ratios(cloud.collect().lazy(), assumptions, books)
    newest = ratios.filter(pl.col("vintage") == pl.col("vintage").max())
    return newest.with_columns(round_figures(cs.float())).sort("timestamp")


def round_figures(figures: pl.Expr) -> pl.Expr:
    """Figures to `DIGITS` significant digits, so that one build is like another to the last bit."""
    return (figures * HALF_UP).round_sig_figs(DIGITS)


def _seen(sources: PublicSources) -> tuple[pl.LazyFrame, pl.LazyFrame, pl.LazyFrame]:
    """Shipments, cloud rows and vendors' revenue, each repeated for every vintage that knows it."""
    owners = sources.shipments()
    cloud = sources.by_then(
        sources.cloud.with_columns(
            timestamp=calendar_quarter_end(pl.col("quarter_end")),
            published_at=published(sources, "quarter_end"),
        )
    )
    known = vintages(owners, cloud, sources.as_of)
    return as_known(owners, known), as_known(cloud, known), as_known(sources.revenue(), known)


def vintages(owners: pl.LazyFrame, cloud: pl.LazyFrame, as_of: dt.date | None) -> pl.LazyFrame:
    """Days on which new shipments were published, and the day asked about or the newest publication."""
    days = owners.select(vintage="published_at").unique()
    newest = pl.concat([owners.select("published_at"), cloud.select("published_at")]).select(
        vintage=pl.col("published_at").max() if as_of is None else pl.lit(as_of)
    )
    return pl.concat([days, newest.unique()]).unique()


def as_known(raw: pl.LazyFrame, known: pl.LazyFrame) -> pl.LazyFrame:
    """Repeat each raw row for every vintage that knows it and knows no newer word."""
    rows = raw.join(known, how="cross").filter(pl.col("published_at") <= pl.col("vintage"))
    return (
        rows
        if "superseded_at" not in raw.collect_schema()
        else rows.filter(pl.col("vintage") < pl.col("superseded_at"))
    )


def h100e_per_unit(totals: pl.LazyFrame) -> pl.LazyFrame:
    """H100-equivalents per unit of each chip pool, from the totals (a constant of the chip)."""
    return totals.group_by("chip_pool").agg(
        h100e_per_unit=pl.col("h100e_p50").sum() / pl.col("units_p50").sum()
    )


def due_ratios(cloud: pl.LazyFrame, assumptions: PublicAssumptions, books: BookSettings) -> pl.LazyFrame:
    """Due to delivered per vintage and quarter, with the spread from the ranges of `BEHIND_THE_RATIO`."""
    keys = ["vintage", "timestamp"]
    found, errors = _ratio(cloud, assumptions, books), []
    for name in BEHIND_THE_RATIO:
        given: Assumption = getattr(assumptions, name)
        ends = {f"{name}_{end}": getattr(given, end) for end in ("low", "high")}
        for column, value in ends.items():
            moved = _ratio(cloud, replace(assumptions, **{name: replace(given, value=value)}), books)
            found = found.join(moved.select(*keys, pl.col("due_to_delivered").alias(column)), on=keys)
        low, high = (pl.col(column) for column in ends)
        errors.append(sides(low, pl.col("due_to_delivered"), high))
    error = combine_errors(*errors)
    return found.with_columns(ratio_down=error.down, ratio_up=error.up).drop(
        cs.starts_with(*(f"{name}_" for name in BEHIND_THE_RATIO))
    )


def _ratio(cloud: pl.LazyFrame, assumptions: PublicAssumptions, books: BookSettings) -> pl.LazyFrame:
    """Due to delivered per vintage and quarter, with every assumption at its value."""
    clouds = dict(books.clouds)
    old_basis = assumptions.microsoft_basis_ratio.value
    if "Microsoft" in clouds:
        factors = {
            basis: old_basis if basis.endswith("_old") else f
            for basis, f in clouds["Microsoft"].revenue.items()
        }
        clouds["Microsoft"] = replace(clouds["Microsoft"], revenue=factors)
    if "CoreWeave" in clouds:
        clouds["CoreWeave"] = replace(
            clouds["CoreWeave"], weight=1 - assumptions.coreweave_double_counted_share.value
        )
    book = cloud_books(cloud, clouds).filter(pl.col("timestamp") >= books.books_from)
    profile = DeliveryProfile(
        duration_quarters=round(assumptions.delivery_duration_quarters.value),
        calm_from=books.calm_from,
        calm_to=books.calm_to,
    )
    return due_and_delivered(book, profile)


def us_flows(
    owners: pl.LazyFrame,
    inputs: NowcastInputs,
    assumptions: PublicAssumptions,
    ratios: pl.LazyFrame,
    quoted: pl.DataFrame | None = None,
) -> pl.LazyFrame:
    """Shipments, orders and capacity of every chip, family and portfolio, up to the last ended quarter.

    Returns
    -------
    LazyFrame
        What `flows.orders_and_capacity` returns, with `unit` and `source_id`.
    """
    pools = with_nowcast(us_shipments(owners, assumptions), assumptions, inputs)
    chips = split_hopper(pools, assumptions, launch=catalogue()["H200"].launch_quarter_end)
    sums = aggregate_shipments(pools, groups(inputs.per_unit))
    is_portfolio = pl.col("item_id").str.starts_with(PORTFOLIO)
    own = {"ratio": pl.lit(1.0), "ratio_down": pl.lit(0.0), "ratio_up": pl.lit(0.0)}
    parts = [
        chips.drop("vendor").with_columns(**own, unit=pl.lit("units")),
        sums.filter(~is_portfolio).with_columns(**own, unit=pl.lit("H100e")),
        with_ratios(sums.filter(is_portfolio), ratios).with_columns(
            unit=pl.lit("H100e"), source_id=pl.col("source_id") + "+" + pl.lit(BOOK_SOURCE)
        ),
    ]
    every = pl.concat(parts, how="diagonal")
    ahead = step_error(assumptions, of_portfolio=pl.col("item_id").str.starts_with(PORTFOLIO))
    errors = combine_errors(OWN, Sides(down=ahead, up=ahead))
    every = every.with_columns(spread_columns(errors), nowcast=pl.col("ahead") > 0)
    weeks = Frequency.QUARTER.weeks
    return orders_and_capacity(every, assumptions, weeks_per_period=weeks, quoted=quoted)


def with_ratios(portfolios: pl.LazyFrame, ratios: pl.LazyFrame) -> pl.LazyFrame:
    """Due to delivered of each quarter of the portfolios; the newest is carried forward."""
    known = ratios.select("vintage", "timestamp", "ratio_down", "ratio_up", ratio="due_to_delivered")
    names = ["ratio", "ratio_down", "ratio_up"]
    return (
        portfolios.join(known, on=["vintage", "timestamp"], how="left")
        .with_columns(pl.col(names).forward_fill().over(SERIES, order_by="timestamp"))
        .drop_nulls("ratio")
    )


def groups(per_unit: pl.LazyFrame) -> pl.LazyFrame:
    """Families and portfolios that each pool of chips counts towards: chip_pool, group, h100e_per_unit.

    The pooled H100 and H200 count as one: how they part does not change what they sum up to.
    """
    members = {
        SPLIT_POOL if name in SPLIT_POOL.split("/") else name: chip for name, chip in catalogue().items()
    }
    rows = [
        {"chip_pool": pool, "group": group}
        for pool, chip in members.items()
        for group in (chip.family, PORTFOLIO + chip.vendor, US_PORTFOLIO)
    ]
    return pl.LazyFrame(rows).join(per_unit, on="chip_pool")


def flow_rows(flows: pl.LazyFrame) -> pl.LazyFrame:
    """Lay shipments, orders and capacity out as panel rows with their 5 % and 95 % points."""

    def rows(variate: str, down: str, up: str, kind: str) -> pl.LazyFrame:
        value = pl.col(variate)
        return flows.select(
            *SERIES,
            "timestamp",
            variate=pl.lit(variate),
            value=value,
            value_p05=value * (-Z_95 * pl.col(down)).exp(),
            value_p95=value * (Z_95 * pl.col(up)).exp(),
            unit="unit",
            kind=pl.when("nowcast").then(pl.lit(NOWCAST)).otherwise(pl.lit(kind)),
            source_id="source_id",
        )

    flows = flows.with_columns(exact=pl.lit(0.0))
    states = [
        rows(name, "exact", "exact", "derived").with_columns(unit=pl.lit("probability")) for name in STATE
    ]
    ratio = rows("ratio", "ratio_down", "ratio_up", "derived").with_columns(
        variate=pl.lit(RATIO), unit=pl.lit("ratio")
    )
    return pl.concat(
        [
            rows("shipments", "down", "up", "estimated"),
            rows("orders", "orders_down", "orders_up", "derived"),
            rows("capacity", "capacity_down", "capacity_up", "derived"),
            rows("backlog", "exact", "exact", "derived"),
            *states,
            ratio,
        ]
    )


def china_rows(owners: pl.LazyFrame) -> pl.LazyFrame:
    """Units shipped to owners in China, per chip pool."""
    return (
        owners.filter(pl.col("owner_region") == "China")
        .select(
            "vintage",
            "timestamp",
            item_id=CHINA + pl.col("chip_pool"),
            variate=pl.lit("shipments"),
            value=pl.col("units_p50"),
            value_p05=pl.coalesce("units_p05", "units_p50"),
            value_p95=pl.coalesce("units_p95", "units_p50"),
            unit=pl.lit("units"),
            kind=pl.lit("estimated"),
            source_id=pl.col("source_id").cast(pl.String),
        )
        .select(*SERIES, pl.exclude(SERIES))
    )


def drop_unchanged(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Keep a row where its figure is new or was revised; `published_at` becomes its vintage."""
    before = [pl.col(name).shift(1).over(KEY, order_by="vintage") for name in FIGURES]
    differs = [
        (pl.col(name) - old).abs() > 1e-9 * pl.col(name).abs()
        for name, old in zip(FIGURES, before, strict=True)
    ]
    return rows.filter(before[0].is_null() | pl.any_horizontal(differs)).select(
        *(pl.col("vintage").alias(name) if name == "published_at" else name for name in COLUMNS)
    )
