"""The pretrain step: a network from scratch on synthetic worlds, for hours or days, on one process or many.

All of it is one run, however often the job is interrupted: the folder of the state knows which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from forecasting.errors import StepError
from models.distributed.ranks import Ranks
from models.inference.checkpoint import CARD, WEIGHTS
from models.settings import PretrainSettings
from models.training.decay import cut, first_step
from models.training.module import NotANumberError
from models.training.pretrain import first_weights, pretrain, steps_done
from pipelines.runtime.files.artifacts import file_digest
from pipelines.runtime.jobs.state import JobState
from pipelines.runtime.registry.weights import WEIGHTS_TAG
from pipelines.runtime.step.context import Context
from pipelines.train.curves import Recorder, record_curves


class PretrainJob(NamedTuple):
    """What is sent to every process."""

    recipe: PretrainSettings
    folder: Path
    device: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class PretrainResult:
    """Result of the step: its run, the checkpoint's folder, steps before and in total, the last scalars."""

    run_id: str
    folder: Path
    checkpoint_step: int
    steps: int
    scalars: Mapping[str, float]


def run_pretrain(context: Context) -> PretrainResult:
    """Train the recipe's network from scratch, or continue from the saved state, and record the run.

    Raises
    ------
    CheckpointError
        If the folder holds another recipe's state, or one that cannot be read or written.
    StepError
        If the loss is not finite; the last state is kept.
    StopRequestedError
        If the process is asked to stop; the state is kept.
    """
    state, recipe = context.state, context.settings.pretrain
    if state is None:
        raise ValueError("a pretraining needs a state")
    settings = context.settings
    job = PretrainJob(recipe, state.folder, settings.forecast.device, 60 * settings.cluster.state_minutes)
    done = steps_done(recipe, job.folder)
    if done:
        context.tell(f"continuing {job.folder} at step {done} of {recipe.training.steps}")
    with context.step("pretrain") as (run, folder):
        with record_curves(
            run, steps=recipe.training.steps, console=context.console, first=done, file=state.curves
        ) as recorder:

            def here(job: PretrainJob, ranks: Ranks) -> None:
                _pretrain(job, ranks, recorder)

            try:
                context.ranks.call(_elsewhere, job, here)
            except NotANumberError as error:
                raise StepError(
                    f"the loss at step {recorder.last_step + 1} is not a number ({error}): training has "
                    f"stopped, {job.folder} keeps the last good state"
                ) from error
        context.write(run, folder, {"training": recorder.curves})
        processes = str(context.ranks.world_size)
        run.set_tags({WEIGHTS_TAG: file_digest(job.folder / WEIGHTS), "overspill.processes": processes})
        run.log_model(job.folder)
        run.describe(f"Pretraining of {recipe.training.steps} steps on synthetic worlds. Card: {CARD}.")
    return PretrainResult(
        run_id=run.run_id,
        folder=job.folder,
        checkpoint_step=done,
        steps=recipe.training.steps,
        scalars=recorder.last_scalars,
    )


def _pretrain(job: PretrainJob, ranks: Ranks, recorder: Recorder | None) -> None:
    pretrain(
        job.recipe,
        job.folder,
        device=job.device,
        ranks=ranks,
        progress=recorder,
        before=None if recorder is None else recorder.keep,
        seconds=job.seconds,
    )


def _elsewhere(job: PretrainJob, ranks: Ranks) -> None:
    """The part of every process but the first: it prints nothing, failures that all share included."""
    try:
        _pretrain(job, ranks, None)
    except NotANumberError as error:
        raise SystemExit(1) from error


def cut_weights(context: Context, folder: Path, *, steps: int, decays: int) -> Path:
    """Folder of decayed weights from the training in a folder, which may go on meanwhile.

    Raises
    ------
    CheckpointError
        If there is no such training, or one of another recipe.
    StepError
        If the loss is not finite.
    StopRequestedError
        If the process is asked to stop; started again, it goes on.
    """
    recipe = context.settings.pretrain
    context.tell(f"cutting weights at step {steps_done(recipe, folder)}: {decays} x {steps} steps")
    device = context.settings.forecast.device
    try:
        return cut(recipe, folder, steps=steps, decays=decays, device=device)
    except NotANumberError as error:
        raise StepError(f"a loss is not a number ({error}): no weights were cut") from error


def state_of_cuts(folder: Path, recipe: PretrainSettings) -> JobState:
    """State of the cutting in a training's folder, apart from the training's own.

    Raises
    ------
    CheckpointError
        The folder holds no training of this recipe.
    """
    first_step(recipe, folder)
    return JobState(folder / "cuts", about={"command": "pretrain --cut"})


def state_of(folder: Path, recipe: PretrainSettings) -> JobState:
    """State of the pretraining in a folder.

    Raises
    ------
    CheckpointError
        The folder holds a run of another recipe, or the weights to begin from cannot be used.
    """
    done = steps_done(recipe, folder)  # which knows the recipe of the state
    if recipe.init and not done:
        first_weights(recipe)  # which must be there before anything is begun
    return JobState(folder, about={"command": "pretrain"})
