"""How the cost of `overspill etl` on an order book grows: lines, SKUs, files, amended and late shares.

    python benchmarks/order_book_scaling.py [--lines 1000000] [--only lines ...] [--write docs] [--json A]

Each book is drawn here (seeded, its counts known by construction and checked); each run is a process of its
own. Growth is that of CPU seconds less those of a run on 1,000 lines, which are start-up. With `--json` each
figure is kept as soon as it is known, and what the file holds is not measured again: a busy machine can be
used in pieces.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import multiprocessing
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from order_book import Measured, etl_command, measure, require

HEADING, FIGURE = "## How the cost of an order book grows", "order-book-growth.svg"
CHIPS = ("A100", "H100", "H200", "B200")
FIRST_DAY, DAYS = dt.date(2022, 1, 3), 1_400
AS_OF = FIRST_DAY + dt.timedelta(days=DAYS + 200)
BAR = 2.1  # times the seconds, for twice the size
SIZES: Mapping[str, Sequence[float]] = {
    "lines": (0.25, 0.5, 1, 2, 4),  # times --lines
    "skus": (10, 100, 1_000, 10_000),
    "files": (1, 10, 100, 1_000, 10_000),
    "amended": (0.0, 0.25, 0.5, 1.0),
    "late": (0.0, 0.25, 0.5, 1.0),
}


@dataclass(frozen=True, kw_only=True)
class Book:
    """An order book to draw.

    Attributes
    ----------
    lines, skus, files : int
        Rows over all files, articles, files.
    amended : float
        Share of the lines that stand in a second, later version.
    late : float
        Share of the US lines shipped after their requested day; exports of all days overtake them.
    """

    lines: int
    skus: int = 24
    files: int = 10
    amended: float = 0.03
    late: float = 0.02

    @property
    def superseded(self) -> int:
        """Rows of which a later version stands in the book."""
        return int(self.lines * self.amended / (1 + self.amended))


def days(numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pl.Series:
    """Days after the first."""
    return pl.Series((FIRST_DAY - dt.date(1970, 1, 1)).days + numbers).cast(pl.Int32).cast(pl.Date)


def rows(book: Book) -> pl.DataFrame:
    """All rows of a book; the versions of a line may stand anywhere."""
    rng = np.random.default_rng(0)
    keys = np.concatenate([np.arange(book.lines - book.superseded), np.arange(book.superseded)])
    second = np.arange(book.lines) >= book.lines - book.superseded
    ordered, early, delay = (rng.integers(0, up, book.lines) for up in (DAYS, 10, 40))
    country = keys // book.skus % 4  # two of four are the United States
    is_late = np.where(country < 2, rng.random(book.lines) < book.late, rng.random(book.lines) < 0.5)
    return pl.DataFrame(
        {
            "order_id": pl.Series(keys).cast(pl.String).str.zfill(10),
            "line": pl.Series(np.ones(book.lines, np.int64)),
            "sku": "S" + pl.Series(keys % book.skus).cast(pl.String).str.zfill(5),
            "customer_id": "C" + pl.Series(keys % 1_000).cast(pl.String),
            "customer_country": pl.Series(["US", "US", "TW", "DE"]).gather(country),
            "end_use_country": pl.Series(["US", "US", "TW", "DE"]).gather(country),
            "quantity": pl.Series(1 + keys % 7),
            "ordered_at": days(ordered),
            "requested_at": days(ordered + 30),
            "shipped_at": days(ordered + 30 + np.where(is_late, 1 + delay, -early)),
            "updated_at": days(np.where(second, DAYS + 200, ordered + 100)),
        }
    )[rng.permutation(book.lines)]


def write_book(folder: Path, book: Book) -> None:
    """Write the files and `mapping.yaml`."""
    folder.mkdir(parents=True)
    table, edges = rows(book), np.linspace(0, book.lines, book.files + 1).astype(int)
    for place, (start, stop) in enumerate(pairwise(edges)):
        table[int(start) : int(stop)].write_parquet(folder / f"orders-{place:05d}.parquet")
    skus = {f"S{place:05d}": CHIPS[place % len(CHIPS)] for place in range(book.skus)}
    (folder / "mapping.yaml").write_text(json.dumps({"as_of": AS_OF.isoformat(), "skus": skus}))


def run(work: Path, book: Book) -> Measured:
    """Draw a book and read it; what was counted must be what was drawn."""
    folder = work / "book"
    for made in (folder, work / "cache", work / "out"):
        shutil.rmtree(made, ignore_errors=True)
    # A process of its own draws it: the peak of a child counts what its parent holds where it begins.
    drawing = multiprocessing.get_context("spawn").Process(target=write_book, args=(folder, book))
    drawing.start()
    drawing.join()
    require(drawing.exitcode, 0, "status of the process that draws a book")
    measured = measure(etl_command(folder, "out"), work)
    found = json.loads((work / "out" / "summary.json").read_text())["rows"]
    accepted = book.lines - book.superseded
    counts = {"in": book.lines, "accepted": accepted, "superseded": book.superseded, "quarantined": 0}
    require(found, counts, f"rows of {book}")
    return measured


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Figures by book, and the file that keeps them, if any."""

    path: Path | None
    figures: dict[str, Measured]

    @classmethod
    def read(cls, path: Path | None) -> Kept:
        """What a file holds; nothing if it is not there."""
        known = json.loads(path.read_text()) if path is not None and path.exists() else {}
        return cls(path=path, figures={book: Measured(**one) for book, one in known.items()})

    def measured(self, work: Path, book: Book) -> Measured:
        """Figures of a book, measured unless they are known."""
        name = json.dumps(asdict(book))
        if name not in self.figures:
            self.figures[name] = replace(run(work, book), output="")
            if self.path is not None:
                self.path.write_text(
                    json.dumps({each: asdict(one) for each, one in self.figures.items()}, indent=1)
                )
        return self.figures[name]


