"""How long `overspill etl` takes on an order book, beside a bare scan and the same work in DuckDB.

    pip install -e '.[bench]'
    python benchmarks/order_book.py [--lines 20000000] [--files 100] [--repeats 1] [--write FILE.md]

Everything runs in the same call, each in its own process and in turn, on a book of `make_order_book.py`; its
last file is held back until the incremental run. Of several repeats the one of the fewest CPU seconds counts.
What is computed must be what the generator and DuckDB say.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

HERE = Path(__file__).parent
OVERSPILL = [sys.executable, "-m", "pipelines.cli.entry"]
HEADING = "## Order book"
WARM_UP_LINES = 10_000
FLOWS = ("orders", "shipments", "cancellations", "returns")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Wall and CPU seconds, peak memory in MiB, and what a process printed."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    output: str


def measure(command: list[str], folder: Path) -> Measured:
    """Run a command in a folder.

    Raises
    ------
    RuntimeError
        If it fails.
    """
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read()
    if process.returncode:
        raise RuntimeError(f"{command} ended with status {process.returncode}: {printed[-500:]}")
    return Measured(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss / 1024,
        output=printed,
    )


def units(rows: list[tuple[Any, ...]]) -> dict[str, dict[str, int]]:
    """Units by destination and flow, of rows (destination, orders, shipments, cancellations, returns)."""
    found = {str(there): dict(zip(FLOWS, map(int, values), strict=True)) for there, *values in rows}
    for flows in found.values():
        flows["backlog"] = flows["orders"] - flows["shipments"] - flows["cancellations"]
    return found


def etl_units(out: Path) -> dict[str, dict[str, int]]:
    """Units by destination of the series that the ETL wrote."""
    series = pl.read_parquet(out / "series.parquet")
    return units(series.group_by("destination").agg(pl.col(FLOWS).sum()).rows())


def etl_command(book: Path, out: str) -> list[str]:
    """`overspill etl` on a book."""
    settings = [
        f"data.path={book}",
        f"data.mapping={book / 'mapping.yaml'}",
        "data.quarantine_max_share=0.05",
        "data.cache=cache",
    ]
    overrides = [word for setting in settings for word in ("--set", setting)]
    return [*OVERSPILL, "etl", "--config", "order_book", *overrides, "--out", out, "--json"]


def require(found: object, expected: object, what: str) -> None:
    """Refuse to report times of wrong numbers."""
    if found != expected:
        raise RuntimeError(f"{what}: expected {expected}, found {found}")


def make_book(folder: Path, lines: int, files: int) -> Path:
    """Write a book unless it is there already."""
    if not (folder / "truth.json").exists():
        options = ["--lines", str(lines), "--files", str(files)]
        measure([sys.executable, str(HERE / "make_order_book.py"), str(folder), *options], Path.cwd())
    return folder


def measure_all(work: Path, lines: int, files: int, repeats: int) -> dict[str, Measured]:
    """All processes in turn; the book has one more file than `files`, held back until the last run."""
    small = make_book(work / "small", WARM_UP_LINES, 1)
    book = make_book(work / f"book-{lines}-{files}", lines + lines // files, files + 1)
    truth = json.loads((book / "truth.json").read_text())
    newest = max(book.glob("*.parquet"))
    scan, duckdb = (
        [sys.executable, str(HERE / f"order_book_{peer}.py"), str(book)] for peer in ("scan", "duckdb")
    )
    commands = {
        "small": etl_command(small, "out-small"),
        "scan": scan,
        "duckdb": duckdb,
        "duckdb_all": [*duckdb, "--out", str(work / "out-duckdb")],
        "cold": etl_command(book, "out-cold"),
        "again": etl_command(book, "out-again"),
    }
    measure(scan, work)  # brings the files into the page cache
    measure(etl_command(small, "out-first"), work)  # and sets up the store of runs
    rounds = []
    for _ in range(repeats):
        shutil.rmtree(work / "cache", ignore_errors=True)
        held = Path(shutil.move(newest, work / newest.name))
        try:
            measured = {name: measure(command, work) for name, command in commands.items() if name != "again"}
        finally:
            shutil.move(held, newest)
        require_equal(work, json.loads(measured["duckdb_all"].output))
        measured["again"] = measure(commands["again"], work)
        require(etl_units(work / "out-again"), truth["units"], "units after one new file")
        summary = json.loads((work / "out-again" / "summary.json").read_text())
        require(summary["rows"], truth["rows"], "rows after one new file")
        rounds.append(measured)
    return {name: min((each[name] for each in rounds), key=lambda one: one.cpu_seconds) for name in commands}


def require_equal(work: Path, duckdb: dict[str, Any]) -> None:
    """Refuse to report times where step and DuckDB differ in units, outcomes of rows, or overtaken lines."""
    require(etl_units(work / "out-cold"), units(duckdb["units"]), "units, etl and DuckDB")
    summary = json.loads((work / "out-cold" / "summary.json").read_text())
    outcomes = {rule: rows for rule, rows in summary["quarantined"].items() if rows}
    outcomes["superseded"] = summary["rows"]["superseded"]
    require(outcomes, duckdb["outcomes"], "rows of each outcome, etl and DuckDB")
    cases = pl.read_parquet(work / "out-cold" / "priority_inversions.parquet")
    lines = cases.select("us_source_file", "us_source_row").n_unique()
    require(lines, duckdb["overtaken_us_lines"], "overtaken US lines, etl and DuckDB")


def report(measured: Mapping[str, Measured], lines: int, files: int) -> str:
    """Section of docs/benchmarks.md."""
    names = {
        "scan": "bare Polars scan: reads the same columns, counts non-nulls",
        "duckdb": "the aggregation alone in DuckDB (`order_book.sql`)",
        "duckdb_all": "the same work in DuckDB (`order_book_checks.sql` too)",
        "cold": "`overspill etl`, nothing read before",
        "again": f"`overspill etl` again, one new file beside {files}",
        "small": f"`overspill etl` on {WARM_UP_LINES:,} lines: start-up, tracking, writing",
    }
    bare, duckdb, cold = (measured[name].cpu_seconds for name in ("duckdb", "duckdb_all", "cold"))
    rows = [
        f"| {text} | {one.seconds:.1f} | {one.cpu_seconds:.1f} | {one.peak_mib / 1024:.2f} GiB "
        f"| {one.cpu_seconds / bare:.2f} | {one.cpu_seconds / duckdb:.2f} | {one.cpu_seconds / cold:.2f} |"
        for name, text in names.items()
        for one in [measured[name]]
    ]
    command = f"python benchmarks/order_book.py --lines {lines} --files {files}"
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return f"""{HEADING} (`{command}`, {dt.datetime.now(tz=dt.UTC):%Y-%m-%d})

{lines:,} order lines in {files} Parquet files. {machine}; load {os.getloadavg()[0]:.1f} at the end.
Whole processes, files in the page cache; the last three columns are ratios of CPU seconds.

| | seconds | CPU seconds | peak memory | of DuckDB's aggregation | of DuckDB, same work | of the first run |
|---|---|---|---|---|---|---|
{chr(10).join(rows)}
"""


def write_section(path: Path, section: str) -> None:
    """Put the section in place of the one with the same heading, or at the end."""
    before, found, rest = path.read_text().partition(HEADING)
    _, mark, after = rest.partition("\n## ")
    path.write_text(f"{before.rstrip()}\n\n{section}" + (f"\n## {after}" if found and mark else ""))


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=20_000_000)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument(
        "--folder", type=Path, help="keeps the book and what is written; default: a temporary one"
    )
    parser.add_argument("--write", type=Path, help="Markdown file whose section is replaced")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="overspill-benchmark-") as temporary:
        work = (options.folder or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        measured = measure_all(work, options.lines, options.files, options.repeats)
        section = report(measured, options.lines, options.files)
    print(section)
    if options.write:
        write_section(options.write, section)


if __name__ == "__main__":
    main()
