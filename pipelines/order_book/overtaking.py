"""The US-first check over all files, without the rows that lost.

Most lines can be passed over: a part of a US line was overtaken only if, on some day on which it was delayed,
an export line of its SKU was shipped that had been requested on the same day or later. The latest request
among the exports of each SKU and day is a small table, and its maximum over a span of days tells. Only what
is left (parts that were overtaken, exports on days on which one of them was delayed) is matched line by line.
K SKUs, D days, N parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from forecasting.order_book.countries import US
from forecasting.order_book.intake import ROW
from forecasting.order_book.inversions import priority_inversions
from forecasting.order_book.partial import due_at, shipped_units
from pipelines.order_book.derived import FILE, Derived
from pipelines.order_book.digest import CANDIDATES
from pipelines.order_book.side_by_side import side_by_side

Ints: TypeAlias = npt.NDArray[np.int32]
CODE = "code"
SPOT = [FILE, ROW]
NEVER, ALWAYS = -(2**30), 2**30  # days, far outside any calendar
ROWS_AT_ONCE = 4_000_000
IS_US = pl.col("end_use_country") == US


class Spans(NamedTuple):
    """For each part the SKU, the day of the request, and the first and last day of its delay; int32 [N]."""

    sku: Ints
    requested: Ints
    first: Ints
    last: Ints


def overtakings(derived: Derived) -> pl.DataFrame:
    """Cases of export lines that overtook US lines, over all files: `forecasting.order_book.inversions`."""
    places = range(len(derived.folders))
    tables = dict(side_by_side(lambda place: (place, _days(derived, place)), places))
    latest = pl.concat(pl.read_parquet(tables[place]["exports"]) for place in places)
    latest = latest.group_by(CODE, "shipped_at").agg(pl.col("requested_at").max(), pl.col("len").sum())
    parts, days = _involved(latest, pl.concat(_of_file(tables[place]["parts"], place) for place in places))
    lines = [_lines(derived, place) for place in places]
    found = [priority_inversions(lines[0].head(0))]
    exports = pl.concat(lines).filter(~IS_US).select(CODE, "shipped_at", *SPOT)
    for codes in _few_at_a_time(parts, days):
        of_group = pl.col(CODE).is_in(codes.implode())
        shipped = exports.filter(of_group).join(days.lazy(), on=[CODE, "shipped_at"], how="semi")
        rows = pl.concat(
            [parts.filter(of_group).select(SPOT), shipped.select(SPOT).collect(engine="streaming")]
        )
        by_file = rows.partition_by(FILE, as_dict=True)
        chosen = [
            lines[place].filter(pl.col(ROW).is_in(of[ROW].implode())) for (place,), of in by_file.items()
        ]
        found.append(priority_inversions(pl.concat(chosen).collect(engine="streaming").lazy()))
    return pl.concat(found)


def _lines(derived: Derived, place: int) -> pl.LazyFrame:
    """Candidates of a file that count."""
    lost = pl.col(ROW).is_in(derived.lost(place)[ROW].implode())
    code = pl.col("sku").to_physical().cast(pl.Int32).alias(CODE)
    scan = pl.scan_parquet(derived.folders[place] / CANDIDATES).filter(~lost)
    return scan.with_columns(code, pl.lit(place, pl.Int32).alias(FILE))


def _days(derived: Derived, place: int) -> dict[str, Path]:
    """Latest request and number of export lines per SKU and day, and delayed parts of US lines, of a file."""

    def make() -> dict[str, pl.DataFrame]:
        lines = _lines(derived, place)
        exports = (
            lines.filter(~IS_US).group_by(CODE, "shipped_at").agg(pl.col("requested_at").max(), pl.len())
        )
        frames = pl.collect_all([exports, _delayed_parts(lines.filter(IS_US))], engine="streaming")
        return dict(zip(("exports", "parts"), frames, strict=True))

    return derived.paths(place, ("exports", "parts"), make)


def _of_file(path: Path, place: int) -> pl.DataFrame:
    return pl.read_parquet(path).with_columns(pl.lit(place, pl.Int32).alias(FILE))


def _delayed_parts(lines: pl.LazyFrame) -> pl.LazyFrame:
    """What was shipped, and what was not, of US lines, with the days of its delay; perhaps none."""
    due, left = due_at().to_physical(), pl.col("quantity") - shipped_units()
    parts = [
        lines.select(
            CODE,
            pl.col("requested_at").to_physical().alias("requested"),
            (due + 1).alias("first"),
            (pl.col(closed).to_physical() - 1).fill_null(ALWAYS).alias("last"),
            (units > 0).alias("any"),
            ROW,
        )
        for closed, units in (("shipped_at", shipped_units()), ("cancelled_at", left))
    ]
    return pl.concat(parts).filter(pl.col("any") & (pl.col("first") <= pl.col("last"))).drop("any")


def _involved(latest: pl.DataFrame, parts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The parts that were overtaken, and the rows of `latest` for days on which one of them waited."""
    start = latest["shipped_at"].to_physical().min()
    if not isinstance(start, int) or parts.is_empty():
        return parts.head(0), latest.head(0)
    code, shipped, requested = (
        latest[name].to_physical().to_numpy() for name in (CODE, "shipped_at", "requested_at")
    )
    skus = int(max(code.max(), parts[CODE].to_numpy().max())) + 1
    table = np.full((skus, int(shipped.max()) - start + 1), NEVER, np.int32)
    table[code, shipped - start] = requested
    spans = Spans(*(parts[name].to_numpy() for name in (CODE, "requested", "first", "last")))
    within = spans._replace(
        first=np.maximum(spans.first - start, 0), last=np.minimum(spans.last - start, table.shape[1] - 1)
    )
    hit = span_maximum(table, within) >= spans.requested
    waiting = _waiting(Spans(*(column[hit] for column in within)), (skus, table.shape[1]))
    return parts.filter(pl.Series(hit)), latest.filter(pl.Series(waiting[code, shipped - start]))


