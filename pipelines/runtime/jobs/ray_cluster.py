"""Work spread over a Ray cluster: the one that RAY_ADDRESS names, or one of this machine alone."""

from __future__ import annotations

import os
import re
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from forecasting.errors import OverspillError, StepError

A = TypeVar("A")
R = TypeVar("R")
ANSWER_SECONDS = 10
TASKS_PER_CPU = 2  # that a cluster is given ahead, so that finished results do not pile up in its memory


def as_completed_on_ray(
    work: Callable[[A], R], tasks: Sequence[A], *, env: Mapping[str, str]
) -> Iterator[tuple[int, R]]:
    """Place and result of each task, in the order in which they are done.

    Parameters
    ----------
    work : callable
        Like the tasks and results picklable; the workers need the package that it is of.
    tasks : sequence
    env : mapping
        Environment variables of the workers.

    Raises
    ------
    StepError
        If Ray is not installed, does not answer, or fails.
    OverspillError
        The worker's own.
    """
    with connected() as ray:
        run = ray.remote(num_cpus=1, runtime_env={"env_vars": dict(env)})(_placed)
        shared = ray.put(work)
        ahead = max(int(ray.cluster_resources().get("CPU", 1)), 1) * TASKS_PER_CPU
        waiting = deque(enumerate(tasks))
        running: list[Any] = []
        while waiting or running:
            while waiting and len(running) < ahead:
                running.append(run.remote(shared, *waiting.popleft()))
            done, running = ray.wait(running)
            yield from ray.get(done)


def _placed(work: Callable[[A], R], place: int, task: A) -> tuple[int, R]:
    return place, work(task)


@contextmanager
def connected() -> Iterator[Any]:
    """The module `ray`, connected; its errors are one sentence.

    Raises
    ------
    StepError
        If Ray is not installed, does not answer, or fails.
    OverspillError
        The worker's own.
    """
    ray = _ray()
    started = not ray.is_initialized()
    try:
        if started:
            _check_answers(os.environ.get("RAY_ADDRESS", ""))
            ray.init(log_to_driver=False, logging_level="ERROR")
        yield ray
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, OverspillError):
            raise error.cause from error
        raise StepError(f"a worker of the Ray cluster failed: {_last_line(error)}") from error
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise StepError(f"the Ray cluster failed: {_last_line(error)}") from error
    finally:
        if started and ray.is_initialized():
            ray.shutdown()


def _check_answers(address: str) -> None:
    """Knock at a cluster that is named by host and port: Ray itself takes minutes to find it closed."""
    named = re.fullmatch(r"(?:ray://)?([^/:]+):(\d+)", address)
    if named is None:
        return
    try:
        socket.create_connection((named[1], int(named[2])), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        raise StepError(
            f"the Ray cluster at {address} does not answer ({error.strerror}): start it, or set RAY_ADDRESS"
        ) from error


def _ray() -> Any:  # noqa: ANN401 - an extra, which may be absent
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray  # noqa: PLC0415 - an extra: one machine does without
    except ImportError as error:
        raise StepError("the engine ray needs the extra: pip install 'overspill[ray]'") from error
    return ray


def _last_line(error: Exception) -> str:
    return str(error).strip().rsplit("\n", maxsplit=1)[-1]
