"""A server that goes away: nothing is lost, nothing is recorded twice."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import mlflow
import polars as pl
import pytest
from mlflow.exceptions import MlflowException
from rich.console import Console
from typer.testing import CliRunner

from forecasting.errors import StepError
from forecasting.panel.schema import content_digest
from models.inference.checkpoint import WEIGHTS
from pipelines.cli.main import app
from pipelines.cli.terminal.console import begin_job
from pipelines.runtime.config.loader import resolve
from pipelines.runtime.files.artifacts import file_digest
from pipelines.runtime.jobs.sync import sync, sync_quietly
from pipelines.runtime.registry.promotion import Verdict
from pipelines.runtime.registry.registry import MODEL, Registry, chosen_weights
from pipelines.runtime.spool.outbox import LOCAL_ID, outboxes, read_journal
from pipelines.runtime.spool.pending import PendingRuns
from pipelines.runtime.spool.unreachable import UnreachableError
from pipelines.runtime.step.inputs import read_input
from pipelines.runtime.store.tags import ERROR_TAG, SPOOLED_TAG
from pipelines.runtime.tracking import STEP_TAG, UPSTREAM_TAG, Spooling, Tracker

SMALL = ["forecast.paths=20", "forecast.horizon=4", "backtest.paths=20", "backtest.first_origin=2025-06-30"]
SMALL += ["policies=[bis_2026_01]", "backtest.case=null", "figures.pictures=false"]
SMALL += ["statistical.candidates=[AutoETS,AutoTheta]"]
IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "1",
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """MLflow's client gives up within two seconds."""
    for name, value in IMPATIENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, laid_out_store, server_class):
    """A server that the tests of this file share: each has an experiment of its own, none kills it."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(laid_out_store, folder / "server.db")
    made = server_class(folder)
    try:
        made.start()
        yield made
    finally:
        made.kill()


@contextmanager
def stalled(server):
    """The server's processes sleep; what it is asked for meanwhile it does afterwards."""
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


class Job:
    """A process' tracker on a server, with an experiment of its own and what it tells."""

    def __init__(self, address, spool, experiment):
        self.address, self.spool, self.experiment, self.told = address, spool, experiment, []
        self.tracker = self.reached()

    def reached(self):
        spooling = Spooling(folder=self.spool, tell=self.told.append)
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


@pytest.fixture
def job(shared, tmp_path, request):
    return Job(shared.address, tmp_path / "spool", request.node.name)


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
    printed, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert f"the MLflow server at {server.address} does not answer any more" in told
    assert "`overspill sync` sends them" in told
    assert "Traceback" not in told
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


def test_a_server_that_is_briefly_away_is_waited_for(shared, job, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    with job.tracker, job.tracker.step("etl") as run:
        shared.signal(signal.SIGSTOP)
        timer = threading.Timer(5, shared.signal, [signal.SIGCONT])
        timer.start()
        run.log_curves({"loss": [3.0, 2.0, 1.0]})
        timer.join()
    assert job.told == []
    assert job.runs()["etl"].info.status == "FINISHED"
    client = mlflow.MlflowClient(job.address)
    assert len(client.get_metric_history(run.run_id, "loss")) == 3
    assert list(job.spool.iterdir()) == []


def test_what_a_stalled_server_does_late_is_not_done_twice(shared, job):
    with job.tracker as tracker:
        with tracker.step("etl") as first:
            pass
        with stalled(shared):
            with tracker.step("backtest", upstream_run_id=first.run_id) as run:
                run.log_params({"a": "1"})
                run.log_metrics({"score": 0.5})
                run.set_tags({"said": f"by {run.run_id}", "overspill.sha256.panel": "a" * 64})
            assert LOCAL_ID.fullmatch(run.run_id)
            assert tracker.finished(run.run_id, "backtest").data.params == {"a": "1"}
            assert tracker.newest("backtest") == run.run_id
            assert tracker.newest_of_content("backtest", "panel", "a" * 64) == run.run_id
            assert tracker.newest_of_content("backtest", "panel", "b" * 64) is None
        time.sleep(0.5)
    assert "does not answer any more" in job.told[0]
    job.sync()
    runs = job.runs()
    assert runs["backtest"].data.tags[UPSTREAM_TAG] == first.run_id == runs["etl"].info.run_id
    assert runs["backtest"].data.tags["said"] == f"by {runs['backtest'].info.run_id}"
    history = mlflow.MlflowClient(job.address).get_metric_history(runs["backtest"].info.run_id, "score")
    assert [point.value for point in history] == [0.5]


def test_a_job_that_is_stopped_and_goes_on_while_the_server_is_away_leaves_one_run(shared, job, tmp_path):
    again = Job(job.address, job.spool, job.experiment)
    (tmp_path / "panel.csv").write_text("a,b")
    with stalled(shared):
        with pytest.raises(KeyboardInterrupt), job.tracker, job.tracker.step("train") as first:  # noqa: PT012
            first.log_points([("loss", 1, 0.9)])
            first.log_file(tmp_path / "panel.csv")
            raise KeyboardInterrupt
        with again.tracker as tracker:
            with tracker.step("train", resume=first.run_id) as second:
                assert second.run_id == first.run_id
                second.log_points([("loss", 2, 0.8)])
            with tracker.artifact(first.run_id, "panel.csv") as path:
                assert path.read_text() == "a,b"
    assert len(outboxes(job.spool)) == 2
    job.sync()
    run = job.runs()["train"]
    assert run.info.status == "FINISHED"
    assert ERROR_TAG not in run.data.tags
    history = mlflow.MlflowClient(job.address).get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.9), (2, 0.8)]


