"""Several processes against one, a scheduled cycle, and what it costs to go on; prints JSON.

    python benchmarks/several_processes.py [--repeats 3] [--steps 48] [--only training|cycle|resume]

training: the pretraining's own step (recipe of the shipped weights, worlds and optimiser included) by two
processes of one thread each, and by one process of as many threads as the two have together, at the same
global batch, by turns. The same steps have the same shapes in both. `vote` is the message by which processes
agree on a stop after each step.
cycle: `overspill run --train` on the embedded data by one process; the peer is `overspill run`.
resume: from the start of `overspill pretrain` to its first step, fresh and from a state, by turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from models.distributed.launch import detect_launch
from models.distributed.process_group import DistributedRanks
from models.distributed.ranks import Ranks
from models.settings import PretrainSettings
from models.training.pretrain import pretrain

OVERSPILL = str(Path(sys.executable).with_name("overspill"))
SKIPPED = 8  # first steps: one draw of worlds, and what torch sets up on the way
VOTES, NOTHING = 200, (False, False)


def train(folder: Path, *, steps: int) -> None:
    """One process of a training; the first writes the seconds of each step and of a vote."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    launch, minutes = detect_launch(), timedelta(minutes=5)
    several = launch.world_size > 1
    ranks = DistributedRanks(launch, collective=minutes, waiting=minutes) if several else Ranks(launch)
    recipe = PretrainSettings()
    recipe = replace(recipe, training=replace(recipe.training, steps=steps, bfloat16=False))
    ends: list[float] = []
    pretrain(recipe, folder, device="cpu", ranks=ranks, progress=lambda *_: ends.append(time.perf_counter()))
    began = time.perf_counter()
    for _ in range(VOTES):
        ranks.any(*NOTHING)
    vote = (time.perf_counter() - began) / VOTES
    if ranks.rank == 0:
        seconds = [after - before for before, after in pairwise(ends)]
        (folder / "seconds.json").write_text(json.dumps({"steps": seconds[SKIPPED:], "vote": vote}))
    ranks.leave()


def measured_training(processes: int, *, threads: int, steps: int) -> dict[str, Any]:
    """Seconds of the steps of one training in processes of its own."""
    with tempfile.TemporaryDirectory() as folder:
        own = [__file__, "--train", folder, "--steps", str(steps)]
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command = [sys.executable, *(launcher if processes > 1 else []), *own]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
        subprocess.run(command, check=True, env=environment, capture_output=True)
        return dict(json.loads((Path(folder) / "seconds.json").read_text()))


def training(*, repeats: int, steps: int) -> dict[str, Any]:
    """Two processes of one thread against one of two, by turns."""
    alone: list[float] = []
    both: list[float] = []
    votes = []
    for _ in range(repeats):
        alone.append(sum(measured_training(1, threads=2, steps=steps)["steps"]))
        measured = measured_training(2, threads=1, steps=steps)
        both.append(sum(measured["steps"]))
        votes.append(measured["vote"])
    counted = steps - 1 - SKIPPED
    ratios = [two / one for one, two in zip(alone, both, strict=True)]
    return {
        "one process, two threads: seconds per step": round(min(alone) / counted, 4),
        "two processes, one thread each: seconds per step": round(min(both) / counted, 4),
        "ratio of the fastest": round(min(both) / min(alone), 3),
        "median ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "vote: milliseconds": round(1000 * min(votes), 3),
    }


def cycle() -> dict[str, float]:
    """A scheduled cycle and a run without training, in fresh folders."""
    seconds = {}
    for name, options in {
        "overspill run --train": ["--train", "--state", "state"],
        "overspill run": [],
    }.items():
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            subprocess.run([OVERSPILL, "run", *options], cwd=folder, check=True, capture_output=True)
            seconds[name] = round(time.perf_counter() - began, 1)
    return seconds


def resume(*, repeats: int) -> dict[str, Any]:
    """Seconds from the start of a process to its first step, fresh and from a state."""
    fresh: list[float] = []
    again: list[float] = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            fresh.append(to_first_step(Path(folder)))
            again.append(to_first_step(Path(folder)))
    return {
        "fresh: seconds to the first step": round(statistics.median(fresh), 1),
        "from a state: seconds to the first step": round(statistics.median(again), 1),
    }


def to_first_step(folder: Path) -> float:
    """Start `overspill pretrain`, wait for its first step, and stop it with SIGTERM."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [OVERSPILL, "pretrain", "--state", "state"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None  # noqa: S101 - as asked for above
    for line in process.stderr:
        if line.startswith("training: step"):
            break
    seconds = time.perf_counter() - began
    process.terminate()
    process.communicate()
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=48)
    parser.add_argument("--only", choices=["training", "cycle", "resume"])
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(options.train, steps=options.steps)
        return
    parts = {
        "training": lambda: training(repeats=options.repeats, steps=options.steps),
        "cycle": cycle,
        "resume": lambda: resume(repeats=options.repeats),
    }
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    results = {name: part() for name, part in parts.items() if options.only in {None, name}}
    date = datetime.now(UTC).date().isoformat()
    print(json.dumps({"date": date, "machine": machine, **results}, indent=2))


if __name__ == "__main__":
    main()
