"""Rolling validation while training: the averaged weights are scored every few steps, the best are kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from models.distributed.signals import STOP
from models.errors import ModelError
from models.network.losses import Losses
from models.network.transformer import Network
from models.settings import TrainingSettings
from models.training.module import ForecasterModule, NotANumberError, batch_losses, numbers_alone, total_loss
from models.training.observed_series import on_device
from models.worlds.mixture import Batch

Scalars: TypeAlias = Mapping[str, float]
Progress: TypeAlias = Callable[[int, Scalars], None]
Weights: TypeAlias = dict[str, Tensor]
# Sampled paths per item in the path loss of a validation.
PATHS = 64
# Attributes of KeepBest that are part of a training's state.
KEPT = ("weights", "start", "best", "best_step", "steps", "stopped", "_checked", "_misses")
ALL_STEPS, NO_BETTER, NOT_A_NUMBER = "all steps", "no better", "not a number"


class KeepBest(Callback):
    """Validates the averaged weights every few steps, keeps the best, and stops when none get better.

    Of several processes the first validates. What was kept is part of the training's state. Lightning's
    `EarlyStopping` and `ModelCheckpoint` lack the weights to start from as a first candidate, and keep the
    best in a file rather than in the state.

    Attributes
    ----------
    weights : dict of str to Tensor
        The best so far, on the CPU.
    start, best : mapping
        Scalars of the validation before the first step, and of the best weights.
    best_step, steps : int
        Step of the best weights, and the number of steps done.
    stopped : str
        `ALL_STEPS` or `NO_BETTER`.
    """

    def __init__(
        self,
        validation: Sequence[Batch],
        *,
        check_every: int,
        patience: int | None,
        progress: Progress | None,
    ) -> None:
        self._validation, self._progress = validation, progress
        self._check_every, self._patience = check_every, patience
        self._checked, self._misses = -1, 0
        self.start: Scalars = {}
        self.best: Scalars = {}
        self.best_step, self.steps = 0, 0
        self.weights: Weights = {}
        self.stopped = ALL_STEPS

    def state_dict(self) -> dict[str, Any]:
        """What a later process needs to go on."""
        return {name: getattr(self, name) for name in KEPT}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what an earlier process kept."""
        for name in KEPT:
            setattr(self, name, state_dict[name])

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Validate the start, which is the best so far; a training that had ended early ends again."""
        if not self.weights:
            self._check(trainer, pl_module)
        trainer.should_stop = self.stopped == NO_BETTER

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: object
    ) -> None:
        """Count the step, tell its scalars, and validate when it is time."""
        self.steps = trainer.global_step
        self._tell({name: float(value) for name, value in trainer.callback_metrics.items()})
        if self.steps % self._check_every == 0:
            self._check(trainer, pl_module)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Validate the last weights, unless the training stops to be gone on with."""
        if self._checked < self.steps and STOP.received is None:
            self._check(trainer, pl_module)

    def _check(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if not isinstance(module, ForecasterModule):
            raise TypeError(f"KeepBest belongs to a ForecasterModule, found {type(module).__name__}")
        self._checked = self.steps
        scalars: Scalars | None = None
        if trainer.is_global_zero:
            with suppress(NotANumberError):
                scalars = validate(module.average, self._validation, module.settings.training)
        scalars = trainer.strategy.broadcast(scalars)
        if scalars is None and not self.weights:
            raise ModelError("the network to start from gives a validation loss that is not a number")
        if scalars is None:
            raise NotANumberError
        self._tell(scalars)
        if not self.best or scalars["validation/loss"] < self.best["validation/loss"]:
            self.start = self.start or scalars
            self.best, self.best_step, self._misses = scalars, self.steps, 0
            self.weights = {
                name: value.detach().cpu().clone() for name, value in module.average.state_dict().items()
            }
            return
        self._misses += 1
        if self._misses == self._patience:
            self.stopped = NO_BETTER
            trainer.should_stop = True

    def _tell(self, scalars: Scalars) -> None:
        if self._progress is not None:
            self._progress(self.steps, scalars)


@torch.no_grad()
def validate(network: Network, batches: Sequence[Batch], training: TrainingSettings) -> Scalars:
    """Parts of the loss per observed target over all batches, and their sum weighed as in training.

    The paths of the path loss are the same at every call.

    Raises
    ------
    NotANumberError
        One of them is not finite.
    """
    levels, device = network.head.levels, network.head.levels.device
    generator = torch.Generator(device).manual_seed(0)
    total, count = Losses(*torch.zeros(len(Losses._fields), device=device)), 0
    for batch in batches:
        with numbers_alone():
            parts = batch_losses(
                network, on_device(batch, device), levels=levels, paths=PATHS, generator=generator
            )
        targets = int(batch.observed[..., -batch.horizon :].sum())
        total = Losses(*(kept + part * targets for kept, part in zip(total, parts, strict=True)))
        count += targets
    mean = Losses(*(part / count for part in total))
    scalars = {f"validation/{name}_loss": float(part) for name, part in mean._asdict().items()}
    scalars["validation/loss"] = float(total_loss(mean, training))
    if not all(math.isfinite(value) for value in scalars.values()):
        raise NotANumberError
    return scalars
