"""The train step: the network fine-tuned on an etl run's panel, tested against the champion, registered.

What the test looks at, the last origins of the backtest, the training never sees: it reads the panel as it
was known on the first of these days.
"""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import torch

from forecasting.errors import InputError, StepError
from models.distributed.ranks import Ranks
from models.errors import SeriesError
from models.inference.checkpoint import WEIGHTS, save_checkpoint
from models.inference.forecaster import NetworkForecaster
from models.network.transformer import Network
from models.settings import PretrainSettings
from models.training.checkpointing import CheckpointSettings, checkpoint_step
from models.training.finetune import FineTuned, FineTuneSettings, finetune
from models.training.observed_series import ObservedSeries
from models.training.validation import NO_BETTER, NOT_A_NUMBER, Progress
from pipelines.backtest.origins import backtest_origins
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.files.artifacts import file_digest
from pipelines.runtime.registry.promotion import Verdict
from pipelines.runtime.registry.registry import Registry, Version
from pipelines.runtime.registry.weights import TRAINED_UNTIL, Weights, folder_weights, shipped_weights
from pipelines.runtime.step.context import Context
from pipelines.runtime.step.inputs import Input, read_panel
from pipelines.runtime.step.selection import input_run
from pipelines.runtime.tracking import StepRun
from pipelines.train.comparison import ModelComparison
from pipelines.train.curves import record_curves
from pipelines.train.training_series import observed_series


class FineTuneJob(NamedTuple):
    """What is sent to every process of a training."""

    observed: ObservedSeries
    settings: FineTuneSettings
    start: Network | None
    recipe: PretrainSettings
    device: str
    kept: CheckpointSettings


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """Result of the step.

    Attributes
    ----------
    run_id, version : str
        The run, and the label of the version that it registered.
    verdict : Verdict
    leaderboard : DataFrame
        Mean scores of candidate and incumbent on the same forecasts.
    validation : mapping
        Loss before the first step and at the best one, the best step (0: none was better), the steps done.
    messages : sequence of str
        How training ended and what was decided, in sentences.
    """

    run_id: str
    version: str
    verdict: Verdict
    leaderboard: pl.DataFrame
    validation: Mapping[str, float]
    messages: Sequence[str]

    def figures(self) -> dict[str, str | float]:
        """The outcome for machines."""
        return {"run": self.run_id, "version": self.version, **self.verdict.figures()}


def run_train(context: Context, etl_run_id: str | None = None) -> TrainResult:
    """Train on an etl run's panel, test against the champion, register, and promote if it is better.

    Raises
    ------
    InputError
        If the run, its panel, the weights to start from or the device is not in order, the history is too
        short, or the champion has seen everything that it could be tested on.
    StepError
        If the device runs out of memory with a single window per batch.
    """
    settings, tracker = context.settings, context.tracker
    read = read_panel(tracker, input_run(context, "etl", etl_run_id), settings)
    registry = Registry(tracker)
    origins = backtest_origins(read.table, settings)[-settings.train.test_origins :]
    comparison = ModelComparison(origins, settings, registry=registry, tell=context.tell)
    comparison.incumbent(registry.champion())  # what cannot be tested is rejected before training
    start = _start(settings, comparison)
    observed = observed_series(
        read.table,
        comparison.first_day,
        frequency=settings.data.panel_frequency,
        horizon=settings.forecast.horizon,
    )
    if context.state is not None and not context.state.trains_on(read.digest):
        context.tell("the panel has changed since the interruption: training starts over")
    with (
        context.step("train", upstream_run_id=read.run_id) as (run, folder),
        tempfile.TemporaryDirectory(prefix="overspill-checkpoint-") as temporary,
    ):
        read.log(run)
        tuned, curves = _train(context, run, observed, start)
        card = _card(tuned, start, comparison, read)
        save_checkpoint(Path(temporary), tuned.network, card)
        version = _registered(context, registry, run, Path(temporary), _tags(card))
        verdict = registry.settle(version, comparison.judge)
        leaderboard = comparison.leaderboard(verdict.incumbent)
        messages = [_outcome(tuned), f"{version.label} is {verdict.sentence}"]
        context.write(
            run, folder, {"training": curves, "scores": comparison.scores, "leaderboard": leaderboard}
        )
        run.set_tags({**_tags(card), **verdict.tags(), "overspill.model_version": version.number})
        run.log_metrics({"skill": verdict.skill, **_validation(tuned)})
        run.describe("\n\n".join(messages))
        if context.out is not None:
            save_checkpoint(context.out / "checkpoint", tuned.network, card)
    return TrainResult(
        run_id=run.run_id,
        version=version.label,
        verdict=verdict,
        leaderboard=leaderboard,
        validation=_validation(tuned),
        messages=messages,
    )


def _registered(
    context: Context, registry: Registry, run: StepRun, checkpoint: Path, tags: Mapping[str, str]
) -> Version:
    """The checkpoint as a new version, or as the one that an interrupted process registered."""
    state, digest = context.state, file_digest(checkpoint / WEIGHTS)
    left = None if state is None else state.done("version")
    if left is not None and (left["run"], left["digest"]) == (run.run_id, digest):
        return registry.version(left["number"])
    version = registry.register(run, checkpoint, tags)
    if state is not None:
        state.remember("version", {"run": run.run_id, "digest": digest, "number": version.number})
    return version