def test_what_the_server_refuses_is_an_error_and_not_sent_again(job):
    with job.tracker as tracker, tracker.step("etl") as run:
        run.log_params({"a": "1"})
        with pytest.raises(MlflowException, match="Changing param values is not allowed"):
            run.log_params({"a": "2"})
    assert job.told == []
    assert list(job.spool.iterdir()) == []
    assert job.runs()["etl"].data.params == {"a": "1"}


@pytest.fixture
def champion(shared, job, tiny_checkpoint):
    """A champion that the job has read before the server goes away."""
    registry = Registry(job.tracker)
    with job.tracker.step("train") as run:
        version = registry.register(run, tiny_checkpoint, {})
    registry.settle(version, lambda _: WON)
    return version


WON = Verdict(incumbent="the champion", candidate_score=0.5, incumbent_score=1.0)


def test_what_a_job_has_at_hand_from_its_start_is_there_without_the_server(shared, job, champion, context):
    begin_job(replace(context, tracker=job.tracker))
    with stalled(shared), job.tracker:
        weights = chosen_weights(job.tracker, checkpoint=None, device="cpu")
        assert weights.label == champion.label
        with pytest.raises(UnreachableError, match="is away, and run abc is not among what waits"):
            job.tracker.finished("abc", "etl")
    assert "does not answer any more" in job.told[0]


def candidate_while_away(server, job, checkpoint):
    """Train, register and settle while the server is stalled; then forecast with the new champion."""
    registry = Registry(job.tracker)
    judged = []
    with stalled(server), job.tracker:
        with job.tracker.step("second") as run:
            version = registry.register(run, checkpoint, {})
            verdict = registry.settle(version, lambda against: judged.append(against) or WON)
            run.set_tags({**verdict.tags(), "overspill.model_version": version.number})
        assert registry.champion().number == version.number
        assert registry.weights(registry.champion(), "cpu").digest == file_digest(checkpoint / WEIGHTS)
    return judged[0]


def test_a_candidate_of_a_job_without_a_server_becomes_champion_where_its_rival_still_is(
    shared, job, champion, tiny_checkpoint
):
    judged = candidate_while_away(shared, job, tiny_checkpoint)
    assert judged.number == champion.number
    job.sync()
    client = mlflow.MlflowClient(job.address)
    present = client.get_model_version_by_alias(MODEL, "champion")
    assert int(present.version) == int(champion.number) + 1
    run = job.runs()["second"]
    assert present.run_id == run.info.run_id
    assert run.data.tags["overspill.model_version"] == str(present.version)
    assert run.data.tags["overspill.decision"] == present.tags["overspill.decision"] == "champion"
    with job.reached() as tracker:
        assert (
            Registry(tracker).weights(Registry(tracker).champion(), "cpu").label
            == f"{MODEL} version {present.version}"
        )


def test_a_candidate_whose_rival_was_replaced_meanwhile_becomes_challenger_and_that_is_told(
    shared, job, champion, tiny_checkpoint, tmp_path
):
    candidate_while_away(shared, job, tiny_checkpoint)
    other = Job(job.address, tmp_path / "other", f"{job.experiment}-other")
    with other.tracker, other.tracker.step("train") as run:
        quicker = Registry(other.tracker).register(run, tiny_checkpoint, {})
        Registry(other.tracker).settle(quicker, lambda _: WON)
    (report,) = job.sync()
    assert f"by now the champion is version {quicker.number}" in report.messages[0]
    client = mlflow.MlflowClient(job.address)
    assert str(client.get_model_version_by_alias(MODEL, "champion").version) == quicker.number
    challenger = client.get_model_version_by_alias(MODEL, "challenger")
    run = job.runs()["second"]
    assert challenger.run_id == run.info.run_id
    assert run.data.tags["overspill.decision"] == challenger.tags["overspill.decision"] == "challenger"
    assert "judged against version" in run.data.tags["overspill.not_promoted"]