def span_maximum(table: Ints, spans: Spans) -> Ints:
    """Largest entry of each part's SKU over its days, NEVER if there are none; int32 [N].

    Two spans of the same length, a power of two, cover any span; their maxima come from those of half the
    length.

    Parameters
    ----------
    table : int32 array [K, D]
    spans : Spans
        `first` from 0 and `last` up to D - 1; empty where first > last.
    """
    found = np.full(len(spans.sku), NEVER, np.int32)
    length = spans.last - spans.first + 1
    for width in (2**power for power in range(int(length.max(initial=0)).bit_length())):
        if width > 1:
            half = width // 2
            table = np.maximum(table[:, :-half], table[:, half:])
        now = (length >= width) & (length < 2 * width)
        sku, first, last = spans.sku[now], spans.first[now], spans.last[now]
        found[now] = np.maximum(table[sku, first], table[sku, last - width + 1])
    return found


def _waiting(spans: Spans, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Whether a part waits, per SKU and day [K, D]."""
    changes = np.zeros((shape[0], shape[1] + 1), np.int32)
    np.add.at(changes, (spans.sku, spans.first), 1)
    np.add.at(changes, (spans.sku, spans.last + 1), -1)
    waiting: npt.NDArray[np.bool_] = changes.cumsum(axis=1)[:, :-1] > 0
    return waiting


def _few_at_a_time(parts: pl.DataFrame, days: pl.DataFrame) -> Iterator[pl.Series]:
    """SKUs with parts that were overtaken, in groups whose lines are held in memory together."""
    rows = pl.concat([parts.group_by(CODE).len(), days.group_by(CODE).agg(pl.col("len").sum())])
    counts = rows.group_by(CODE).agg(pl.col("len").sum()).sort(CODE)
    group = (counts["len"].cum_sum() // ROWS_AT_ONCE).alias("group")
    for of_group in counts.with_columns(group).partition_by("group", maintain_order=True):
        yield of_group[CODE]
