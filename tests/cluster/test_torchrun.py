"""The launch scripts for torchrun, really started: two processes, one that dies, a signal, two machines."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "configs" / "cluster" / "torchrun"
SCRIPTS = sorted(FOLDER.glob("*.sh"))
BIN = Path(sys.executable).parent
TRAINING = (sys.executable, str(Path(__file__).with_name("joins_the_group.py")))


def environment(**settings: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PET_", "SLURM_"))}
    loopback = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "SAVE_SECONDS": "20"}
    return kept | loopback | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"} | settings


@pytest.fixture
def launch(tmp_path):
    """A function that starts a script in a process group of its own; what still runs at the end is killed."""
    running = []

    def start(program: Path | str, *command: str, **settings: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [FOLDER / program, *command],  # a script of the folder, or an absolute path
            cwd=tmp_path,
            env=environment(**settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.terminate()  # torchrun takes its own processes along
        process.communicate(timeout=60)


def ended(process: subprocess.Popen, *, code: int) -> str:
    _, said = process.communicate(timeout=120)
    assert process.returncode == code, said
    return said


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def files(state: Path) -> dict[str, str]:
    return {each.name: each.read_text() for each in sorted(state.iterdir())}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda each: each.name)
def test_shellcheck_finds_nothing_in_the_launch_scripts(script):
    found = subprocess.run([BIN / "shellcheck", script], check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
    assert os.access(script, os.X_OK)


def test_shellcheck_finds_a_broken_script(tmp_path):
    (tmp_path / "broken.sh").write_text("#!/usr/bin/env bash\nrm -rf $1/*\n")
    assert subprocess.run(
        [BIN / "shellcheck", tmp_path / "broken.sh"], check=False, capture_output=True
    ).returncode


@pytest.mark.parametrize(
    ("script", "settings", "command"),
    [
        (
            "single_node.sh",
            {"OVERSPILL_STATE": "kept"},
            "overspill run --train --state kept --out out --set tracking.when_away=spool",
        ),
        ("multi_node.sh", {"NODES": "2", "RDZV_ENDPOINT": "a:1"}, "overspill pretrain --state state"),
    ],
)
def test_without_arguments_the_scripts_start_the_cycle_and_the_pretraining(
    tmp_path, script, settings, command
):
    (tmp_path / "torchrun").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "torchrun").chmod(0o755)
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    said = subprocess.check_output([FOLDER / script], env=os.environ | path | settings, text=True)
    assert said.strip().endswith(f"--no-python {command}")


@pytest.mark.parametrize("missing", ["RDZV_ENDPOINT", "NODES"])
def test_several_machines_need_the_place_where_they_meet_and_their_number(launch, missing):
    settings = {"RDZV_ENDPOINT": "127.0.0.1:1", "NODES": "2"}
    del settings[missing]
    said = ended(launch("multi_node.sh", *TRAINING, **settings), code=1)
    assert f"multi_node.sh needs {missing}" in said


@pytest.mark.slow
def test_when_one_of_two_processes_dies_both_start_again_and_go_on_from_the_saved_step(launch, tmp_path):
    ended(launch("single_node.sh", *TRAINING, ".", "--die-at", "3", PROCESSES="2", MAX_RESTARTS="1"), code=0)
    expected = "attempt=1 from=3 size=2"
    assert files(tmp_path) == {"done-0": expected, "done-1": expected, "step": "6"}


@pytest.mark.slow
def test_a_process_that_fails_more_often_than_restarts_are_allowed_fails_the_script(launch, tmp_path):
    said = ended(
        launch("single_node.sh", *TRAINING, ".", "--die-at", "3", PROCESSES="2", MAX_RESTARTS="0"), code=1
    )
    assert "exitcode  : 17" in said
    assert files(tmp_path) == {"step": "3"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_reaches_every_process_which_saves_and_leaves(launch, tmp_path, number):
    process = launch("single_node.sh", *TRAINING, ".", "--steps", "10000", "--wait", "0.05", PROCESSES="2")
    deadline = time.monotonic() + 60
    while not (tmp_path / "step").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(number)
    ended(process, code=1)
    left = files(tmp_path)
    assert left["left-0"] == left["left-1"] == left["step"]


@pytest.mark.slow
def test_two_machines_meet_at_the_endpoint_and_start_again_together(launch, tmp_path):
    endpoint = f"127.0.0.1:{free_port()}"
    machines = [
        launch(
            "multi_node.sh",
            *TRAINING,
            ".",
            "--die-at",
            "3",
            NODES="2",
            PROCESSES="1",
            RDZV_ENDPOINT=endpoint,
            MAX_RESTARTS="1",
        )
        for _ in range(2)
    ]
    for each in machines:
        ended(each, code=0)
    assert {name: text.partition(" ")[2] for name, text in files(tmp_path).items() if name != "step"} == {
        "done-0": "from=3 size=2",
        "done-1": "from=3 size=2",
    }


@pytest.mark.slow
def test_when_a_process_of_the_pretraining_is_killed_all_start_again_and_it_stays_one_run(launch, tmp_path):
    small = (
        *("pretrain.network.width=32", "pretrain.network.blocks=2", "pretrain.network.heads=2"),
        *("pretrain.network.feedforward=48", "pretrain.training.bfloat16=false"),
        *("pretrain.worlds.series_per_batch=16", "pretrain.worlds.shapes=[[24,8,1],[16,8,2]]"),
    )
    options = [word for each in small for word in ("--set", each)]
    command = (
        "overspill",
        "pretrain",
        "--state",
        "state",
        "--steps",
        "150",
        "--device",
        "cpu",
        "--json",
        *options,
    )
    process = launch("single_node.sh", *command, PROCESSES="2", MAX_RESTARTS="1")
    deadline = time.monotonic() + 120
    while not (tmp_path / "state" / "recipe.json").exists():  # written where the training begins
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    begun = json.loads((tmp_path / "state" / "job.json").read_text())["open"]["pretrain"]["run"]
    time.sleep(3)
    (second,) = [each for each in psutil.Process(process.pid).children() if each.environ()["RANK"] == "1"]
    second.kill()
    answered, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert "exitcode: -9" in said
    result = json.loads(answered)
    assert (result["run"], result["steps"]) == (begun, 150)
    assert (tmp_path / "state" / "weights.safetensors").exists()


@pytest.mark.slow
def test_the_command_of_the_kubernetes_pods_joins_nodes_by_what_the_controller_tells_them(launch, tmp_path):
    runtime, _ = yaml.safe_load_all((FOLDER.parent / "kubernetes" / "nvidia.yaml").read_text())
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    (container,) = job["template"]["spec"]["template"]["spec"]["containers"]
    init, dashes, torchrun, *options, overspill = container["command"]
    assert (init, dashes, torchrun, overspill) == ("/usr/bin/tini", "--", "torchrun", "overspill")
    variables = {"PET_NNODES": "2", "PET_NPROC_PER_NODE": "1"}
    variables |= {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(free_port())}
    nodes = [
        launch(BIN / torchrun, *options, *TRAINING, ".", **variables, PET_NODE_RANK=str(rank))
        for rank in range(2)
    ]
    for each in nodes:
        ended(each, code=0)
    expected = "attempt=0 from=0 size=2"
    assert files(tmp_path) == {"done-0": expected, "done-1": expected, "step": "6"}
