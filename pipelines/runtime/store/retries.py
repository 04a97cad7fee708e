"""How long a dead MLflow server is waited for: attempts, waits and time-outs, all in one place.

MLflow's client reads its policy from the environment at each request, so that whoever starts the command may
set it there (docs/stores.md).
"""

from __future__ import annotations

import logging
import os

ATTEMPTS = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
DEFAULTS = {
    ATTEMPTS: "5",  # 0, 4, 8, 16, 32 s apart: a minute in all
    TIMEOUT: "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # standard output is for `--json`
}

HEALTH_SECONDS = 10.0  # for a server to answer at the start of a command
LAST_HEALTH_SECONDS = 2.0  # the same at its end, before what waits is sent once more
STOPPING_TIMEOUT_SECONDS = 5  # per request of a process that was asked to stop
POSSIBLY_REPEATED_SECONDS = 1.0  # a request that took longer may have reached the server twice
GATEWAY = frozenset({502, 503, 504})  # who stands before the server answers, or the server lacks its database


def set_client_environment() -> None:
    """Set the policy of MLflow's client where the environment does not, and keep its remarks to itself.

    Called before a store is opened. Called before MLflow is imported too, it also keeps its telemetry from
    writing an id to the user's home folder.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # a traceback of what is raised too
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # else a line for each attempt


def try_once() -> None:
    """Make each request once from here on: a check reports what is, it does not wait."""
    os.environ[ATTEMPTS] = "0"


def try_once_briefly() -> None:
    """Make each request once and briefly from here on: the process was asked to stop, its time is short."""
    try_once()
    os.environ[TIMEOUT] = str(STOPPING_TIMEOUT_SECONDS)
