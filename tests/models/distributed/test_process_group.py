"""Processes of one job: how they were started, how they share work, and what happens when one is lost."""

import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from datetime import timedelta

import numpy as np
import pytest
import torch

from models.distributed.launch import Launch, detect_launch
from models.distributed.process_group import DistributedRanks
from models.distributed.ranks import Ranks, part
from models.errors import ClusterError
from models.inference.checkpoint import load_checkpoint
from models.training.checkpointing import STATE, check_state

SLURM_STEP = {
    "SLURM_JOB_ID": "123456",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}
TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "RANK": "2",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "0",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "node0",
    "MASTER_PORT": "29500",
}
JOB = """
import json, os, signal, sys, time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
import torch
from models.distributed.process_group import DistributedRanks
from models.distributed.launch import detect_launch
from models.errors import ModelError
from models.settings import NetworkSettings, PretrainSettings, TrainingSettings, WorldSettings
from models.distributed.signals import STOP, StopRequestedError

torch.set_num_threads(1)
OUT = Path(sys.argv[1])
SMALL = NetworkSettings(width=32, blocks=2, heads=2, feedforward=48, shared_rank=2, own_rank=4)
RECIPE = PretrainSettings(
    network=SMALL,
    worlds=WorldSettings(series_per_batch=24, shapes=((24, 8, 1), (16, 8, 2))),
    training=TrainingSettings(steps=6, warmup_steps=2, bfloat16=False),
)

def train(steps_until_stop, ranks, recipe=RECIPE):
    from models.training.pretrain import pretrain  # takes seconds, which not every test needs

    losses = {}
    def record(step, scalars):
        losses[step] = scalars["train/loss"]
        if step == steps_until_stop:
            signal.raise_signal(signal.SIGUSR1)
    try:
        pretrain(recipe, OUT / "run", ranks=ranks, device="cpu", progress=record)
        stopped = False
    except StopRequestedError:
        stopped = True
    return {"rank": ranks.rank, "losses": losses, "stopped": stopped}

def main():
    with STOP.listening():
        ranks = DistributedRanks(
            detect_launch(), collective=timedelta(seconds=20), waiting=timedelta(seconds=90)
        )
        try:
            if ranks.rank:
                sys.exit(ranks.serve())
            answer = drive(ranks)
            (OUT / "answer.json").write_text(json.dumps(answer))
            ranks.close(0)
        finally:
            ranks.leave()
"""


def start(tmp_path, body, *, processes=2, seconds=120):
    """Run the job's script with torchrun; returns the finished process."""
    script = tmp_path / "job.py"
    script.write_text(JOB + textwrap.dedent(body) + "\n\nif __name__ == '__main__':\n    main()\n")
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(processes), str(script), str(tmp_path)),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, env=quiet())


def quiet():
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def join(launch):
    return DistributedRanks(launch, collective=timedelta(seconds=2), waiting=timedelta(seconds=2))


def answer(tmp_path, body, **options):
    done = start(tmp_path, body, **options)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((tmp_path / "answer.json").read_text())


def test_a_step_of_srun_is_told_from_its_environment():
    assert detect_launch(SLURM_STEP) == Launch(
        by="slurm", rank=3, world_size=4, local_rank=1, local_size=2, address="gpu07", port=18456
    )
    assert detect_launch(SLURM_STEP).nodes == 2
    assert detect_launch({**SLURM_STEP, "MASTER_PORT": "4000", "MASTER_ADDR": "here"}).port == 4000


def test_torchrun_is_told_from_its_environment():
    found = detect_launch(TORCHRUN)
    assert (found.by, found.rank, found.world_size, found.local_size) == ("torchrun", 2, 4, 2)
    assert (found.address, found.port, found.nodes) == ("node0", 29500, 2)


def test_a_batch_job_without_srun_is_one_process_that_says_so():
    batch = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}
    assert detect_launch(batch) == Launch(idle_tasks=3)
    assert "not started with srun" in Ranks(detect_launch(batch)).notes()[0]
    assert detect_launch({}) == Launch()


