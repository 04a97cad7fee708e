"""What a job has done so far, in a folder that outlives the process: an interrupted job goes on from it."""

from __future__ import annotations

import json
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from forecasting.errors import InputError, StepError
from pipelines.runtime.files.locks import try_lock_file

FILE, LOCK = "job.json", ".job.lock"
TRAINING, CURVES = "train.ckpt", "curves.parquet"
CHANGEABLE = ("cluster.", "tracking.")  # settings that may change while a job is interrupted
RESTART_HINT = "delete the folder to begin anew"
DATA = "data of the training"
STALE_SECONDS = 12 * 3600  # a panel that is older is built anew: a job that goes on answers from today's data


class JobState:
    """Runs that are open, and steps that are done.

    Parameters
    ----------
    folder : Path
        Made where it does not exist. One job at a time may use it.
    about : mapping of str to str
        What the job is, its command and settings: a state of another one is refused. How it runs
        (`cluster.*`) and where it is recorded (`tracking.*`) may differ.

    Attributes
    ----------
    close : callable
        Lets another job have the folder; the end of the process does so too.

    Raises
    ------
    InputError
        Another job is using the folder, or it holds the state of another one, or one that cannot be read.
    StepError
        The folder cannot be written.
    """

    def __init__(self, folder: Path, *, about: Mapping[str, str]) -> None:
        self.folder = folder
        what = {key: value for key, value in about.items() if not key.startswith(CHANGEABLE)}
        self.close = self._lock()
        self._kept: dict[str, Any] = self._read() or {"about": what, "open": {}, "done": {}}
        self._check_same(what)
        self._write()

    def _check_same(self, about: Mapping[str, str]) -> None:
        before = self._kept["about"]
        differing = [key for key in sorted({*before, *about}) if before.get(key) != about.get(key)]
        if differing:
            key = differing[0]
            self.close()
            raise InputError(
                "the folder holds the state of another job",
                expected=f"{key} {before.get(key)}, as it was begun with, or another folder",
                found=f"{about.get(key)}",
                where=str(self.folder),
            )

    def _lock(self) -> Callable[[], object]:
        """Lock the folder; what is returned lets go of it, at the latest with the process."""
        file = self.folder / LOCK
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file.touch(0o600)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            lock = try_lock_file(file)
        except BlockingIOError as error:
            raise InputError(
                "another job is using the folder of the state",
                expected="one job at a time, or another folder",
                where=str(self.folder),
            ) from error
        except OSError:  # a file system without locks
            return lambda: None
        return weakref.finalize(self, lock.close)

    def _unwritable(self, error: OSError) -> StepError:
        reason = error.strerror or str(error)
        return StepError(f"{self.folder}: the state of the job cannot be written: {reason}")

    def _read(self) -> dict[str, Any] | None:
        path = self.folder / FILE
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"the state of the job cannot be read: {RESTART_HINT}", found=str(error), where=str(path)
            ) from error
        if not isinstance(kept, dict) or set(kept) != {"about", "open", "done"}:
            raise InputError(f"the file is not the state of a job: {RESTART_HINT}", where=str(path))
        return kept

    def _write(self) -> None:
        try:
            partial = self.folder / f"{FILE}.partial"
            partial.write_text(json.dumps(self._kept, indent=2, default=str) + "\n", encoding="utf-8")
            partial.replace(self.folder / FILE)
        except OSError as error:
            raise self._unwritable(error) from error

    @property
    def begun(self) -> bool:
        """Whether an earlier process has left something to go on from."""
        return bool(self._kept["open"] or self._kept["done"])

    @property
    def training(self) -> Path:
        """File of the training's state."""
        return self.folder / TRAINING

    @property
    def curves(self) -> Path:
        """File of what the training has logged so far."""
        return self.folder / CURVES

    def open_run(self, step: str, upstream_run_id: str | None = None) -> str | None:
        """Run of a step that an earlier process did not bring to its end, if it read from the same run."""
        found: dict[str, str | None] | None = self._kept["open"].get(step)
        return found["run"] if found is not None and found["upstream"] == upstream_run_id else None

    def opened(self, step: str, run_id: str, upstream_run_id: str | None = None) -> None:
        """Remember the run of a step."""
        self._kept["open"][step] = {"run": run_id, "upstream": upstream_run_id}
        self._write()

    def closed(self, step: str) -> None:
        """The run of a step has ended as it should."""
        self._kept["open"].pop(step, None)
        self._write()

    def done(self, step: str) -> dict[str, Any] | None:
        """What a finished step has left; None where it is still to be done, or was done too long ago."""
        found: dict[str, Any] | None = self._kept["done"].get(step)
        if found is None or time.time() - found["at"] > STALE_SECONDS:
            return None
        return dict(found["left"])

    def remember(self, step: str, left: Mapping[str, Any]) -> None:
        """A step is done."""
        self._kept["done"][step] = {"at": time.time(), "left": dict(left)}
        self._write()

    def trains_on(self, digest: str) -> bool:
        """Whether a training that was begun goes on; with other data it is forgotten."""
        before = self._kept["done"].get(DATA)
        if before is not None and before["left"]["digest"] == digest:
            return True
        self.training.unlink(missing_ok=True)
        self.curves.unlink(missing_ok=True)
        self._kept["open"].pop("train", None)
        self.remember(DATA, {"digest": digest})
        return before is None

    def clear(self) -> None:
        """The whole job is done: another one may begin here."""
        for name in (TRAINING, CURVES, FILE):
            (self.folder / name).unlink(missing_ok=True)
