"""The US-first check on history: which export lines were shipped while an earlier US line was waiting.

A US line falls into the part that was shipped and the part that was not; each is delayed from the day after
it was wanted (its request; never its promise) until it is shipped or cancelled. An export line of the same
SKU overtakes a delayed part if it was requested on the same day or later and is shipped on a day on which the
part is delayed.

All pairs would be quadratic. Cases are therefore matched by units, day by day: what was exported on a day is
charged to the parts then delayed, the earliest request first, each unit once on either side. Beside each case
stands how many units overtook its US part before any matching. U parts, E export lines, of one SKU.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from forecasting.order_book.aggregate import shipped_units, wanted_at
from forecasting.order_book.countries import is_us_end_use
from forecasting.order_book.normalise import ROW

Ints = npt.NDArray[np.int64]
KEY = ("order_id", "line", "split")
SOURCE = ("source_file", "source_row")
NEEDED = (
    *KEY,
    "sku",
    "end_use_country",
    "quantity",
    "ordered_at",
    "requested_at",
    "shipped_at",
    "shipped_quantity",
    "cancelled_at",
    *SOURCE,
)
LAST = 2**31  # day on which a part that is still open closes
FEW_PAIRS = 250_000  # are looked at one by one, for less than the blocks of days take
BLOCK_DAYS = 256  # requested days that are counted at once: at most 115 MB
CASE: dict[str, pl.DataType] = {
    "sku": pl.String(),
    "us_order_id": pl.String(),
    "us_line": pl.Int64(),
    "us_split": pl.Int64(),
    "us_requested_at": pl.Date(),
    "us_wanted_at": pl.Date(),  # requested, or ordered if that was later
    "us_closed_at": pl.Date(),  # shipped or cancelled; null: still open
    "us_units": pl.Int64(),  # of the part
    "us_overtaking_units": pl.Int64(),  # that overtook the part, each counted for every part it overtook
    "export_order_id": pl.String(),
    "export_line": pl.Int64(),
    "export_split": pl.Int64(),
    "export_country": pl.String(),
    "export_requested_at": pl.Date(),
    "export_shipped_at": pl.Date(),
    "days": pl.Int64(),  # from the day on which the US part was wanted to the shipment of the export line
    "quantity": pl.Int64(),  # units of the export line charged to the part
}


class Matches(NamedTuple):
    """Units of export lines charged to US parts: places in either table and units, each [M]."""

    us: Ints
    export: Ints
    units: Ints


def inversion_candidates(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Lines that can take part in a case: delayed US lines and shipped export lines.

    Returns
    -------
    LazyFrame
        Those of the input's columns that `priority_inversions` needs, fewer rows. To bound memory write them
        parted by `sku` and call `priority_inversions` for each part.
    """
    names = lines.collect_schema().names()
    left = pl.col("quantity") - shipped_units()
    late = (pl.col("shipped_at") > wanted_at()) | (
        (left > 0) & (pl.col("cancelled_at").is_null() | (pl.col("cancelled_at") > wanted_at()))
    )
    wanted = (pl.col("quantity") > 0) & pl.when(is_us_end_use()).then(late).otherwise(shipped_units() > 0)
    return lines.filter(wanted).select(name for name in NEEDED if name in names)


def priority_inversions(lines: pl.LazyFrame) -> pl.DataFrame:
    """Cases of export lines that overtook US lines, table `priority_inversions.parquet`.

    Parameters
    ----------
    lines : LazyFrame
        Accepted order lines (canonical columns, or those that `inversion_candidates` leaves; `source_file`
        and `source_row` may be among them), of one or more SKUs; those that can take part are held in memory.

    Returns
    -------
    DataFrame
        The columns of CASE, and us_ and export_ of SOURCE where given. One row per US part and export line
        with units charged to it; and one without an export line and a quantity of 0 for a part that was
        overtaken only by units charged to others. So every part that was overtaken is listed. Sorted by SKU,
        requested day and key of the US part, then day of shipment; the same whatever the order of the lines.
    """
    candidates = inversion_candidates(lines).with_columns(pl.col("sku").cast(pl.String))
    found = candidates.collect(engine="in-memory")
    schema = CASE | {
        f"{side}_{name}": found.schema[name]
        for side in ("us", "export")
        for name in SOURCE
        if name in found.columns
    }
    return _cases(_us_parts(found), _exports(found)).select(
        pl.col(name).cast(dtype) for name, dtype in schema.items()
    )