KILLED_JOB = """
import os, signal, sys
from pathlib import Path
from pipelines.runtime.tracking import Spooling, Tracker
address, spool, experiment, ready = sys.argv[1:]
tracker = Tracker(address, experiment, spooling=Spooling(folder=Path(spool)))
with tracker.step("train") as run:
    run.log_metrics({"loss": 1.0})
    Path(ready).touch()
    sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_outbox_of_a_killed_job_ends_its_run_as_killed_and_that_of_a_running_job_is_left(job, tmp_path):
    ready = tmp_path / "ready"
    arguments = [job.address, str(job.spool), job.experiment, str(ready)]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_JOB, *arguments], stdin=subprocess.PIPE, text=True
    )
    wait_for(ready.exists)
    (report,) = job.sync()
    assert report.left == "in use by a process"
    assert not report.waits
    assert job.runs()["train"].info.status == "RUNNING"
    process.communicate("now\n", timeout=30)
    assert process.returncode == -signal.SIGKILL
    (report,) = job.sync()
    assert [run.status for run in report.runs] == ["KILLED"]
    run = job.runs()["train"]
    assert (run.info.status, run.data.tags[ERROR_TAG]) == ("KILLED", "the process ended before this run did")
    assert run.info.end_time >= run.info.start_time
    with job.tracker, job.tracker.step("train", resume=run.info.run_id) as again:
        again.log_metrics({"loss": 0.5})
    resumed = job.runs()["train"]
    assert resumed.info.status == "FINISHED"
    assert ERROR_TAG not in resumed.data.tags


def test_a_sync_that_is_killed_in_the_middle_is_completed_by_the_next(shared, job, tmp_path):
    with job.tracker as tracker:
        with tracker.step("etl"):
            pass
        with stalled(shared):
            for name in ("backtest", "forecast"):
                with tracker.step(name) as run:
                    for k in range(20):
                        run.log_points([(f"curve{k}", step, float(step)) for step in range(3)])
            job.tracker.client.close(send=False)
    (folder,) = outboxes(job.spool)
    already = len(read_journal(folder).answers)
    store = ["--set", f"tracking.uri={job.address}", "--set", f"tracking.spool={job.spool}"]
    process = overspill("sync", *store, cwd=tmp_path)
    wait_for(lambda: process.poll() is not None or len(read_journal(folder).answers) >= already + 10)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(read_journal(folder).waiting()) > 0
    (report,) = job.sync()
    assert {run.status for run in report.runs} == {"FINISHED"}
    client = mlflow.MlflowClient(job.address)
    runs = job.runs()
    for name in ("backtest", "forecast"):
        history = client.get_metric_history(runs[name].info.run_id, "curve19")
        assert [point.step for point in history] == [0, 1, 2]
    assert list(job.spool.iterdir()) == []


@pytest.mark.filterwarnings(
    "ignore:The `srun` command is available"
)  # of Lightning, where Slurm is installed
def test_a_server_that_is_down_from_the_start_fails_a_command_or_lets_it_work_into_the_spool(
    shared, tmp_path, unused_address
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
    told = io.StringIO()
    settings = resolve(overrides=store[1::2])
    sync_quietly(settings, Console(file=told, width=500))
    assert told.getvalue().count("does not answer") == 2


def test_a_spool_folder_that_cannot_be_written_is_told_and_fails_only_where_the_server_is_away(
    shared, job, tmp_path, unused_address
):
    (tmp_path / "file").touch()
    job.spool = tmp_path / "file" / "spool"
    told = []
    with job.reached() as tracker, tracker.step("etl"):
        pass
    assert len(job.told) == 1
    assert "the spool folder cannot be written (Not a directory)" in job.told[0]
    assert job.runs()["etl"].info.status == "FINISHED"
    spooling = Spooling(folder=job.spool, from_start=True, tell=told.append)
    with (
        Tracker(unused_address, job.experiment, spooling=spooling) as tracker,
        pytest.raises(StepError, match="cannot be kept here: Not a directory"),
        tracker.step("etl"),
    ):
        pass


FULL_DISK = """
import resource, sys
from pathlib import Path
from pipelines.runtime.tracking import Spooling, Tracker
address, spool, experiment, folder = sys.argv[1:]
spooling = Spooling(folder=Path(spool))
with Tracker(address, experiment, spooling=spooling) as tracker, tracker.step("etl") as run:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    run.log_folder(Path(folder))
"""


def test_a_disk_that_is_full_does_not_stop_a_job_whose_server_is_there(job, tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "large.bin").write_bytes(b"x" * 200_000)
    arguments = [job.address, str(job.spool), job.experiment, str(tmp_path / "files")]
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, *arguments], check=False, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "the spool folder cannot be written (File too large)" in ended.stderr
    run = job.runs()["etl"]
    assert run.info.status == "FINISHED"
    (file,) = mlflow.MlflowClient(job.address).list_artifacts(run.info.run_id)
    assert file.file_size == 200_000
    assert list(job.spool.iterdir()) == []
