"""`overspill schedule` on a real Slurm, with a light command in place of the long cycle."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app

pytestmark = pytest.mark.slurm

DAILY = ("slurm", "--every", "1d", "--at", "02:00")
LIGHT = """#!/bin/bash
echo "begin $SLURM_JOB_ID $(date +%s.%N) $*" >>"$OVERSPILL_STATE/told"
sleep 1
echo "end $SLURM_JOB_ID $(date +%s.%N)" >>"$OVERSPILL_STATE/told"
exit 0
"""
# Debian's slurm-client brings no scrontab: this one keeps the file, and its entries are run by the test.
SCRONTAB = """#!/bin/sh
if [ "$1" = -l ]; then cat {file} 2>/dev/null || {{ echo "no crontab for root"; exit 1; }}
else cp "$1" {file}; fi
"""


@pytest.fixture
def desk(slurm, tmp_path, monkeypatch):
    """A folder from which schedules are made: `say(...)`, the jobs' `program`, and what they `told`."""

    def program(text):
        file = tmp_path / "light"
        file.write_text(text)
        file.chmod(0o755)

    def say(*words, env=None):
        changed = slurm.env | {"OVERSPILL_COMMAND": str(tmp_path / "light")} | (env or {})
        with monkeypatch.context() as patch:
            for key, value in changed.items():
                patch.setenv(key, value)
            patch.chdir(tmp_path)
            return CliRunner().invoke(app, ["schedule", *words])

    def log():
        file = tmp_path / "overspill-state" / "told"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    program(LIGHT)
    yield SimpleNamespace(
        say=say, log=log, program=program, folder=tmp_path, state=tmp_path / "overspill-state"
    )
    slurm.clear()  # before the folder goes in which they write


def until(holds, seconds=45):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def submitted(done):
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def refused(done, sentence, code=2):
    assert done.exit_code == code, done.stderr
    assert re.search(sentence, done.stderr), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not done.stdout


def test_a_chain_runs_in_order_and_never_two_at_once_with_one_successor_each(slurm, desk):
    first = submitted(desk.say("slurm", "--every", "3s", "--json", "--", "--config", "quick"))
    assert first["job"]
    assert first["via"] == "sbatch"
    until(lambda: len(desk.log()) >= 6)
    submitted(desk.say("cancel", "--json"))
    assert slurm.queue() == []
    lines = desk.log()
    ids = [line[1] for line in lines if line[0] == "begin"]
    assert [line[0] for line in lines[:6]] == ["begin", "end"] * 3
    assert [line[1] for line in lines[:6]] == [one for one in ids[:3] for _ in range(2)]
    assert ids[0] == first["job"]
    assert ids == sorted(set(ids), key=int)
    given = f"--state {desk.state}/job-{ids[0]} --set tracking.when_away=spool --config quick"
    assert lines[0][3:] == f"run --train {given}".split()
    assert not (desk.state / f"job-{ids[0]}").exists()  # finished work is taken away


def test_a_successor_begins_one_period_after_its_predecessors_slot_however_late_that_began(slurm, desk):
    first = submitted(desk.say("slurm", "--every", "6h", "--json"))
    until(lambda: len(desk.log()) >= 1)
    waiting = submitted(desk.say("status", "--json"))["schedules"][-1]
    gap = datetime.fromisoformat(waiting["begin"]) - datetime.fromisoformat(first["begin"])
    assert gap.total_seconds() == 6 * 3600


def test_a_failing_cycle_leaves_the_chain_and_what_it_had_finished(slurm, desk):
    desk.program(LIGHT.replace("exit 0", 'echo part >"$5/part"; exit 1').replace("$5", "$4"))
    first = submitted(desk.say("slurm", "--every", "3s", "--json"))["job"]
    until(lambda: len(desk.log()) >= 4)
    assert slurm.show(first)["JobState"] == "FAILED"
    assert (desk.state / f"job-{first}" / "part").read_text() == "part\n"
    assert "failed with exit status 1; what was finished lies in" in slurm.output(first)


def test_a_requeued_job_keeps_its_state_and_submits_no_second_successor(slurm, desk):
    desk.program(
        """#!/bin/bash
if [ -e "$4/part" ]; then exec sleep 30; fi
echo part >"$4/part"
trap 'exit 143' TERM
for i in $(seq 100); do sleep 0.2; done
"""
    )
    job = submitted(desk.say("slurm", "--every", "1h", "--json"))["job"]
    until((desk.state / f"job-{job}" / "part").exists)
    assert len(slurm.queue()) == 2
    slurm.run("scancel", "--signal=TERM", job)
    until(lambda: slurm.show(job)["Restarts"] == "1")
    slurm.wait(job, "RUNNING")
    until(lambda: "restart 1" in slurm.output(job))
    time.sleep(1)
    assert job in slurm.queue()
    assert len(slurm.queue()) == 2
    assert (desk.state / f"job-{job}" / "part").exists()


