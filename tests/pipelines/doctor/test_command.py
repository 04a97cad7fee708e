"""The command as users start it: exit status, one screen, JSON, a real server and its death."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from pipelines.doctor.examination import ORDER, stored_probe
from pipelines.doctor.probes import run_probes
from pipelines.runtime.tracking import Tracker
from pipelines.runtime.tracking.ui import NO_JOBS


@pytest.fixture
def doctor(tmp_path):
    """Run the command in an empty folder; returns exit status, output, error output and seconds."""

    def run(*arguments, **variables):
        environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
        environment |= {"PYTHONPATH": ":".join(filter(None, sys.path)), **variables}
        command = [sys.executable, "-m", "pipelines.cli.main", "doctor", "--device", "cpu", *arguments]
        started = time.monotonic()
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        return done.returncode, done.stdout, done.stderr, time.monotonic() - started

    return run


@pytest.fixture
def server(tmp_path):
    """Address and process of an `mlflow server` on a free loopback port; its process group is stopped."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "server"
    folder.mkdir()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=os.environ | NO_JOBS, stdout=log, stderr=log, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while not answers(address):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "the server did not answer in time"
            time.sleep(0.5)
        yield address, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(address):
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as response:  # noqa: S310
            return response.status == 200
    except OSError:
        return False


@pytest.mark.slow
def test_a_machine_that_is_well_is_told_in_time_and_nothing_is_left(doctor, tmp_path):
    status, output, errors, seconds = doctor()
    assert (status, errors) == (0, "")
    assert all(check in output for check in ORDER if check not in {"ranks", "clocks", "waiting runs"})
    assert seconds < 120  # 12 to 15 s where nothing else runs
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_server_is_written_without_a_trace_and_its_death_is_a_failure_with_advice(
    doctor, server, settings_on
):
    address, process = server
    uri = address.replace("http://", "http://anna:s3cret@")
    tracker = Tracker(address, "tests")
    found = run_probes([stored_probe()], settings_on(uri))
    assert [each.status for each in found] == ["ok"] * 4
    assert found[0].found == f"{address} answers and can be written (a tag was set and deleted)"
    for experiment in tracker.client.search_experiments():
        assert not [tag for tag in experiment.tags if "doctor" in tag]
    assert not tracker.runs()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    status, output, errors, _ = doctor("--json", MLFLOW_TRACKING_URI=uri)
    answer = json.loads(output)
    assert status == 1
    assert errors.startswith("error: overspill run cannot run here: tracking store: start the MLflow server")
    assert errors.count("\n") == 1
    assert answer["summary"]["fail"] == 1
    assert "s3cret" not in output + errors


def test_bad_settings_end_before_any_check(doctor):
    status, output, errors, _ = doctor("--set", "forecast.paths=0")
    assert (status, output) == (2, "")
    assert "forecast.paths" in errors
