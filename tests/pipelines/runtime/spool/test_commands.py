"""Commands whose server dies under them or is down from the start: all is there once afterwards."""

from __future__ import annotations

import io
import json
import shutil
import time
from pathlib import Path

import mlflow
import polars as pl
import pytest
from rich.console import Console
from spool_jobs import overspill, wait_for
from typer.testing import CliRunner

from forecasting.panel.schema import content_digest
from pipelines.cli.main import app
from pipelines.runtime.config.loader import resolve
from pipelines.runtime.files.artifacts import file_digest
from pipelines.runtime.jobs.sync import sync_quietly
from pipelines.runtime.spool.outbox import LOCAL_ID, outboxes, read_journal
from pipelines.runtime.spool.pending import PendingRuns
from pipelines.runtime.step.inputs import read_input
from pipelines.runtime.store.tags import SPOOLED_TAG
from pipelines.runtime.tracking import STEP_TAG, UPSTREAM_TAG, Tracker

pytestmark = pytest.mark.usefixtures("impatient")

SMALL = [
    *("forecast.paths=20", "forecast.horizon=4", "backtest.paths=20", "backtest.first_origin=2025-06-30"),
    *("policies=[bis_2026_01]", "backtest.case=null", "figures.pictures=false"),
    "statistical.candidates=[AutoETS,AutoTheta]",
]


def entries(spool):
    journals = [read_journal(folder) for folder in outboxes(spool)]
    return [(entry, journal) for journal in journals for entry in journal.entries]


def test_a_run_survives_the_death_of_the_server_and_everything_is_there_once_afterwards(server, tmp_path):
    store = f"tracking.uri={server.address}"
    arguments = [word for setting in (*SMALL, store) for word in ("--set", setting)]
    process = overspill("run", "--json", *arguments, cwd=tmp_path)
    spool = tmp_path / "mlruns" / "spool"
    wait_for(
        lambda: (
            any(e["do"] == "create_run" and e["name"] == "forecast" for e, _ in entries(spool))
            or process.poll() is not None
        )
    )
    server.kill()
    printed, warned = process.communicate(timeout=120)
    assert process.returncode == 0, warned
    assert f"the MLflow server at {server.address} does not answer any more" in warned
    assert "`overspill sync` sends them" in warned
    assert "Traceback" not in warned
    answer = json.loads(printed)
    before = shutil.copytree(spool, tmp_path / "before")
    waiting = PendingRuns(read_journal(folder) for folder in outboxes(before))

    command = ["sync", "--set", store, "--set", f"tracking.spool={spool}"]
    failed = CliRunner().invoke(app, command)
    assert failed.exit_code == 1
    assert failed.stderr == f"error: 1 outbox could not be sent from {spool}\n"
    server.start()
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert {line.split()[2] for line in lines} == {"run", "forecast", "windows"}
    assert all(line.endswith("FINISHED") for line in lines)
    again = CliRunner().invoke(app, command)
    assert (again.exit_code, again.stdout) == (0, f"nothing is waiting in {spool}\n")

    client = mlflow.MlflowClient(server.address)
    experiment = client.get_experiment_by_name("overspill").experiment_id
    runs = [run for run in client.search_runs([experiment]) if run.data.tags[STEP_TAG] != "weights"]
    by_step = {run.data.tags[STEP_TAG]: run for run in runs}
    assert len(runs) == 5
    assert set(by_step) == set(answer["runs"]) == {"run", "etl", "backtest", "forecast", "windows"}
    links = {"forecast": "etl", "backtest": "etl", "windows": "forecast"}
    for step, run in by_step.items():
        if step in links:
            assert run.data.tags[UPSTREAM_TAG] == by_step[links[step]].info.run_id
        if step != "run":
            assert run.data.tags["mlflow.parentRunId"] == by_step["run"].info.run_id
        assert not LOCAL_ID.search(run.data.tags["mlflow.note.content"])
        known = waiting.run(run.data.tags[SPOOLED_TAG])
        assert answer["runs"][step] in {known.local, known.run_id}
        assert_same(client, run, known, tmp_path / "read" / step)
    tracker = Tracker(server.address, "overspill")
    local = answer["runs"]["windows"]
    assert LOCAL_ID.fullmatch(local)
    assert tracker.finished(local, "windows").info.run_id == by_step["windows"].info.run_id
    with tracker.artifact(local, "windows.parquet") as path:
        digest = content_digest(pl.read_parquet(path))
    assert read_input(tracker, local, step="windows", name="windows").digest == digest


def assert_same(client, run, known, folder):
    """What the server has of a run is what its outbox had: each parameter, point, tag and file, and once."""
    assert (run.info.status, run.info.start_time, run.info.end_time) == (
        "FINISHED",
        known.start_time,
        known.end_time,
    )
    assert run.data.params == known.params
    assert set(run.data.metrics) == set(known.metrics)
    for name, last in known.metrics.items():
        points = client.get_metric_history(run.info.run_id, name)
        assert len({point.step for point in points}) == len(points)
        assert max((p.step, p.timestamp, p.value) for p in points) == (last.step, last.timestamp, last.value)
    for name, value in known.tags.items():
        if not LOCAL_ID.search(value):
            assert run.data.tags[name] == value, name
    folder.mkdir(parents=True)
    if known.files:
        read = Path(client.download_artifacts(run.info.run_id, "", str(folder)))
        found = {str(p.relative_to(read)): file_digest(p) for p in read.rglob("*") if p.is_file()}
        assert found == {name: file_digest(path) for name, path in known.artifacts()}
        assert len(found) > 1


@pytest.mark.filterwarnings(
    "ignore:The `srun` command is available"
)  # of Lightning, where Slurm is installed
def test_a_server_that_is_down_from_the_start_fails_a_command_or_lets_it_work_into_the_spool(
    tmp_path, unused_address
):
    out = tmp_path / "out"
    store = ["--set", f"tracking.uri={unused_address}", "--set", f"tracking.spool={tmp_path / 'spool'}"]
    started = time.monotonic()
    refused = CliRunner().invoke(app, ["etl", *store])
    assert time.monotonic() - started < 5
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"error: the MLflow server at {unused_address} does not answer")
    assert not (tmp_path / "spool").exists()

    store += ["--set", "tracking.when_away=spool"]
    worked = CliRunner().invoke(app, ["etl", "--out", str(out), "--json", *store])
    assert worked.exit_code == 0, worked.stderr
    assert (out / "panel.parquet").is_file()
    assert "1 run waits in" in worked.stderr
    small = [word for setting in (*SMALL, "train.windows=4") for word in ("--set", setting)]
    trained = CliRunner().invoke(app, ["train", "--steps", "1", "--json", *small, *store])
    assert trained.exit_code == 0, trained.stderr
    assert "the champion of overspill is not known: the package's weights stand in" in trained.stderr
    assert json.loads(trained.stdout)["incumbent"].startswith("pretrained")
    left = CliRunner().invoke(app, ["sync", "--json", *store])
    assert left.exit_code == 1
    assert json.loads(left.stdout)["waiting"] == 2
    warned = io.StringIO()
    settings = resolve(overrides=store[1::2])
    sync_quietly(settings, Console(file=warned, width=500))
    assert warned.getvalue().count("does not answer") == 2
