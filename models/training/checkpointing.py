"""The state of a training on disk: written whole or not at all, every few minutes and when asked to stop."""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from models.distributed.ranks import Ranks
from models.distributed.signals import STOP
from models.errors import CheckpointError, ClusterError

STATE = "last.ckpt"
SECONDS_BETWEEN = 180.0
logger = logging.getLogger(__name__)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, each put in the place of the last one only once it is complete.

    Attributes
    ----------
    failure : CheckpointError, optional
        Why the last file could not be written. It is not raised at once: all processes meet after a file is
        written, and the others would wait for the one that writes.
    """

    failure: CheckpointError | None = None

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], *_: object, **__: object
    ) -> None:
        """Write beside the last state, force it to the disk, and rename; what fails is in `failure`."""
        self.failure = None
        buffer = io.BytesIO()
        partial = Path(f"{os.fspath(path)}.partial")
        try:
            torch.save(checkpoint, buffer)
            partial.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except (OSError, MemoryError, RuntimeError) as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            self.failure = CheckpointError(
                f"{os.fspath(path)}: the state of the training cannot be written ({reason}), "
                f"{len(buffer.getbuffer()) / 1e6:.1f} MB are needed"
            )


class CheckpointSettings(NamedTuple):
    """Where the state of a training is kept, and how often.

    Attributes
    ----------
    path : Path, optional
        None to stop without one.
    seconds : float
        Between two states.
    result : bool
        Whether the last state is what the training is for, so that it must be written.
    before : callable, optional
        Is called before each state, in the first process: what was recorded so far must not be lost.
    """

    path: Path | None = None
    seconds: float = SECONDS_BETWEEN
    result: bool = False
    before: Callable[[], None] | None = None


class StateCheckpoint(Checkpoint):
    """Writes the state every few minutes, and stops the training where the process is asked to.

    A state that cannot be written on the way is reported and tried again later; at a stop it is an error.
    Lightning's `ModelCheckpoint` (`train_time_interval`) lacks both, and a stop that all processes agree on.

    Parameters
    ----------
    kept : CheckpointSettings
    ranks : Ranks
        The first process's clock counts.

    Attributes
    ----------
    stopped : bool
        Whether training has ended because a stop was asked for.
    """

    def __init__(self, kept: CheckpointSettings, *, ranks: Ranks) -> None:
        self._kept, self._ranks = kept, ranks
        self._kept_at = time.monotonic()
        self.stopped = False

    def on_train_start(self, *_: object) -> None:
        """The first state is due one interval from now."""
        self._kept_at = time.monotonic()

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        """Ask whether it is time, in all processes alike."""
        late = self._ranks.rank == 0 and time.monotonic() - self._kept_at >= self._kept.seconds
        asked, due = self._ranks.any(STOP.received is not None, late)
        if asked:
            STOP.ask()
            self.stopped = trainer.should_stop = True
            self.write(trainer)
        elif due:
            self._kept_at = time.monotonic()
            try:
                self.write(trainer)
            except CheckpointError as error:
                logger.warning("%s; training goes on", error)

    def on_train_end(self, trainer: lightning.Trainer, *_: object) -> None:
        """Keep the end too: what comes after the training may be interrupted as well."""
        if self.stopped:
            return
        try:
            self.write(trainer)
        except CheckpointError as error:
            if self._kept.result:
                raise
            logger.warning("%s; the training itself is done", error)

    def write(self, trainer: lightning.Trainer) -> None:
        """Write the state now, or fail in all processes alike.

        Raises
        ------
        CheckpointError
            If it cannot be written.
        """
        if self._kept.path is None:
            return
        failure = self._prepared() if trainer.is_global_zero else None
        trainer.save_checkpoint(self._kept.path)  # all processes meet here, so nothing is raised before
        files = trainer.strategy.checkpoint_io
        failure = failure or (files.failure if isinstance(files, AtomicCheckpointIO) else None)
        (failed,) = self._ranks.any(failure is not None)
        if failed:
            reason = failure or "the first process cannot write the state of the training"
            raise CheckpointError(f"{reason}; the state before it is kept") from failure

    def _prepared(self) -> CheckpointError | None:
        try:
            if self._kept.before is not None:
                self._kept.before()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other processes must not wait for it
            return error if isinstance(error, CheckpointError) else CheckpointError(str(error))
        return None


def stop_together(ranks: Ranks) -> None:
    """A request that came after the last step holds for all processes; all must ask."""
    (asked,) = ranks.any(STOP.received is not None)
    if asked:
        STOP.ask()


def checkpoint_step(path: Path | None, ranks: Ranks) -> int:
    """Number of steps done in a state that may be there, the same in all processes; 0 without one.

    Raises
    ------
    CheckpointError
        If it cannot be read.
    ClusterError
        If the processes do not see the same file.
    """
    done = check_state(path) if path is not None and path.exists() else 0
    found = ranks.all_gather(done)
    if len(set(found)) > 1:
        raise ClusterError(
            f"{path}: the processes do not see the same state: expected a folder that all of them share, "
            f"found {', '.join(map(str, found))} steps done"
        )
    return done


def check_state(path: Path) -> int:
    """Number of steps done in a state.

    Raises
    ------
    CheckpointError
        If it cannot be read.
    """
    try:
        return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["global_step"])
    except (OSError, RuntimeError, KeyError, ValueError, EOFError, UnpicklingError) as error:
        reason = str(error).split("\n", maxsplit=1)[0].split(". ", maxsplit=1)[0]
        raise CheckpointError(
            f"{path}: the state of the training cannot be read ({reason}): delete it to begin anew"
        ) from error
