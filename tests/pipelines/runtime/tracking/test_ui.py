"""`overspill ui` and `overspill runs`, and what they say when the store or the port is in disorder."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from forecasting.errors import InputError, StepError
from pipelines.cli.main import app
from pipelines.runtime.tracking import NESTED_STEP, UI_MODE, Tracker
from pipelines.runtime.tracking.ui import address_of_newest, free_port, list_runs, server

ROOT = Path(__file__).resolve().parents[4]
COMMANDS = ["ui", "runs", "evidence", "sensitivity", "scenario", "windows"]


def command(*arguments):
    return [sys.executable, "-m", "pipelines.cli.main", *arguments]


@dataclass
class Ended:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def overspill(monkeypatch):
    """Run the command line in this process against a store."""

    def run(*arguments, uri):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        found = CliRunner().invoke(app, list(arguments))
        return Ended(found.exit_code, found.stdout, found.stderr)

    return run


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def refusing():
    """Address of a server that is healthy and refuses every login."""

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health" else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self):
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_address[1]}"
        listener.shutdown()


def test_port_in_use_is_one_sentence(taken):
    with pytest.raises(InputError, match=f"--port: the port cannot be used .* found {taken}"):
        free_port(taken)


def test_port_in_use_ends_the_command_with_exit_status_2(overspill, taken, tmp_path):
    ended = overspill("ui", "--port", str(taken), uri=f"sqlite:///{tmp_path}/mlflow.db")
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: --port: the port cannot be used")
    assert ended.stderr.count("\n") == 1


def test_free_port_is_one_that_can_be_used():
    port = free_port(None)
    assert 1024 < port < 65536
    assert free_port(port) == port


def test_runs_are_listed_newest_first_with_their_upstream(tracker, whole_run):
    rows = list_runs(tracker, step=None, limit=1000)
    assert [row.started for row in rows] == sorted((row.started for row in rows), reverse=True)
    by_id = {row.run: row for row in rows}
    forecast = by_id[whole_run.run_ids["forecast"]]
    assert (forecast.step, forecast.status) == ("forecast", "FINISHED")
    assert forecast.upstream == whole_run.run_ids["etl"]
    assert forecast.seconds > 0
    assert {row.step for row in list_runs(tracker, step="windows", limit=1000)} == {"windows"}
    assert len(list_runs(tracker, step=None, limit=2)) == 2


def test_runs_in_the_terminal_and_as_json_are_the_same(overspill, store_uri, tracker, whole_run):
    output = overspill("runs", "--json", "--set", "tracking.experiment=tests", "--limit", "3", uri=store_uri)
    assert output.returncode == 0, output.stderr
    listed = json.loads(output.stdout)["runs"]
    assert [row["run"] for row in listed] == [row.run for row in list_runs(tracker, step=None, limit=3)]
    table = overspill("runs", "--set", "tracking.experiment=tests", "--limit", "3", uri=store_uri)
    for row in listed:
        assert row["run"] in table.stdout


def test_runs_of_single_assumptions_are_listed_only_where_they_are_asked_for(own_tracker):
    with own_tracker.step("sensitivity") as parent:
        for _ in range(3):
            with own_tracker.step(NESTED_STEP, parent_run_id=parent.run_id):
                pass

    def steps(**asked):
        return [row.step for row in list_runs(own_tracker, **{"step": None, "limit": 2} | asked)]

    assert steps() == ["sensitivity"]
    assert steps(nested=True) == [NESTED_STEP, NESTED_STEP]
    assert steps(step=NESTED_STEP) == [NESTED_STEP, NESTED_STEP]
    assert steps(nested=True, limit=9).count(NESTED_STEP) == 3


def test_empty_store_says_that_it_has_no_runs(overspill, tmp_path):
    output = overspill("runs", uri=f"sqlite:///{tmp_path}/mlflow.db")
    assert output.returncode == 0
    assert output.stdout.startswith(f"no runs in sqlite:///{tmp_path}/mlflow.db")


def test_address_is_that_of_the_newest_windows_run(tracker, whole_run, tmp_path):
    newest = tracker.newest("windows")
    address = address_of_newest(tracker, "http://host:1/")
    assert address == f"http://host:1/#/experiments/{tracker.experiment_id}/runs/{newest}{UI_MODE}"
    empty = Tracker(f"sqlite:///{tmp_path}/mlflow.db", "empty")
    runs = f"http://host:1/#/experiments/{empty.experiment_id}/runs{UI_MODE}"
    assert address_of_newest(empty, "http://host:1") == runs


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_ui_serves_the_store_until_it_is_interrupted_and_leaves_nothing_behind(store_uri, whole_run, stop):
    process = subprocess.Popen(
        command("ui", "--set", "tracking.experiment=tests"),
        cwd=ROOT,
        env=os.environ | {"MLFLOW_TRACKING_URI": store_uri},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = process.stdout.readline().strip()
        assert "/runs/" in address, process.stderr.read()
        host = address.split("/#/")[0]
        run_id = address.rsplit("/", 1)[1].removesuffix(UI_MODE)
        with urllib.request.urlopen(f"{host}/api/2.0/mlflow/runs/get?run_id={run_id}", timeout=60) as answer:  # noqa: S310
            assert json.load(answer)["run"]["info"]["status"] == "FINISHED"
        process.send_signal(stop)
        assert process.wait(30) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
    time.sleep(0.5)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(host.rsplit(":", 1)[1]))) != 0


def test_server_that_cannot_start_is_one_sentence():
    nowhere = SimpleNamespace(uri="no-such-store://x")
    with (
        pytest.raises(StepError, match="the MLflow server did not start: ") as failed,
        server(nowhere, free_port(None)),
    ):
        pass
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("name", COMMANDS)
def test_server_that_is_down_is_named_by_every_command(overspill, name):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    ended = overspill(name, uri=nobody)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: the MLflow server at {nobody} does not answer")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_server_that_refuses_the_login_is_one_sentence(overspill, refusing, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = overspill(name, uri=refusing.replace("http://", "http://me:secret@"))
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: the MLflow server at {refusing} refuses the login (401)")
    assert ended.stderr.count("\n") == 1
    assert "secret" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_store_in_a_folder_that_cannot_be_written_is_one_sentence(overspill, name, tmp_path):
    (tmp_path / "file").write_text("in the way")
    ended = overspill(name, uri=f"sqlite:///{tmp_path}/file/mlflow.db")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: {tmp_path}/file: the store's folder cannot be written")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--forecast-run", "0" * 32], "no such run"),
        (["--forecast-run", "UNFINISHED"], "the run did not finish: expected FINISHED, found FAILED"),
    ],
)
def test_unknown_and_unfinished_runs_are_refused(overspill, store_uri, tracker, arguments, sentence):
    def fail():
        with tracker.step("forecast") as run:
            arguments[1] = run.run_id
            raise StepError("on purpose")

    if arguments[1] == "UNFINISHED":
        with pytest.raises(StepError, match="on purpose"):
            fail()
    ended = overspill("windows", *arguments, "--set", "tracking.experiment=tests", uri=store_uri)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_run_rows_hold_what_json_needs(tracker, whole_run):
    row = asdict(list_runs(tracker, step="etl", limit=1)[0])
    assert set(row) == {"run", "step", "status", "started", "seconds", "upstream", "what_if"}
    assert row["upstream"] is None
