"""How this process was started: by Slurm's srun, by torchrun, or by hand. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from models.errors import ClusterError

SLURM_PORTS = 15000  # the last four digits of the job's number are added, as Lightning does


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How this process was started.

    Attributes
    ----------
    by : str
        "slurm" (srun), "torchrun" (which Kubeflow uses too), or "hand".
    rank, world_size : int
        Number of this process, and of all.
    local_rank, local_size : int
        The same on this node.
    address, port : str, int
        Where the first process listens.
    attempt : int
        How often torchrun has started the processes again.
    served : bool
        Whether torchrun itself listens at the address, for all its attempts.
    idle_tasks : int
        Tasks that Slurm has set aside but nothing was started in, because `srun` was not used.
    """

    by: Literal["slurm", "torchrun", "hand"] = "hand"
    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_size: int = 1
    address: str = "127.0.0.1"
    port: int = 0
    attempt: int = 0
    served: bool = False
    idle_tasks: int = 0

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return max(1, self.world_size // self.local_size)


def detect_launch(environment: Mapping[str, str] = os.environ) -> Launch:
    """How this process was started, by its environment.

    Raises
    ------
    ClusterError
        The processes are spread unevenly over the nodes.
    """
    if "TORCHELASTIC_RUN_ID" in environment:
        return Launch(
            by="torchrun",
            rank=int(environment["RANK"]),
            world_size=int(environment["WORLD_SIZE"]),
            local_rank=int(environment["LOCAL_RANK"]),
            local_size=int(environment["LOCAL_WORLD_SIZE"]),
            address=environment["MASTER_ADDR"],
            port=int(environment["MASTER_PORT"]),
            attempt=int(environment.get("TORCHELASTIC_RESTART_COUNT", "0")),
            served=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        )
    if "SLURM_STEP_NUM_TASKS" not in environment:  # not in a step of srun
        tasks = int(environment.get("SLURM_NTASKS", "1")) if "SLURM_JOB_ID" in environment else 1
        return Launch(idle_tasks=tasks - 1)
    tasks, nodes = int(environment["SLURM_STEP_NUM_TASKS"]), int(environment.get("SLURM_STEP_NUM_NODES", "1"))
    if tasks % nodes:
        raise ClusterError(
            f"the processes are spread unevenly: expected the same number on each node, found {tasks} on "
            f"{nodes} nodes; use --ntasks-per-node"
        )
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment  # noqa: PLC0415 - takes seconds

    listed = environment.get("SLURM_STEP_NODELIST", environment.get("SLURM_JOB_NODELIST", "127.0.0.1"))
    port = SLURM_PORTS + int(environment["SLURM_JOB_ID"][-4:])
    return Launch(
        by="slurm",
        rank=int(environment["SLURM_PROCID"]),
        world_size=tasks,
        local_rank=int(environment["SLURM_LOCALID"]),
        local_size=tasks // nodes,
        address=environment.get("MASTER_ADDR", SLURMEnvironment.resolve_root_node_address(listed)),
        port=int(environment.get("MASTER_PORT", port)),
    )
