"""The tracking store: lineage, failures, and one sentence when it does not answer."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from forecasting.errors import InputError, StepError
from pipelines.runtime.tracking import Tracker


def test_server_that_does_not_answer_is_named_within_seconds():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(
        StepError, match=f"the MLflow server at http://127.0.0.1:{port} does not answer"
    ) as failed:
        Tracker(f"http://me:secret@127.0.0.1:{port}", "tests")
    assert "secret" not in str(failed.value)
    assert time.monotonic() - started < 15


def test_store_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database, and long enough to be looked at as one")
    with pytest.raises(StepError, match="MLflow at sqlite:///.*failed"):
        Tracker(f"sqlite:///{tmp_path / 'mlflow.db'}", "tests")


def test_store_that_is_full_says_so_in_one_sentence_without_a_traceback(laid_out_store, tmp_path, capfd):
    file = tmp_path / "mlflow.db"
    shutil.copy(laid_out_store, file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON runs BEGIN "
            "SELECT RAISE(FAIL, 'database or disk is full'); END"
        )
        connection.commit()
    full = Tracker(f"sqlite:///{file}", "tests")
    with pytest.raises(StepError) as failed, full.step("etl"):
        pass
    assert str(failed.value) == f"MLflow at sqlite:///{file} failed: database or disk is full"
    assert capfd.readouterr().err == ""


def test_failing_step_is_recorded_as_failed_with_its_reason(tracker):
    with pytest.raises(RuntimeError, match="out of luck"), tracker.step("etl") as run:
        raise RuntimeError("out of luck")
    recorded = tracker.client.get_run(run.run_id)
    assert recorded.info.status == "FAILED"
    assert recorded.data.tags["overspill.error"] == "RuntimeError: out of luck"
    with pytest.raises(InputError, match="the run did not finish: expected FINISHED, found FAILED"):
        tracker.finished(run.run_id, "etl")


@pytest.mark.parametrize("stop", [KeyboardInterrupt("told to"), SystemExit(143)])
def test_a_step_whose_process_is_told_to_stop_is_killed_not_failed_and_can_be_resumed(tracker, stop):
    with pytest.raises(type(stop)), tracker.step("train") as run:
        raise stop
    recorded = tracker.client.get_run(run.run_id)
    assert recorded.info.status == "KILLED"
    assert recorded.data.tags["overspill.error"] == f"{type(stop).__name__}: {stop}"
    with tracker.step("train", resume=run.run_id) as again:
        assert again.run_id == run.run_id
        opened = tracker.client.get_run(run.run_id)
        assert opened.info.status == "RUNNING"
        assert "overspill.error" not in opened.data.tags
    assert tracker.finished(run.run_id, "train").info.start_time == recorded.info.start_time


def test_a_run_of_another_step_is_not_resumed_and_for_a_finished_or_unknown_one_another_begins(tracker):
    with tracker.step("train") as run:
        pass
    with tracker.step("train", resume=run.run_id) as another:
        assert another.run_id != run.run_id
    with pytest.raises(InputError, match="another step: expected etl, found train"):
        tracker.step("etl", resume=run.run_id).__enter__()
    with tracker.step("train", resume="0" * 32) as begun:
        assert begun.run_id != "0" * 32
    with tracker.step("train", resume="0" * 25 + "spooled") as begun:
        pass
    assert tracker.finished(begun.run_id, "train")


def test_run_of_another_step_and_unknown_runs_are_refused(tracker):
    with tracker.step("etl") as run:
        pass
    with pytest.raises(InputError, match="the run is of another step: expected forecast, found etl"):
        tracker.finished(run.run_id, "forecast")
    with pytest.raises(InputError, match="no such run: expected a run id of the step etl: .*found 'xyz'"):
        tracker.finished("xyz", "etl")


def test_missing_artifact_is_named(tracker):
    with tracker.step("etl") as run:
        pass
    with (
        pytest.raises(InputError, match=r"the run has no such artifact: expected panel\.parquet"),
        tracker.artifact(run.run_id, "panel.parquet"),
    ):
        pass


def test_newest_run_of_a_step_that_never_ran_is_refused_with_what_to_do(store_uri):
    with pytest.raises(InputError, match="no finished windows run: expected `overspill windows` first"):
        Tracker(store_uri, "another experiment").newest("windows")


def test_curves_keep_their_steps_and_leave_out_what_is_not_finite(tracker):
    with tracker.step("etl") as run:
        run.log_curves({"weeks/H200 (new)": [1.0, float("nan"), float("inf"), 4.0]}, first_step=2)
    history = tracker.client.get_metric_history(run.run_id, "weeks/H200 _new_")
    assert sorted((metric.step, metric.value) for metric in history) == [(2, 1.0), (5, 4.0)]


def test_processes_that_create_the_same_store_at_once_do_not_break_each_other(tmp_path):
    store = f"sqlite:///{tmp_path}/mlflow.db"
    code = f"from pipelines.runtime.tracking import Tracker; print(Tracker({store!r}, 'x').experiment_id)"
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert [process.communicate(timeout=120)[0] for process in started] == ["1\n"] * 3
