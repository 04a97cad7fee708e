"""Training as jobs of a real Slurm: two processes, one run; stopped, killed and resumed; failing."""

from __future__ import annotations

import os
import shutil
import time

import mlflow
import pytest
import torch

from models.inference.checkpoint import load_checkpoint
from models.training.checkpointing import STATE, check_state

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

STEPS = 60
RECIPE = [
    *("pretrain.network.width=32", "pretrain.network.blocks=2", "pretrain.network.heads=2"),
    *("pretrain.network.feedforward=48", "pretrain.worlds.series_per_batch=48"),
    *("pretrain.worlds.shapes=[[24,8,1],[16,8,2]]", f"pretrain.training.steps={STEPS}"),
    *("pretrain.training.bfloat16=false", "pretrain.training.warmup_steps=5"),
    *("cluster.collective_minutes=1", "tracking.experiment=slurm"),
]
JOB = """#!/bin/bash
#SBATCH --nodes=1 --ntasks-per-node={tasks} --requeue --open-mode=append
export OMP_NUM_THREADS=1 MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=false OVERSPILL_REQUEUE=true
{work}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("jobs")


def pretraining(folder, state, *, tasks=2, settings=()):
    options = " ".join(f"--set '{each}'" for each in [*RECIPE, *settings])
    work = f"exec srun --kill-on-bad-exit=0 --wait=60 overspill pretrain --state {state} {options}"
    return JOB.format(tasks=tasks, work=f"cd {folder}\n{work}")


def losses(folder, state):
    """Loss by step of the run that the folder's checkpoint came from, and how many runs there are."""
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("slurm")
    runs = client.search_runs([experiment.experiment_id])
    digest = {run.data.tags.get("overspill.weights_sha256"): run for run in runs}
    from pipelines.runtime.files.artifacts import file_digest

    run = digest[file_digest(state / "weights.safetensors")]
    points = client.get_metric_history(run.info.run_id, "train/loss")
    assert run.info.status == "FINISHED"
    return {point.step: point.value for point in points}, run, len(runs)


def weights(state):
    return load_checkpoint(state, torch.device("cpu"))[0].state_dict()


def until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def unbroken(cluster, folder):
    """A training of two processes that nothing interrupts: its folder, and its losses."""
    state = folder / "unbroken"
    job = cluster.submit(pretraining(folder, state))
    cluster.wait(job, "COMPLETED", seconds=240)
    curve, run, runs = losses(folder, state)
    return state, curve, run, runs, cluster.output(job)


def test_two_processes_train_in_one_run(unbroken):
    _, curve, run, runs, output = unbroken
    assert sorted(curve) == list(range(1, STEPS + 1))
    assert runs == 1
    assert run.data.tags["overspill.processes"] == "2"
    assert "error" not in output
    assert output.count("weights in") == 1


def test_a_job_whose_time_is_up_goes_back_into_the_queue_and_ends_like_an_unbroken_one(
    slurm, folder, unbroken
):  # SIGTERM comes with an urgent job, below
    state = folder / "signalled"
    job = slurm.submit(pretraining(folder, state))
    until(lambda: "training: step 1 of" in slurm.output(job))
    slurm.run("scancel", "--signal=USR1", job)
    until(lambda: slurm.show(job)["Restarts"] == "1")
    done = check_state(state / STATE)
    assert 0 < done < STEPS
    slurm.wait(job, "COMPLETED", seconds=240)
    output = slurm.output(job)
    assert f"stopped by SIGUSR1; job {job} is back in the queue" in output
    assert f"continuing {state} at step {done} of {STEPS}" in output
    same_as_unbroken(folder, state, unbroken)


