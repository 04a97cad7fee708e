"""A server that goes away: nothing is lost, nothing is recorded twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from spool_jobs import Job, overspill, stalled, wait_for

from forecasting.errors import StepError
from models.inference.checkpoint import WEIGHTS
from pipelines.cli.terminal.console import begin_job
from pipelines.runtime.files.artifacts import file_digest
from pipelines.runtime.registry.promotion import Verdict
from pipelines.runtime.registry.registry import MODEL, Registry, chosen_weights
from pipelines.runtime.spool.outbox import LOCAL_ID, outboxes, read_journal
from pipelines.runtime.spool.unreachable import UnreachableError
from pipelines.runtime.store.tags import ERROR_TAG
from pipelines.runtime.tracking import UPSTREAM_TAG, Spooling, Tracker

pytestmark = pytest.mark.usefixtures("impatient")


def test_a_server_that_is_briefly_away_is_waited_for(shared, job, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    with job.tracker, job.tracker.step("etl") as run:
        shared.signal(signal.SIGSTOP)
        timer = threading.Timer(5, shared.signal, [signal.SIGCONT])
        timer.start()
        run.log_curves({"loss": [3.0, 2.0, 1.0]})
        timer.join()
    assert job.warned == []
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
    assert "does not answer any more" in job.warned[0]
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
    assert job.warned == []
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
    assert "does not answer any more" in job.warned[0]


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


def test_a_candidate_whose_rival_was_replaced_meanwhile_becomes_challenger_and_that_is_reported(
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


def test_a_spool_folder_that_cannot_be_written_is_reported_and_fails_only_where_the_server_is_away(
    shared, job, tmp_path, unused_address
):
    (tmp_path / "file").touch()
    job.spool = tmp_path / "file" / "spool"
    warned = []
    with job.reached() as tracker, tracker.step("etl"):
        pass
    assert len(job.warned) == 1
    assert "the spool folder cannot be written (Not a directory)" in job.warned[0]
    assert job.runs()["etl"].info.status == "FINISHED"
    spooling = Spooling(folder=job.spool, from_start=True, tell=warned.append)
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
