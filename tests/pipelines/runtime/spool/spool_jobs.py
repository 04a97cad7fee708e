"""Jobs and commands whose server goes away, for the tests of the spool."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import mlflow
from rich.console import Console

from pipelines.runtime.config.loader import resolve
from pipelines.runtime.jobs.sync import sync
from pipelines.runtime.tracking import Spooling, Tracker

IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "1",
}


@contextmanager
def stalled(server):
    """The server's processes sleep; what it is asked for meanwhile it does afterwards."""
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


class Job:
    """A process' tracker on a server, with an experiment of its own and its warnings."""

    def __init__(self, address, spool, experiment):
        self.address, self.spool, self.experiment, self.warned = address, spool, experiment, []
        self.tracker = self.reached()

    def reached(self):
        spooling = Spooling(folder=self.spool, tell=self.warned.append)
        return Tracker(self.address, self.experiment, spooling=spooling)

    def runs(self):
        """Runs that the server has, by name."""
        client = mlflow.MlflowClient(self.address)
        found = client.search_runs([client.get_experiment_by_name(self.experiment).experiment_id])
        assert len({run.info.run_name for run in found}) == len(found), "a run is there twice"
        return {run.info.run_name: run for run in found}

    def sync(self):
        return send(self.address, self.spool)


def send(address, spool):
    settings = resolve(overrides=[f"tracking.uri={address}", f"tracking.spool={spool}"])
    return sync(settings, Console(file=io.StringIO()))


def overspill(*arguments, cwd, **environment):
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli.main", *arguments],
        cwd=cwd,
        env=os.environ | IMPATIENT | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
