"""Two writers at once on a shared store: PostgreSQL behind an MLflow server that keeps the artifacts."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

from pipelines.runtime.tracking import Tracker
from pipelines.runtime.tracking.ui import NO_JOBS, free_port, list_runs

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
ROOT = Path(__file__).resolve().parents[4]
USER = "postgres"


def why_not():
    """Why PostgreSQL cannot be started here; None if it can."""
    if not BINARIES:
        return "Debian's postgresql is not installed"
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed"
    if os.geteuid() == 0 and (
        USER not in {entry.pw_name for entry in pwd.getpwall()} or not shutil.which("runuser")
    ):
        return "root cannot start PostgreSQL, and there is no user postgres or no runuser"
    return None


pytestmark = [pytest.mark.slow, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]


def as_postgres(*command):
    return ["runuser", "-u", USER, "--", *map(str, command)] if os.geteuid() == 0 else list(map(str, command))


def quietly(command):
    subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, check=True)


@pytest.fixture
def database():
    """URI of an empty database on a PostgreSQL of its own on loopback.

    Its folder is not pytest's, which is closed to other users.
    """
    binaries, port = BINARIES[-1].parent, free_port(None)
    with tempfile.TemporaryDirectory(prefix="overspill-postgres-") as name:
        folder = Path(name)
        data = folder / "data"
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        quietly(as_postgres(binaries / "initdb", "-D", data, "-U", "overspill", "-A", "trust"))
        options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off"
        control = as_postgres(binaries / "pg_ctl", "-D", data, "-w", "-l", folder / "log")
        quietly([*control, "-o", options, "start"])
        try:
            yield f"postgresql://overspill@127.0.0.1:{port}/postgres"
        finally:
            quietly([*control, "-m", "immediate", "stop"])


@pytest.fixture
def server(database, tmp_path):
    """Address of an MLflow server on the database that serves artifacts from a folder."""
    port = free_port(None)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", database, "--artifacts-destination", str(tmp_path / "artifacts")]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--workers", "2"],
            env=os.environ | NO_JOBS,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while not healthy(port):
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, "the server did not answer in time"
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def healthy(port):
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)):
            return False
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
        return answer.status == 200


def test_two_writers_at_once_both_complete_and_neither_loses_a_run(server, tmp_path):
    environment = os.environ | {"MLFLOW_TRACKING_URI": server}
    settings = ("backtest.first_origin=2025-09-30", "statistical.candidates=[AutoETS,AutoTheta]")
    settings += ("figures.pictures=false",)
    run = ["run", "--config", "quick", *(word for each in settings for word in ("--set", each))]
    commands = (["etl"], run)
    writers = [
        subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli.main", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for arguments in (*commands, commands[1])
    ]
    output = [writer.communicate(timeout=500)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0], output
    rows = list_runs(Tracker(server, "overspill"), step=None, limit=100)
    assert {row.status for row in rows} == {"FINISHED"}
    steps = [row.step for row in rows if row.step != "weights"]  # both may find the store without weights
    assert {step: steps.count(step) for step in steps} == {
        "etl": 3,
        "run": 2,
        "backtest": 2,
        "forecast": 2,
        "windows": 2,
    }
    for page in ("figures.html", "backtest.html"):
        assert len(list((tmp_path / "artifacts").rglob(page))) == 2
