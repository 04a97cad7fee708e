"""MLflow, and the only package that imports it: one run per step, lineage by run id, artifacts by name."""

from __future__ import annotations

from pipelines.runtime.spool.delivery import Spooling
from pipelines.runtime.spool.sync import OutboxReport, send_all
from pipelines.runtime.store.tags import (
    KNOWN_UNTIL_TAG,
    MODEL_FOLDER,
    NESTED_STEP,
    PARAM_LENGTH,
    STEP_TAG,
    UI_MODE,
    UPSTREAM_TAG,
)
from pipelines.runtime.tracking.abandoned import close_abandoned
from pipelines.runtime.tracking.finding import nested_run, run_by_prefix
from pipelines.runtime.tracking.run_names import what_if_of
from pipelines.runtime.tracking.step_run import StepRun
from pipelines.runtime.tracking.store import Store
from pipelines.runtime.tracking.tracker import Tracker

__all__ = [
    "KNOWN_UNTIL_TAG",
    "MODEL_FOLDER",
    "NESTED_STEP",
    "PARAM_LENGTH",
    "STEP_TAG",
    "UI_MODE",
    "UPSTREAM_TAG",
    "OutboxReport",
    "Spooling",
    "StepRun",
    "Store",
    "Tracker",
    "close_abandoned",
    "nested_run",
    "run_by_prefix",
    "send_all",
    "what_if_of",
]
