"""Training of the network with Lightning: worlds on the device, losses by name, averaged weights, throughput.

Shapes: B items, V variates, L context steps, H horizon steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, IterableDataset

from models.device import describe, peak_flops
from models.features import Inputs
from models.losses import Losses, losses
from models.network import Network, count_parameters, flops_per_window
from models.optimizer import MuonAdamW
from models.settings import PretrainSettings, TrainingSettings
from models.worlds.mixture import Batch, WorldStream

# Parts the seeds of the sampled paths from those of the worlds.
PATH_SEEDS = 7_000_003


class BatchNumbers(IterableDataset[int]):
    """Numbers of the batches of one process: first + rank, first + rank + world_size, ..."""

    def __init__(self, *, first: int, rank: int, world_size: int) -> None:
        self._first, self._rank, self._world_size = first, rank, world_size

    def __iter__(self) -> Iterator[int]:
        number = self._first * self._world_size + self._rank
        while True:
            yield number
            number += self._world_size


class Stream(Protocol):
    """Training batches by number: the same number gives the same batch, in any order of asking."""

    def batch(self, number: int, device: torch.device) -> Batch:
        """Batch of the given number, on the device."""
        ...


class Trainer(lightning.LightningModule):
    """One training step is one batch of a stream, made on the training device.

    Parameters
    ----------
    settings : PretrainSettings
    network : Network, optional
        What is trained; by default a new one of the settings' shape.
    stream : Stream, optional
        What it is trained on; by default the settings' worlds.
    """

    def __init__(
        self, settings: PretrainSettings, *, network: Network | None = None, stream: Stream | None = None
    ) -> None:
        super().__init__()
        self.settings = settings
        self.network = network or Network(settings.network)
        self.average = Network(settings.network).requires_grad_(requires_grad=False)
        self.average.load_state_dict(self.network.state_dict())
        self.stream = stream or WorldStream(settings.worlds, settings.network, seed=settings.training.seed)
        self._parameters_in_all = count_parameters(self.network)
        self._last_step_at = time.perf_counter()

    def train_dataloader(self) -> DataLoader[int]:
        """Batch numbers that go on where the last slice of training ended."""
        numbers = BatchNumbers(
            first=self.global_step, rank=self.global_rank, world_size=self.trainer.world_size
        )
        return DataLoader(numbers, batch_size=None)

    def training_step(self, number: int, _: int) -> Tensor:
        """Loss of the batch of the given number."""
        training = self.settings.training
        batch = self.stream.batch(number, self.device)
        generator = torch.Generator(self.device).manual_seed(training.seed * PATH_SEEDS + number)
        parts = batch_losses(
            self.network,
            batch,
            levels=self.network.head.levels,
            paths=training.paths_per_item,
            generator=generator,
        )
        loss = total_loss(parts, training)
        scalars = {f"train/{name}_loss": part.detach() for name, part in parts._asdict().items()}
        self.log_dict({**scalars, "train/loss": loss.detach(), **self._throughput(batch)}, prog_bar=True)
        return loss

    def on_train_batch_end(self, *_: object) -> None:
        """Move the averaged weights toward the new ones, faster in the first steps."""
        decay = min(self.settings.training.ema_decay, (1 + self.global_step) / (10 + self.global_step))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Muon and AdamW with linear warm-up and a cosine to zero."""
        training = self.settings.training
        optimizer = MuonAdamW(
            self.network, learning_rate=training.learning_rate, weight_decay=training.weight_decay
        )
        schedule = LambdaLR(
            optimizer, lambda step: rate(step, warmup=training.warmup_steps, steps=training.steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _throughput(self, batch: Batch) -> dict[str, float]:
        """Series windows per second since the last step, and model-FLOP utilisation of a known card."""
        now = time.perf_counter()
        elapsed, self._last_step_at = now - self._last_step_at, now
        windows = batch.values.shape[0] * batch.values.shape[1] / elapsed
        peak = peak_flops(describe(self.device))
        if peak is None:
            return {"train/windows_per_second": windows}
        context = batch.values.shape[-1] - batch.horizon
        cost = flops_per_window(
            self.settings.network, self._parameters_in_all, context=context, horizon=batch.horizon
        )
        return {"train/windows_per_second": windows, "train/model_flop_utilisation": windows * cost / peak}


def rate(step: int, *, warmup: int, steps: int) -> float:
    """Learning rate at a step as a share of its peak."""
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return 0.5 * (1 + math.cos(math.pi * done))


def total_loss(parts: Losses, training: TrainingSettings) -> Tensor:
    """The parts weighed as the recipe says, a scalar."""
    return (
        parts.quantile
        + training.tail_weight * parts.tail
        + training.copula_weight * parts.copula
        + training.path_weight * parts.path
    )


def batch_losses(
    network: Network, batch: Batch, *, levels: Tensor, paths: int, generator: torch.Generator
) -> Losses:
    """Losses of a network on one batch; values may be float64, the losses are float32."""
    context = batch.values.shape[-1] - batch.horizon
    inputs = Inputs(
        values=batch.values[..., :context],
        observed=batch.observed[..., :context],
        season=batch.season,
        covariates=batch.covariates,
        statics=batch.statics,
    )
    scaling, law = network(inputs)
    with torch.autocast(levels.device.type, enabled=False):
        target = scaling.view(batch.values[..., context:]).float()
        observed = batch.observed[..., context:]
        return losses(law, levels, target, observed, paths=paths, generator=generator)


def lightning_trainer(
    training: TrainingSettings,
    device: torch.device,
    callbacks: Sequence[Callback],
    *,
    devices: int | Literal["auto"],
    progress_bar: bool,
) -> lightning.Trainer:
    """Lightning's trainer for a recipe on the chosen kind of device, without a logger of its own."""
    return lightning.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1 if device.type == "cpu" else devices,
        precision="bf16-mixed" if training.bfloat16 else "32-true",
        max_steps=training.steps,
        gradient_clip_val=training.clip_norm,
        callbacks=list(callbacks),
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        enable_progress_bar=progress_bar,
        enable_model_summary=False,
        logger=False,
    )
