"""The Slurm of the tests does what the other tests rely on."""

from __future__ import annotations

import time

import pytest

pytestmark = pytest.mark.slurm


def test_two_tasks_run_side_by_side(slurm):
    job = slurm.submit("#!/bin/bash\nsrun sh -c 'echo rank $SLURM_PROCID of $SLURM_NTASKS'\n", "--ntasks=2")
    assert slurm.wait(job) == "COMPLETED"
    assert sorted(slurm.output(job).splitlines()) == ["rank 0 of 2", "rank 1 of 2"]


def test_a_requeued_job_starts_again_under_its_own_id(slurm):
    script = """#!/bin/bash
echo restart ${SLURM_RESTART_COUNT:-0}
if [ -z "$SLURM_RESTART_COUNT" ]; then scontrol requeue $SLURM_JOB_ID; sleep 60; fi
"""
    job = slurm.submit(script, "--requeue", "--open-mode=append")
    slurm.wait(job, "COMPLETED")
    restarts = [line for line in slurm.output(job).splitlines() if line.startswith("restart")]
    assert restarts == ["restart 0", "restart 1"]


def test_a_preempted_job_must_ask_for_its_requeue_within_the_grace_time(slurm):
    """Slurm calls a job that ends between the first SIGTERM and the end of the grace time failed."""
    script = """#!/bin/bash
srun sh -c 'echo begun; exec sleep 60' || scontrol requeue $SLURM_JOB_ID; sleep 60
"""
    low = slurm.submit(script, "--ntasks=4", "--requeue", "--open-mode=append")
    while "begun" not in slurm.output(low):
        time.sleep(0.1)
    high = slurm.submit("#!/bin/bash\ntrue\n", "--ntasks=4", "--partition=urgent")
    assert slurm.wait(high) == "COMPLETED"
    slurm.wait(low, "RUNNING")
    assert slurm.show(low)["Restarts"] == "1"
