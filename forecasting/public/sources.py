"""The raw public tables, when each of their rows was published, and the calendar quarter it belongs to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from forecasting.public.editions import Edition, Unreported, known_editions, shipments_by_region
from forecasting.public.nowcast import REVENUE


@dataclass(frozen=True, kw_only=True)
class PublicSources:
    """The raw tables a public panel is built from, and what must be known of them.

    Attributes
    ----------
    editions : tuple of Edition
        Of the shipment estimates.
    cloud, macro, capital_expenditure, vendors : LazyFrame
        Reference tables of these names (`forecasting.reference`).
    publication_lag_days : mapping of source_id to int
        Usual days between the end of a period and publication.
    unreported : tuple of Unreported
        Quarters that an edition leaves out.
    statements : DataFrame or None
        Reference table of this name: dated statements, of which lead times bear on the states.
    as_of : date or None
        Nothing published after this day is read; None: everything is.
    """

    editions: tuple[Edition, ...]
    cloud: pl.LazyFrame
    macro: pl.LazyFrame
    capital_expenditure: pl.LazyFrame
    vendors: pl.LazyFrame
    publication_lag_days: Mapping[str, int]
    unreported: tuple[Unreported, ...] = ()
    statements: pl.DataFrame | None = None
    as_of: dt.date | None = None

    @property
    def known_editions(self) -> tuple[Edition, ...]:
        """Editions that were out on `as_of`, oldest first."""
        return known_editions(self.editions, self.as_of)

    @property
    def totals(self) -> pl.LazyFrame:
        """Totals of each chip pool in the first known edition that has it."""
        first, *later = (edition.totals for edition in self.known_editions)
        for totals in later:
            first = pl.concat([first, totals.join(first, on="chip_pool", how="anti")], how="diagonal_relaxed")
        return first

    def shipments(self) -> pl.LazyFrame:
        """Whole quarters of shipments by owner, with the days between which each figure was the newest."""
        rows = shipments_by_region(
            self.known_editions, self.unreported, published(self, "quarter_end")
        ).filter(~pl.col("partial_quarter"))
        return self.by_then(rows.lazy().with_columns(timestamp=pl.col("quarter_end")))

    def revenue(self) -> pl.LazyFrame:
        """Data-centre revenue of the vendors that report it: vendor, timestamp (quarter), revenue."""
        metric = pl.col("vendor").replace_strict(dict(REVENUE), default=None, return_dtype=pl.String)
        return self.by_then(
            self.vendors.filter(pl.col("metric") == metric).select(
                "vendor",
                timestamp=calendar_quarter_end(pl.col("period_end")),
                revenue="value",
                published_at=published(self, "period_end"),
            )
        )

    def by_then(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Rows with a `published_at` that was not after `as_of`."""
        return rows if self.as_of is None else rows.filter(pl.col("published_at") <= self.as_of)


def quarter_end(day: pl.Expr) -> pl.Expr:
    """Last day of the calendar quarter that holds a day."""
    return day.dt.truncate("1q").dt.offset_by("1q").dt.offset_by("-1d")


def calendar_quarter_end(fiscal_end: pl.Expr) -> pl.Expr:
    """Calendar quarter that holds most of a fiscal quarter (see `periods.calendar_quarter`)."""
    return quarter_end(fiscal_end.dt.offset_by("-45d"))


def published(sources: PublicSources, period: str) -> pl.Expr:
    """Publication date of a row: end of its period plus the usual lag of its source."""
    days = (
        pl.col("source_id")
        .cast(pl.String)
        .replace_strict(dict(sources.publication_lag_days), return_dtype=pl.Int64)
    )
    return pl.col(period) + pl.duration(days=days)
