"""Commands as processes of their own, and the workplace in which their reliability is tried."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import psutil

COMMAND = (sys.executable, "-m", "pipelines.cli.entry")
FORKER = Path(__file__).with_name("reliability_forker.py")
ROOT = Path(__file__).parents[1]
BESIDE = (".overspill", "settings-", "quarantine-failed")  # what does not belong to the result itself
FEW = ("forecast.paths=20", "forecast.horizon=4", "statistical.candidates=[AutoTheta]", "backtest.paths=20")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process ended: exit status (negative: a signal), its errors, seconds by clock and processor."""

    code: int
    stderr: str
    seconds: float
    processor: float = 0.0

    def said(self) -> str:
        """Its last words."""
        return " / ".join(self.stderr.strip().splitlines()[-2:])[-300:]


def ends_of(
    cases: Iterable[tuple[str, Sequence[str]]], folder: Path, *, seconds: float, memory: int
) -> Iterator[tuple[str, Ended]]:
    """How each command ends, forked from one process that has imported everything: a start takes no time."""
    forker = subprocess.Popen(
        [sys.executable, str(FORKER), str(seconds), str(memory)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    asked, told = forker.stdin, forker.stdout
    if asked is None or told is None:
        raise RuntimeError("the forking process has no pipes")
    for name, command in cases:
        asked.write(json.dumps(command[len(COMMAND) :]) + "\n")
        asked.flush()
        yield name, Ended(**json.loads(told.readline()))
    asked.close()
    told.close()
    forker.wait()


def started(command: Sequence[str], folder: Path) -> subprocess.Popen[str]:
    """A process in a folder, its standard error in a file."""
    errors = (folder / f"stderr-{time.monotonic_ns()}").open("w+")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    process.errors, process.begun = errors, time.monotonic()  # type: ignore[attr-defined]
    return process


def reached(process: subprocess.Popen[str], processor: float) -> bool:
    """Wait until a process has used so many seconds of the processor; False if it ended before.

    On a machine that others share, moments by the clock would fall behind the end of one run and before the
    work of another.
    """
    try:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            if sum(watched.cpu_times()[:2]) >= processor:
                return True
            time.sleep(0.01)
    except psutil.Error:
        pass
    return False


def wait_for(process: subprocess.Popen[str], seconds: float = 600.0) -> Ended:
    """Wait for a process; one that takes longer is killed, which shows as -9."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    if process.poll() is None:
        process.kill()
        process.wait()
    errors = process.errors  # type: ignore[attr-defined]
    errors.seek(0)
    text = errors.read()
    errors.close()
    Path(errors.name).unlink(missing_ok=True)
    took = time.monotonic() - process.begun  # type: ignore[attr-defined]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return Ended(code=process.returncode, stderr=text, seconds=took, processor=processor)


@dataclass(kw_only=True)
class Workplace:
    """A folder with a small order book, and an earlier result of each command.

    Attributes
    ----------
    folder : Path
    names : sequence of str
        Commands that are tried.
    lines : DataFrame
        The order book.
    seconds : mapping of command to seconds
        Of the processor that each took undisturbed.
    """

    folder: Path
    names: Sequence[str]
    lines: pl.DataFrame
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def built(cls, folder: Path, names: Sequence[str]) -> Workplace:
        """Write the order book and let every command run once."""
        lines = order_book()
        (folder / "orders").mkdir()
        lines.write_parquet(folder / "orders" / "a.parquet")
        place = cls(folder=folder, names=names, lines=lines)
        for name, command in place.commands().items():
            ended = wait_for(started(command, folder))
            if ended.code:
                raise RuntimeError(f"{name} failed undisturbed: {ended.said()}")
            place.seconds[name] = ended.processor
        return place

    def etl(self, *, out: Path, cache: Path, store: Path) -> list[str]:
        """`overspill etl` of the order book."""
        return [
            *COMMAND,
            "etl",
            "--config=order_book",
            f"--set=data.path={self.folder / 'orders'}",
            f"--set=data.cache={cache}",
            f"--set=tracking.uri=sqlite:///{store}",
            f"--out={out}",
        ]

    def commands(self) -> dict[str, list[str]]:
        """The commands that are tried, by name."""
        etl = self.etl(out=self.folder / "etl", cache=self.folder / "cache", store=self.folder / "etl.db")
        few = [f"--set={each}" for each in FEW]
        run = [*COMMAND, "run", f"--set=tracking.uri=sqlite:///{self.folder / 'run.db'}", *few]
        train = ["--train", f"--state={self.folder / 'state'}", "--set=train.fine_tuning.steps=4"]
        known = {
            "etl": etl,
            "run": [*run, f"--out={self.folder / 'run'}"],
            "train": [*run, *train, f"--out={self.folder / 'train'}"],
        }
        return {name: known[name] for name in self.names}

    def result(self, name: str) -> dict[str, str]:
        """Digest of every file of a command's result, but for those that name the run."""
        out = self.folder / name
        files = (path for path in sorted(out.rglob("*")) if path.is_file())
        return {
            str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
            if not any(part.startswith(BESIDE) for part in path.relative_to(out).parts)
            and path.suffix not in {".html", ".md"}
        }

    def is_whole(self, name: str) -> bool:
        """Whether every table of the result can be read."""
        try:
            for path in (self.folder / name).rglob("*.parquet"):
                pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError):
            return False
        return True


def order_book(rows: int = 400) -> pl.DataFrame:
    """Orders of one article, one a day, US and abroad, shipped within six weeks."""
    n = pl.int_range(rows, eager=True)
    ordered = pl.date(2024, 1, 1) + pl.duration(days=n)
    abroad = pl.Series([("US", "US", "DE", "US", "CN")[k % 5] for k in range(rows)])
    return pl.select(
        order_id=pl.lit("SO-") + n.cast(pl.String),
        line=pl.lit(1),
        sku=pl.lit("H200"),
        customer_id=pl.lit("C") + (n % 7).cast(pl.String),
        customer_country=abroad,
        end_use_country=abroad,
        quantity=1 + n % 50,
        ordered_at=ordered,
        requested_at=ordered + pl.duration(days=30),
        shipped_at=ordered + pl.duration(days=7 + n % 35),
    )
