"""Wall time and peak memory of the commands, each beside a peer in the same run; prints JSON.

`python benchmarks/commands.py`. Peers: for `overspill run`, a script that only imports what a run imports and
records one empty MLflow run in a fresh store; for `--help`, a Python that only imports typer.
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
from datetime import UTC, datetime
from pathlib import Path

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


def main() -> None:
    """Measure and print."""
    pairs = {
        "overspill run": ([OVERSPILL, "run"], [sys.executable, "-c", EMPTY_RUN], 3),
        "overspill --help": ([OVERSPILL, "--help"], [sys.executable, "-c", "import typer"], 7),
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
