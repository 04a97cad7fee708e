"""`overspill etl` on an order book by one process, and by a Ray cluster of one and of two nodes.

    python benchmarks/order_book_ray.py [--lines 10000000] [--files 100]

Prints a table. The nodes are processes of this machine, with one core each. In the last run a worker is
killed once a fifth of the time has passed that two nodes took. Every result must be that of one process, to
the unit. Needs the optional extra `ray`.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import psutil
from order_book import Measured, etl_command, make_book, measure, require

RESULTS = ("series", "shipped_by_country", "priority_inversions")
WORKER = "ray::_placed"  # how a process that works on a task is called; a node ends with its agents


@contextmanager
def cluster(nodes: int) -> Iterator[None]:
    """A Ray cluster of so many nodes of one core, which commands started meanwhile find."""
    from ray.cluster_utils import Cluster  # noqa: PLC0415 (optional extra `ray`)

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        for _ in range(nodes - 1):
            made.add_node(num_cpus=1)
        made.wait_for_nodes()
        os.environ["RAY_ADDRESS"] = made.address
        yield
    finally:
        os.environ.pop("RAY_ADDRESS", None)
        made.shutdown()


def kill_a_worker(*, after: float, killed: list[int]) -> None:
    """Kill a process that is at a task, once so many seconds have passed."""
    time.sleep(after)
    until = time.monotonic() + 60
    while not killed and time.monotonic() < until:
        for process in psutil.process_iter(["cmdline"]):
            if (process.info["cmdline"] or [""])[0].startswith(WORKER):
                process.kill()
                killed.append(process.pid)
                return
        time.sleep(0.02)


def read_book(work: Path, book: Path, name: str, *options: str) -> Measured:
    """One run with a cache of its own; the book's counts must come out."""
    shutil.rmtree(work / "cache", ignore_errors=True)
    return measure([*etl_command(book, name), *options], work)


def require_same(work: Path, name: str) -> None:
    """Refuse to report a result that is not that of one process."""
    for table in RESULTS:
        one, other = (pl.read_parquet(work / folder / f"{table}.parquet") for folder in ("local", name))
        require(other.equals(one), expected=True, what=f"{table} of {name} is that of one process")


def measure_all(work: Path, book: Path) -> dict[str, Measured]:
    """All runs in turn."""
    on_ray = ("--set", "data.engine=ray")
    found = {"local": read_book(work, book, "local")}
    for nodes in (1, 2):
        with cluster(nodes):
            found[f"{nodes} nodes"] = read_book(work, book, f"{nodes} nodes", *on_ray)
    killed: list[int] = []
    pause = found["2 nodes"].seconds / 5
    with cluster(2):
        killer = threading.Thread(target=kill_a_worker, kwargs={"after": pause, "killed": killed})
        killer.start()
        found["killed"] = read_book(work, book, "killed", *on_ray)
        killer.join()
    require(len(killed), expected=1, what="workers killed")
    for name in found:
        require_same(work, name)
    return found


def report(found: Mapping[str, Measured]) -> str:
    """The table; speed-up is over one node, start-up included."""
    names = {
        "local": "one process, no Ray",
        "1 nodes": "Ray, one node of one core",
        "2 nodes": "Ray, two nodes of one core each",
        "killed": "the same, a worker killed in the middle",
    }
    lines = ["| | seconds | speed-up over one node |", "|---|---|---|"]
    lines += [
        f"| {text} | {found[name].seconds:.1f} | {found['1 nodes'].seconds / found[name].seconds:.2f} |"
        for name, text in names.items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--files", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        book = make_book(work / "book", options.lines, options.files)
        print(report(measure_all(work, book)))
    print(f"\n{platform.machine()}, {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
