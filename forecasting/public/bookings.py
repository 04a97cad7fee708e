"""How much compute falls due: bookings of the US clouds, spread over the periods in which they fall due.

A cloud's bookings are its revenue plus the change in its remaining performance obligations. Contracts of many
years make bookings of one quarter a bad measure of that quarter's orders: the raw book-to-bill jumps to six
when long contracts are signed. What must be delivered in a quarter is instead

    due[t] = b R[t] + run-off[t] + 1/D * sum of M[t-k] for k = 1..D,    M[t] = (1 - b) R[t] + Q[t] - Q[t-1]

with revenue R, obligations Q, the share `b` of revenue that is sold on demand and never enters the book, and
contract bookings M that are delivered evenly over the D quarters after signature. A book that was built by
even bookings runs off linearly: 2 (D + 1 - j) / (D (D + 1)) of it in its j-th quarter. `b` is solved for, so
that over a calm period due and delivered are in balance. A cloud whose figures begin after that period cannot
take part in this: its book is scaled so that it enters in balance, and only what it adds later counts. (The
obligations of Oracle cover more than the revenue they are compared with; unscaled, its mere entry would raise
the ratio of all clouds by a quarter.) The ratio of due to delivered is what multiplies shipments into orders
at portfolio level. See docs/portfolio-orders.md.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from forecasting.errors import InputError


@dataclass(frozen=True, kw_only=True)
class CloudSeries:
    """Which rows of the table `cloud` are one company's revenue and obligations.

    Attributes
    ----------
    revenue : mapping of str to float
        Each `basis` of the metric `revenue`, with its factor on the common basis.
    obligations : str
        Metric of the book: `remaining_performance_obligations` or `backlog`.
    basis : str
        Basis of the book.
    weight : float
        Share of the company's book that is not also on another cloud's book.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    revenue: Mapping[str, float]
    obligations: str
    basis: str
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class DeliveryProfile:
    """Delivery duration D in quarters and the calm period in which due and delivered are in balance."""

    duration_quarters: int
    calm_from: dt.date
    calm_to: dt.date


def cloud_books(cloud: pl.LazyFrame, series: Mapping[str, CloudSeries]) -> pl.LazyFrame:
    """Revenue and obligations per company and calendar quarter in which either is known.

    Parameters
    ----------
    cloud : LazyFrame
        Columns vintage, company, metric, basis, timestamp (calendar quarter end), value (USD million).
    series : mapping of company to CloudSeries

    Returns
    -------
    LazyFrame
        vintage, company, timestamp, step (quarters since year 0), revenue, obligations (USD million), derived
        (True where the obligations lie between two reported figures and were interpolated on the log scale,
        or after the last one and the cover, obligations over revenue, was carried forward).
    """
    chosen = pl.concat(
        [
            cloud.filter(
                pl.col("company") == company, pl.col("metric") == metric, pl.col("basis") == basis
            ).with_columns(part=pl.lit(part), value=pl.col("value") * factor * cloud_series.weight)
            for company, cloud_series in series.items()
            for part, metric, basis, factor in _parts(cloud_series)
        ]
    )
    keys = ["vintage", "company"]
    wide = (
        chosen.group_by(*keys, "timestamp")
        .agg(
            revenue=pl.col("value").filter(pl.col("part") == "revenue").first(),
            obligations=pl.col("value").filter(pl.col("part") == "obligations").first(),
        )
        .with_columns(step=quarter_number("timestamp"))
        .sort(*keys, "step")
    )
    interpolated = pl.col("obligations").log().interpolate_by("step").over(keys, order_by="step").exp()
    cover = (pl.col("obligations") / pl.col("revenue")).forward_fill().over(keys, order_by="step")
    return wide.with_columns(
        derived=pl.col("obligations").is_null(),
        obligations=pl.coalesce("obligations", interpolated, cover * pl.col("revenue")),
    )


def _parts(series: CloudSeries) -> list[tuple[str, str, str, float]]:
    return [("revenue", "revenue", basis, factor) for basis, factor in series.revenue.items()] + [
        ("obligations", series.obligations, series.basis, 1.0)
    ]


def quarter_number(column: str) -> pl.Expr:
    """Count a date column's calendar quarters since year 0, so that successive quarters differ by one."""
    return pl.col(column).dt.year().cast(pl.Int64) * 4 + pl.col(column).dt.quarter().cast(pl.Int64)


