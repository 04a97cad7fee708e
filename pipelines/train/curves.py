"""Where the scalars of a training go: curves of the run, a progress bar, a table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.progress import Progress

from pipelines.runtime.tracking import StepRun

CURVE_POINTS = 1000  # steps of a curve at most; validations are always recorded
POINTS_PER_CALL = 500
SECONDS_BETWEEN_LINES = 60.0
LOSS, TRAIN_LOSS = "validation/loss", "train/loss"


class Recorder:
    """Takes scalars by name after every step.

    Parameters
    ----------
    run : StepRun
        Receives them during training, about a hundred at a time.
    steps : int
        Steps of the whole training.
    bar : Progress
        Where it is not drawn, a line is printed now and then, as a job's log wants it.
    first : int
        Steps that an earlier process has done.
    file : Path, optional
        Stores what was reported, so that a later process has the whole curves.

    Attributes
    ----------
    last_step : int
        The newest step that was reported.
    last_scalars : mapping
        Its scalars.
    """

    def __init__(
        self, run: StepRun, *, steps: int, bar: Progress, first: int = 0, file: Path | None = None
    ) -> None:
        self._run, self._bar, self._file = run, bar, file
        self._every = -(-steps // CURVE_POINTS)
        self._task = bar.add_task("training", total=steps, completed=first)
        self.last_step = first
        self.last_scalars: Mapping[str, float] = {}
        self._steps, self._printed_at, self._printed_step = steps, -SECONDS_BETWEEN_LINES, first
        self._points: dict[tuple[str, int], float] = {}
        if file is not None and file.exists():
            logged = pl.read_parquet(file).filter(pl.col("step") <= first)
            self._points = {(name, step): value for step, name, value in logged.iter_rows()}
        self._sent = len(self._points)

    def __call__(self, step: int, scalars: Mapping[str, float]) -> None:
        """Record what is due and move the bar."""
        self.last_step, self.last_scalars = step, scalars
        if LOSS in scalars:
            self._bar.update(self._task, description=f"training, validation loss {scalars[LOSS]:.3f}")
        if LOSS in scalars or step % self._every == 0:
            self._points |= {(name, step): value for name, value in scalars.items()}
        self._bar.update(self._task, completed=step)
        if self._bar.disable and LOSS not in scalars:
            self._tell(step, scalars)
        if len(self._points) - self._sent >= POINTS_PER_CALL:
            self.flush()

    def _tell(self, step: int, scalars: Mapping[str, float]) -> None:
        now = time.monotonic()
        elapsed = now - self._printed_at
        if elapsed < SECONDS_BETWEEN_LINES:
            return
        speed = "" if self._printed_at < 0 else f", {(step - self._printed_step) / elapsed:.1f} steps/s"
        loss = f", loss {scalars[TRAIN_LOSS]:.3f}" if TRAIN_LOSS in scalars else ""
        self._bar.console.print(f"training: step {step} of {self._steps}{loss}{speed}", highlight=False)
        self._printed_at, self._printed_step = now, step

    def flush(self) -> None:
        """Send what has not been sent."""
        points = list(self._points.items())[self._sent :]
        self._run.log_points((name, step, value) for (name, step), value in points)
        self._sent += len(points)

    def keep(self) -> None:
        """Send what has not been sent, and write all of it to disk before the state is saved."""
        self.flush()
        if self._file is not None:
            partial = self._file.with_name(f"{self._file.name}.partial")
            self.curves.write_parquet(partial)
            partial.replace(self._file)

    @property
    def curves(self) -> pl.DataFrame:
        """All scalars: step, name, value."""
        return pl.DataFrame(
            [(step, name, value) for (name, step), value in self._points.items()],
            schema={"step": pl.Int64, "name": pl.String, "value": pl.Float64},
            orient="row",
        )


@contextmanager
def record_curves(
    run: StepRun, *, steps: int, console: Console, first: int = 0, file: Path | None = None
) -> Iterator[Recorder]:
    """A recorder, with a bar that vanishes at the end and is not drawn without a terminal."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        recorder = Recorder(run, steps=steps, bar=bar, first=first, file=file)
        try:
            yield recorder
        finally:
            recorder.flush()
