"""Fine-tuning on observed series: few small steps, some worlds among them, the best weights of a validation.

Without a network to start from, the same run trains one from scratch.
"""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import torch

from models.distributed.ranks import Ranks
from models.distributed.signals import STOP
from models.hardware.device import choose_device, describe
from models.network.transformer import Network
from models.settings import NetworkSettings, PretrainSettings
from models.training.checkpointing import CheckpointSettings, StateCheckpoint, checkpoint_step, stop_together
from models.training.module import ForecasterModule, NotANumberError, Stream, weights_digest
from models.training.observed_series import (
    ObservedSeries,
    TrainingWindows,
    check_observed,
    held_out_steps,
    rolling_validation,
)
from models.training.pretrain import recipe_card
from models.training.trainer import lightning_trainer, quiet
from models.training.validation import NOT_A_NUMBER, KeepBest, Progress, Scalars
from models.worlds.mixture import Batch, WorldStream

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FineTuneSettings:
    """Recipe of one fine-tuning run.

    Attributes
    ----------
    steps, warmup_steps : int
        Optimiser steps at most, and those over which the learning rate rises; then a cosine to zero.
    learning_rate : float
        Peak rate; a fraction of the one in pretraining.
    windows : int
        Observed windows per batch.
    worlds_share : float
        Share of batches that are synthetic worlds, in [0, 1), so that the network does not forget.
    origins : int
        Origins of the rolling validation.
    check_every : int
        Steps between two validations.
    patience : int, optional
        Validations without a better one after which training stops; None for never.
    seed : int
        Every batch derives from it, and the first weights where there is no network to start from.
    """

    steps: int
    warmup_steps: int
    learning_rate: float
    windows: int
    worlds_share: float
    origins: int
    check_every: int
    patience: int | None
    seed: int


@dataclass(frozen=True, kw_only=True)
class FineTuned:
    """What a fine-tuning run leaves.

    Attributes
    ----------
    network : Network
        Weights with the best validation, in evaluation mode on the device; the start itself if no step
        improved on it.
    card : dict
        Recipe, as for a checkpoint.
    start, best : mapping
        Scalars of the validation before the first step, and at the best one.
    best_step, steps : int
        The step of the best weights, 0 for the start, and the number of steps done.
    stopped : str
        `ALL_STEPS`, `NO_BETTER` (early), or `NOT_A_NUMBER` (the loss at step `steps` + 1 was not finite).
    """

    network: Network
    card: dict[str, Any]
    start: Scalars
    best: Scalars
    best_step: int
    steps: int
    stopped: str

    @property
    def improved(self) -> bool:
        """Whether any step was better than the start."""
        return self.best_step > 0


class MixedStream:
    """Observed windows and worlds by turns, the worlds evenly spread by their share."""

    def __init__(self, windows: Stream, worlds: Stream, *, worlds_share: float) -> None:
        self._windows, self._worlds, self._share = windows, worlds, worlds_share

    def batch(self, number: int, device: torch.device) -> Batch:
        """Batch of the given number, on the device."""
        done, after = (math.floor(count * self._share) for count in (number, number + 1))
        if after > done:
            return self._worlds.batch(done, device)
        return self._windows.batch(number - done, device)