def test_processes_that_are_spread_unevenly_are_refused():
    with pytest.raises(ClusterError, match="expected the same number on each node, found 3 on 2 nodes"):
        detect_launch({**SLURM_STEP, "SLURM_STEP_NUM_TASKS": "3"})


@pytest.mark.parametrize(("total", "processes"), [(10, 3), (8, 4), (2, 5), (0, 2)])
def test_parts_make_up_the_whole(total, processes):
    parts = [part(total, rank=rank, processes=processes) for rank in range(processes)]
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1


def test_one_process_does_all_the_work_itself():
    ranks = Ranks()
    assert ranks.call(lambda argument, _: argument + 1, 4) == [5]
    assert ranks.spread(lambda task: task * task, [1, 2, 3]) == [1, 4, 9]
    assert ranks.any(False, True) == [False, True]
    ranks.close(0)


def test_tasks_are_spread_over_the_processes_and_come_back_in_order(tmp_path):
    found = answer(
        tmp_path,
        """
        def where(task):
            return [task, int(os.environ["RANK"])]

        def drive(ranks):
            return ranks.spread(where, list(range(7)))
        """,
    )
    assert found == [[task, task % 2] for task in range(7)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder of a training of two processes that nothing interrupts, and what each of them tells."""
    folder = tmp_path_factory.mktemp("whole")
    body = """
    import hashlib

    def both(argument, ranks):
        from models.training.module import ForecasterModule
        seen = []
        keep = ForecasterModule.on_train_end = lambda self: seen.append(
            hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in self.parameters())).hexdigest()
        )
        record = train(None, ranks)
        return {**record, "weights": seen[0]}

    def drive(ranks):
        return ranks.call(both, None)
    """
    return folder, answer(folder, body)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """The same for one that is stopped by its first process after three steps."""
    folder = tmp_path_factory.mktemp("broken")
    body = """
    def first(argument, ranks):
        return train(3, ranks)

    def drive(ranks):
        return ranks.call(first, None)
    """
    return folder, answer(folder, body)


def test_processes_that_train_together_end_with_the_same_weights_and_one_state(whole):
    _, found = whole
    assert [each["rank"] for each in found] == [0, 1]
    assert found[0]["weights"] == found[1]["weights"]
    assert len(found[0]["losses"]) == 6
    assert not found[1]["losses"]  # the first process tells, and nobody else


def test_a_stop_that_reaches_one_process_stops_all_and_two_go_on_where_two_ended(tmp_path, whole, broken):
    assert [each["stopped"] for each in broken[1]] == [True, True]
    shutil.copytree(broken[0], tmp_path, dirs_exist_ok=True)
    resumed = answer(tmp_path, "def drive(ranks):\n    return ranks.call(train, None)")
    assert broken[1][0]["losses"] | resumed[0]["losses"] == whole[1][0]["losses"]
    ours, theirs = (
        load_checkpoint(folder / "run", torch.device("cpu"))[0].state_dict()
        for folder in (tmp_path, whole[0])
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_one_process_goes_on_with_the_state_that_two_left(tmp_path, broken):
    shutil.copytree(broken[0], tmp_path, dirs_exist_ok=True)
    alone = answer(tmp_path, "def drive(ranks):\n    return ranks.call(train, None)", processes=1)
    assert list(alone[0]["losses"]) == ["4", "5", "6"]
    assert np.isfinite(list(alone[0]["losses"].values())).all()


def test_a_loss_that_is_no_number_in_one_process_stops_all_and_names_its_batch(tmp_path):
    found = answer(
        tmp_path,
        """
        def spoiled(argument, ranks):
            from models.training.module import NotANumberError
            from models.worlds.mixture import WorldStream
            draw = WorldStream.batch
            def batch(self, number, device):
                made = draw(self, number, device)
                bad = ranks.rank == 1 and number == 2
                return made._replace(values=made.values * float("nan")) if bad else made
            WorldStream.batch = batch
            try:
                train(None, ranks)
            except NotANumberError as error:
                return str(error)

        def drive(ranks):
            return ranks.call(spoiled, None)
        """,
    )
    assert found == ["batch 2 of process 1", "batch 2 of process 1"]


def test_a_process_that_dies_ends_the_job_in_a_sentence_and_keeps_the_state(tmp_path):
    began = time.monotonic()
    done = start(
        tmp_path,
        """
        def dies(argument, ranks):
            from models.training.pretrain import pretrain
            from models.training.checkpointing import StateCheckpoint
            vote = StateCheckpoint.on_train_batch_end
            def record(self, trainer, *rest):
                if ranks.rank and trainer.global_step == 3:
                    os.kill(os.getpid(), signal.SIGKILL)
                vote(self, trainer, *rest)
            StateCheckpoint.on_train_batch_end = record
            pretrain(RECIPE, OUT / "run", ranks=ranks, device="cpu", seconds=0.0)

        def drive(ranks):
            try:
                ranks.call(dies, None)
            except ModelError as error:
                print("TOLD", error, flush=True)
                sys.exit(1)
        """,
    )
    assert done.returncode != 0
    assert time.monotonic() - began < 60
    assert check_state(tmp_path / "run" / STATE) == 2
    assert "has lost another process of the job" in done.stdout, done.stderr[-2000:]


def test_a_task_that_fails_in_the_first_process_ends_the_job_at_once(tmp_path):
    began = time.monotonic()
    done = start(
        tmp_path,
        """
        def fails(task):
            if task == 2:
                raise ValueError("task 2 is wrong")
            return task

        def drive(ranks):
            try:
                return ranks.spread(fails, [0, 1, 2, 3])
            except ValueError:
                ranks.close(1)
                raise
        """,
    )
    assert done.returncode != 0
    assert "task 2 is wrong" in done.stderr
    assert time.monotonic() - began < 60  # they would wait for 90 s for each other


def test_a_full_disk_at_the_end_fails_in_all_processes_at_once(tmp_path):
    found = answer(
        tmp_path,
        """
        def full(argument, ranks):
            import resource
            from models.errors import CheckpointError
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            began = time.monotonic()
            try:
                train(None, ranks)
            except CheckpointError as error:
                return [str(error), time.monotonic() - began]

        def drive(ranks):
            return ranks.call(full, None)
        """,
    )
    assert all("cannot" in result for result, _ in found)
    assert max(seconds for _, seconds in found) < 15  # a process waits for 20 s for the others


def test_clocks_that_differ_are_told_with_the_nodes_and_gpus_that_are_shared_are_refused(tmp_path):
    clocks, shared = answer(
        tmp_path,
        """
        def odd(argument, ranks):
            now = time.time
            time.time = lambda: now() + 5 * ranks.rank
            notes = ranks.notes()
            DistributedRanks._card = lambda self: "GPU-1"
            try:
                ranks.notes()
            except ModelError as error:
                return notes, str(error)

        def drive(ranks):
            return ranks.call(odd, None)[0]
        """,
    )
    assert len(clocks) == 1
    assert "the clocks differ by 5 s between" in clocks[0]
    assert shared.startswith("more processes than GPUs: expected one GPU for each of 2 processes, found 1")


def test_a_port_that_is_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=f"port .* is in use: 127.0.0.1:{port}; set MASTER_PORT"):
            join(Launch(by="torchrun", rank=0, world_size=2, local_size=2, port=port))


def test_a_process_that_finds_nobody_says_so_in_time():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(ClusterError, match="process 1 of 2 on .* did not find the others at 127.0.0.1"):
        join(Launch(by="torchrun", rank=1, world_size=2, local_rank=1, local_size=2, port=port))
    assert time.monotonic() - began < 30
