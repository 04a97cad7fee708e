"""The US-first check over all files, without the rows that lost.

Most lines can be passed over: the latest request among the exports of each SKU and day is a small table, and
its maximum over the days on which a part of a US line was delayed tells whether it was overtaken. Only what
is left (parts that were overtaken, exports on days on which one of them was delayed) is matched line by line.
K SKUs, D days, N parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from forecasting.order_book.intake import ROW
from forecasting.order_book.inversions import priority_inversions
from forecasting.order_book.waits import CODE, IS_US
from pipelines.order_book.digest import CANDIDATES, EXPORTS, WAITS
from pipelines.order_book.side_by_side import side_by_side

Ints: TypeAlias = npt.NDArray[np.int32]
FILE = "source_file"
SPOT = [FILE, ROW]
NEVER = -(2**30)  # a day far outside any calendar
ROWS_AT_ONCE = 4_000_000


class Spans(NamedTuple):
    """For each part the SKU, the day of the request, and the first and last day of its delay; int32 [N]."""

    sku: Ints
    requested: Ints
    first: Ints
    last: Ints


def overtakings(folders: Sequence[Path], losers: pl.DataFrame) -> pl.DataFrame:
    """Cases of export lines that overtook US lines, over all files: `forecasting.order_book.inversions`.

    Parameters
    ----------
    folders : sequence of Path
        Of the digests, in the order that `source_file` counts.
    losers : DataFrame
        source_file, source_row: rows that do not count. They may leave an export too many in the small table,
        which costs a look and changes no case.
    """
    latest = pl.concat(pl.read_parquet(folder / EXPORTS) for folder in folders)
    latest = latest.group_by(CODE, "shipped_at").agg(pl.col("requested_at").max(), pl.col("len").sum())
    waits = pl.concat(_of_file(folder / WAITS, place) for place, folder in enumerate(folders))
    parts, days = _involved(latest, waits.join(losers, on=SPOT, how="anti"))
    lines = [_lines(folder, place, losers) for place, folder in enumerate(folders)]
    found = [priority_inversions(lines[0].head(0))]
    for codes in _few_at_a_time(parts, days):
        of_group = pl.col(CODE).is_in(codes.implode())
        parts_of, days_of = parts.filter(of_group), days.filter(of_group)

        def chosen(place: int, parts: pl.DataFrame = parts_of, days: pl.DataFrame = days_of) -> pl.DataFrame:
            rows = parts.filter(pl.col(FILE) == place)[ROW]
            of_us = lines[place].filter(IS_US & pl.col(ROW).is_in(rows.implode()))
            exports = lines[place].filter(~IS_US).join(days.lazy(), on=[CODE, "shipped_at"], how="semi")
            return pl.concat([of_us, exports]).collect(engine="in-memory")

        found.append(priority_inversions(pl.concat(side_by_side(chosen, range(len(folders)))).lazy()))
    return pl.concat(found)


def _lines(folder: Path, place: int, losers: pl.DataFrame) -> pl.LazyFrame:
    """Candidates of a file that count."""
    lost = losers.filter(pl.col(FILE) == place)[ROW]
    code = pl.col("sku").to_physical().cast(pl.Int32).alias(CODE)
    scan = pl.scan_parquet(folder / CANDIDATES).filter(~pl.col(ROW).is_in(lost.implode()))
    return scan.with_columns(code, pl.lit(place, pl.Int32).alias(FILE))


def _of_file(paths: Path, place: int) -> pl.DataFrame:
    return pl.read_parquet(paths).with_columns(pl.lit(place, pl.Int32).alias(FILE))


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
