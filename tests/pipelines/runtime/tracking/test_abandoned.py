"""Runs that killed processes left open are closed by the next command; all others are left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.runtime.jobs.state import JobState
from pipelines.runtime.tracking import close_abandoned, process
from pipelines.runtime.tracking.process import PROCESS_TAG, this_process, why_gone

DIES = """
import os, signal, sys
from pipelines.runtime.tracking import Tracker
step = Tracker(sys.argv[1], "tests").step("train")
print(step.__enter__().run_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def status(tracker, run_id):
    return tracker.client.get_run(run_id).info.status


@pytest.fixture
def left_open(own_tracker):
    """Runs that are open, recorded by a process that differs from this one in what is given."""

    def leave(**recorded):
        tags = {"overspill.step": "train"}
        if recorded.pop("known", True):
            tags[PROCESS_TAG] = json.dumps({**json.loads(this_process()), **recorded})
        return own_tracker.client.create_run(own_tracker.experiment_id, tags=tags).info.run_id

    return leave


@pytest.fixture(scope="module")
def ended():
    """Number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_a_killed_process_leaves_its_run_open_and_the_next_command_closes_it(own_tracker, monkeypatch):
    killed = subprocess.run(
        [sys.executable, "-c", DIES, own_tracker.uri], capture_output=True, text=True, check=False
    )
    run_id = killed.stdout.strip()
    assert killed.returncode == -9
    assert status(own_tracker, run_id) == "RUNNING"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", own_tracker.uri)
    listed = CliRunner().invoke(app, ["runs", "--set", "tracking.experiment=tests", "--json"])
    assert listed.exit_code == 0
    assert f"train run {run_id[:8]} is closed as KILLED: its process" in listed.stderr
    assert json.loads(listed.stdout)["runs"][0]["status"] == "KILLED"
    found = own_tracker.client.get_run(run_id)
    assert found.info.status == "KILLED"
    assert found.info.end_time is not None
    assert "ended without closing it" in found.data.tags["overspill.error"]
    assert close_abandoned(own_tracker) == []


def test_runs_of_living_processes_are_left_alone(own_tracker):
    with own_tracker.step("etl") as run:
        assert close_abandoned(own_tracker) == []
        assert status(own_tracker, run.run_id) == "RUNNING"
    assert status(own_tracker, run.run_id) == "FINISHED"


def test_a_number_that_another_process_has_by_now_does_not_keep_a_run_open(own_tracker, left_open):
    run_id = left_open(started=1)  # this process' number, begun with the boot
    assert len(close_abandoned(own_tracker)) == 1
    assert status(own_tracker, run_id) == "KILLED"


@pytest.mark.parametrize(
    "recorded",
    [{"host": "elsewhere"}, {"namespace": "pid:[1]"}, {"boot": ""}, {"known": False}, {"pid": "many"}],
    ids=["another host", "a container", "no boot known", "no process recorded", "a broken tag"],
)
def test_what_cannot_be_judged_from_here_is_left_alone(recorded, own_tracker, left_open, ended):
    run_id = left_open(**{"pid": ended, **recorded})
    assert close_abandoned(own_tracker) == []
    assert status(own_tracker, run_id) == "RUNNING"


def test_a_process_that_has_ended_and_waits_for_its_parent_is_gone():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    began = process._start(child.pid)
    assert began is not None
    recorded = {PROCESS_TAG: json.dumps({**json.loads(this_process()), "pid": child.pid, "started": began})}
    assert why_gone(recorded) is None
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert "ended without closing it" in why_gone(recorded)
    child.communicate()


def test_a_run_from_before_the_host_was_started_again_is_closed(own_tracker, left_open, monkeypatch):
    run_id = left_open(boot="another", pid=os.getpid())
    monkeypatch.setattr(process, "_line", lambda _: "known")
    assert "the host was started again" in close_abandoned(own_tracker)[0]
    assert status(own_tracker, run_id) == "KILLED"


def test_after_a_start_a_host_without_an_identity_of_its_own_is_not_judged(monkeypatch):
    recorded = {PROCESS_TAG: json.dumps({**json.loads(this_process()), "boot": "another"})}
    monkeypatch.setattr(process, "_line", lambda _: "")
    assert why_gone(recorded) is None


def test_a_run_that_its_job_will_go_on_with_stays_open_for_as_long_as_the_state_is_there(
    own_tracker, tmp_path, ended
):
    state = JobState(tmp_path / "state", about={"command": "train"})
    opened = own_tracker.step("train", state=state.folder)
    run = opened.__enter__()
    gone = json.dumps({**json.loads(this_process()), "pid": ended, "started": 1})
    own_tracker.client.set_tag(run.run_id, PROCESS_TAG, gone)
    assert close_abandoned(own_tracker) == []
    with own_tracker.step("train", resume=run.run_id) as again:
        assert again.run_id == run.run_id
        recorded = own_tracker.client.get_run(run.run_id).data.tags[PROCESS_TAG]
        assert json.loads(recorded)["pid"] == os.getpid()
    own_tracker.client.set_tag(run.run_id, PROCESS_TAG, gone)
    own_tracker.client.update_run(run.run_id, status="RUNNING")
    state.clear()
    assert len(close_abandoned(own_tracker)) == 1