def same_as_unbroken(folder, state, unbroken):
    """One run with the same loss at every step, and the same weights."""
    whole, expected, *_ = unbroken
    curve, _, _ = losses(folder, state)
    assert curve == expected
    ours, theirs = weights(state), weights(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_job_that_makes_room_for_an_urgent_one_ends_like_an_unbroken_one(slurm, folder, unbroken):
    state = folder / "preempted"
    job = slurm.submit(pretraining(folder, state))
    until(lambda: "training: step 1 of" in slurm.output(job))
    urgent = slurm.submit("#!/bin/bash\nsleep 1\n", "--partition=urgent", "--exclusive")
    slurm.wait(urgent, "COMPLETED")
    slurm.wait(job, "COMPLETED", seconds=240)
    assert slurm.show(job)["Restarts"] == "1"
    same_as_unbroken(folder, state, unbroken)


def test_a_job_killed_while_it_writes_its_state_leaves_the_last_one(slurm, folder, unbroken):
    state = folder / "killed"
    frequent = ["cluster.state_minutes=0.00001"]
    first = slurm.submit(pretraining(folder, state, settings=frequent))
    until((state / STATE).exists)
    partial = state / f"{STATE}.partial"
    while True:  # hold it still between two states
        slurm.run("scancel", "--signal=STOP", first)
        time.sleep(0.5)
        if not partial.exists():
            break
        slurm.run("scancel", "--signal=CONT", first)
        time.sleep(0.05)
    os.mkfifo(partial)  # the next state is written into a pipe that nobody empties: the write never ends
    slurm.run("scancel", "--signal=CONT", first)
    with partial.open("rb") as pipe:
        assert len(pipe.read(1000)) == 1000  # the write has begun
        slurm.run("scancel", "--signal=KILL", first)
        slurm.wait(first, {"FAILED", "CANCELLED", "NODE_FAIL"})
    partial.unlink()
    assert 0 < check_state(state / STATE) < STEPS
    second = slurm.submit(pretraining(folder, state, settings=frequent))
    slurm.wait(second, "COMPLETED", seconds=240)
    same_as_unbroken(folder, state, unbroken)


def test_a_job_that_is_cancelled_keeps_its_state_and_does_not_come_back(slurm, folder):
    state = folder / "cancelled"
    job = slurm.submit(pretraining(folder, state))
    until(lambda: "training: step 1 of" in slurm.output(job))
    slurm.run("scancel", job)
    slurm.wait(job, "CANCELLED")
    until(lambda: "stopped by SIGTERM" in slurm.output(job))
    assert slurm.show(job)["Restarts"] == "0"
    assert slurm.queue() == []
    assert 0 < check_state(state / STATE) < STEPS


def test_one_process_of_a_job_that_dies_ends_it_in_a_sentence(slurm, folder):
    state = folder / "orphaned"
    job = slurm.submit(pretraining(folder, state))
    until(lambda: "training: step 1 of" in slurm.output(job))
    step = slurm.run("scontrol", "listpids", job).splitlines()[1:]
    victim = next(line.split()[0] for line in step if line.split()[4:5] == ["1"])
    os.kill(int(victim), 9)
    assert slurm.wait(job, seconds=120) == "FAILED"
    assert slurm.show(job)["Restarts"] == "0"  # a failure is no preemption
    assert "process 0 of 2 has lost another process of the job" in slurm.output(job)


def test_a_failing_step_leaves_the_champion_and_a_failed_run_that_says_why(slurm, folder, tmp_path):
    shutil.copytree(folder / "unbroken", tmp_path / "weights")
    store = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    settings = [
        *("forecast.paths=60", "forecast.horizon=6", "backtest.paths=40", "backtest.first_origin=2025-09-30"),
        *("statistical.candidates=[AutoETS,AutoTheta]", "figures.pictures=false"),
        *("train.fine_tuning.steps=4", "train.fine_tuning.check_every=2", "train.windows=16"),
        *("train.test_origins=1", "forecast.model=network", "pretrain.worlds.series_per_batch=8"),
    ]
    options = " ".join(f"--set '{each}'" for each in settings)
    work = f"cd {tmp_path}\nsrun --kill-on-bad-exit=0 --wait=60 overspill run --train --state state {options}"
    good = slurm.submit(JOB.format(tasks=2, work=work))
    slurm.wait(good, "COMPLETED", seconds=240)
    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name("overspill")
    before = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags["overspill.step"] for run in before) == [
        *("backtest", "etl", "forecast", "run", "train", "weights", "windows")
    ]
    aliases = client.get_registered_model("overspill").aliases
    (tmp_path / "weights" / "weights.safetensors").write_bytes(b"spoilt")
    bad = slurm.submit(JOB.format(tasks=2, work=f"{work} --set forecast.checkpoint={tmp_path}/weights"))
    assert slurm.wait(bad, seconds=240) == "FAILED"
    assert "the weights cannot be read" in slurm.output(bad)
    failed = [run for run in client.search_runs([experiment.experiment_id]) if run.info.status == "FAILED"]
    assert [run.data.tags["overspill.step"] for run in failed] == ["run"]
    assert "the weights cannot be read" in failed[0].data.tags["overspill.error"]
    assert client.get_registered_model("overspill").aliases == aliases