def books(lines: int, axes: Iterable[str]) -> dict[str, dict[float, Book]]:
    """For each axis its sizes, and the book of each."""
    base = Book(lines=lines)
    made: dict[str, dict[float, Book]] = {}
    for axis in axes:
        sizes = [size * lines for size in SIZES[axis]] if axis == "lines" else SIZES[axis]
        whole = axis in {"lines", "skus", "files"}
        made[axis] = {
            size: replace(base, **{axis: int(size) if whole else size})
            for size in sizes
            if axis != "files" or size <= lines / 100
        }
    return made


def growth(before: float, after: float, times: float) -> float:
    """Times the seconds for twice the size, where `times` the size took `after` for `before`."""
    return float((after / before) ** (np.log(2) / np.log(times)))


def table(found: Mapping[str, Mapping[float, Measured]], start: float) -> str:
    """Rows of the Markdown table."""
    lines = []
    for axis, of_axis in found.items():
        before: tuple[float, float] | None = None
        for size, one in of_axis.items():
            work = max(one.cpu_seconds - start, 0.01)
            shown = f"{size:.0%}" if axis in {"amended", "late"} else f"{size:,.0f}"
            known = before is not None and before[0] > 0
            twice = f"{growth(before[1], work, size / before[0]):.2f}" if before and known else ""
            lines.append(
                f"| {axis} | {shown} | {one.seconds:.1f} | {one.cpu_seconds:.1f} | {twice} "
                f"| {one.peak_mib / 1024:.2f} GiB |"
            )
            before = (size, work)
    return "\n".join(lines)


def draw(found: Mapping[str, Mapping[float, Measured]], path: Path) -> None:
    """Seconds and memory over the size, an axis to a column."""
    import matplotlib as mpl  # noqa: PLC0415 - for the chart alone

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, panels = plt.subplots(2, len(found), figsize=(11, 4.6), layout="constrained", squeeze=False)
    for column, (axis, of_axis) in enumerate(found.items()):
        top, bottom = panels[:, column]
        top.plot(list(of_axis), [one.cpu_seconds for one in of_axis.values()], "o-", color="#1b4965")
        bottom.plot(list(of_axis), [one.peak_mib / 1024 for one in of_axis.values()], "s-", color="#b08968")
        for panel in (top, bottom):
            panel.set_ylim(bottom=0)
            if axis in {"skus", "files"}:
                panel.set_xscale("log")
        if axis in {"skus", "files"}:  # cost in proportion is a straight line, as on the other axes
            top.set_yscale("log")
            top.set_ylim(bottom=1)
        bottom.set_xlabel(axis)
    panels[0, 0].set_ylabel("CPU seconds")
    panels[1, 0].set_ylabel("peak memory, GiB")
    figure.savefig(path, metadata={"Date": None})


def report(found: Mapping[str, Mapping[float, Measured]], start: float, lines: int) -> str:
    """Section of docs/benchmarks.md."""
    command = f"python benchmarks/order_book_scaling.py --lines {lines} --write docs"
    machine = f"{platform.machine()}, {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} at the end"
    return f"""{HEADING} (`{command}`, {dt.datetime.now(tz=dt.UTC):%Y-%m-%d})

{lines:,} lines, 24 SKUs and 10 files where nothing else is said; {machine}. Start-up is {start:.1f} CPU
seconds of each run. "Twice": times the CPU seconds, less start-up, for twice the size (bar: {BAR}).

![CPU seconds and memory over lines, SKUs, files, amended and late share]({FIGURE})

| | size | seconds | CPU seconds | twice | peak memory |
|---|---|---|---|---|---|
{table(found, start)}
"""


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--write", type=Path, help="folder that takes the chart")
    parser.add_argument(
        "--json", type=Path, help="keeps the figures; those that it holds are not measured again"
    )
    options = parser.parse_args()
    kept = Kept.read(options.json)
    with tempfile.TemporaryDirectory(prefix="overspill-benchmark-") as temporary:
        work = Path(temporary)
        run(work, Book(lines=1_000, files=1))  # sets up the store of runs
        start = kept.measured(work, Book(lines=1_000, files=1)).cpu_seconds
        found: dict[str, dict[float, Measured]] = {}
        for axis, of_axis in books(options.lines, options.only).items():
            found[axis] = {}
            for size, book in of_axis.items():
                found[axis][size] = one = kept.measured(work, book)
                print(axis, size, f"{one.cpu_seconds:.1f} CPU s, {one.peak_mib:.0f} MiB", flush=True)
    print(report(found, start, options.lines))
    if options.write:
        draw(found, options.write / FIGURE)


if __name__ == "__main__":
    main()
