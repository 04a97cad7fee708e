"""Whether this process is one rank of a job, by the variables of `torchrun` and `srun`. Needs no torch."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

FIRST_PORT, PORTS = 20_000, 10_000  # of Slurm jobs, by their number
TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
SRUN = ("SLURM_STEP_ID", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_STEP_NODELIST")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One rank of a job of several processes.

    Attributes
    ----------
    rank, local_rank, world_size : int
        Rank among all, among those of this node, and number of all.
    address, port : str, int
        Where the ranks meet.
    """

    rank: int
    local_rank: int
    world_size: int
    address: str
    port: int


def launch(variables: Mapping[str, str] = os.environ) -> Launch | None:
    """The rank that this process is; None for a process alone."""
    if all(name in variables for name in TORCHRUN):
        found = Launch(
            rank=int(variables["RANK"]),
            local_rank=int(variables["LOCAL_RANK"]),
            world_size=int(variables["WORLD_SIZE"]),
            address=variables["MASTER_ADDR"],
            port=int(variables["MASTER_PORT"]),
        )
    elif all(name in variables for name in SRUN):
        job = int(variables.get("SLURM_JOB_ID", "0"))
        found = Launch(
            rank=int(variables["SLURM_PROCID"]),
            local_rank=int(variables["SLURM_LOCALID"]),
            world_size=int(variables["SLURM_NTASKS"]),
            address=variables.get("MASTER_ADDR", first_node(variables["SLURM_STEP_NODELIST"])),
            port=int(variables.get("MASTER_PORT", FIRST_PORT + job % PORTS)),
        )
    else:
        return None
    return found if found.world_size > 1 else None


def first_node(nodes: str) -> str:
    """First host of a Slurm node list, such as `gpu[07-09,12],cpu1`: `gpu07`."""
    first = re.sub(r"\[([^],-]*)[^]]*\]", r"\1", nodes)
    return first.split(",")[0]