def bookings(books: pl.LazyFrame) -> pl.LazyFrame:
    """Bookings = revenue + change in obligations, for quarters whose opening and closing book are known.

    Adds `bookings`, `added` (the change in obligations) and `opening` (obligations one quarter before);
    `derived` becomes true where the opening book was, too.
    """
    keys = ["vintage", "company"]
    gap = pl.col("step").diff().over(keys, order_by="step")
    return (
        books.with_columns(
            opening=pl.col("obligations").shift(1).over(keys, order_by="step"),
            derived=pl.col("derived") | pl.col("derived").shift(1).over(keys, order_by="step"),
            gap=gap,
        )
        .filter(pl.col("gap") == 1)
        .drop_nulls(["revenue", "obligations", "opening"])
        .with_columns(added=pl.col("obligations") - pl.col("opening"))
        .with_columns(bookings=pl.col("revenue") + pl.col("added"))
        .drop("gap")
    )


def due_and_delivered(books: pl.LazyFrame, profile: DeliveryProfile) -> pl.LazyFrame:
    """What falls due and what is delivered per quarter, over all clouds, after calibration.

    Returns
    -------
    LazyFrame
        vintage, timestamp, bookings, due, delivered, obligations (USD million), on_demand (the calibrated
        share `b`), due_to_delivered (the ratio), derived (a figure of a company was interpolated).
    """
    keys = ["vintage", "company"]
    per_cloud = _with_deliveries(bookings(books), profile.duration_quarters)
    calm = pl.col("timestamp").is_between(profile.calm_from, profile.calm_to)
    contracted = pl.col("run_off") + pl.col("revenue_spread") + pl.col("added_spread")
    on_demand = (
        (pl.col("revenue") - contracted).filter(calm).sum()
        / (pl.col("revenue") - pl.col("revenue_spread")).filter(calm).sum()
    ).over("vintage")
    b = pl.col("on_demand")
    first_revenue, first_run_off = (
        pl.col(name).sort_by("step").first().over(keys) for name in ("revenue", "run_off")
    )
    is_late = pl.col("timestamp").min().over(keys) > profile.calm_to
    scale = (
        pl.when(is_late & (first_run_off > 0)).then((1 - b) * first_revenue / first_run_off).otherwise(1.0)
    )
    due = (
        b * pl.col("revenue")
        + (1 - b) * pl.col("revenue_spread")
        + pl.col("scale") * (pl.col("run_off") + pl.col("added_spread"))
    )
    return (
        per_cloud.with_columns(on_demand=on_demand)
        .filter(b.is_finite())
        .with_columns(scale=scale)
        .with_columns(due=due)
        .group_by("vintage", "timestamp")
        .agg(
            pl.col("revenue").sum().alias("delivered"),
            pl.col("bookings", "obligations", "due").sum(),
            pl.col("on_demand").first(),
            pl.col("derived").any(),
        )
        .with_columns(due_to_delivered=pl.col("due") / pl.col("delivered"))
        .select(
            "vintage",
            "timestamp",
            "bookings",
            "due",
            "delivered",
            "obligations",
            "on_demand",
            "due_to_delivered",
            "derived",
        )
        .sort("vintage", "timestamp")
    )


def _with_deliveries(booked: pl.LazyFrame, duration: int) -> pl.LazyFrame:
    """Add per company what falls due of the opening book, of past revenue bookings and of past additions."""
    keys = ["vintage", "company"]
    age = pl.col("step") - pl.col("step").min().over(keys) + 1
    opening_book = pl.col("opening").sort_by("step").first().over(keys)
    still_due = (duration + 1 - age).clip(lower_bound=0)
    spread = (
        booked.select(*keys, "step", "revenue", "added")
        .join(booked.select(*keys, due_step="step"), on=keys)
        .filter((pl.col("due_step") - pl.col("step")).is_between(1, duration))
        .group_by(*keys, step="due_step")
        .agg(
            revenue_spread=pl.col("revenue").sum() / duration,
            added_spread=pl.col("added").sum() / duration,
        )
    )
    return (
        booked.with_columns(run_off=opening_book * 2 * still_due / (duration * (duration + 1)))
        .join(spread, on=[*keys, "step"], how="left")
        .with_columns(pl.col("revenue_spread", "added_spread").fill_null(0.0))
    )


def check_balance(ratios: pl.DataFrame, profile: DeliveryProfile) -> None:
    """Refuse a delivery duration under which no share sold on demand balances the calm period.

    Raises
    ------
    InputError
        If there is no calm quarter, or the calibrated share lies outside 0 to 1.
    """
    where = f"delivery_duration_quarters = {profile.duration_quarters}"
    calm = ratios.filter(pl.col("timestamp").is_between(profile.calm_from, profile.calm_to))
    if calm.is_empty():
        raise InputError(
            "the calm period holds no quarter with bookings",
            expected=f"quarters from {profile.calm_from} to {profile.calm_to}",
            found="none",
            where=where,
        )
    share = calm["on_demand"].to_list()[-1]
    if not 0 <= share <= 1:
        raise InputError(
            "no delivery profile of this duration brings the calm period into balance",
            expected="a share sold on demand from 0 to 1",
            found=f"{share:.2f}",
            where=where,
        )
