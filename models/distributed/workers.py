"""One process with workers on the other cores of its machine, for tasks that do not depend on one another."""

from __future__ import annotations

import functools
import importlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from models.distributed.launch import Launch
from models.distributed.ranks import A, R, Ranks, Watch
from models.errors import ClusterError

MOST = 8  # each worker holds about a gigabyte; more hardly shorten some hundred tasks
WORTH_STARTING = 64  # tasks: a worker's imports take as long as a dozen of them


def usable_cores() -> int:
    """Processor cores that this process may use, as its affinity and its control group say."""
    import joblib  # noqa: PLC0415 - it loads numpy, which `--help` does without

    return int(joblib.cpu_count())


class RanksWithWorkers(Ranks):
    """A job of one process, which shares many small tasks with workers.

    Workers are started when they are first needed, leave signals to this process, and end with it, however it
    ends. With one core, or few tasks, this process works alone.

    Parameters
    ----------
    launch : Launch, optional
    processes : int, optional
        Number of processes that work, this one among them; None takes one for each core.
    """

    def __init__(self, launch: Launch | None = None, *, processes: int | None = None) -> None:
        super().__init__(launch)
        self._wanted = processes
        self._pool: ProcessPoolExecutor | None = None

    @functools.cached_property
    def processes(self) -> int:
        """Number of processes that work; 1 means that this one does everything."""
        return min(usable_cores(), MOST) if self._wanted is None else self._wanted

    def warm(self, *modules: str) -> None:
        """Start the workers and let them import these modules while this process does something else."""
        if self.processes > 1:
            self._submit(self._started(modules), os.getpid)

    def _started(self, modules: Sequence[str] = ()) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.processes - 1,
                mp_context=multiprocessing.get_context("spawn"),  # forks of a process with threads may hang
                initializer=_begin,
                initargs=(modules, max(1, usable_cores() // self.processes)),
            )
        return self._pool

    @staticmethod
    def _submit(pool: ProcessPoolExecutor, work: Callable[..., R], *arguments: object) -> Future[R]:
        with _own_code_alone():  # it may start a worker
            return pool.submit(work, *arguments)

    def spread(self, work: Callable[[A], R], tasks: Sequence[A], watch: Watch[A] = iter) -> list[R]:
        """One result per task, in their order.

        Workers take tasks from the front, this process from the back, until they meet.

        Raises
        ------
        ClusterError
            A worker was killed.
        """
        if self.processes < 2 or len(tasks) < WORTH_STARTING:
            return super().spread(work, tasks, watch)
        pool = self._started()
        try:
            return self._shared(pool, work, tasks, watch)
        except BrokenProcessPool as error:
            raise ClusterError(
                "a worker process was killed, perhaps for want of memory; "
                "run again with --set cluster.processes=1"
            ) from error

    def _shared(
        self, pool: ProcessPoolExecutor, work: Callable[[A], R], tasks: Sequence[A], watch: Watch[A]
    ) -> list[R]:
        left, sent, found = deque(range(len(tasks))), dict[int, Future[R]](), dict[int, R]()
        for _ in watch(tasks):  # one round per result
            while left and sum(not future.done() for future in sent.values()) < 2 * (self.processes - 1):
                place = left.popleft()
                sent[place] = self._submit(pool, work, tasks[place])
            if left:
                place = left.pop()
                found[place] = work(tasks[place])
            elif sent:
                place = next(iter(sent))
                found[place] = sent.pop(place).result()
        return [found[place] for place in range(len(tasks))]

    def leave(self) -> None:
        """Let the workers go; tasks that wait are dropped, and nobody waits for one at work."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


@contextmanager
def _own_code_alone() -> Iterator[None]:
    """Hide other copies of this program from a process that starts, which inherits the path of its parent.

    A model that MLflow has loaded puts its own code first in the path: older, or only a part.
    """
    here, path = Path(__file__), sys.path.copy()
    inside = here.relative_to(here.parents[2])
    sys.path[:] = [
        entry for entry in path if not (copy := Path(entry, inside)).exists() or copy.samefile(here)
    ]
    try:
        yield
    finally:
        sys.path[:] = path


def _begin(modules: Sequence[str], threads: int) -> None:
    """Begin a worker: threads for its share of the cores, no signals, and an end with its parent."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read by numpy and torch when they are loaded, after this
    for name in modules:
        importlib.import_module(name)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