def _us_parts(lines: pl.DataFrame) -> pl.DataFrame:
    """Delayed parts of US lines by SKU, the earliest request first."""
    us = lines.filter(is_us_end_use()).with_columns(wanted_at=wanted_at(), shipped=shipped_units())
    parts = [
        us.with_columns(closed_at="shipped_at", units="shipped"),
        us.with_columns(closed_at="cancelled_at", units=pl.col("quantity") - pl.col("shipped")),
    ]
    delayed = pl.col("closed_at").is_null() | (pl.col("closed_at") > pl.col("wanted_at"))
    source = [name for name in SOURCE if name in lines.columns]
    columns = ["sku", *KEY, "requested_at", "wanted_at", "closed_at", "units", *source]
    return (
        pl.concat([part.filter((pl.col("units") > 0) & delayed).select(columns) for part in parts])
        .sort("sku", "requested_at", "wanted_at", *KEY, "closed_at", *source, nulls_last=True)
        .select("sku", pl.exclude("sku").name.prefix("us_"))
    )


def _exports(lines: pl.DataFrame) -> pl.DataFrame:
    """Shipped export lines by SKU, in order of shipment, then request."""
    source = [name for name in SOURCE if name in lines.columns]
    return (
        lines.filter(~is_us_end_use())
        .with_columns(units=shipped_units(), country=pl.col("end_use_country").cast(pl.String))
        .sort("sku", "shipped_at", "requested_at", *KEY, *source)
        .select("sku", *KEY, "country", "requested_at", "shipped_at", "units", *source)
        .select("sku", pl.exclude("sku").name.prefix("export_"))
    )


def _cases(us: pl.DataFrame, exports: pl.DataFrame) -> pl.DataFrame:
    """Rows of the cases; both tables are sorted by SKU, and each SKU's rows are looked at by themselves."""
    overtaking, pairs = np.zeros(us.height, np.int64), []
    theirs = dict(_spans(exports))
    for sku, mine in _spans(us):
        if sku in theirs:
            parts, lines = us[mine], exports[theirs[sku]]
            overtaking[mine] = overtaking_units(parts, lines)
            matches = matched(parts, lines)
            pairs.append(Matches(matches.us + mine.start, matches.export + theirs[sku].start, matches.units))
    charged = np.concatenate(pairs, axis=1) if pairs else np.empty((3, 0), np.int64)
    charges = pl.DataFrame(dict(zip(("place", "export", "quantity"), charged, strict=True)))
    return (
        us.with_columns(us_overtaking_units=overtaking)
        .with_row_index("place")
        .filter(pl.col("us_overtaking_units") > 0)
        .join(charges.cast({"place": pl.UInt32}), on="place", how="left")
        .join(
            exports.drop("sku", "export_units").with_row_index("export").cast({"export": pl.Int64}),
            on="export",
            how="left",
        )
        .with_columns(
            pl.col("quantity").fill_null(0),
            days=(pl.col("export_shipped_at") - pl.col("us_wanted_at")).dt.total_days(),
        )
        .sort("place", "export")
    )


def _spans(table: pl.DataFrame) -> Iterator[tuple[str, slice]]:
    """Each SKU of a table that is sorted by it, and where its rows stand."""
    runs = table["sku"].rle().struct.unnest()
    stops = runs["len"].cum_sum()
    for sku, length, stop in zip(runs["value"], runs["len"], stops, strict=True):
        yield sku, slice(stop - length, stop)


def overtaking_units(us: pl.DataFrame, exports: pl.DataFrame) -> Ints:
    """Units that overtook each US part, whatever else they overtook [U].

    Units requested on or after a day and shipped by another, for all pairs of days in a block of requested
    days, as sums along both axes: the parts then look theirs up.
    """
    totals = np.zeros(us.height, np.int64)
    if not (us.height and exports.height):
        return totals
    us_requested, since, closed = (
        _days(us, name) for name in ("us_requested_at", "us_wanted_at", "us_closed_at")
    )
    requested, shipped = _days(exports, "export_requested_at"), _days(exports, "export_shipped_at")
    units = exports["export_units"].to_numpy()
    if us.height * exports.height <= FEW_PAIRS:
        delayed = (shipped > since[:, None]) & (shipped < closed[:, None])
        overtaking: Ints = ((requested >= us_requested[:, None]) & delayed) @ units
        return overtaking
    first, span = shipped.min(), int(shipped.max() - shipped.min()) + 1
    later = np.zeros(span, np.int64)  # units per shipping day that were requested after the block
    after, until = np.clip(since - first + 1, 0, span), np.clip(closed - first, 0, span)
    top = int(max(requested.max(), us_requested.max())) + 1
    bottom = int(us_requested.min())
    for low in range(top - BLOCK_DAYS, bottom - BLOCK_DAYS, -BLOCK_DAYS):
        inside = (requested >= low) & (requested < low + BLOCK_DAYS)
        cells = (requested[inside] - low) * span + shipped[inside] - first
        block = np.bincount(cells, weights=units[inside], minlength=BLOCK_DAYS * span)
        since = block.astype(np.int64).reshape(BLOCK_DAYS, span)[::-1].cumsum(axis=0)[::-1] + later
        later = since[0]
        by_day = np.concatenate([np.zeros((BLOCK_DAYS, 1), np.int64), since.cumsum(axis=1)], axis=1)
        parts = (us_requested >= low) & (us_requested < low + BLOCK_DAYS)
        row = us_requested[parts] - low
        totals[parts] = np.maximum(by_day[row, until[parts]] - by_day[row, after[parts]], 0)
    return totals


