"""What a step took of the machine: MLflow's system metrics for all but AMD accelerators, ours for those."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.runtime.tracking import Tracker
from pipelines.runtime.tracking.amd_metrics import AmdMonitor

SWITCH = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"  # MLflow's own variable; here on unless it says false
SECONDS_BETWEEN_SAMPLES = 5

logging.getLogger("mlflow.system_metrics").setLevel(logging.CRITICAL)  # the step itself tells of a dead store


@contextmanager
def log_system_metrics(tracker: Tracker, run_id: str) -> Iterator[None]:
    """Sample the machine while a run is open; a run shorter than the interval gets one sample."""
    if os.environ.get(SWITCH, "true").lower() in {"false", "0"}:
        yield
        return
    monitor = tracker.system_monitor(run_id, SECONDS_BETWEEN_SAMPLES)
    amd = amd_monitor()
    if amd is not None:
        others = [each for each in monitor.monitors if type(each).__name__ != "ROCMMonitor"]
        monitor.monitors = [*others, amd]
    monitor.start()
    try:
        yield
    finally:
        tracker.finish_monitor(monitor)
        if amd is not None:
            amd.close()


def amd_monitor() -> AmdMonitor | None:
    """Monitor of the AMD accelerators, None where there is no `amdsmi` or no driver."""
    if importlib.util.find_spec("amdsmi") is None:
        return None
    try:
        amdsmi = importlib.import_module("amdsmi")
    except (ImportError, OSError, KeyError):  # the binding without its library
        return None
    try:
        return AmdMonitor(amdsmi)
    except amdsmi.AmdSmiException:
        return None
