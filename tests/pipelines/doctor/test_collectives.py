"""Ranks are known by their launcher's variables, and tell what they have in common."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from pipelines.doctor.collectives import Facts, agreement, check_collectives, clocks
from pipelines.doctor.findings import ok, warn
from pipelines.doctor.launch import first_node, launch

RANK = """
import json, sys
from pipelines.config import resolve
from pipelines.doctor.examination import job_probe
from pipelines.doctor.probes import run_probes

settings = resolve(overrides=["forecast.device=cpu"])
found = run_probes([job_probe(settings)], settings)
print(json.dumps([(each.check, each.status, each.found) for each in found]))
"""


def start(rank, port, size=2):
    """One rank as torchrun would start it."""
    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
    environment = os.environ | {name: str(value) for name, value in variables.items()}
    environment |= {"MASTER_ADDR": "127.0.0.1", "PYTHONPATH": ":".join(filter(None, sys.path))}
    command = [sys.executable, "-c", RANK]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_two_ranks_sum_and_compare_their_clocks():
    port = free_port()
    ranks = [start(rank, port) for rank in range(2)]
    answers = [json.loads(rank.communicate(timeout=90)[0]) for rank in ranks]
    for answer in answers:
        found = {check: (status, text) for check, status, text in answer}
        assert found["collectives"] == ("ok", "gloo, 2 ranks: a sum over all is right")
        assert found["ranks"][1].startswith("2 ranks on 1 node, each with cpu, torch")
        assert found["clocks"][0] == "ok"


def test_a_process_alone_makes_a_group_on_loopback(settings_on, tmp_path, monkeypatch):
    for name in ("RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    assert list(check_collectives(settings_on(), tmp_path)) == [
        ok("collectives", "gloo, 1 rank: a sum over all is right")
    ]


def test_clocks_a_second_apart_warn():
    assert clocks(0.004).status == "ok"
    assert clocks(3.2) == warn(
        "clocks",
        "within 3.200 s of each other",
        "set the nodes' clocks by one time server (chrony, systemd-timesyncd)",
    )


def test_nodes_of_different_kinds_warn():
    one = Facts(host="a", device="NVIDIA H200", torch="2.13.0", python="3.12.1")
    assert agreement([one, replace(one, host="b")]).found == (
        "2 ranks on 2 nodes, each with NVIDIA H200, torch 2.13.0 on Python 3.12.1"
    )
    assert "same packages" in agreement([one, replace(one, torch="2.12.0")]).advice
    assert "one kind" in agreement([one, replace(one, device="NVIDIA H100 PCIe")]).advice


def test_a_rank_of_torchrun_is_known_by_its_variables():
    variables = {
        "RANK": "3",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "4",
        "MASTER_ADDR": "n1",
        "MASTER_PORT": "29500",
    }
    found = launch(variables)
    assert (found.rank, found.local_rank, found.world_size, found.address, found.port) == (
        3,
        1,
        4,
        "n1",
        29500,
    )
    assert launch(variables | {"RANK": "0", "WORLD_SIZE": "1"}) is None


def test_a_rank_of_srun_is_known_by_its_variables_and_a_batch_script_is_none():
    variables = {"SLURM_JOB_ID": "123456", "SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    assert launch(variables) is None  # sbatch sets these without srun
    step = {"SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "gpu[07-09,12]", "SLURM_PROCID": "1"}
    found = launch(variables | step)
    assert (found.rank, found.world_size, found.address) == (1, 2, "gpu07")


@pytest.mark.parametrize(
    ("nodes", "first"), [("gpu1", "gpu1"), ("gpu[07-09,12],cpu1", "gpu07"), ("a3,b4", "a3"), ("n[5]", "n5")]
)
def test_the_first_node_of_a_list_is_where_ranks_meet(nodes, first):
    assert first_node(nodes) == first
