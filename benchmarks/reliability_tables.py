"""Bad tables and options for `overspill predict`: each must be refused, and an earlier result must stay."""

from __future__ import annotations

import datetime as dt
import gzip
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
from reliability_command import COMMAND

Case = tuple[str, list[str]]
DAYS = [dt.date(2025, 1, 1) + dt.timedelta(days=n) for n in range(40)]
HEADER = "unique_id,ds,y"


def bad_tables(folder: Path, *, out: Path) -> Iterator[Case]:
    """Name and command of each case; `out` holds the result of an earlier command."""
    folder.mkdir(exist_ok=True)
    command = [*COMMAND, "predict", "--horizon=3", "--model=statistical", f"--out={out}"]
    for name, content in _texts().items():
        path = folder / f"{name.replace(' ', '-').replace('/', '-')}.csv"
        path.write_bytes(content)
        yield f"predict: {name}", [*command, str(path)]
    for name, path in _files(folder):
        yield f"predict: {name}", [*command, str(path)]
    good = folder / "good.csv"
    good.write_text(_csv([f"a,{day},{n % 7}" for n, day in enumerate(DAYS)]))
    for option in OPTIONS:
        yield f"predict: {' '.join(option)}", [*command, str(good), *option]


OPTIONS = (
    ("--horizon=0",),
    ("--horizon=-3",),
    ("--horizon=100000000",),
    ("--quantiles=0.5,1.5",),
    ("--quantiles=",),
    ("--paths=-1",),
    ("--freq=fortnight",),
    ("--freq=M",),
    ("--model=oracle",),
    ("--floor=cellar",),
    ("--seed=-1",),
    ("--event=over the top",),
    ("--event=above 3", "--hold=0"),
    ("--id-col=y",),
    ("--target-col=../../etc/passwd",),
    ("--covariates=promo",),
    ("--future=/dev/zero", "--covariates=promo"),
    ("--calendar=/dev/null",),
    ("--encoding=klingon",),
    ("--separator=ab",),
    ("--checkpoint=/nowhere",),
)


def _csv(rows: list[str], header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


def _texts() -> Mapping[str, bytes]:
    rows = [f"a,{day},{n % 7}" for n, day in enumerate(DAYS)]
    strange = {
        "one observation": rows[:1],
        "a day twice": [*rows, rows[-1]],
        "two values of a day": [*rows, f"a,{DAYS[-1]},9"],
        "no id": [row.removeprefix("a") for row in rows],
        "no date": [f"a,,{n}" for n in range(9)],
        "a date of no calendar": [*rows, "a,2025-02-30,1"],
        "a word for a value": [*rows[:-1], f"a,{DAYS[-1]},lots"],
        "an endless value": [*rows[:-1], f"a,{DAYS[-1]},inf"],
        "a decimal comma": [f'a,{day},"{n % 7},5"' for n, day in enumerate(DAYS)],
        "years of two digits": [f"a,{day:%d/%m/%y},1" for day in DAYS],
        "two readings of dates": [f"a,{n + 1:02d}/{n + 2:02d}/2025,1" for n in range(8)],
        "a stray day of 1900": ["a,1900-01-01,1", *rows],
        "days of the year 9999": [f"a,9999-12-{n + 1:02d},1" for n in range(20)],
        "quarters among days": [*rows, *(f"b,{year}-03-31,1" for year in range(2010, 2024))],
        "only missing values": [f"a,{day}," for day in DAYS],
        "a short line": [*rows, "a,2025-03-01"],
        "the header again": [*rows, HEADER, *rows],
    }
    plain = _csv(rows)
    return {
        **{name: _csv(lines).encode() for name, lines in strange.items()},
        "nothing": b"",
        "a header alone": f"{HEADER}\n".encode(),
        "no such columns": _csv(rows, "item,day,sold").encode(),
        "a column twice": _csv(rows, "unique_id,ds,ds").encode(),
        "UTF-16": plain.encode("utf-16"),
        "zeros": bytes(4096),
        "random bytes": os.urandom(4096),
        "an open quote": (HEADER + '\n"a' + plain).encode(),
        "markup": b"<html><body><script>alert(1)</script></body></html>",
    }


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    torn = folder / "torn.csv.gz"
    torn.write_bytes(gzip.compress(_csv([f"a,{day},1" for day in DAYS]).encode())[:-20])
    yield "gzip cut short", torn
    frame = pl.DataFrame({"unique_id": ["a"] * 40, "ds": DAYS, "y": [float(n % 7) for n in range(40)]})
    for name, table in {
        "nested values": frame.with_columns(pl.concat_list("y")),
        "truth as values": frame.with_columns(pl.col("y") > 3),
        "nested ids": frame.with_columns(pl.concat_list("unique_id")),
        "times of day as dates": frame.with_columns(ds=pl.lit(dt.time(3))),
        "no rows": frame.clear(),
    }.items():
        path = folder / f"{name.replace(' ', '-')}.parquet"
        table.write_parquet(path)
        yield f"Parquet with {name}", path
    whole = folder / "whole.parquet"
    frame.write_parquet(whole)
    half = folder / "half.parquet"
    half.write_bytes(whole.read_bytes()[:-30])
    yield "Parquet cut short", half
    pipe = folder / "pipe.csv"
    os.mkfifo(pipe)
    yield from (("a pipe", pipe), ("a folder", folder), ("/dev/zero", Path("/dev/zero")))