def finetune(
    observed: ObservedSeries,
    settings: FineTuneSettings,
    *,
    start: Network | None,
    recipe: PretrainSettings,
    device: str = "auto",
    progress: Progress | None = None,
    ranks: Ranks | None = None,
    kept: CheckpointSettings | None = None,
) -> FineTuned:
    """Train on observed series mixed with worlds, and keep the best weights of a rolling validation.

    The last steps of the history are held out, never trained on, and forecast from several origins. Where
    the device runs out of memory, training starts again with half as many windows per batch, and a warning is
    logged. The same seed gives the same weights on the CPU.

    Parameters
    ----------
    observed : ObservedSeries
    settings : FineTuneSettings
    start : Network, optional
        Is left as it is; None trains a new network of the recipe's shape.
    recipe : PretrainSettings
        Worlds and weights of the losses; the shape of a new network.
    device : str
        As `models.hardware.device.choose_device` takes it.
    progress : callable, optional
        Called with the number of steps done and scalars by name, after every step and every validation.
    ranks : Ranks, optional
        The processes that train together, each of which calls this with the same arguments; every batch is
        shared among them.
    kept : CheckpointSettings, optional
        Where the state of the training is kept; where it is there, training goes on from it.

    Raises
    ------
    DeviceError, SeriesError
        The device is not there; the series cannot be learned from, or are too short.
    CheckpointError
        The state cannot be read.
    StopRequestedError
        The process was asked to stop; the state is kept.
    torch.OutOfMemoryError
        A single window per batch does not fit, or several processes train.
    """
    chosen, ranks = choose_device(device), ranks or Ranks()
    while True:
        try:
            return _run(
                observed,
                settings,
                start,
                recipe,
                _Place(chosen, ranks, kept or CheckpointSettings(), progress),
            )
        except torch.OutOfMemoryError:
            if settings.windows == 1 or ranks.world_size > 1:
                raise
        if kept is not None and kept.path is not None:
            kept.path.unlink(missing_ok=True)  # of the windows that did not fit
        settings = replace(settings, windows=settings.windows // 2)
        worlds = replace(recipe.worlds, series_per_batch=max(1, recipe.worlds.series_per_batch // 2))
        recipe = replace(recipe, worlds=worlds)
        logger.warning(
            "out of memory while training: starting again with %d windows per batch", settings.windows
        )


class _Place(NamedTuple):
    """Where a run takes place, and what it tells and leaves there."""

    device: torch.device
    ranks: Ranks
    kept: CheckpointSettings
    progress: Progress | None


def _run(
    observed: ObservedSeries,
    settings: FineTuneSettings,
    start: Network | None,
    recipe: PretrainSettings,
    place: _Place,
) -> FineTuned:
    shape = recipe.network if start is None else start.settings
    check_observed(observed, longest=shape.max_horizon)
    held_out = held_out_steps(observed, origins=settings.origins)
    device, ranks = place.device, place.ranks
    share = {"rank": ranks.rank, "processes": ranks.world_size}
    windows = TrainingWindows(
        observed, held_out=held_out, size=settings.windows, seed=settings.seed, network=shape, **share
    )
    validation = rolling_validation(observed, held_out=held_out, origins=settings.origins, network=shape)
    worlds = WorldStream(recipe.worlds, shape, seed=settings.seed, **share)
    training = replace(
        recipe.training,
        steps=settings.steps,
        warmup_steps=settings.warmup_steps,
        schedule="cosine",
        decay_from=None,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
    )
    module = ForecasterModule(
        replace(recipe, network=shape, training=training),
        network=_first(start, shape, seed=settings.seed),
        stream=MixedStream(windows, worlds, worlds_share=settings.worlds_share),
        ranks=ranks,
    )
    keeper = KeepBest(
        validation, check_every=settings.check_every, patience=settings.patience, progress=place.progress
    )
    stopped = _fit(module, keeper, place)
    network = Network(shape)
    network.load_state_dict(keeper.weights)
    card = {**recipe_card(module, keeper.steps), "device": describe(device), "fine_tuning": asdict(settings)}
    return FineTuned(
        network=network.to(device).eval(),
        card=card,
        start=keeper.start,
        best=keeper.best,
        best_step=keeper.best_step,
        steps=keeper.steps,
        stopped=stopped,
    )


def _fit(module: ForecasterModule, keeper: KeepBest, place: _Place) -> str:
    """Train to the end, or from where the state is; returns why it ended."""
    state = StateCheckpoint(place.kept, ranks=place.ranks)
    begun = checkpoint_step(place.kept.path, place.ranks) > 0
    with quiet(), STOP.deferred():
        trainer = lightning_trainer(
            module.settings.training, place.device, [keeper, state], ranks=place.ranks
        )
        try:
            trainer.fit(module, ckpt_path=place.kept.path if begun else None, weights_only=True)
        except NotANumberError as error:
            step = keeper.steps + 1
            logger.warning("the loss at step %d is not a number (%s): training stops", step, error)
            return NOT_A_NUMBER
        stop_together(place.ranks)
    weights_digest(module, place.ranks)
    return keeper.stopped


def _first(start: Network | None, shape: NetworkSettings, *, seed: int) -> Network:
    """A copy of the network to start from, or a new one with weights drawn by the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(shape)
    if start is not None:
        network.load_state_dict(start.state_dict())
    return network
