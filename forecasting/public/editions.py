"""Editions of the shipment estimates: which one says what of a quarter, from when on, and who bought.

The first edition names owners for all its quarters; its rows count as published at their usual lag, which
is hypothetical before the day it really came out. A later edition counts from its own day. Where it gives
totals alone, the owners' shares of each chip are carried forward from the last quarter that had owners, and
`carried` counts the quarters since. A figure that a later edition repeats is not a revision.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from forecasting.errors import InputError
from forecasting.public.assumptions import Assumption
from forecasting.reference.reconcile import CELL, POINTS, reconciled

SAME_SHARE = 1e-3  # editions that agree within a part in a thousand, or two units, say the same
SAME_UNITS = 2.0
NEVER = dt.date(9999, 12, 31)


@dataclass(frozen=True, kw_only=True)
class Edition:
    """One edition of the estimates.

    Attributes
    ----------
    published : date
        The day it came out.
    totals : LazyFrame
        Units by chip pool and quarter (`reference.schema.ShipmentsTotal`).
    owners : LazyFrame or None
        The same by owner; None where the edition names none.
    """

    published: dt.date
    totals: pl.LazyFrame
    owners: pl.LazyFrame | None = None


@dataclass(frozen=True, kw_only=True)
class Unreported:
    """What may have been shipped in a quarter that an edition leaves out between two that it reports."""

    chip_pool: str
    quarter_end: dt.date
    units: Assumption


def known_editions(editions: Sequence[Edition], as_of: dt.date | None) -> tuple[Edition, ...]:
    """Editions that were out on a day (None: all), oldest first.

    Raises
    ------
    InputError
        If two came out on one day, or none was out by then.
    """
    ordered = tuple(sorted(editions, key=lambda edition: edition.published))
    days = [edition.published for edition in ordered]
    if len(set(days)) < len(days):
        raise InputError(
            "two editions of the shipments cannot come out on one day",
            found=", ".join(map(str, days)),
            where="data.editions",
        )
    known = tuple(edition for edition in ordered if as_of is None or edition.published <= as_of)
    if not known:
        raise InputError(
            "nothing can be known before the first edition of the shipments",
            expected=f"{days[0]} or later" if days else "at least one edition in data.editions",
            found=str(as_of),
            where="data.as_of",
        )
    return known


def shipments_by_region(
    editions: Sequence[Edition], unreported: Sequence[Unreported], published: pl.Expr
) -> pl.DataFrame:
    """Rows of all editions with the days between which each was the newest word.

    Parameters
    ----------
    editions : sequence of Edition
        Oldest first; the first has owners.
    unreported : sequence of Unreported
    published : Expr
        Day on which a row of the first edition counts as published.

    Returns
    -------
    DataFrame
        Columns of the owner table, `published_at`, `superseded_at`, `carried` (quarters since owners were
        known; 0 where they are). Owners of a later edition without any are called by their region.

    Raises
    ------
    InputError
        If an edition has owners without a total, leaves out a quarter without a stated range, or contradicts
        an earlier one beyond both their errors.
    """
    first, *later = editions
    if first.owners is None:
        raise InputError(
            "the first edition of the shipments must name owners",
            expected="a table under owners",
            found="totals alone",
            where="data.editions",
        )
    totals = first.totals.collect()
    rows = _with_totals(first.owners.collect(), totals, first.published).with_columns(
        published_at=published, superseded_at=pl.lit(NEVER), carried=pl.lit(0, pl.Int64)
    )
    for edition in later:
        fresh = _filled(edition, totals, unreported)
        _check_agreement(fresh, totals, edition.published)
        owners = _owner_rows(edition, fresh, rows).with_columns(
            published_at=pl.lit(edition.published), superseded_at=pl.lit(NEVER)
        )
        moved = _moved(fresh, totals)
        rows = pl.concat(
            [_superseded(rows, moved, edition.published), owners.join(moved, on=CELL, how="semi")],
            how="diagonal_relaxed",
        )
        totals = pl.concat([totals.join(fresh, on=CELL, how="anti"), fresh], how="diagonal_relaxed")
    return rows


def _with_totals(owners: pl.DataFrame, totals: pl.DataFrame, published: dt.date) -> pl.DataFrame:
    """The owner table reconciled with the totals; every one of its cells must have one."""
    alone = owners.join(totals, on=CELL, how="anti").sort(*CELL)
    if alone.height:
        pool, quarter = alone.select(CELL).row(0)
        raise InputError(
            "a table of owners needs the total of each chip and quarter",
            expected="a row in the totals",
            found="none",
            where=f"edition of {published}, {pool}, {quarter}",
        )
    return reconciled(owners, totals)


def _filled(edition: Edition, before: pl.DataFrame, unreported: Sequence[Unreported]) -> pl.DataFrame:
    """Totals of an edition, with a row for each quarter that it leaves out inside a pool's run."""
    totals = edition.totals.collect()
    known = set(pl.concat([before.select(CELL), totals.select(CELL)]).iter_rows())
    stated = {(each.chip_pool, each.quarter_end): each.units for each in unreported}
    made = []
    for pool in totals["chip_pool"].unique().sort():
        ends = sorted(end for name, end in known if name == pool)
        for end in pl.date_range(ends[0], ends[-1], "1q", eager=True).dt.month_end():
            if (pool, end) in known:
                continue
            if (pool, end) not in stated:
                raise InputError(
                    "an edition may leave out a quarter only where data.unreported says what it may hold",
                    expected="a range of units",
                    found="none",
                    where=f"edition of {edition.published}, {pool}, {end}",
                )
            made.append(_made_row(totals.filter(pl.col("chip_pool") == pool), end, stated[(pool, end)]))
    return pl.concat([totals, *made], how="diagonal_relaxed")


