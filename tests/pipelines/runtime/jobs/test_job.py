"""Commands as jobs: interrupted and gone on with, stopped by a signal, spread over processes and over Ray."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from rich.console import Console

from forecasting.errors import InputError, StepError
from models.distributed.signals import STOP, StopRequestedError
from models.distributed.workers import RanksWithWorkers
from pipelines.backtest.parallel import warm
from pipelines.backtest.step import run_backtest
from pipelines.etl.step import run_etl
from pipelines.run import run_all
from pipelines.runtime.config.loader import resolve
from pipelines.runtime.files.artifacts import read_table
from pipelines.runtime.jobs.requeue import after_stop
from pipelines.runtime.jobs.state import FILE, LOCK, JobState
from pipelines.runtime.step.context import Context
from pipelines.runtime.tracking import Tracker

SMALL = [
    *("forecast.paths=60", "forecast.horizon=6", "forecast.model=network", "backtest.paths=40"),
    *("backtest.first_origin=2025-09-30", "train.fine_tuning.steps=6", "train.fine_tuning.check_every=2"),
    *("train.windows=16", "train.test_origins=1", "pretrain.worlds.series_per_batch=8"),
    *("statistical.candidates=[AutoETS,AutoTheta]", "figures.pictures=false"),
]


@pytest.fixture
def job(own_tracker, tmp_path):
    """Context of a small job that remembers what is done."""

    states = []

    def made(**changes):
        for earlier in states:
            earlier.close()  # as the end of its process does
        settings = resolve(overrides=SMALL)
        state = JobState(tmp_path / "state", about={"a": "job"})
        states.append(state)
        context = Context(
            settings=settings, tracker=own_tracker, console=Console(file=io.StringIO()), state=state
        )
        return replace(context, **changes)

    return made


def runs_of(context, step):
    return [run_id for run_id, outcome in runs(context.tracker).items() if outcome[0] == step]


def runs(tracker):
    return {
        run.info.run_id: (run.data.tags["overspill.step"], run.info.status) for run in tracker.runs(limit=50)
    }


def test_a_job_stopped_in_its_backtest_goes_on_without_a_second_panel_or_training(job, monkeypatch):
    def stopped(*_):
        signal.raise_signal(signal.SIGTERM)

    first = job()
    with monkeypatch.context() as patch, STOP.listening():
        patch.setattr("pipelines.run.run_backtest", stopped)
        with pytest.raises(StopRequestedError):
            run_all(first, train=True)
    before = runs(first.tracker)
    assert sorted(before.values()) == [("etl", "FINISHED"), ("run", "KILLED"), ("train", "FINISHED")]
    result = run_all(job(), train=True)
    after = runs(first.tracker)
    assert set(before) < set(after)
    assert sorted(after.values()) == [
        (step, "FINISHED") for step in ("backtest", "etl", "forecast", "run", "train", "windows")
    ]
    assert {result.run_ids["run"], result.run_ids["etl"], result.run_ids["train"]} == set(before)
    parent = first.tracker.client.get_run(result.run_ids["run"])
    assert "overspill.error" not in parent.data.tags
    assert [file.name for file in first.state.folder.iterdir()] == [LOCK]  # the next job may begin here


def test_a_job_stopped_in_its_training_goes_on_with_the_same_run_and_ends_like_an_unbroken_one(
    job, monkeypatch, tmp_path
):
    from pipelines.train.curves import Recorder

    record = Recorder.__call__

    def stopping(self, step, scalars):
        record(self, step, scalars)
        if step == 3 and "train/loss" in scalars:
            signal.raise_signal(signal.SIGUSR1)

    with monkeypatch.context() as patch, STOP.listening():
        patch.setattr(Recorder, "__call__", stopping)
        with pytest.raises(StopRequestedError):
            run_all(job(), train=True)
    interrupted = job()
    assert interrupted.state.training.exists()
    run_id = next(iter(runs_of(interrupted, "train")))
    result = run_all(interrupted, train=True)
    assert result.run_ids["train"] == run_id
    curve = interrupted.tracker.client.get_metric_history(run_id, "train/loss")
    assert [point.step for point in curve] == [1, 2, 3, 4, 5, 6]
    with interrupted.tracker.artifact(run_id, "training.parquet") as path:
        kept = read_table(path).filter(pl.col("name") == "train/loss")
    assert kept["step"].to_list() == [1, 2, 3, 4, 5, 6]
    whole = run_all(job(state=None), train=True)
    unbroken = interrupted.tracker.client.get_metric_history(whole.run_ids["train"], "train/loss")
    assert [point.value for point in curve] == [point.value for point in unbroken]


def test_a_job_stopped_in_its_windows_goes_on_with_the_forecast_that_it_made(job, monkeypatch):
    def stopped(*_, **__):
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch, STOP.listening():
        patch.setattr("pipelines.windows.step.write_figures", stopped)
        with pytest.raises(StopRequestedError):
            run_all(job())
    before = runs(job().tracker)
    result = run_all(job())
    assert set(runs(job().tracker)) == set(before)  # no step was done twice
    assert set(result.run_ids.values()) == set(before)
    assert result.backtest is not None
    assert result.backtest.leaderboard.height > 0
    windows = job().tracker.client.get_run(result.run_ids["windows"])
    assert windows.data.tags["overspill.upstream_run_id"] == result.run_ids["forecast"]
    assert windows.info.status == "FINISHED"


def test_a_failed_step_is_not_gone_on_with_but_begun_anew(job, monkeypatch):
    def failing(*_):
        raise StepError("no backtest today")

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.run.run_backtest", failing)
        with pytest.raises(StepError):
            run_all(job())
    (failed,) = [run_id for run_id, outcome in runs(job().tracker).items() if outcome == ("run", "FAILED")]
    assert job().tracker.client.get_run(failed).data.tags["overspill.error"] == "StepError: no backtest today"
    assert run_all(job()).run_ids["run"] != failed


def test_the_state_of_another_job_is_refused(tmp_path):
    for _ in range(2):
        JobState(tmp_path, about={"a": "one"}).close()
    with pytest.raises(
        InputError, match="holds the state of another job: expected a one, as it was begun with"
    ):
        JobState(tmp_path, about={"a": "another"})


def test_how_a_job_runs_and_where_it_is_recorded_may_change(tmp_path):
    JobState(tmp_path, about={"a": "one", "tracking.when_away": "fail"}).close()
    JobState(
        tmp_path, about={"a": "one", "tracking.when_away": "spool", "cluster.state_minutes": "1"}
    ).close()


def test_an_interrupted_run_is_gone_on_with_only_where_it_read_from_the_same_run(tmp_path):
    state = JobState(tmp_path, about={"a": "one"})
    state.opened("windows", "run", "forecast 1")
    assert state.open_run("windows", "forecast 1") == "run"
    assert state.open_run("windows", "forecast 2") is None


def test_two_jobs_do_not_share_a_folder(tmp_path):
    first = JobState(tmp_path, about={"a": "one"})
    with pytest.raises(InputError, match="another job is using the folder of the state"):
        JobState(tmp_path, about={"a": "one"})
    first.clear()


def test_what_was_done_long_ago_is_done_again(tmp_path, monkeypatch):
    state = JobState(tmp_path, about={"a": "one"})
    state.remember("etl", {"run": "a"})
    assert state.done("etl") == {"run": "a"}
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 13 * 3600)
    assert state.done("etl") is None


def test_a_training_goes_on_with_the_same_data_alone(tmp_path):
    state = JobState(tmp_path, about={"a": "one"})
    assert state.trains_on("digest")
    state.opened("train", "run", "etl")
    state.training.write_text("state")
    assert state.trains_on("digest")
    assert state.open_run("train", "etl") == "run"
    assert not state.trains_on("another digest")
    assert state.open_run("train", "etl") is None
    assert not state.training.exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"about": 1}'])
def test_a_file_that_is_no_state_is_refused_by_name(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InputError, match=f"{FILE}: the "):
        JobState(tmp_path, about={"a": "one"})


def test_a_state_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises((StepError, InputError), match="state of the job cannot be"):
        JobState(tmp_path / "state", about={"a": "one"})


def test_without_slurm_a_stop_is_told_and_nothing_else_is_done(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert after_stop(StopRequestedError(signal.SIGTERM), first=True) == "stopped by SIGTERM"


def test_a_job_whose_slurm_does_not_answer_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("OVERSPILL_REQUEUE", "true")
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = after_stop(StopRequestedError(signal.SIGTERM), first=True)
    assert outcome.startswith("stopped by SIGTERM; job 7 is ")
    assert "squeue" in outcome


@pytest.fixture(scope="module")
def backtest(laid_out_store, tmp_path_factory):
    """Context whose store holds an etl run, and the scores of one process."""
    folder = tmp_path_factory.mktemp("backtest")
    (folder / "mlruns").mkdir()
    shutil.copy(laid_out_store, folder / "mlruns" / "mlflow.db")
    tracker = Tracker(f"sqlite:///{folder}/mlruns/mlflow.db", "overspill")
    context = Context(settings=resolve(overrides=SMALL), tracker=tracker, console=Console(file=io.StringIO()))
    run_etl(context)
    return context, scores(context, run_backtest(context).run_id), folder


def scores(context, run_id):
    with context.tracker.artifact(run_id, "scores.parquet") as path:
        return read_table(path)


def test_a_backtest_on_ray_gives_the_scores_of_one_process(backtest):
    context, alone, _ = backtest
    settings = resolve(overrides=[*SMALL, "backtest.engine=ray"])
    result = run_backtest(replace(context, settings=settings))
    assert_frame_equal(scores(context, result.run_id), alone, rel_tol=1e-4)


def test_a_backtest_by_workers_has_the_scores_of_one_process(backtest, monkeypatch):
    monkeypatch.setattr("models.distributed.workers.WORTH_STARTING", 2)
    context, alone, _ = backtest
    ranks = RanksWithWorkers(processes=2)
    warm(replace(context, ranks=ranks))
    try:
        found = scores(context, run_backtest(replace(context, ranks=ranks)).run_id)
    finally:
        ranks.leave()
    assert_frame_equal(found, alone, rel_tol=1e-4)


@pytest.mark.slow
def test_a_backtest_by_two_processes_is_one_run_with_the_scores_of_one(backtest):
    context, alone, folder = backtest
    before = len(context.tracker.runs(step="backtest"))
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
        *("--no-python", str(overspill()), "backtest", "--json"),
        *(part for each in SMALL for part in ("--set", each)),
    ]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False, env=plain()
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(context.tracker.runs(step="backtest")) == before + 1
    outcome = json.loads(done.stdout)
    assert_frame_equal(scores(context, outcome["run"]), alone, rel_tol=1e-4)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 138), (signal.SIGINT, 130)]
)
def test_a_command_that_is_stopped_says_so_and_leaves_its_run_killed(tmp_path, number, status):
    command = [overspill(), "run", *(part for each in SMALL for part in ("--set", each)), "--state", "state"]
    process = subprocess.Popen(
        command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=plain()
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "state" / FILE).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, outcome = process.communicate(timeout=60)
    assert process.returncode == status
    said = "error: interrupted" if number == signal.SIGINT else f"stopped by {number.name}"
    assert outcome.strip().splitlines()[-1] == said
    assert "Traceback" not in outcome


def overspill():
    return str(Path(sys.executable).with_name("overspill"))


def plain():
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "MLFLOW"))}
    return {**clean, "OMP_NUM_THREADS": "1"}
