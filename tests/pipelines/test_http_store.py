"""A real MLflow server that keeps the artifacts: the steps work on it, and its death is one sentence."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace

import pytest

from forecasting.errors import StepError
from pipelines.etl import run_etl
from pipelines.forecast import run_forecast
from pipelines.promotion import Verdict
from pipelines.registry import Registry
from pipelines.tracking import Tracker
from pipelines.windows import run_windows


def answers(address):
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as response:  # noqa: S310
            return response.status == 200
    except OSError:
        return False


@pytest.fixture
def server(tmp_path):
    """Address and process of an `mlflow server` on a free loopback port; its process group is stopped."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--workers", "1"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while not answers(address):
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            assert time.monotonic() < deadline, "the server did not answer in time"
            time.sleep(0.5)
        yield address, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_steps_run_on_a_server_that_keeps_the_artifacts_until_it_dies(
    server, context, tiny_checkpoint, tmp_path
):
    address, process = server
    remote = replace(context, tracker=Tracker(address, "tests"))
    etl = run_etl(remote)
    forecast = run_forecast(remote, etl.run_id)
    windows = run_windows(remote)
    assert windows.tables["windows"].height > 0
    assert list((tmp_path / "artifacts").rglob("windows.parquet"))
    assert remote.tracker.newest("forecast") == forecast.run_id
    registry = Registry(remote.tracker)
    with remote.tracker.step("train") as run:
        version = registry.register(run, tiny_checkpoint, {})
    registry.settle(version, lambda _: Verdict(incumbent="none", candidate_score=0.5, incumbent_score=1.0))
    assert registry.weights(registry.champion(), "cpu").label == "overspill version 1"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(StepError, match=f"MLflow at {address} failed") as failed:
        run_windows(remote)
    assert "\n" not in str(failed.value)
