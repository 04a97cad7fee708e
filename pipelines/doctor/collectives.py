"""Checks of torch.distributed: a group, one reduction, and, in a job of several processes, what they share.

Under `srun` and `torchrun` every rank takes part; rank 0 tells.
"""

from __future__ import annotations

import datetime as dt
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from models.distributed.launch import Launch, detect_launch
from models.errors import ClusterError, DeviceError
from models.hardware.device import choose_device, describe, settings_for
from pipelines.doctor.findings import ALONE, TOGETHER, Finding, fail, ok, warn
from pipelines.runtime.config.settings import Settings

LOOPBACK = "127.0.0.1"
WAIT = dt.timedelta(seconds=10)  # one process with itself
RENDEZVOUS = dt.timedelta(seconds=60)  # ranks start one after the other
CLOCK_SPREAD = 1.0  # seconds; more makes times of runs and of files contradict each other


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What one rank says of itself."""

    host: str
    device: str
    torch: str
    python: str


def check_collectives(settings: Settings, _: Path) -> Iterator[Finding]:
    """A process group on the device, one sum over its ranks, and what several ranks have in common."""
    check = "collectives"
    try:
        launch = detect_launch()
        device = _own_device(choose_device(settings.forecast.device), launch)
    except DeviceError as error:
        yield warn(check, f"not tried: {error}", "see the device")
        return
    except ClusterError as error:
        yield fail(check, str(error), TOGETHER)
        return
    backend = settings_for(device).platform.collectives.value
    if not dist.is_backend_available(backend):
        yield warn(check, f"torch {torch.__version__} was built without {backend}", ALONE)
        return
    try:
        yield from _tried(backend, device, launch)
    except (RuntimeError, OSError) as error:  # torch's own errors of the store and of collectives
        reason = str(error).split("\n", maxsplit=1)[0][:200]
        if launch.world_size == 1:
            yield warn(check, f"{backend}: {reason}", ALONE)
        else:
            yield fail(check, f"{backend}, {launch.world_size} ranks: {reason}", TOGETHER)


def _own_device(device: torch.device, launch: Launch) -> torch.device:
    """The GPU of this rank; the CPU as it is.

    Raises
    ------
    DeviceError
        There are more ranks on this machine than GPUs.
    """
    if device.type == "cpu":
        return device
    index, count = launch.local_rank, torch.cuda.device_count()
    if index >= count:
        raise DeviceError(
            f"local rank {index} finds no GPU of its own among {count}: start at most {count} ranks per node"
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def _tried(backend: str, device: torch.device, launch: Launch) -> Iterator[Finding]:
    rank, size = launch.rank, launch.world_size
    _join(backend if device.type == "cpu" else f"cpu:gloo,cuda:{backend}", launch)
    try:
        total = torch.full((1024,), float(rank + 1), device=device)
        dist.all_reduce(total)
        right = float(total[0]) == size * (size + 1) / 2
        text = (
            f"{backend}, {size} rank{'s' * (size > 1)}: a sum over all {'is right' if right else 'is WRONG'}"
        )
        if not right:
            yield fail("collectives", text, "do not train on these nodes")
        elif launch.idle_tasks:
            found = f"{text}; the job has {launch.idle_tasks + 1} tasks but was not started with srun"
            yield warn("collectives", found, "start it with srun, or ask for one task")
        else:
            yield ok("collectives", text)
        if size > 1:
            spread = _clock_spread(device, size)
            facts: list[Any] = [None] * size
            dist.all_gather_object(facts, _own_facts(device))
            yield agreement(facts)
            yield clocks(spread)
        dist.barrier()
    finally:
        dist.destroy_process_group()


def _join(backends: str, launch: Launch) -> None:
    """Make the process group: on a free port of loopback, or where the launcher says."""
    if launch.world_size == 1:
        store = dist.TCPStore(  # type: ignore[attr-defined]
            LOOPBACK, 0, 1, is_master=True, timeout=WAIT
        )
        dist.init_process_group(backends, store=store, rank=0, world_size=1, timeout=WAIT)
        return
    dist.init_process_group(
        backends,
        init_method=f"tcp://{launch.address}:{launch.port}",
        rank=launch.rank,
        world_size=launch.world_size,
        timeout=RENDEZVOUS,
    )


def _clock_spread(device: torch.device, size: int) -> float:
    """Seconds between the earliest and the latest clock, read by all ranks as one reduction ends."""
    dist.all_reduce(torch.zeros(1, device=device))
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    now = torch.tensor([time.time()], dtype=torch.float64, device=device)
    times = [torch.empty_like(now) for _ in range(size)]
    dist.all_gather(times, now)
    seconds = [float(each) for each in times]
    return max(seconds) - min(seconds)


def _own_facts(device: torch.device) -> Facts:
    return Facts(
        host=platform.node(),
        device=describe(device),
        torch=torch.__version__,
        python=platform.python_version(),
    )


def agreement(facts: Sequence[Facts]) -> Finding:
    """Whether ranks run on the same kind of device with the same software."""
    hosts, devices = sorted({each.host for each in facts}), sorted({each.device for each in facts})
    software = sorted({f"torch {each.torch} on Python {each.python}" for each in facts})
    node = f"{len(hosts)} node{'s' * (len(hosts) > 1)}"
    text = f"{len(facts)} ranks on {node}, each with {' or '.join(devices)}, {' or '.join(software)}"
    if len(software) > 1:
        return warn("ranks", text, "install the same packages on every node: ranks may compute differently")
    if len(devices) > 1:
        return warn("ranks", text, "ask for nodes of one kind: the slowest device sets the pace")
    return ok("ranks", text)


def clocks(spread: float) -> Finding:
    """Whether the clocks of the nodes agree."""
    text = f"within {spread:.3f} s of each other"
    if spread > CLOCK_SPREAD:
        return warn("clocks", text, "set the nodes' clocks by one time server (chrony, systemd-timesyncd)")
    return ok("clocks", text)
