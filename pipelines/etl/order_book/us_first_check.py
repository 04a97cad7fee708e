"""The US-first check over all files, without the rows that lost.

Most lines can be passed over: the latest request among the exports of each SKU and day is a small table, and
its maximum over the days on which a part of a US line was delayed tells whether it was overtaken. Only what
is left (parts that were overtaken, exports on days on which one of them was delayed) is matched line by line.
K SKUs, D days, N parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from forecasting.order_book.inversions import CODE, IS_US, priority_inversions
from forecasting.order_book.normalise import ROW
from pipelines.etl.order_book.incremental.engines import side_by_side
from pipelines.etl.order_book.incremental.file_summary import CANDIDATES, EXPORTS, QUICK, WAITS
from pipelines.runtime.files.artifacts import write_atomic

Ints: TypeAlias = npt.NDArray[np.int32]
ByFile: TypeAlias = Mapping[tuple[object, ...], pl.DataFrame]  # by place of the file
DAY = [CODE, "shipped_at"]
ALL_DAYS = 2**20  # more than any calendar here has
NEVER = -(2**30)  # a day far outside any calendar
ROWS_AT_ONCE = 500_000
BY_SKU: Any = {**QUICK, "row_group_size": 20_000, "statistics": True}  # a few SKUs without the others


class Spans(NamedTuple):
    """For each part the SKU, the day of the request, and the first and last day of its delay; int32 [N]."""

    sku: Ints
    requested: Ints
    first: Ints
    last: Ints


def overtakings(derived: DerivedTables) -> Iterator[pl.DataFrame]:
    """Cases of export lines that overtook US lines, over all files: `forecasting.order_book.inversions`.

    At least one table; a few SKUs at a time, so that what is held does not grow with the lines overtaken.
    """
    # Exports that lost are among them: that costs a look and changes no case.
    exports = _of_files(derived, EXPORTS)
    lost = derived.losers.select(FILE, ROW)
    waits = _of_files(derived, WAITS).join(lost, on=[FILE, ROW], how="anti", maintain_order="left")
    latest = exports.group_by(CODE, "shipped_at").agg(pl.col("requested_at").max(), pl.col("len").sum())
    parts, days = _involved(latest, waits)
    involved = exports.join(days, on=DAY, how="semi")
    yield priority_inversions(pl.scan_parquet(derived.folders[0] / CANDIDATES).head(0).with_columns(_file(0)))
    us, them = (table.partition_by(FILE, as_dict=True) for table in (parts, involved))
    files = sorted({place for (place,) in chain(us, them)})
    groups = list(_few_at_a_time(parts, days))
    del exports, waits, latest, parts, days, involved
    chosen = dict(side_by_side(partial(_chosen, derived, us, them), files))
    del us, them
    for codes in groups:
        of_group = pl.col(CODE).is_between(codes.min(), codes.max())
        # A plan for each file: in one plan over all of them each would hold most of a megabyte at once.
        lines = side_by_side(partial(_of_group, chosen, of_group), files)
        yield priority_inversions(pl.concat(lines).lazy())


def _chosen(derived: DerivedTables, parts: ByFile, exports: ByFile, place: int) -> tuple[int, Path]:
    """Where the lines of a file lie, by SKU, that are matched: those of the parts, exports on those days."""
    rows = parts[place,][ROW] if (place,) in parts else pl.Series(dtype=pl.UInt32)
    days = exports[place,].select(_day()).to_series() if (place,) in exports else pl.Series(dtype=pl.Int64)

    salt = b"".join(numbers.sort().to_numpy().tobytes() for numbers in (rows, days))
    path = derived.path(place, "overtaking", salt=salt)
    if not path.is_file():
        needed = pl.col(ROW).is_in(rows.implode()) | (~IS_US & _day().is_in(days.implode()))
        code = pl.col("sku").to_physical().cast(pl.Int32).alias(CODE)
        lines = pl.scan_parquet(derived.folders[place] / CANDIDATES).with_columns(code)
        chosen = lines.filter(needed & _counts(derived, place)).sort(CODE).collect(engine="in-memory")
        write_atomic(path, partial(chosen.write_parquet, **BY_SKU))
    return place, path


def _of_group(chosen: Mapping[int, Path], of_group: pl.Expr, place: int) -> pl.DataFrame:
    """Lines of some SKUs of a file."""
    lines = pl.scan_parquet(chosen[place]).filter(of_group).with_columns(_file(place))
    return lines.collect(engine="in-memory")


def _counts(derived: DerivedTables, place: int) -> pl.Expr:
    """Whether a row of a file counts."""
    return ~pl.col(ROW).is_in(derived.lost(place)[ROW].implode())


def _file(place: int) -> pl.Expr:
    return pl.lit(place, pl.Int32).alias(FILE)


def _day() -> pl.Expr:
    """SKU and shipping day as one number."""
    return pl.col(CODE).cast(pl.Int64) * ALL_DAYS + pl.col("shipped_at").to_physical()


def _of_files(derived: DerivedTables, pattern: str) -> pl.DataFrame:
    """The tables of a kind of all files, one below the other, with the place of each one's file."""
    paths = [(place, path) for place, folder in enumerate(derived.folders) for path in folder.glob(pattern)]
    tables = [pl.read_ipc(path) for _, path in paths]
    places = np.repeat([place for place, _ in paths], [table.height for table in tables])
    return pl.concat(tables).with_columns(pl.Series(FILE, places, dtype=pl.Int32))


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


DERIVED, FILE = "derived-", "source_file"


@dataclass
class DerivedTables:
    """Derived tables of the files of one order book.

    Attributes
    ----------
    folders : sequence of Path
        Of the digests, in the order that `source_file` counts.
    losers : DataFrame
        source_file, source_row, outcome: rows that do not count.
    """

    folders: Sequence[Path]
    losers: pl.DataFrame
    _lost: dict[int, pl.DataFrame] = field(init=False)
    _used: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        parts = self.losers.partition_by(FILE, as_dict=True, maintain_order=True)
        self._lost = {place: rows.select(ROW, "outcome") for (place,), rows in parts.items()}

    def lost(self, place: int) -> pl.DataFrame:
        """Rows of a file that do not count: source_row, outcome."""
        return self._lost.get(place, self.losers.head(0).select(ROW, "outcome"))

    def path(self, place: int, name: str, *, salt: bytes = b"") -> Path:
        """Where a table of a file lies, or is to be written: it hangs on the rows that lost and on `salt`."""
        lost = self.lost(place)
        key = hashlib.sha256(salt)
        for column in (lost[ROW], lost["outcome"].to_physical()):
            key.update(column.to_numpy().tobytes())
        found = self.folders[place] / f"{DERIVED}{name}-{key.hexdigest()[:16]}.parquet"
        self._used.add(found)
        return found

    def sweep(self) -> None:
        """Remove tables that were not asked for: their rows have been decided otherwise since."""
        for folder in set(self.folders):
            for path in folder.glob(f"{DERIVED}*"):
                if path not in self._used:
                    path.unlink()
