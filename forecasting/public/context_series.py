"""Series around the market: Census orders, data-centre construction, capital expenditure. Never forecast."""

from __future__ import annotations

import datetime as dt

import polars as pl

from forecasting.panel.schema import COLUMNS, CONTEXT
from forecasting.public.census import SHIPMENTS, UNFILLED, without_semiconductors
from forecasting.public.sources import PublicSources, calendar_quarter_end, published, quarter_end

BUYERS = ("Alphabet", "Amazon", "Meta", "Microsoft")
BUYERS_FROM = dt.date(2018, 3, 31)  # all four report without a gap from here on


def context_rows(sources: PublicSources) -> pl.LazyFrame:
    """Quarterly series around the market, USD million: not forecast, shown for context.

    `context/census_m3`: orders, shipments and backlog of US makers of computers and electronic products
    without semiconductors, which keep books (see `census`);
    `context/census_m3_with_semiconductors`: shipments of all; `context/data_centre_construction`
    and `context/capital_expenditure`: spending.
    """
    macro = sources.macro.with_columns(pl.col("series_id").cast(pl.String)).collect()
    monthly = pl.concat([macro, without_semiconductors(macro)], how="vertical_relaxed").lazy()
    monthly = monthly.with_columns(
        timestamp=quarter_end(pl.col("month_end")), published_at=published(sources, "month_end")
    )

    def of(series_id: str, item_id: str, variate: str, how: pl.Expr) -> pl.LazyFrame:
        return (
            monthly.filter(pl.col("series_id") == series_id)
            .group_by("timestamp")
            .agg(
                value=how,
                months=pl.len(),
                derived=pl.col("derived").any(),
                source_id=pl.col("source_id").first().cast(pl.String),
                published_at=pl.col("published_at").max(),
            )
            .filter(pl.col("months") == 3)
            .with_columns(item_id=pl.lit(CONTEXT + item_id), variate=pl.lit(variate))
            .drop("months")
        )

    total, newest = pl.col("value").sum(), pl.col("value").sort_by("month_end").last()
    capex = (
        sources.capital_expenditure.filter(
            pl.col("basis") == "cash_purchases", pl.col("company").is_in(BUYERS)
        )
        .with_columns(
            timestamp=calendar_quarter_end(pl.col("quarter_end")),
            published_at=published(sources, "quarter_end"),
        )
        .group_by("timestamp")
        .agg(
            value=pl.col("capital_expenditure_usd_m").sum(),
            companies=pl.col("company").n_unique(),
            source_id=pl.col("source_id").first().cast(pl.String),
            published_at=pl.col("published_at").max(),
        )
        .filter(pl.col("companies") == len(BUYERS), pl.col("timestamp") >= BUYERS_FROM)
        .with_columns(
            item_id=pl.lit(CONTEXT + "capital_expenditure"),
            variate=pl.lit("spending"),
            derived=pl.lit(1).cast(pl.Boolean),
        )
    )
    parts = [
        of("A34SNO", "census_m3", "orders", total),
        of(SHIPMENTS, "census_m3", "shipments", total),
        of(UNFILLED, "census_m3", "backlog", newest),
        of("A34SVS", "census_m3_with_semiconductors", "shipments", total),
        of("C30_PRIV_OFFICE_DATA_CENTER", "data_centre_construction", "spending", total / 12),
        capex,
    ]
    kind = pl.when(pl.col("derived")).then(pl.lit("derived")).otherwise(pl.lit("reported"))
    return (
        pl.concat(parts, how="diagonal")
        .with_columns(
            value_p05=pl.col("value"), value_p95=pl.col("value"), unit=pl.lit("USD million"), kind=kind
        )
        .select(COLUMNS)
    )
