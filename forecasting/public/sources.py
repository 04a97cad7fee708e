"""The raw public tables, when each of their rows was published, and the calendar quarter it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, kw_only=True)
class PublicSources:
    """The raw tables a public panel is built from, and what must be known of them.

    Attributes
    ----------
    owners, totals, cloud, macro, capital_expenditure : LazyFrame
        Reference tables of these names (`forecasting.reference`).
    publication_lag_days : mapping of source_id to int
        Usual days between the end of a period and publication.
    """

    owners: pl.LazyFrame
    totals: pl.LazyFrame
    cloud: pl.LazyFrame
    macro: pl.LazyFrame
    capital_expenditure: pl.LazyFrame
    publication_lag_days: Mapping[str, int]


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
