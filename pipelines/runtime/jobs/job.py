"""A command as a job: the processes that it was started with, requests to stop, what it remembers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from models.distributed.launch import detect_launch
from models.distributed.ranks import Ranks
from models.distributed.signals import STOP, StopRequestedError
from models.distributed.workers import RanksWithWorkers
from pipelines.runtime.config.loader import flatten
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.jobs.requeue import after_stop
from pipelines.runtime.jobs.state import JobState


@contextmanager
def join_ranks(settings: Settings) -> Iterator[Ranks]:
    """The processes of this job, seen from the first; SIGTERM and SIGUSR1 are requests to stop inside.

    A process other than the first ends here, once the first lets it go.
    """
    first, ranks = True, None
    with STOP.listening():
        try:
            with STOP.unmistaken():
                ranks = build_ranks(settings)
                first = ranks.rank == 0
                notes = ranks.notes()
                if not first:
                    _serve(ranks)
                for note in notes:
                    _tell(f"note: {note}")
                yield ranks
            ranks.close(0)
        except StopRequestedError as error:
            notice = after_stop(error, first=first)
            if ranks is not None:
                ranks.close(error.exit_code)
            if first:
                _tell(notice)
            raise SystemExit(error.exit_code) from error
        except BaseException as error:
            if ranks is not None:
                ranks.close(int(getattr(error, "exit_code", 1)))
            raise
        finally:
            if ranks is not None:
                ranks.leave()


def _serve(ranks: Ranks) -> NoReturn:
    raise SystemExit(ranks.serve())


def build_ranks(settings: Settings) -> Ranks:
    """One process with its workers, or as many as srun or torchrun have started; only these load torch."""
    launch = detect_launch()
    if launch.world_size == 1:
        return RanksWithWorkers(launch, processes=settings.cluster.processes)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # torch's remarks come once per process
    from models.distributed.process_group import DistributedRanks  # noqa: PLC0415 - takes seconds

    cluster = settings.cluster
    return DistributedRanks(
        launch,
        collective=timedelta(minutes=cluster.collective_minutes),
        waiting=timedelta(hours=cluster.waiting_hours),
        accelerated=settings.forecast.device != "cpu",
    )


def job_state(folder: Path | None, settings: Settings, command: str) -> JobState | None:
    """State in a folder of a job of this command and these settings; None without a folder.

    Raises
    ------
    InputError, StepError
        The folder holds the state of another job; it cannot be written.
    """
    return None if folder is None else JobState(folder, about={"command": command, **flatten(settings)})


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr)  # noqa: T201
