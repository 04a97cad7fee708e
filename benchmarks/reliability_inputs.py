"""Bad inputs to the command line: files that are torn, endless or no files, and settings that are none."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from reliability_command import COMMAND

Case = tuple[str, list[str]]
FORMULA = "=cmd|' /C calc'!A0"
HTML = "<script>alert(1)</script>"


def bad_inputs(folder: Path, source: random.Random, *, lines: pl.DataFrame, torn: int = 40) -> Iterator[Case]:
    """Name and command of each case; every one must be refused."""
    folder.mkdir(exist_ok=True)
    etl = [*COMMAND, "etl", "--config=order_book", f"--set=tracking.uri=sqlite:///{folder.parent / 'etl.db'}"]

    def book(path: Path | str) -> list[str]:
        # The result of an earlier run lies in this folder, and must stay.
        return [
            *etl,
            f"--set=data.path={path}",
            f"--set=data.cache={folder / 'cache'}",
            f"--out={folder.parent / 'etl'}",
        ]

    yield from ((name, book(path)) for name, path in _parquet(folder, source, lines, torn))
    yield from ((name, book(path)) for name, path in _text(folder, lines))
    yield from ((name, book(path)) for name, path in _no_files(folder))
    good = folder / "good.parquet"
    lines.write_parquet(good)
    yield from (
        (name, [*book(good), f"--set=data.mapping={path}"]) for name, path in _yaml(folder, "mapping")
    )
    yield from (
        (name, [*COMMAND, "config", f"--config={path}"]) for name, path in _yaml(folder, "experiment")
    )
    yield from ((f"--set {each!r}", [*book(good), f"--set={each}"]) for each in SETTINGS)


SETTINGS = (
    "data",
    "=1",
    "data.path",
    "data.quarantine_max_share=2",
    "data.quarantine_max_share=nan",
    "data.frequency=D",
    "data.as_of=2999-01-01",
    "data.as_of=yesterday",
    "data.fiscal_year_end_month=13",
    "data.time_zone=Mars/Olympus",
    "data.separator=abc",
    "data.columns={quantity: null}",
    "data.columns={0123: x}",
    "data.skus={NO: H200}",
    "data.skus={A: H9999}",
    "data.skus=[1, 2]",
    "data.exports={H200: {exported_so_far: -1}}",
    "data.exports={H200: {exported_so_far: .nan}}",
    "data.date_formats={quantity: '%Y'}",
    "data.decimal_separator=;",
    "data.chips={X: {vendor: a}}",
    "data.engine=abacus",
    "seed=-1",
    "seed=[1",
    "data.unknown=1",
    "tracking.uri=ftp://example.org/x",
    "policies=[no_such_policy]",
    "policies=[../../etc/passwd]",
    "data=../../../etc/passwd",
    "data.cache=/dev/null/cache",
    f"data.skus={{'{HTML}': H200x}}",
)


def _parquet(
    folder: Path, source: random.Random, lines: pl.DataFrame, torn: int
) -> Iterator[tuple[str, Path]]:
    whole = folder / "whole.parquet"
    lines.write_parquet(whole)
    content = whole.read_bytes()
    whole.unlink()
    for n in range(torn):
        # The footer holds the schema; of the pages a changed byte is seen by their check sums or not at all.
        at = source.randrange(len(content) - 400, len(content))
        path = folder / f"torn-{n}.parquet"
        cut = n % 2 == 0
        path.write_bytes(content[:at] if cut else content[:at] + os.urandom(16) + content[at + 16 :])
        if cut:
            yield f"Parquet cut at byte {at}, {n}", path
        elif not _reads(path, lines):
            yield f"Parquet with 16 random bytes at {at}, {n}", path
    for name, table in _tables(lines).items():
        path = folder / f"{name.replace(' ', '-')}.parquet"
        table.write_parquet(path)
        yield f"Parquet with {name}", path


def _reads(path: Path, lines: pl.DataFrame) -> bool:
    """Whether a damaged file happens to read as the whole one."""
    try:
        return pl.read_parquet(path).equals(lines)
    except BaseException:  # noqa: BLE001 - Polars panics on some
        return False


def _tables(lines: pl.DataFrame) -> dict[str, pl.DataFrame]:
    every = lines.height
    return {
        "no rows": lines.head(0),
        "no columns": pl.DataFrame(),
        "no quantity": lines.drop("quantity"),
        "nested quantities": lines.with_columns(pl.concat_list("quantity").alias("quantity")),
        "binary orders": lines.with_columns(pl.col("order_id").cast(pl.Binary)),
        "quantities of nothing": lines.with_columns(quantity=pl.lit(None, pl.Int64)),
        "endless quantities": lines.with_columns(quantity=pl.lit(float("inf"))),
        "huge quantities": lines.with_columns(quantity=pl.lit(2**62)),
        "unknown articles": lines.with_columns(sku=pl.lit("../../../etc/passwd")),
        "formulas as articles": lines.with_columns(sku=pl.lit(FORMULA)),
        "markup as countries": lines.with_columns(end_use_country=pl.lit(HTML)),
        "shared names of countries": lines.with_columns(end_use_country=pl.lit("Korea")),
        "dates of the far future": lines.with_columns(ordered_at=pl.date(9999, 12, 31)),
        "dates of antiquity": lines.with_columns(ordered_at=pl.date(1, 1, 1)),
        "two readings of dates": lines.with_columns(requested_at=pl.lit("04/05/2024")),
        "two readings of numbers": lines.with_columns(quantity=pl.lit("1,000")),
        "one order many times": pl.concat(
            [lines.head(1).with_columns(quantity=pl.lit(n % 9 + 1, pl.Int64)) for n in range(9)]
        ),
        "a reserved column": lines.with_columns(broken_rule=pl.lit("x")),
        "a column twice but for its case": lines.with_columns(Promised_At=pl.lit(None)).head(every),
    }


def _text(folder: Path, lines: pl.DataFrame) -> Iterator[tuple[str, Path]]:
    text = lines.write_csv()
    header, first, *others = text.splitlines(keepends=True)
    for name, content in {
        "nothing": b"",
        "a header alone": header.encode(),
        "a byte-order mark alone": b"\xef\xbb\xbf",
        "zeros": bytes(4096),
        "random bytes": random.Random(1).randbytes(4096),  # noqa: S311
        "UTF-16": text.encode("utf-16"),
        "Latin-1": text.replace("C1", "Zo\u00eb").encode("latin-1"),
        "an open quote": (header + '"' + first + "".join(others)).encode(),
        "a stray quote": (header + first.replace("SO", 'S"O') + "".join(others)).encode(),
        "a short line": (header + first.rsplit(",", 1)[0] + "\n" + "".join(others)).encode(),
        "a long line": (header + first.rstrip("\n") + ",x\n" + "".join(others)).encode(),
        "a header twice": (header.rstrip("\n") + "," + header + first).encode(),
        "the header again inside": (header + header + header).encode(),
        "another separator": text.replace(",", ";").encode(),
        "old line ends": text.replace("\n", "\r").encode(),
        "a line of a million fields": (header + "," * 1_000_000 + "\n").encode(),
        "a field of ten million letters": (header + "x" * 10_000_000 + "\n").encode(),
        "HTML": f"<html><body>{HTML}</body></html>".encode(),
        "JSON": b'{"order_id": 1}',
    }.items():
        path = folder / f"{name.replace(' ', '-')}.csv"
        path.write_bytes(content)
        yield f"CSV of {name}", path
    fake = folder / "text.parquet"
    fake.write_text(text)
    yield "CSV called Parquet", fake
    other = folder / "parquet.csv"
    lines.write_parquet(other)
    yield "Parquet called CSV", other


def _no_files(folder: Path) -> Iterator[tuple[str, Path | str]]:
    pipe = folder / "pipe.csv"
    os.mkfifo(pipe)
    device, full = folder / "zero.csv", folder / "zero.parquet"
    device.symlink_to("/dev/zero")
    full.symlink_to("/dev/random")
    loop, gone = folder / "loop.csv", folder / "gone.csv"
    loop.symlink_to(loop)
    gone.symlink_to(folder / "nowhere.csv")
    empty = folder / "empty"
    empty.mkdir()
    inside = folder / "with-pipe"
    inside.mkdir()
    os.mkfifo(inside / "a.csv")
    yield from {
        "a pipe": pipe,
        "/dev/zero called CSV": device,
        "/dev/random called Parquet": full,
        "a link to itself": loop,
        "a link to nowhere": gone,
        "an empty folder": empty,
        "a folder with a pipe": inside,
        "no such file": folder / "no.csv",
        "another kind of file": Path(__file__),
        "a name of 5,000 letters": "x" * 5000 + ".csv",
        "a glob of nothing": f"{folder}/**/*.nothing",
        "/proc": "/proc/self/mem",
        "a null byte": "a\x1fb.csv",
        "an address without a store": "s3://",
    }.items()


def _yaml(folder: Path, kind: str) -> Iterator[tuple[str, Path]]:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(20)
    )
    for name, text in {
        "a bomb of anchors": bomb,
        "an anchor that holds itself": "seed: &a [*a]\n",
        "a tag of Python": "seed: !!python/object/apply:os.system ['true']\n",
        "an unknown tag": "seed: !secret 1\n",
        "deep brackets": "seed: " + "[" * 20_000 + "\n",
        "a key twice": "seed: 1\nseed: 2\n",
        "a key that is a number": "0123: 1\n",
        "a key that is a truth value": "NO: 1\n",
        "a key that is a list": "? [a]\n: 1\n",
        "a list": "- 1\n",
        "nothing": "",
        "a tab": "seed:\t\t- 1\n\t- 2\n",
        "zeros": "\0" * 100,
        "an unknown key": "no_such_key: 1\n",
    }.items():
        path = folder / f"{kind}-{name.replace(' ', '-')}.yaml"
        path.write_text(text)
        yield f"{kind}: YAML with {name}", path
    other = folder / f"{kind}-latin.yaml"
    other.write_bytes("seed: Zo\u00eb\n".encode("latin-1"))
    large = folder / f"{kind}-large.yaml"
    large.write_text("# " + "x" * 6_000_000)
    pipe = folder / f"{kind}-pipe.yaml"
    os.mkfifo(pipe)
    yield from {
        f"{kind}: YAML in Latin-1": other,
        f"{kind}: YAML of 6 MB": large,
        f"{kind}: a pipe": pipe,
        f"{kind}: a folder": folder,
        f"{kind}: /dev/zero": Path("/dev/zero"),
    }.items()
