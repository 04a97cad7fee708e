"""The US-first check over all files, without the rows that lost.

Most lines can be passed over: the latest request among the exports of each SKU and day is a small table, and
its maximum over the days on which a part of a US line was delayed tells whether it was overtaken. Only what
is left (parts that were overtaken, exports on days on which one of them was delayed) is matched line by line.
K SKUs, D days, N parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
DAY = [CODE, "shipped_at"]
ALL_DAYS = 2**20  # more than any calendar here has
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
    exports = pl.concat(_of_file(folder / EXPORTS, place) for place, folder in enumerate(folders))
    lost = {place: rows[ROW] for (place,), rows in losers.partition_by(FILE, as_dict=True).items()}
    waits = pl.concat(
        _of_file(folder / WAITS, place).filter(_counts(lost, place)) for place, folder in enumerate(folders)
    )
    latest = exports.group_by(CODE, "shipped_at").agg(pl.col("requested_at").max(), pl.col("len").sum())
    parts, days = _involved(latest, waits)
    involved = exports.join(days, on=DAY, how="semi")
    found = [priority_inversions(_lines(folders[0], 0).head(0))]
    for codes in _few_at_a_time(parts, days):
        of_group = pl.col(CODE).is_in(codes.implode())
        by_file = [table.filter(of_group) for table in (parts, involved)]

        def chosen(place: int, by_file: Sequence[pl.DataFrame] = by_file) -> pl.DataFrame:
            of_us, of_exports = (table.filter(pl.col(FILE) == place) for table in by_file)
            needed = pl.col(ROW).is_in(of_us[ROW].implode())
            needed |= ~IS_US & _day().is_in(of_exports.select(_day()).to_series().implode())
            return (
                _lines(folders[place], place)
                .filter(needed & _counts(lost, place))
                .collect(engine="in-memory")
            )

        places = sorted(set(by_file[0][FILE]) | set(by_file[1][FILE]))
        found.append(priority_inversions(pl.concat(side_by_side(chosen, places)).lazy()))
    return pl.concat(found)


def _counts(lost: Mapping[int, pl.Series], place: int) -> pl.Expr:
    """Whether a row of a file counts."""
    return ~pl.col(ROW).is_in(lost[place].implode()) if place in lost else pl.lit(value=True)


def _lines(folder: Path, place: int) -> pl.LazyFrame:
    """Candidates of a file."""
    code = pl.col("sku").to_physical().cast(pl.Int32).alias(CODE)
    return pl.scan_parquet(folder / CANDIDATES).with_columns(code, pl.lit(place, pl.Int32).alias(FILE))


def _day() -> pl.Expr:
    """SKU and shipping day as one number."""
    return pl.col(CODE).cast(pl.Int64) * ALL_DAYS + pl.col("shipped_at").to_physical()


def _of_file(paths: Path, place: int) -> pl.DataFrame:
    tables = map(pl.read_ipc, sorted(paths.parent.glob(paths.name)))
    return pl.concat(tables).with_columns(pl.lit(place, pl.Int32).alias(FILE))


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
