"""Wall time and peak memory of the commands, each beside a peer in the same run; prints JSON.

`python benchmarks/commands.py`. Peers: for `overspill run`, a script that only imports what a run imports and
records one empty MLflow run in a fresh store; for `--help`, a Python that only imports typer; for `predict`,
the statistical forecaster on a tenth of the series (its seconds are times ten).
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl

OVERSPILL = str(Path(sys.executable).with_name("overspill"))
EMPTY_RUN = (
    "import polars, statsforecast.models, mlflow; from mlflow import MlflowClient; "
    "c = MlflowClient('sqlite:///mlflow.db'); r = c.create_run(c.create_experiment('x')); "
    "c.set_terminated(r.info.run_id)"
)


def measure(command: list[str], *, repeats: int = 1) -> dict[str, float]:
    """Median wall seconds and largest peak memory (MiB) of a command, each time in a fresh folder."""
    seconds, peaks = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
            started = time.perf_counter()
            process = subprocess.Popen(command, cwd=folder, stdout=nowhere, stderr=nowhere)
            _, status, usage = os.wait4(process.pid, 0)
            seconds.append(time.perf_counter() - started)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{command} ended with status {process.returncode}")
        peaks.append(usage.ru_maxrss / 1024)
    return {"seconds": round(statistics.median(seconds), 2), "peak_mib": round(max(peaks))}


def write_walks(path: Path, series: int) -> Path:
    """Write monthly random walks of eight years as a long table."""
    months = pl.date_range(date(2016, 1, 31), date(2023, 12, 31), "1mo", eager=True)
    steps = np.random.default_rng(0).normal(0, 0.05, (series, len(months)))
    names = np.repeat([f"s{n}" for n in range(series)], len(months))
    values = 100 * np.exp(np.cumsum(steps, axis=1)).ravel()
    pl.DataFrame({"unique_id": names, "ds": pl.concat([months] * series), "y": values}).write_parquet(path)
    return path


def predict_command(table: Path, model: str) -> list[str]:
    """`overspill predict` of 13 months and 100 paths."""
    options = ["--horizon", "13", "--freq", "M", "--paths", "100", "--out", "out", "--model"]
    return [OVERSPILL, "predict", str(table), *options, model]


def main() -> None:
    """Measure and print."""
    folder = Path(tempfile.mkdtemp(prefix="overspill-benchmark-"))
    many, few = (write_walks(folder / f"{n}.parquet", n) for n in (1000, 100))
    statistical = predict_command(few, "statistical")
    pairs = {
        "overspill run": ([OVERSPILL, "run"], [sys.executable, "-c", EMPTY_RUN], 3),
        "overspill --help": ([OVERSPILL, "--help"], [sys.executable, "-c", "import typer"], 7),
        **{
            f"overspill predict --model {model}": (predict_command(many, model), statistical, 1)
            for model in ("auto", "network", "bank")
        },
    }
    results = {}
    for name, (command, peer, repeats) in pairs.items():
        own, other = measure(command, repeats=repeats), measure(peer, repeats=repeats)
        results[name] = {
            "own": own,
            "peer": other,
            "ratio_seconds": round(own["seconds"] / max(other["seconds"], 0.01), 2),
        }
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    load = os.getloadavg()[0]
    print(
        json.dumps(
            {"machine": machine, "load": load, "date": f"{datetime.now(UTC):%Y-%m-%d}", **results}, indent=2
        )
    )


if __name__ == "__main__":
    main()
