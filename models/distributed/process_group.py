"""The processes of one job that work together over torch.distributed.

The first process drives: it reads, decides, records. The others serve: they wait for a piece of work, do
their share of it together with the first, and wait again.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from models.distributed.launch import Launch
from models.distributed.ranks import A, R, Ranks, Watch
from models.distributed.signals import STOP
from models.errors import ClusterError, ModelError
from models.hardware.device import prepare

# Seconds by which clocks of two nodes may differ before it is reported.
CLOCKS_APART = 1.0


class DistributedRanks(Ranks):
    """Processes that have found each other; the first one's address is in the launch.

    Parameters
    ----------
    launch : Launch
    collective : timedelta
        How long a process waits for the others within a piece of work.
    waiting : timedelta
        How long the others wait for the first between two pieces of work.
    accelerated : bool
        Whether each process computes on an accelerator of its own where there are any.

    Raises
    ------
    ClusterError
        The port is in use, or the others are not there in time.
    """

    def __init__(
        self, launch: Launch, *, collective: timedelta, waiting: timedelta, accelerated: bool = False
    ) -> None:
        super().__init__(launch)
        self.collective = collective
        prepare()  # drivers read their variables at the first look at a GPU, which is the next line
        self._accelerated = accelerated and torch.cuda.is_available()
        if self._accelerated and launch.local_rank < torch.cuda.device_count():
            torch.cuda.set_device(launch.local_rank)  # "cuda" is this process's own card from here on
        backend = "cpu:gloo,cuda:nccl" if self._accelerated else "gloo"  # RCCL is called nccl too
        try:
            dist.init_process_group(
                backend,
                store=_meeting_place(launch, collective),
                rank=launch.rank,
                world_size=launch.world_size,
                timeout=collective,
            )
            self._waiting = dist.new_group(backend="gloo", timeout=waiting)
        except (RuntimeError, ValueError) as error:
            raise ClusterError(self._not_joined(error)) from error
        self._open = True

    def _not_joined(self, error: Exception) -> str:
        reason, launch = str(error).strip().split("\n", maxsplit=1)[0], self.launch
        place = f"{launch.address}:{launch.port}"
        if "EADDRINUSE" in reason or "address already in use" in reason.lower():
            return f"the port for the job's processes is in use: {place}; set MASTER_PORT to a free one"
        return (
            f"process {launch.rank} of {launch.world_size} on {socket.gethostname()} did not find the others "
            f"at {place} within {self.collective.total_seconds():.0f} s: {reason[:200]}"
        )

    def any(self, *flags: bool) -> list[bool]:
        """Whether each flag is set in any process; all processes must call this."""
        votes = torch.tensor(flags, dtype=torch.int32)
        with self.report_lost_rank():
            dist.all_reduce(votes, op=dist.ReduceOp.MAX)
        return [bool(vote) for vote in votes]

    def all_gather(self, value: R) -> list[R]:
        """Every process's value, by rank; all processes must call this."""
        found: list[Any] = [None] * self.world_size
        with self.report_lost_rank():
            dist.all_gather_object(found, value)
        return found

    def dealt(self, hand: list[Tensor]) -> list[Tensor]:  # type: ignore[override]  # the base knows no torch
        """All arrays, of which each process has computed every n-th; all processes must call this."""
        with self.report_lost_rank():
            for owner in range(min(self.world_size, len(hand))):
                own = hand[owner :: self.world_size]
                packed = torch.cat([each.flatten() for each in own])
                dist.broadcast(packed, src=owner)
                if owner != self.rank:
                    parts = torch.split(packed, [each.numel() for each in own])
                    for each, values in zip(own, parts, strict=True):
                        each.copy_(values.view_as(each))
        return hand

    def call(
        self,
        work: Callable[[A, Ranks], R],
        argument: A,
        here: Callable[[A, Ranks], R] | None = None,
    ) -> list[R]:
        """Do a piece of work in every process; only the first may call. Returns the results by rank."""
        with self.report_lost_rank():
            dist.broadcast_object_list([(work, argument)], src=0, group=self._waiting)
            try:
                own = (here or work)(argument, self)
            except BaseException:
                self._open = False  # the others are in the middle of their part: they see the connection go
                raise
            results: list[Any] = [None] * self.world_size
            dist.gather_object(own, results, dst=0, group=self._waiting)
        return results

    def spread(self, work: Callable[[A], R], tasks: Sequence[A], watch: Watch[A] = iter) -> list[R]:
        """One result per task, in their order; each process takes every n-th. Only the first may call."""

        def here(argument: tuple[Callable[[A], R], Sequence[A]], ranks: Ranks) -> list[R]:
            return [work(task) for task in watch(_own(argument[1], ranks))]

        parts: list[Any] = self.call(_share, (work, tasks), here)
        return [parts[place % self.world_size][place // self.world_size] for place in range(len(tasks))]

    def serve(self) -> int:
        """Do what the first process calls for until it closes; returns the exit status that it sent."""
        with self.report_lost_rank():
            while True:
                received: list[Any] = [None]
                dist.broadcast_object_list(received, src=0, group=self._waiting)
                if isinstance(received[0], int):
                    return received[0]
                work, argument = received[0]
                dist.gather_object(work(argument, self), dst=0, group=self._waiting)

    def close(self, status: int) -> None:
        """Release the other processes with an exit status; only the first may call it; repeats do nothing."""
        if self.rank or not self._open:
            return
        self._open = False
        with suppress(RuntimeError):  # they are gone, which is what is wanted
            dist.broadcast_object_list([status], src=0, group=self._waiting)

    def leave(self) -> None:
        """Close the connections; threads that still hold them would abort the process at exit."""
        self._open = False
        if dist.is_initialized():
            with suppress(RuntimeError):
                dist.destroy_process_group()

    def _card(self) -> str | None:
        """What distinguishes this process's accelerator from others on its node; None without one."""
        if not self._accelerated:
            return None
        place = self.launch.local_rank if self.launch.local_rank < torch.cuda.device_count() else 0
        return str(torch.cuda.get_device_properties(place).uuid)

    @contextmanager
    def report_lost_rank(self) -> Iterator[None]:
        """Turn the errors of a broken connection into one sentence."""
        try:
            yield
        except RuntimeError as error:
            if not is_lost(error):
                raise
            STOP.raise_received()  # the others may simply have been stopped first
            reason = str(error).strip().split("\n", maxsplit=1)[0]
            raise ClusterError(
                f"process {self.rank} of {self.world_size} has lost another process of the job, which has "
                f"ended or did not answer in time; its own message says why ({reason[:160]})"
            ) from error

    def notes(self) -> list[str]:
        """What is unusual about this job, in sentences; all processes must call this.

        Raises
        ------
        ClusterError
            Two processes compute on the same GPU.
        """
        found = []
        about = self.all_gather((socket.gethostname(), time.time(), self._card()))
        clocks = [clock for _, clock, _ in about]
        if max(clocks) - min(clocks) > CLOCKS_APART:
            late, early = about[clocks.index(min(clocks))][0], about[clocks.index(max(clocks))][0]
            found.append(
                f"the clocks differ by {max(clocks) - min(clocks):.0f} s between {early} and {late}: "
                "times are those of the first process"
            )
        cards = [(host, card) for host, _, card in about if card is not None]
        if len(set(cards)) < len(cards):
            raise ClusterError(
                f"more processes than GPUs: expected one GPU for each of {len(cards)} processes, found "
                f"{len(set(cards))}; start as many processes per node as it has GPUs"
            )
        return found


def _meeting_place(launch: Launch, timeout: timedelta) -> Store:
    """Key under which the processes publish their addresses, one per attempt: earlier addresses are dead."""
    store = TCPStore(
        launch.address,
        launch.port,
        launch.world_size,
        is_master=launch.rank == 0 and not launch.served,
        timeout=timeout,
    )
    return PrefixStore(f"attempt/{launch.attempt}", store)


def is_lost(error: BaseException) -> bool:
    """Whether an error of torch says that another process is gone or late."""
    reason = str(error).lower()
    signs = ("connection closed by peer", "connection reset", "timed out", "timeout", "broken pipe", "nccl")
    return not isinstance(error, ModelError) and any(sign in reason for sign in signs)


def _share(argument: tuple[Callable[[A], R], Sequence[A]], ranks: Ranks) -> list[R]:
    work, tasks = argument
    return [work(task) for task in _own(tasks, ranks)]


def _own(tasks: Sequence[A], ranks: Ranks) -> Sequence[A]:
    return tasks[ranks.rank :: ranks.world_size]
