"""What the figures, the evidence, a sensitivity and the scenarios of the default run take; prints JSON.

`python benchmarks/dashboard.py`. Seconds of the wall clock and of the processor and bytes on disk; the
commands' seconds include their start. The figures are timed inside the run that draws them.
"""

from __future__ import annotations

import functools
import io
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.backtest import step as backtest
from pipelines.run import run_all
from pipelines.runtime.config.loader import resolve
from pipelines.runtime.step.context import Context
from pipelines.runtime.store.address import DEFAULT_STORE
from pipelines.runtime.tracking import Tracker
from pipelines.windows import step as windows

OVERSPILL = str(Path(sys.executable).with_name("overspill"))
TWELVE = (
    "tight_lead_time_weeks",
    "capacity_decay",
    "h200_midpoint_quarters",
    "h200_ramp_quarters",
    "us_end_use_share",
    "unknown_owner_us_share",
    "delivery_duration_quarters",
    "microsoft_basis_ratio",
    "coreweave_double_counted_share",
    "short_ends",
    "end_hazard",
    "error_correlation",
)
COMMANDS = {
    "evidence": ["evidence"],
    "evidence verify": ["evidence", "verify", "evidence"],
    "sensitivity, 12 assumptions": [
        "sensitivity",
        *(part for name in TWELVE for part in ("--assumption", name)),
    ],
    "sensitivity, all": ["sensitivity"],
    "scenario": ["scenario"],
}


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def timed(step: str, write: Callable[..., list[str]], found: dict[str, Any]) -> Callable[..., list[str]]:
    """`write_figures` that notes its seconds and bytes."""

    @functools.wraps(write)
    def measured(folder: Path, *arguments: Any, **named: Any) -> list[str]:  # noqa: ANN401
        wall, processor = time.perf_counter(), time.process_time()
        names = write(folder, *arguments, **named)
        found[f"figures of {step}"] = {
            "seconds": round(time.perf_counter() - wall, 1),
            "processor": round(time.process_time() - processor, 1),
            "bytes": size(folder / "figures"),
        }
        return names

    return measured


def command(arguments: list[str]) -> dict[str, Any]:
    """Seconds of one command in this folder."""
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run([OVERSPILL, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    return {"seconds": round(time.perf_counter() - wall, 1), "processor": round(used, 1)}


def main() -> None:
    """Measure and print."""
    found: dict[str, Any] = {}
    for module, step in ((backtest, "backtest"), (windows, "windows")):
        module.write_figures = timed(step, module.write_figures, found)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        settings = resolve()
        tracker = Tracker(f"sqlite:///{DEFAULT_STORE / 'mlflow.db'}", settings.tracking.experiment)
        run_all(Context(settings=settings, tracker=tracker, console=Console(file=io.StringIO())))
        for name, arguments in COMMANDS.items():
            found[name] = command(arguments)
        found["evidence"]["bytes"] = size(Path("evidence"))
        os.chdir("/")
    parts = [found[name] for name in ("figures of backtest", "figures of windows", "evidence")]
    found["figures and evidence"] = {key: round(sum(part[key] for part in parts), 1) for key in parts[0]}
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    head = {"machine": machine, "load": os.getloadavg()[0], "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    print(json.dumps({**head, **found}, indent=2))


if __name__ == "__main__":
    main()
