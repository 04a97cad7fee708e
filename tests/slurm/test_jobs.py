"""The packaged job files on a real Slurm, submitted by hand: signals, requeues and states of a job."""

from __future__ import annotations

import re
import time
from importlib.resources import files
from pathlib import Path

import pytest

import configs

pytestmark = pytest.mark.slurm

SCRIPTS = Path(str(files(configs))) / "cluster" / "slurm"
# What the training does on a signal: save, then end with 128 plus the signal's number.
INTERRUPTED = """#!/bin/bash
while [ "$1" != --state ]; do shift; done
told="$SLURM_PROCID of $SLURM_NTASKS, $OMP_NUM_THREADS threads"
echo "$told, restart ${SLURM_RESTART_COUNT:-0}" >>"$2/ranks"
if [ -e "$2/saved" ]; then exit 0; fi
trap 'sleep 0.5; echo usr1 >>"$2/saved"; exit 138' USR1
trap 'sleep 0.5; echo term >>"$2/saved"; exit 143' TERM
for i in $(seq 300); do sleep 0.1; done
"""


@pytest.fixture
def program(slurm, tmp_path):
    """A command for the jobs, its state folder, and the job's options."""
    file = tmp_path / "program"
    file.write_text(INTERRUPTED)
    file.chmod(0o755)
    yield {"OVERSPILL_COMMAND": str(file), "OVERSPILL_STATE": str(tmp_path / "state")}
    slurm.clear()


BY_HAND = ("--nodes=1", "--gpus-per-node=0")


def submit(slurm, program, name):
    job = slurm.submit(SCRIPTS / name, *BY_HAND, "--ntasks-per-node=2", "--cpus-per-task=2", env=program)
    ranks = Path(program["OVERSPILL_STATE"]) / f"job-{job}" / "ranks"
    deadline = time.monotonic() + 30
    while not ranks.exists() or len(ranks.read_text().splitlines()) < 2:
        assert time.monotonic() < deadline, slurm.output(job) + slurm.logs()
        time.sleep(0.1)
    return job, ranks.parent


@pytest.mark.parametrize("name", ["cycle.sbatch", "pretrain.sbatch"])
@pytest.mark.parametrize("signal", ["USR1", "TERM"])
def test_a_job_that_is_told_to_stop_saves_is_requeued_once_and_goes_on(slurm, program, name, signal):
    job, state = submit(slurm, program, name)
    slurm.run("scancel", f"--signal={signal}", job)
    assert slurm.wait(job) == "COMPLETED"
    shown = slurm.show(job)
    assert shown["Restarts"] == "1"
    if name == "cycle.sbatch":
        assert not state.exists()  # finished: nothing to go on from
    else:
        assert set((state / "saved").read_text().split()) == {signal.lower()}
        printed = sorted((state / "ranks").read_text().splitlines())
        assert printed == [f"{rank} of 2, 2 threads, restart {again}" for rank in (0, 1) for again in (0, 1)]


def test_a_preempted_job_saves_is_requeued_and_goes_on(slurm, program):
    job, _ = submit(slurm, program, "cycle.sbatch")
    urgent = slurm.submit("#!/bin/bash\ntrue\n", "--ntasks=4", "--partition=urgent")
    assert slurm.wait(urgent) == "COMPLETED"
    assert slurm.wait(job) == "COMPLETED"
    assert slurm.show(job)["Restarts"] == "1"


@pytest.mark.parametrize("name", ["cycle.sbatch", "pretrain.sbatch"])
def test_a_cancelled_job_stays_cancelled_although_it_saved_its_work(slurm, program, name):
    job, state = submit(slurm, program, name)
    slurm.run("scancel", job)
    assert slurm.wait(job, seconds=30) == "CANCELLED"
    time.sleep(2)
    assert slurm.show(job)["JobState"] == "CANCELLED"
    assert slurm.show(job)["Restarts"] == "0"
    assert set((state / "saved").read_text().split()) == {"term"}


@pytest.mark.parametrize("setting", [{"OVERSPILL_RESTARTS": "0"}, {"OVERSPILL_REQUEUE": "false"}])
def test_a_job_is_not_requeued_for_ever_nor_against_ones_will(slurm, program, setting):
    job, _ = submit(slurm, program | setting, "cycle.sbatch")
    slurm.run("scancel", "--signal=USR1", job)
    assert slurm.wait(job) == "FAILED"
    printed = slurm.output(job)
    assert re.search("interrupted with exit status (138|143), not requeued after 0 restarts", printed), (
        printed
    )


def test_pretraining_goes_on_from_another_jobs_state(slurm, program, tmp_path):
    state = tmp_path / "earlier"
    state.mkdir()
    (state / "saved").write_text("by another job\n")
    env = program | {"OVERSPILL_RESUME": str(state)}
    job = slurm.submit(SCRIPTS / "pretrain.sbatch", *BY_HAND, "--ntasks-per-node=1", env=env)
    assert slurm.wait(job) == "COMPLETED"
    assert len((state / "ranks").read_text().splitlines()) == 1
