"""Tasks that do not depend on one another, done by this process, by all of the job's, or by a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from pipelines.runtime.config.settings import SpreadEngine
from pipelines.runtime.jobs.ray_cluster import as_completed_on_ray
from pipelines.runtime.step.context import Context

A = TypeVar("A")
R = TypeVar("R")

WORTH_WARMING = 300  # paths: smaller backtests end before a worker has loaded the program
WORKER_LOADS = ("pipelines.backtest.scores", "pipelines.forecast.forecasters")


def warm(context: Context) -> None:
    """Let workers load what a backtest of many paths needs, while the steps before it are done."""
    backtest = context.settings.backtest
    if backtest.engine == "local" and backtest.paths >= WORTH_WARMING:
        context.ranks.warm(*WORKER_LOADS)


def spread(
    context: Context,
    work: Callable[[A], R],
    tasks: Sequence[A],
    *,
    description: str,
    engine: SpreadEngine,
) -> list[R]:
    """One result per task, in their order.

    Parameters
    ----------
    context : Context
    work : callable
        Of one task; like tasks and results picklable where more than one process works.
    tasks : sequence
    description : str
        Of the progress bar.
    engine : str
        "local": the processes that the job was started with, mostly one; "ray": a Ray cluster.

    Raises
    ------
    StepError
        If the Ray cluster cannot be used.
    ClusterError
        If another process of the job is gone.
    """

    def watch(own: Iterable[A]) -> Iterable[A]:
        return context.progress(own, description, total=len(tasks) // context.ranks.world_size)

    if engine == "local":
        return context.ranks.spread(work, tasks, watch)
    done = as_completed_on_ray(work, tasks, env={"OMP_NUM_THREADS": "1"})
    results = dict(context.progress(done, f"{description} on Ray", total=len(tasks)))
    return [results[place] for place in range(len(tasks))]
