"""The MLflow UI on the configured store: a server on loopback that lives as long as the command.

And the list of runs, for those who stay in the terminal.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from forecasting.errors import InputError, StepError
from pipelines.runtime.store.tags import RUNS_TABLE, RUNS_TABLE_STATE, RUNS_TABLE_TAG
from pipelines.runtime.tracking import STEP_TAG, UI_MODE, UPSTREAM_TAG, Tracker
from pipelines.runtime.tracking.run_names import what_if_of, what_if_text

HOST = "127.0.0.1"
START_SECONDS = 120  # a loaded machine takes long to import MLflow
STOP_SECONDS = 10
NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # else eight processes wait for jobs


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run of a step, as it is listed; `what_if` says what it changes in data or assumptions."""

    run: str
    step: str
    status: str
    started: dt.datetime
    seconds: float | None
    upstream: str | None
    what_if: str | None


def list_runs(tracker: Tracker, *, step: str | None, limit: int, nested: bool = False) -> list[RunRow]:
    """Runs of the experiment, newest first; times in UTC, `seconds` None while a run is open.

    Runs of single assumptions are listed where `nested`, or their step, is asked for.
    """
    rows = []
    for run in tracker.runs(step=step, limit=limit, nested=nested):
        start, end = run.info.start_time, run.info.end_time
        rows.append(
            RunRow(
                run=run.info.run_id,
                step=run.data.tags[STEP_TAG],
                status=run.info.status,
                started=dt.datetime.fromtimestamp(start / 1000, dt.UTC),
                seconds=None if end is None else (end - start) / 1000,
                upstream=run.data.tags.get(UPSTREAM_TAG),
                what_if=what_if_text(what_if_of(run)) or None,
            )
        )
    return rows


def address_of_newest(tracker: Tracker, server: str) -> str:
    """Address of the page of the newest windows run; of the experiment where there is none."""
    experiment = f"{server.rstrip('/')}/#/experiments/{tracker.experiment_id}"
    newest = tracker.newest_or_none("windows")
    return f"{experiment}/runs{'' if newest is None else f'/{newest}'}{UI_MODE}"


def address_of_table(tracker: Tracker, server: str) -> str:
    """Address of the table of all runs, with the columns that matter."""
    with tracker.translated():
        experiment = tracker.client.get_experiment(tracker.experiment_id)
        if RUNS_TABLE_TAG not in experiment.tags:  # of a store that an earlier version laid out
            tracker.client.set_experiment_tag(tracker.experiment_id, RUNS_TABLE_TAG, RUNS_TABLE_STATE)
    page = f"{server.rstrip('/')}/#/experiments/{tracker.experiment_id}/runs"
    return f"{page}{UI_MODE}&{RUNS_TABLE}"


def free_port(port: int | None) -> int:
    """The port itself if nothing listens there; any free one if none is given.

    Raises
    ------
    InputError
        If the port is in use or may not be used.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port or 0))
        except OSError as error:
            raise InputError(
                f"the port cannot be used ({error.strerror})",
                expected="a free port, or none, which takes any free one",
                found=str(port),
                where="--port",
            ) from error
        return int(probe.getsockname()[1])


@contextmanager
def server(tracker: Tracker, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Address and process of an MLflow server on the tracker's store; it ends with the context.

    The store's URI goes through the environment, since the list of processes shows arguments to everybody.

    Raises
    ------
    StepError
        If the server does not start.
    """
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        HOST,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    environment = NO_JOBS | os.environ | {"MLFLOW_BACKEND_STORE_URI": tracker.uri}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait(process, f"http://{HOST}:{port}", log)
            yield f"http://{HOST}:{port}", process
        finally:
            _stop(process)


def _wait(process: subprocess.Popen[bytes], address: str, log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=2).close()  # noqa: S310
        except OSError:
            time.sleep(0.2)
        else:
            return
    log.seek(0)
    output = log.read().decode(errors="replace").strip().splitlines()
    raise StepError(f"the MLflow server did not start: {output[-1] if output else 'it said nothing'}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and its workers, which share the process group that it leads."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
