"""MLflow, and the only package that imports it: one run per step, lineage by run id, artifacts by name."""

from __future__ import annotations

import logging
import os

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")  # 0, 4, 8, 16, 32 s apart: a minute in all
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # standard output is for `--json`

from pipelines.runtime.spool.carrier import Spooling
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
from pipelines.runtime.tracking.run_names import what_if_of
from pipelines.runtime.tracking.step_run import StepRun
from pipelines.runtime.tracking.store import Store
from pipelines.runtime.tracking.tracker import Tracker

for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.WARNING)
logging.getLogger("urllib3.connectionpool").setLevel(
    logging.ERROR
)  # else a line for each time it tries again

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
    "send_all",
    "what_if_of",
]