def _made_row(pool: pl.DataFrame, end: dt.date, units: Assumption) -> pl.DataFrame:
    """A row of what an unreported quarter may hold; a range from zero is made even on the log scale."""
    low = units.low if units.low > 0 else units.value**2 / units.high
    per_unit = float(pool["h100e_p50"].sum()) / float(pool["units_p50"].sum())
    points = dict(zip(POINTS, (low, units.value, units.high), strict=True))
    return pool.head(1).with_columns(
        quarter_end=pl.lit(end),
        partial_quarter=pl.lit(value=False),
        **{name: pl.lit(value) for name, value in points.items()},
        **{name.replace("units", "h100e"): pl.lit(value * per_unit) for name, value in points.items()},
    )


def _whole(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(~pl.col("partial_quarter"))


def _check_agreement(fresh: pl.DataFrame, before: pl.DataFrame, published: dt.date) -> None:
    """Refuse an edition whose 5 to 95 % range of a whole quarter does not meet that of the one before."""
    both = _whole(fresh).join(_whole(before).select(*CELL, *POINTS), on=CELL, suffix="_before")

    def end(side: str, suffix: str) -> pl.Expr:
        return pl.coalesce(f"units_{side}{suffix}", f"units_p50{suffix}")

    slack = SAME_UNITS + SAME_SHARE * pl.col("units_p50")
    apart = (end("p05", "") > end("p95", "_before") + slack) | (
        end("p95", "") < end("p05", "_before") - slack
    )
    offences = both.filter(apart).sort(*CELL)
    if offences.height:
        row = offences.row(0, named=True)
        raise InputError(
            "an edition of the shipments contradicts the one before it beyond the error of both",
            expected=f"{row['units_p05_before']:,.0f} to {row['units_p95_before']:,.0f} units",
            found=f"{row['units_p05']:,.0f} to {row['units_p95']:,.0f} ({offences.height} such quarters)",
            where=f"edition of {published}, {row['chip_pool']}, {row['quarter_end']}",
        )


def _moved(fresh: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Cells in which an edition says something new: a new quarter, one now complete, or a revision."""
    both = fresh.join(before.select(*CELL, "partial_quarter", *POINTS), on=CELL, how="left", suffix="_before")
    slack = SAME_UNITS + SAME_SHARE * pl.col("units_p50")
    differs = pl.any_horizontal((pl.col(name) - pl.col(f"{name}_before")).abs() > slack for name in POINTS)
    is_new = pl.col("units_p50_before").is_null() | (
        pl.col("partial_quarter_before") != pl.col("partial_quarter")
    )
    return both.filter(is_new | differs).select(CELL)


def _superseded(rows: pl.DataFrame, moved: pl.DataFrame, published: dt.date) -> pl.DataFrame:
    """Rows of earlier editions, those of cells that a new one changes only until that day."""
    marked = rows.join(moved.with_columns(is_moved=pl.lit(value=True)), on=CELL, how="left")
    ends = pl.col("is_moved").fill_null(value=False) & (pl.col("superseded_at") == NEVER)
    return marked.with_columns(
        superseded_at=pl.when(ends).then(pl.lit(published)).otherwise("superseded_at")
    ).drop("is_moved")


def _owner_rows(edition: Edition, totals: pl.DataFrame, earlier: pl.DataFrame) -> pl.DataFrame:
    """Owners of an edition, or its totals parted by the last known shares of each region."""
    if edition.owners is not None:
        own = _with_totals(edition.owners.collect(), totals, edition.published)
        return own.with_columns(carried=pl.lit(0, pl.Int64))
    shares = _region_shares(_whole(earlier.filter(pl.col("superseded_at") == NEVER, pl.col("carried") == 0)))
    since = _quarters("quarter_end") - _quarters("share_quarter")
    return (
        totals.join(shares, on="vendor")
        .with_columns(is_own=pl.col("share_pool") == pl.col("chip_pool"), since=since)
        .filter(pl.col("since") >= 0)
        .with_columns(best=(pl.col("is_own").cast(pl.Int64) * 10_000 - pl.col("since")).max().over(CELL))
        .filter(pl.col("is_own").cast(pl.Int64) * 10_000 - pl.col("since") == pl.col("best"))
        .group_by(*CELL, "vendor", "partial_quarter", "source_id", "owner_region", *POINTS)
        .agg(share=pl.col("share_units").sum(), carried=pl.col("since").first())
        .with_columns(share=pl.col("share") / pl.col("share").sum().over(CELL))
        .with_columns(pl.col(POINTS) * pl.col("share"), owner=pl.col("owner_region"))
        .drop("share")
        .filter(pl.col("units_p50") > 0)
    )


def _region_shares(owners: pl.DataFrame) -> pl.DataFrame:
    """Units of each region in each quarter with owners; a new chip takes those of its vendor's newest one."""
    return owners.group_by("vendor", "owner_region", share_pool="chip_pool", share_quarter="quarter_end").agg(
        share_units=pl.col("units_p50").sum()
    )


def _quarters(column: str) -> pl.Expr:
    return pl.col(column).dt.year().cast(pl.Int64) * 4 + pl.col(column).dt.quarter().cast(pl.Int64)
