"""A process alone tries itself; the ranks of a job try each other and tell what they have in common."""

import datetime as dt
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

from pipelines.doctor import collectives
from pipelines.doctor.collectives import Facts, agreement, check_collectives, clocks
from pipelines.doctor.examination import own_launch
from pipelines.doctor.findings import ok, warn

RANK = """
import json, sys
from pipelines.runtime.config.loader import resolve
from pipelines.doctor.examination import job_probe
from pipelines.doctor.probes import run_probes

settings = resolve(overrides=["forecast.device=cpu"])
found = run_probes([job_probe(settings)], settings)
print(json.dumps([(each.check, each.status, each.found) for each in found]))
"""


def start(rank, port, size=2):
    """One rank as torchrun would start it."""
    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    environment = os.environ | {name: str(value) for name, value in variables.items()}
    environment |= {"TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    environment |= {"PYTHONPATH": ":".join(filter(None, sys.path))}
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
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_STEP_NUM_TASKS", "SLURM_JOB_ID"):
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


def test_processes_that_are_spread_unevenly_are_told(settings_on, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "3")
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "2")
    found = list(check_collectives(settings_on(), tmp_path))
    assert [each.status for each in found] == ["fail"]
    assert "spread unevenly" in found[0].found
    assert own_launch().rank == 0


def test_a_job_of_several_tasks_that_was_not_started_by_srun_is_told(settings_on, tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    found = next(check_collectives(settings_on(), tmp_path))
    assert found.status == "warn"
    assert "4 tasks" in found.found


def test_a_rank_that_never_comes_is_a_failure_and_no_hang(settings_on, tmp_path, monkeypatch):
    monkeypatch.setattr(collectives, "RENDEZVOUS", dt.timedelta(seconds=2))
    variables = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    variables |= {"TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = list(check_collectives(settings_on(), tmp_path))
    assert [(each.check, each.status) for each in found] == [("collectives", "fail")]
    assert "every rank was started" in found[0].advice
