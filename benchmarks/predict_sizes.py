"""How `overspill predict` copes with size: many series, a long one, a long horizon, and what it refuses.

    python benchmarks/predict_sizes.py [--share 0.1] [--models auto statistical] [--only long] [--json FILE]

Each case is a process of its own with a limit of time; AutoETS of statsforecast is asked the same beside it.
Prints a Markdown table; what is refused counts as passed if the exit status is 2 and one sentence says why.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

PREDICT = [sys.executable, "-m", "pipelines.cli.entry", "predict"]
PEER = """
import sys
import pandas as pd
from statsforecast import StatsForecast
from statsforecast.models import AutoETS
table = pd.read_parquet(sys.argv[1])
models = StatsForecast(models=[AutoETS(season_length=1)], freq="min", n_jobs=1)
models.forecast(df=table, h=int(sys.argv[2]), level=[80]).to_parquet(sys.argv[3])
"""
LIMIT = 600.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Case:
    """A table of walks by the minute, so many series of so many steps (and one longer), and what is asked."""

    series: int
    steps: int
    horizon: int = 8
    longest: int = 0
    paths: int = 0
    refused: str = ""

    def table(self) -> pl.DataFrame:
        """The table, long."""
        rng = np.random.default_rng(0)
        lengths = [self.steps] * self.series + ([self.longest] if self.longest else [])
        steps = np.concatenate([np.arange(length) for length in lengths])
        names = np.repeat(np.arange(len(lengths)), lengths)
        return pl.DataFrame(
            {"unique_id": names, "ds": steps, "y": 100 + rng.normal(size=len(steps)).cumsum()}
        ).select(
            "unique_id",
            (pl.datetime(2000, 1, 1) + pl.duration(minutes=pl.col("ds"))).alias("ds"),
            "y",
        )


CASES: Mapping[str, Case] = {
    "many": Case(series=100_000, steps=24),
    "long": Case(series=1, steps=5_000_000),
    "context": Case(series=1, steps=100_000),
    "horizon": Case(series=10, steps=2_000, horizon=512),
    "long among many": Case(series=1_000, steps=24, longest=5_000_000, refused="too many for the longest"),
    "horizon of 5,000": Case(series=1, steps=200, horizon=5_000, refused="the horizon is out of range"),
    "paths": Case(series=1_000, steps=24, paths=100_000, refused="the table of paths would be too long"),
}


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What became of a process: wall and CPU seconds, peak memory in MiB, and how it ended."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    ended: str


def attempt(command: Sequence[str], folder: Path, *, limit: float = LIMIT) -> Attempt:
    """Run a command to its end, or until the limit of seconds."""
    with tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=errors)
        late = threading.Timer(limit, process.kill)
        late.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        over = not late.is_alive()
        late.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        last = (errors.read().strip().splitlines() or [""])[-1]
    ended = f"not within {limit:.0f} s" if over else "done" if not process.returncode else last
    return Attempt(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss / 1024,
        ended=ended,
    )


def sized(case: Case, share: float) -> Case:
    """A case with a share of its series, unless it has a few."""
    return (
        case
        if case.series < 1 / share or case.refused
        else Case(**asdict(case) | {"series": int(case.series * share)})
    )


def attempts(case: Case, models: Sequence[str], work: Path) -> dict[str, Attempt]:
    """The case by each model, and by statsforecast unless it is to be refused."""
    table = work / "table.parquet"
    case.table().write_parquet(table)
    found = {}
    for model in models[:1] if case.refused else models:
        asked = ["--horizon", str(case.horizon), "--paths", str(case.paths), "--model", model]
        found[model] = attempt([*PREDICT, str(table), *asked, "--out", "out"], work)
    if not case.refused:
        peer = [sys.executable, "-c", PEER, str(table), str(case.horizon), "peer.parquet"]
        found["statsforecast AutoETS"] = attempt(peer, work)
    return found


def rows(name: str, case: Case, found: Mapping[str, Attempt]) -> str:
    """Lines of the Markdown table."""
    size = f"{case.series:,} x {case.steps:,}" + (f" and one of {case.longest:,}" if case.longest else "")
    return "\n".join(
        f"| {name} | {size}, {case.horizon:,} ahead | {model} | {one.seconds:.0f} | {one.cpu_seconds:.0f} "
        f"| {one.peak_mib / 1024:.2f} GiB | {one.ended} |"
        for model, one in found.items()
    )


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the series, where there are many")
    parser.add_argument("--models", nargs="+", default=["auto", "bank", "statistical"])
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--json", type=Path, help="takes the figures")
    options = parser.parse_args()
    figures: dict[str, object] = {}
    print("| case | series x steps | model | seconds | CPU seconds | peak memory | |")
    print("|---|---|---|---|---|---|---|")
    for name in options.only:
        case = sized(CASES[name], options.share)
        with tempfile.TemporaryDirectory(prefix="overspill-benchmark-") as work:
            found = attempts(case, options.models, Path(work))
        print(rows(name, case, found), flush=True)
        figures[name] = {"case": asdict(case), "found": {model: asdict(one) for model, one in found.items()}}
    if options.json:
        options.json.write_text(json.dumps(figures | {"load": os.getloadavg()[0]}, indent=1))


if __name__ == "__main__":
    main()