def _start(settings: Settings, comparison: ModelComparison) -> Weights | None:
    """Weights to start from: the folder's if one is given, else the package's; None from scratch."""
    if settings.train.from_scratch:
        return None
    forecast = settings.forecast
    if forecast.checkpoint is None:
        return shipped_weights(forecast.device)
    start = folder_weights(forecast.checkpoint, device=forecast.device)
    if start.trained_until is not None and start.trained_until > comparison.first_day:
        raise InputError(
            "the weights to start from have seen days of the test",
            expected=f"trained on what was known by {comparison.first_day}",
            found=f"by {start.trained_until}",
            where=str(forecast.checkpoint),
        )
    return start


def _train(
    context: Context, run: StepRun, observed: ObservedSeries, start: Weights | None
) -> tuple[FineTuned, pl.DataFrame]:
    """Train with progress on the terminal and scalars in the run; returns these too."""
    train, forecast = context.settings.train, context.settings.forecast
    recipe = train.scratch if train.from_scratch else train.fine_tuning
    chosen = FineTuneSettings(
        **recipe.model_dump(),
        windows=train.windows,
        origins=train.validation_origins,
        seed=context.settings.seed,
    )
    state = context.state
    job = FineTuneJob(
        observed=observed,
        settings=chosen,
        start=None if start is None else copy.deepcopy(start.network.network).cpu(),
        recipe=context.settings.pretrain,
        device=forecast.device,
        kept=CheckpointSettings(
            path=None if state is None else state.training,
            seconds=60 * context.settings.cluster.state_minutes,
        ),
    )
    done = checkpoint_step(job.kept.path, Ranks())
    file = None if state is None else state.curves
    with record_curves(run, steps=chosen.steps, console=context.console, first=done, file=file) as recorder:

        def here(job: FineTuneJob, ranks: Ranks) -> FineTuned | None:
            kept = job.kept._replace(before=recorder.keep)
            return _tuned(job._replace(kept=kept), ranks, recorder)

        try:
            tuned = context.ranks.call(_tuned_elsewhere, job, here)[0]
        except SeriesError as error:
            raise InputError(str(error), where="panel, as known on the first day of the test") from error
        except torch.OutOfMemoryError as error:
            raise StepError("the device runs out of memory with a single window per batch") from error
    if tuned is None:
        raise AssertionError
    return tuned, recorder.curves


def _tuned(job: FineTuneJob, ranks: Ranks, progress: Progress | None) -> FineTuned:
    return finetune(
        job.observed,
        job.settings,
        start=job.start,
        recipe=job.recipe,
        device=job.device,
        progress=progress,
        ranks=ranks,
        kept=job.kept,
    )


def _tuned_elsewhere(job: FineTuneJob, ranks: Ranks) -> FineTuned | None:
    """The part of every process but the first: its weights are the same, and it does not return them."""
    _tuned(job, ranks, None)
    return None


def _card(
    tuned: FineTuned, start: Weights | None, comparison: ModelComparison, read: Input
) -> dict[str, Any]:
    """Card of the new checkpoint, once the candidate has been scored."""
    known = {
        **tuned.card,
        "data": f"panel of etl run {read.run_id}, and synthetic worlds",
        "panel_sha256": read.digest,
        "start": "random weights" if start is None else start.label,
        TRAINED_UNTIL: str(comparison.first_day),
    }
    device = next(tuned.network.parameters()).device
    scores = comparison.enter(NetworkForecaster(network=tuned.network, card=known, device=device))
    return {**known, "scores": {**_validation(tuned), **scores}}


def _tags(card: Mapping[str, Any]) -> dict[str, str]:
    """What is recorded of the candidate on the run and on the version."""
    return {
        "overspill.trained_until": card[TRAINED_UNTIL],
        "overspill.start": card["start"],
        "overspill.sha256.panel": card["panel_sha256"],
        "overspill.card": json.dumps(card),
    }


def _validation(tuned: FineTuned) -> dict[str, float]:
    return {
        "validation/loss_at_start": tuned.start["validation/loss"],
        "validation/loss_at_best": tuned.best["validation/loss"],
        "best_step": tuned.best_step,
        "steps": tuned.steps,
    }


def _outcome(tuned: FineTuned) -> str:
    """How training ended, in one sentence."""
    ends = {
        NO_BETTER: f"stopped early after {tuned.steps} steps",
        NOT_A_NUMBER: f"stopped at step {tuned.steps + 1}, whose loss is not a number",
    }
    end = ends.get(tuned.stopped, f"{tuned.steps} steps")
    if not tuned.improved:
        return f"Training: {end}; no step improved on the start, whose weights are kept."
    before, best = tuned.start["validation/loss"], tuned.best["validation/loss"]
    kept = f"the weights of step {tuned.best_step} are kept"
    return f"Training: {end}; {kept}, validation loss {before:.3f} to {best:.3f}."