def test_a_dry_run_prints_the_script_and_the_command_and_submits_nothing(slurm, desk):
    done = desk.say(*DAILY, "--gpus-per-node", "2", "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert "#SBATCH --gpus-per-node=2\n" in done.stdout
    assert re.search(
        r"# would run: sbatch --begin=\S+T02:00:00 --dependency=singleton \S+sbatch$", done.stdout
    )
    assert slurm.queue() == []
    assert not desk.state.exists()


def test_a_name_is_scheduled_once_and_replaced_when_asked(slurm, desk):
    first = submitted(desk.say(*DAILY, "--json"))
    again = desk.say("slurm", "--every", "6h", "--at", "03:00")
    refused(
        again, rf"the schedule 'overspill' is there already.*job {first['job']}, pending.*{first['begin']}"
    )
    other = submitted(desk.say(*DAILY, "--name", "other", "--json"))["job"]
    second = submitted(desk.say("slurm", "--every", "6h", "--at", "03:00", "--replace", "--json"))["job"]
    assert set(slurm.queue()) == {second, other}
    shown = submitted(desk.say("status", "--json"))["schedules"]
    assert {(row["name"], row["job"], row["schedule"]) for row in shown} == {
        ("overspill", second, "every=6h,at=03:00"),
        ("other", other, "every=1d,at=02:00"),
    }
    assert second in desk.say("status").stdout
    assert submitted(desk.say("cancel", "--json")) == {
        "name": "overspill",
        "cancelled": [second],
        "scrontab": False,
    }
    assert slurm.queue() == [other]
    refused(desk.say("cancel"), "no such schedule: expected other, found overspill")


def test_a_replaced_schedule_lets_the_running_job_finish_and_has_one_successor(slurm, desk):
    desk.program(LIGHT.replace("sleep 1", "sleep 6"))
    old = submitted(desk.say("slurm", "--every", "1h", "--json"))["job"]
    until(lambda: len(desk.log()) == 1)
    new = submitted(desk.say("slurm", "--every", "2h", "--replace", "--json"))["job"]
    assert set(slurm.queue()) == {old, new}
    assert slurm.wait(old) == "COMPLETED"
    until(lambda: len(desk.log()) == 3)
    assert desk.log()[2][1] == new


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--gpus-per-node", "3"], "Slurm refused the job: Requested node configuration is not available"),
        (["--nodes", "2"], "Slurm refused the job: "),
        (["--partition", "nowhere"], "Slurm refused the job: invalid partition specified: nowhere"),
        (["--time", "soon"], "Slurm refused the job: Invalid --time specification"),
        (["--time", "3-00:00:00"], "Slurm would never start the job.*1-00:00:00.*3-00:00:00"),
        (["--via", "scrontab"], "the site has no crontab of Slurm"),
        (["--via", "at"], "--via: no such way"),
        (["--every", "often"], "--every: the period is a whole number and a unit"),
    ],
)
def test_what_slurm_refuses_is_told_in_one_sentence_and_nothing_is_left(slurm, desk, options, sentence):
    refused(desk.say("slurm", "--every", "1d", *options), sentence)
    assert slurm.queue() == []
    assert not (desk.state / "overspill.sbatch").exists()


def test_a_controller_that_does_not_answer_is_told_within_thirty_seconds(slurm, desk):
    with slurm.controller_away():
        began = time.monotonic()
        refused(
            desk.say("slurm", "--every", "1d"), "slurmctld, the controller of Slurm, does not answer", code=1
        )
        assert time.monotonic() - began < 30


def test_scrontab_is_used_where_the_site_has_it_and_other_entries_stay(slurm, desk, tmp_path):
    folder, file = tmp_path / "bin", tmp_path / "crontab"
    folder.mkdir()
    (folder / "scrontab").write_text(SCRONTAB.format(file=file))
    (folder / "scrontab").chmod(0o755)
    file.write_text("#SCRON --time=5\n0 1 * * * mine\n")
    env = {"PATH": f"{folder}:{slurm.env['PATH']}"}
    shown = submitted(desk.say(*DAILY, "--json", env=env))
    assert (shown["via"], shown["job"], shown["crontab"]) == ("scrontab", None, "0 2 * * *")
    assert slurm.queue() == []
    refused(
        desk.say("slurm", "--every", "1d", env=env),
        "is there already.*an entry of scrontab at 0 2 \\* \\* \\*",
    )
    assert submitted(desk.say("status", "--json", env=env))["schedules"][0]["state"] == "SCRONTAB"

    line = next(line for line in file.read_text().splitlines() if line.startswith("0 2 * * *"))
    for _ in range(2):  # two slots: each a job of its own, without a successor
        slurm.run("sh", "-c", line.split(maxsplit=5)[5])
    until(lambda: len(desk.log()) == 4 and slurm.queue() == [])
    assert [line[0] for line in desk.log()] == ["begin", "end"] * 2

    assert submitted(desk.say("cancel", "--json", env=env))["scrontab"] is True
    assert file.read_text() == "#SCRON --time=5\n0 1 * * * mine\n"
    chained = submitted(desk.say("slurm", "--every", "5h", "--at", "02:00", "--json", env=env))
    assert chained["via"] == "sbatch"  # no crontab says every five hours


def test_what_was_submitted_holds_no_word_of_the_tracking_login(slurm, desk):
    job = submitted(desk.say(*DAILY, "--json", env={"MLFLOW_TRACKING_PASSWORD": "s3cret"}))["job"]
    text = slurm.run("scontrol", "write", "batch_script", job, "-")
    assert "s3cret" not in text + slurm.run("scontrol", "show", "job", job)


def test_variables_of_the_users_shell_change_neither_the_jobs_name_nor_how_it_is_found(slurm, desk):
    shell = {"SBATCH_JOB_NAME": "mine", "SQUEUE_STATES": "RUNNING", "SLURM_TIME_FORMAT": "relative"}
    first = submitted(desk.say(*DAILY, "--json", env=shell))
    assert slurm.show(first["job"])["JobName"] == "overspill"
    shown = submitted(desk.say("status", "--json", env=shell))["schedules"]
    assert [(row["job"], row["begin"]) for row in shown] == [(first["job"], first["begin"])]
