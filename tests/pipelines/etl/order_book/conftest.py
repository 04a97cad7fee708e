"""Shared by the order-book tests: a small book of three years, ways to write it, and the etl step on it."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from pipelines.etl.order_book.files.recipe import recipe
from pipelines.etl.order_book.files.sources import list_sources
from pipelines.etl.order_book.incremental.file_summary import summarise_file
from pipelines.etl.order_book.incremental.manifest import open_manifest
from pipelines.etl.order_book.step import read, settled
from pipelines.etl.step import run_etl
from pipelines.runtime.config.loader import resolve
from pipelines.runtime.step.context import Context

FIRST, AS_OF = dt.date(2023, 1, 2), dt.date(2026, 3, 31)
SCHEMA = {
    "order_id": pl.String,
    "line": pl.Int64,
    "sku": pl.String,
    "customer_id": pl.String,
    "customer_country": pl.String,
    "end_use_country": pl.String,
    "quantity": pl.Int64,
    "ordered_at": pl.Date,
    "requested_at": pl.Date,
    "promised_at": pl.Date,
    "shipped_at": pl.Date,
    "shipped_quantity": pl.Int64,
    "cancelled_at": pl.Date,
    "updated_at": pl.Datetime("us", "UTC"),
    "return_reason": pl.String,
}


def order_line(**fields):
    """One line of a US order for an H200, shipped within two weeks, but for the fields given."""
    day = fields.get("ordered_at", dt.date(2025, 5, 5))
    row = dict.fromkeys(SCHEMA) | {
        "order_id": "SO-1",
        "line": 1,
        "sku": "H200",
        "customer_id": "C1",
        "customer_country": "US",
        "end_use_country": "US",
        "quantity": 8,
        "ordered_at": day,
        "requested_at": day + dt.timedelta(days=30),
        "shipped_at": day + dt.timedelta(days=14),
    }
    return row | fields


def order_lines(number, *, seed=0):
    """Lines of H100 and H200 orders spread evenly from FIRST to AS_OF; lead times of up to ten weeks."""
    dice = np.random.default_rng(seed)
    days = (AS_OF - FIRST).days
    rows = []
    for n in range(number):
        ordered = FIRST + dt.timedelta(days=n * days // number)
        country = str(dice.choice(["US", "US", "US", "DE", "JP"]))
        requested = ordered + dt.timedelta(days=int(dice.integers(10, 41)))
        shipped = ordered + dt.timedelta(days=int(dice.integers(5, 71)))
        rows.append(
            order_line(
                order_id=f"SO-{seed}-{n:05d}",
                sku=str(dice.choice(["H100", "H200"])),
                customer_country=country,
                end_use_country=country,
                quantity=int(dice.integers(1, 65)),
                ordered_at=ordered,
                requested_at=requested,
                shipped_at=shipped if shipped <= AS_OF else None,
            )
        )
    return rows


def tangled_lines(dice, number):
    """Lines of few keys, in versions, copies and contradictions, US and export, some late."""
    day = dt.date(2025, 1, 6)
    rows = []
    for _ in range(number):
        order = int(dice.integers(40))
        requested = day + dt.timedelta(days=order % 7)
        update = dice.choice([None, 1, 2, 3])
        open_still = dice.random() < 0.2
        rows.append(
            order_line(
                order_id=f"SO-{order}",
                line=int(dice.integers(1, 3)),
                sku=["H100", "H200"][order % 2],
                end_use_country=["US", "CN"][order % 3 == 0],
                quantity=int(dice.integers(1, 4)),
                ordered_at=day,
                requested_at=requested,
                shipped_at=None if open_still else requested + dt.timedelta(days=int(dice.integers(0, 9))),
                updated_at=update and dt.datetime(2025, 3, update, tzinfo=dt.UTC),
            )
        )
    return rows


def table(rows):
    """Rows as a frame of the canonical columns."""
    return pl.DataFrame(rows, schema=SCHEMA)


def write_parts(folder, rows, parts, *, suffix="parquet"):
    """Write rows into files of equal size; returns their paths."""
    folder.mkdir(exist_ok=True, parents=True)
    frame, paths = table(rows), []
    for part in range(parts):
        path = folder / f"part-{part}.{suffix}"
        chosen = frame.slice(
            part * len(rows) // parts, (part + 1) * len(rows) // parts - part * len(rows) // parts
        )
        chosen.write_parquet(path) if suffix == "parquet" else chosen.write_csv(path)
        paths.append(path)
    return paths


@dataclass
class Bench:
    """Runs the etl step in a folder of its own, on the order lines that it writes there."""

    folder: Path
    tracker: object
    as_of = AS_OF
    line = staticmethod(order_line)
    lines = staticmethod(order_lines)
    tangle = staticmethod(tangled_lines)
    table = staticmethod(table)

    @property
    def orders(self):
        return self.folder / "orders"

    def write(self, rows, parts=1, **options):
        return write_parts(options.pop("folder", self.orders), rows, parts, **options)

    def context(self, *overrides, mapping=None):
        self.console = Console(file=io.StringIO(), width=400)
        given = [
            f"data.path={self.orders}",
            f"data.as_of={AS_OF}",
            f"data.cache={self.folder / 'cache'}",
        ]
        if mapping is not None:
            (self.folder / "mapping.yaml").write_text(mapping)
            given.append(f"data.mapping={self.folder / 'mapping.yaml'}")
        settings = resolve("order_book", [*given, *overrides])
        return Context(settings=settings, tracker=self.tracker, console=self.console, out=self.folder / "out")

    def etl(self, *overrides, **options):
        return run_etl(self.context(*overrides, **options))

    @contextmanager
    def reading(self, *overrides):
        """The order book as settled, without a run: a function from nothing to it, on one cache."""
        context = self.context(*overrides)
        data = context.settings.data
        made = recipe(data, today=AS_OF)

        def book():
            listing = list_sources([data.path], {})
            return settled(read(listing, made, manifest, data, context), made, manifest, data)

        with open_manifest(data.cache, data.path, made.fingerprint, self.console) as manifest:
            yield book

    @property
    def said(self):
        return self.console.file.getvalue()

    @property
    def out(self):
        return self.folder / "out"

    @property
    def summary(self):
        return json.loads((self.out / "summary.json").read_text())

    def read(self, name):
        return pl.read_parquet(self.out / f"{name}.parquet")

    @property
    def quarantine(self):
        """Rule by (file name, row)."""
        files = sorted((self.out / "quarantine").glob("*.parquet"))
        return {
            (Path(file).name, row): rule
            for path in files
            for file, row, rule in pl.read_parquet(path)
            .select("source_file", "source_row", "broken_rule")
            .iter_rows()
        }

    @property
    def files(self):
        """Content of every result file."""
        return {
            str(path.relative_to(self.out)): path.read_bytes()
            for path in sorted(self.out.rglob("*"))
            if path.is_file() and not path.name.startswith("settings-")
        }


class Meaning(NamedTuple):
    """A path below a root that holds `names`, the files of order lines it means, and what it passes over."""

    path: str
    wanted: list
    ignored: list

    names = (
        "o/a.csv",
        "o/_tmp.csv",
        "o/.hid.csv",
        "o/_delta_log/0.parquet",
        "o/_delta_log/1.parquet",
        "o/notes.txt",
        "o/sub/b.csv",
        "o/sub/deep/c.csv",
        "o/feb.parquet/part-0.parquet",
        "other/d.csv",
    )


HIDDEN = ["o/.hid.csv", "o/_delta_log", "o/_tmp.csv"]
ALL = ["o/a.csv", "o/feb.parquet/part-0.parquet", "o/sub/b.csv", "o/sub/deep/c.csv"]


@pytest.fixture(
    params=[
        Meaning("o", ALL, [*HIDDEN, "o/notes.txt"]),
        Meaning("o/", ALL, [*HIDDEN, "o/notes.txt"]),
        Meaning("o/*", ALL, [*HIDDEN, "o/notes.txt"]),
        Meaning("o/**", ALL, [*HIDDEN, "o/notes.txt"]),
        Meaning("o/*.csv", ["o/a.csv"], ["o/.hid.csv", "o/_tmp.csv"]),
        Meaning("o/*.parquet", ["o/feb.parquet/part-0.parquet"], []),
        Meaning("o/*/*.csv", ["o/sub/b.csv"], []),
        Meaning("o/**/*.csv", ["o/a.csv", "o/sub/b.csv", "o/sub/deep/c.csv"], ["o/.hid.csv", "o/_tmp.csv"]),
        Meaning("o/s?b", ["o/sub/b.csv", "o/sub/deep/c.csv"], []),
        Meaning("o/s?b/", ["o/sub/b.csv", "o/sub/deep/c.csv"], []),
        Meaning("*/d.csv", ["other/d.csv"], []),
        Meaning("o/_*.csv", ["o/_tmp.csv"], []),
        Meaning("o/_delta_log", ["o/_delta_log/0.parquet", "o/_delta_log/1.parquet"], []),
        Meaning("o/[ab].csv", ["o/a.csv"], []),
    ],
    ids=lambda meaning: meaning.path,
)
def meaning(request):
    return request.param


@pytest.fixture
def digested(monkeypatch):
    """Paths of the files that are read, as they are."""
    paths = []

    def counting(source, *arguments, **options):
        paths.append(Path(source.path).name)
        return summarise_file(source, *arguments, **options)

    monkeypatch.setattr("pipelines.etl.order_book.incremental.engines.summarise_file", counting)
    return paths


@pytest.fixture
def bench(tmp_path, tracker):
    (tmp_path / "orders").mkdir()
    return Bench(folder=tmp_path, tracker=tracker)


@pytest.fixture
def not_root():
    """Give up root's right to read everything, for as long as the test runs."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield
    if root:
        os.seteuid(0)


@pytest.fixture
def open_folder():
    """A folder that everyone may look into."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
