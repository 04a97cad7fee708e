"""Commands as processes of their own, and the workplace in which their reliability is tried."""

from __future__ import annotations

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
from typing import Self

import polars as pl
import psutil
from reliability_result import damaged, leftovers, statuses, torn

from pipelines.runtime.files.artifacts import file_digest

COMMAND = (sys.executable, "-m", "pipelines.cli.entry")
FORKER = Path(__file__).with_name("reliability_forker.py")
STEP_MODULES = tuple(f"pipelines.{step}.step" for step in ("backtest", "forecast", "train", "windows"))
ROOT = Path(__file__).parents[1]
BESIDE = (".overspill", "settings-", "quarantine-failed")  # what does not belong to the result itself
FEW = (
    "forecast.paths=20",
    "forecast.horizon=4",
    "forecast.model=statistical",
    "statistical.candidates=[AutoTheta]",
    "backtest.paths=20",
    "backtest.first_origin=2025-06-30",
    "backtest.case=null",
    "policies=[bis_2026_01]",
)


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


class Forker:
    """Runs commands in forks of one process that has imported what they need: a start takes no time."""

    def __init__(self, folder: Path, *, modules: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(FORKER), *modules],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, command: Sequence[str], *, seconds: float = 600.0, memory: int = 0, kill: float | None = None
    ) -> Ended:
        """How a command ends; `memory` in bytes, `kill` in seconds of the processor, see the forker."""
        asked, answers = self._process.stdin, self._process.stdout
        if asked is None or answers is None:
            raise RuntimeError("the forking process has no pipes")
        arguments = list(command[len(COMMAND) :])
        line = {"arguments": arguments, "seconds": seconds, "memory": memory, "kill": kill}
        asked.write(json.dumps(line) + "\n")
        asked.flush()
        return Ended(**json.loads(answers.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def started(command: Sequence[str], folder: Path, **environment: str) -> subprocess.Popen[str]:
    """A process in a folder, its standard error in a file."""
    errors = (folder / f"stderr-{time.monotonic_ns()}").open("w+")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)  # `reached` may be the one that sees it end
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.DEVNULL,
        stderr=errors,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    process.errors, process.begun, process.before = errors, time.monotonic(), before  # type: ignore[attr-defined]
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
    before, used = process.before, resource.getrusage(resource.RUSAGE_CHILDREN)  # type: ignore[attr-defined]
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

    def etl(self, *, out: Path, cache: Path, store: Path | str) -> list[str]:
        """`overspill etl` of the order book; the store is a file or an address."""
        uri = store if isinstance(store, str) else f"sqlite:///{store}"
        return [
            *COMMAND,
            "etl",
            "--config=order_book",
            f"--set=data.path={self.folder / 'orders'}",
            f"--set=data.cache={cache}",
            f"--set=tracking.uri={uri}",
            f"--out={out}",
        ]

    def run(self, *, out: Path, store: Path | str) -> list[str]:
        """`overspill run` on the embedded data, with few paths; the store is a file or an address."""
        uri = store if isinstance(store, str) else f"sqlite:///{store}"
        few = [f"--set={each}" for each in FEW]
        return [*COMMAND, "run", f"--set=tracking.uri={uri}", *few, f"--out={out}"]

    def commands(self) -> dict[str, list[str]]:
        """The commands that are tried, by name."""
        etl = self.etl(out=self.folder / "etl", cache=self.folder / "cache", store=self.store("etl"))
        train = ["--train", f"--state={self.folder / 'state'}", "--set=train.fine_tuning.steps=4"]
        run = {name: self.run(out=self.folder / name, store=self.store(name)) for name in ("run", "train")}
        known = {"etl": etl, "run": run["run"], "train": [*run["train"], *train]}
        return {name: known[name] for name in self.names}

    def result(self, name: str) -> dict[str, str]:
        """Digest of every file of a command's result, but for those that name the run."""
        out = self.folder / name
        return {
            each: file_digest(out / each) for each in self.files(name) if not each.endswith((".html", ".md"))
        }

    def files(self, name: str) -> list[str]:
        """Every file of a command's result."""
        out = self.folder / name
        found = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
        return [each for each in found if not any(part.startswith(BESIDE) for part in Path(each).parts)]

    def store(self, name: str) -> Path:
        """The SQLite store of a command."""
        return self.folder / f"{name}.db"

    def broken(self, name: str, files: Iterable[str]) -> Iterator[str]:
        """Faults of a command's result and of its store."""
        yield from torn(self.folder / name, files)
        yield from damaged(self.store(name))

    def worn(self, name: str, files: Iterable[str]) -> Iterator[str]:
        """Faults of a result and store that a command has brought to their end after it was interrupted."""
        yield from self.broken(name, files)
        yield from leftovers(self.folder / name)
        if open_runs := statuses(self.store(name)).get("RUNNING", 0):
            yield f"{open_runs} runs are still open"


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
