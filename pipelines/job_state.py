"""What a job has done so far, in a folder that outlives the process: an interrupted job goes on from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forecasting.errors import InputError, StepError

FILE = "job.json"
TRAINING = "train.ckpt"


class JobState:
    """Runs that are open, and steps that are done.

    Parameters
    ----------
    folder : Path
        Made where it does not exist. One job at a time may use it.
    about : str
        What the job is: a state of another one is refused.

    Raises
    ------
    InputError
        The folder holds the state of another job, or one that cannot be read.
    StepError
        The folder cannot be written.
    """

    def __init__(self, folder: Path, *, about: str) -> None:
        self.folder = folder
        fresh = {"about": hashlib.sha256(about.encode()).hexdigest(), "open": {}, "done": {}}
        self._kept: dict[str, Any] = self._read() or fresh
        if self._kept["about"] != fresh["about"]:
            raise InputError(
                "the folder holds the state of a job with other settings",
                expected="the settings that it was begun with, or another folder",
                where=str(folder),
            )
        self._write()

    def _read(self) -> dict[str, Any] | None:
        path = self.folder / FILE
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                "the state of the job cannot be read", found=str(error), where=str(path)
            ) from error
        if not isinstance(kept, dict) or set(kept) != {"about", "open", "done"}:
            raise InputError("the file is not the state of a job", where=str(path))
        return kept

    def _write(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = self.folder / f"{FILE}.partial"
            partial.write_text(json.dumps(self._kept, indent=2, default=str) + "\n", encoding="utf-8")
            partial.replace(self.folder / FILE)
        except OSError as error:
            raise StepError(
                f"{self.folder}: the state of the job cannot be written: {error.strerror}"
            ) from error

    @property
    def begun(self) -> bool:
        """Whether an earlier process has left something to go on from."""
        return bool(self._kept["open"] or self._kept["done"])

    @property
    def training(self) -> Path:
        """File of the training's state."""
        return self.folder / TRAINING

    def open_run(self, step: str) -> str | None:
        """Run of a step that an earlier process did not bring to its end."""
        found: str | None = self._kept["open"].get(step)
        return found

    def opened(self, step: str, run_id: str) -> None:
        """Remember the run of a step."""
        self._kept["open"][step] = run_id
        self._write()

    def closed(self, step: str) -> None:
        """The run of a step has ended as it should."""
        self._kept["open"].pop(step, None)
        self._write()

    def done(self, step: str) -> dict[str, Any] | None:
        """What a finished step has left, as it was remembered; None where it is still to be done."""
        found: dict[str, Any] | None = self._kept["done"].get(step)
        return found

    def remember(self, step: str, left: Mapping[str, Any]) -> None:
        """A step is done."""
        self._kept["done"][step] = dict(left)
        self._write()

    def clear(self) -> None:
        """The whole job is done: another one may begin here."""
        for name in (TRAINING, FILE):
            (self.folder / name).unlink(missing_ok=True)
