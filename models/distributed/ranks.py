"""How work is shared among the processes of a job: one alone does everything. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import TypeAlias, TypeVar

from models.distributed.launch import Launch

A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")
Watch: TypeAlias = Callable[[Sequence[A]], Iterable[A]]


class Ranks:
    """The processes of a job as one of them sees them: a single process, unless a subclass has joined more.

    Attributes
    ----------
    launch : Launch
    collective : timedelta
        How long a process waits for the others within a piece of work.
    """

    collective = timedelta(minutes=10)

    def __init__(self, launch: Launch | None = None) -> None:
        self.launch = launch or Launch()

    @property
    def rank(self) -> int:
        """Number of this process."""
        return self.launch.rank

    @property
    def world_size(self) -> int:
        """Number of processes."""
        return self.launch.world_size

    def any(self, *flags: bool) -> list[bool]:
        """Whether each flag is set in any process; all processes must call this."""
        return list(flags)

    def all_gather(self, value: R) -> list[R]:
        """Every process's value, by rank; all processes must call this."""
        return [value]

    def dealt(self, hand: list[T]) -> list[T]:
        """All arrays, of which each process has computed every n-th; all processes must call this.

        Parameters
        ----------
        hand : list of Tensor
            The same shapes in every process; the k-th counts in process k modulo the number of processes.
        """
        return hand

    def call(
        self,
        work: Callable[[A, Ranks], R],
        argument: A,
        here: Callable[[A, Ranks], R] | None = None,
    ) -> list[R]:
        """Do a piece of work in every process; only the first may call. Returns the results by rank.

        Parameters
        ----------
        work : callable
            A function of a module, of the argument and these ranks.
        argument : object
            Is sent to the others; both it and the results must be picklable.
        here : callable, optional
            Does the first process's part in place of `work`, where it has more to tell.

        Raises
        ------
        ClusterError
            Another process is gone; it has said why, if it could.
        """
        return [(here or work)(argument, self)]

    def warm(self, *modules: str) -> None:
        """Prepare for `spread` while this process does something else: workers import the modules."""

    def spread(self, work: Callable[[A], R], tasks: Sequence[A], watch: Watch[A] = iter) -> list[R]:
        """One result per task, in their order; each process takes every n-th. Only the first may call.

        Parameters
        ----------
        work : callable
        tasks : sequence
        watch : callable
            Goes through the first process's own tasks, to show how it gets on.
        """
        return [work(task) for task in watch(tasks)]

    def serve(self) -> int:
        """Do what the first process calls for until it closes; returns the exit status that it sent."""
        return 0

    def close(self, status: int) -> None:
        """Release the other processes with an exit status; only the first may call it; repeats do nothing."""

    def leave(self) -> None:
        """Close the connections to the others; the last thing that each process does."""

    def notes(self) -> list[str]:
        """What is unusual about this job, in sentences; all processes must call this.

        Raises
        ------
        ClusterError
            Two processes compute on the same GPU.
        """
        if not self.launch.idle_tasks:
            return []
        return [f"the job has {self.launch.idle_tasks + 1} tasks but was not started with srun: one works"]


def part(total: int, *, rank: int, processes: int) -> int:
    """Share of one process in a number of items; the shares of all add up to it exactly.

    >>> [part(10, rank=rank, processes=3) for rank in range(3)]
    [4, 3, 3]
    """
    return total // processes + (rank < total % processes)