def matched(us: pl.DataFrame, exports: pl.DataFrame) -> Matches:
    """Charge exported units to delayed US parts, day by day, the earliest request first.

    No pair that could still be matched is left, so the matched units are at least half of the most that any
    matching could reach.

    Parameters
    ----------
    us : DataFrame
        As `_us_parts` orders them.
    exports : DataFrame
        As `_exports` orders them.
    """
    wanted, us_requested = us["us_units"].to_list(), _days(us, "us_requested_at").tolist()
    since, closed = _days(us, "us_wanted_at"), _days(us, "us_closed_at").tolist()
    by_wanted, left = np.argsort(since, kind="stable").tolist(), exports["export_units"].to_list()
    requested, shipped = _days(exports, "export_requested_at").tolist(), _days(exports, "export_shipped_at")
    edges = [0, *(np.flatnonzero(np.diff(shipped)) + 1).tolist(), len(left)] if left else []
    found: list[tuple[int, int, int]] = []
    waiting: list[int] = []  # places of delayed parts, a heap
    next_part = 0
    for start, stop in pairwise(edges):
        day, export = int(shipped[start]), start
        while next_part < len(by_wanted) and since[by_wanted[next_part]] < day:
            heappush(waiting, by_wanted[next_part])
            next_part += 1
        while waiting and export < stop:
            part = waiting[0]
            if closed[part] <= day or not wanted[part]:
                heappop(waiting)
            elif requested[export] < us_requested[part]:
                export = bisect_left(requested, us_requested[part], export, stop)
            else:
                units = min(wanted[part], left[export])
                found.append((part, export, units))
                wanted[part] -= units
                left[export] -= units
                export += not left[export]
    columns = np.array(found, dtype=np.int64).reshape(-1, 3).T
    return Matches(us=columns[0], export=columns[1], units=columns[2])


def _days(frame: pl.DataFrame, column: str) -> Ints:
    """Days since 1970 as numbers; LAST for none."""
    return frame[column].to_physical().cast(pl.Int64).fill_null(LAST).to_numpy()


CODE = "code"  # place of the SKU in the enumeration of the mapping's

FOREVER = 2**30  # last day of a delay that has not ended

IS_US = is_us_end_use()


def overtaking_days(candidates: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Exports by day and delays of US lines, of the lines that `inversion_candidates` leaves.

    Returns
    -------
    dict
        `exports`: code, shipped_at, requested_at (the latest of that day's lines), len (lines).
        `waits`: code, requested, first, last (day numbers since 1970; of the request and of the delay), and
        source_row: one row for what was shipped late of a US line, one for what was not shipped.
    """
    lines = candidates.lazy().with_columns(pl.col("sku").to_physical().cast(pl.Int32).alias(CODE))
    exports = lines.filter(~IS_US).group_by(CODE, "shipped_at").agg(pl.col("requested_at").max(), pl.len())
    frames = pl.collect_all([exports, _waits(lines.filter(IS_US))], engine="in-memory")
    return dict(zip(("exports", "waits"), frames, strict=True))


def _waits(lines: pl.LazyFrame) -> pl.LazyFrame:
    wanted, left = wanted_at().to_physical(), pl.col("quantity") - shipped_units()
    parts = [
        lines.select(
            CODE,
            pl.col("requested_at").to_physical().alias("requested"),
            (wanted + 1).alias("first"),
            (pl.col(closed).to_physical() - 1).fill_null(FOREVER).alias("last"),
            (units > 0).alias("any"),
            ROW,
        )
        for closed, units in (("shipped_at", shipped_units()), ("cancelled_at", left))
    ]
    return pl.concat(parts).filter(pl.col("any") & (pl.col("first") <= pl.col("last"))).drop("any")
