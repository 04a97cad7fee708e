"""One process with workers on the other cores of its machine, for tasks that do not depend on one another."""

from __future__ import annotations

import functools
import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

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
    """A job of one process, which lets workers do many small tasks.

    Workers are started when they are first needed, leave signals to this process, and end with it, however it
    ends. With one core, or few tasks, this process does them itself.

    Parameters
    ----------
    launch : Launch, optional
    workers : int, optional
        Number of workers; None takes one for each core, 1 means none.
    """

    def __init__(self, launch: Launch | None = None, *, workers: int | None = None) -> None:
        super().__init__(launch)
        self._wanted = workers
        self._pool: ProcessPoolExecutor | None = None

    @functools.cached_property
    def workers(self) -> int:
        """Number of workers; 1 means that this process does everything."""
        return min(usable_cores(), MOST) if self._wanted is None else self._wanted

    def warm(self, *modules: str) -> None:
        """Start the workers and let them import these modules while this process does something else."""
        if self.workers > 1:
            self._started(modules).submit(os.getpid)

    def _started(self, modules: Sequence[str] = ()) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=multiprocessing.get_context("spawn"),  # forks of a process with threads may hang
                initializer=_begin,
                initargs=(modules, max(1, usable_cores() // self.workers)),
            )
        return self._pool

    def spread(self, work: Callable[[A], R], tasks: Sequence[A], watch: Watch[A] = iter) -> list[R]:
        """One result per task, in their order; the workers take them one by one.

        Raises
        ------
        ClusterError
            A worker was killed.
        """
        if self.workers < 2 or len(tasks) < WORTH_STARTING:
            return super().spread(work, tasks, watch)
        pool = self._started()
        try:
            futures = [pool.submit(work, task) for task in tasks]
            return [future.result() for future, _ in zip(futures, watch(tasks), strict=True)]
        except BrokenProcessPool as error:
            raise ClusterError(
                f"one of {self.workers} worker processes was killed, perhaps for want of memory; "
                "run again with --set cluster.workers=1"
            ) from error

    def leave(self) -> None:
        """Let the workers go; tasks that wait are dropped, and nobody waits for one at work."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


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
