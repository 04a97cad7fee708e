"""Training of the network with Lightning: worlds on the device, losses by name, averaged weights, throughput.

Shapes: B items, V variates, L context steps, H horizon steps.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset

from models.distributed.ranks import Ranks
from models.errors import ClusterError
from models.hardware.device import describe, peak_flops
from models.network.features import Inputs
from models.network.losses import Losses, losses
from models.network.transformer import Network, count_parameters, flops_per_window
from models.settings import PretrainSettings, TrainingSettings
from models.training.optimizer import MuonAdamW
from models.worlds.mixture import RANK_SEEDS, Batch, WorldStream

# Parts the seeds of the sampled paths from those of the worlds.
PATH_SEEDS = 7_000_003


class BatchNumbers(IterableDataset[int]):
    """Numbers of the batches from a first one on; each process draws its own share of every batch."""

    def __init__(self, *, first: int) -> None:
        self._first = first

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self._first)


class NotANumberError(ArithmeticError):
    """A loss is not finite.

    Attributes
    ----------
    batches : sequence of (rank, number)
        Processes and batches whose loss it was; empty where only the gradient was not finite.
    """

    def __init__(self, batches: Sequence[tuple[int, int]] = ()) -> None:
        self.batches = batches
        places = ", ".join(f"batch {number} of process {rank}" for rank, number in batches)
        super().__init__(places or "the gradient")


@contextmanager
def numbers_alone() -> Iterator[None]:
    """Tell weights that are not finite by the factorisation that they break: the copula's comes first."""
    try:
        yield
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]  # its stub lacks the name
        raise NotANumberError from error


class Stream(Protocol):
    """Training batches by number: the same number gives the same batch, in any order of asking."""

    def batch(self, number: int, device: torch.device) -> Batch:
        """Batch of the given number, on the device."""
        ...


class ForecasterModule(lightning.LightningModule):
    """One training step is one batch of a stream, made on the training device.

    A loss that is not finite stops the training before it spoils the weights: every process sees it in the
    averaged gradient. The averaged weights are moved by torch's own function; its `AveragedModel` and
    Lightning's `WeightAveraging` lack an average that counts the weights to start from.

    Parameters
    ----------
    settings : PretrainSettings
    network : Network, optional
        What is trained; by default a new one of the settings' shape.
    stream : Stream, optional
        What it is trained on; by default the settings' worlds.
    ranks : Ranks, optional
        The processes that train together.
    """

    def __init__(
        self,
        settings: PretrainSettings,
        *,
        network: Network | None = None,
        stream: Stream | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.network = network or Network(settings.network)
        self.average = Network(settings.network).requires_grad_(requires_grad=False)
        self.average.load_state_dict(self.network.state_dict())
        self._ranks = ranks or Ranks()
        self.stream = stream or WorldStream(
            settings.worlds,
            settings.network,
            seed=settings.training.seed,
            rank=self._ranks.rank,
            processes=self._ranks.world_size,
        )
        self._spoiled: list[tuple[int, int]] = []
        self._parameters_in_all = count_parameters(self.network)
        self._last_step_at = time.perf_counter()

    def train_dataloader(self) -> DataLoader[int]:
        """Batch numbers that go on where the last slice of training ended."""
        return DataLoader(BatchNumbers(first=self.global_step), batch_size=None)

    def training_step(self, number: int, _: int) -> Tensor:
        """Loss of the batch of the given number."""
        training = self.settings.training
        batch = self.stream.batch(number, self.device)
        seed = training.seed * PATH_SEEDS + number + self._ranks.rank * RANK_SEEDS
        try:
            with numbers_alone():
                parts = batch_losses(
                    self.network,
                    batch,
                    levels=self.network.head.levels,
                    paths=training.paths_per_item,
                    generator=torch.Generator(self.device).manual_seed(seed),
                )
        except NotANumberError:
            parts = nan_losses(self.network)
        loss = total_loss(parts, training)
        if not torch.isfinite(loss):
            self._spoiled.append((self._ranks.rank, number))
            loss = total_loss(nan_losses(self.network), training)
        scalars = {f"train/{name}_loss": part.detach() for name, part in parts._asdict().items()}
        self.log_dict({**scalars, "train/loss": loss.detach(), **self._throughput(batch)}, prog_bar=True)
        return loss

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: object, **__: object) -> None:
        """Clip the averaged gradient, and stop where it is not finite.

        Raises
        ------
        NotANumberError
            In every process.
        """
        parameters = [each for group in optimizer.param_groups for each in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.settings.training.clip_norm)
        if not torch.isfinite(norm):
            everywhere = self._ranks.all_gather(self._spoiled)
            raise NotANumberError([batch for batches in everywhere for batch in batches])

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - Lightning's own
        """Move the weights, and the averaged ones toward them, faster in the first steps."""
        super().optimizer_step(*arguments, **named)
        done = self.global_step + 1
        decay = min(self.settings.training.ema_decay, (1 + done) / (10 + done))
        move_average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        move_average([*self.average.parameters()], [*self.network.parameters()], done)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Muon and AdamW, their rate as the schedule says."""
        training = self.settings.training
        optimizer = MuonAdamW(
            self.network,
            learning_rate=training.learning_rate,
            weight_decay=training.weight_decay,
            ranks=self._ranks,
        )
        schedule = LambdaLR(optimizer, lambda step: rate(step, training))
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


def rate(step: int, training: TrainingSettings) -> float:
    """Learning rate at a step as a share of its peak."""
    warmup, steps = training.warmup_steps, training.steps
    if step < warmup:
        return (step + 1) / warmup
    if training.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * _share(step, warmup, steps)))
    if training.decay_from is None:
        return 1.0
    return 1 - math.sqrt(_share(step, training.decay_from, steps))


def _share(step: int, begin: int, end: int) -> float:
    """Share of the way from one step to another that is done at a step, in [0, 1]."""
    return min(1.0, max(0.0, (step - begin) / max(1, end - begin)))


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


def weights_digest(module: ForecasterModule, ranks: Ranks) -> str:
    """SHA-256 of the weights, which must be the same in every process; all processes must ask.

    Raises
    ------
    ClusterError
        The processes have drifted apart, so that the weights are those of no training.
    """
    digest = hashlib.sha256()
    for parameter in module.network.parameters():
        digest.update(parameter.detach().cpu().numpy().tobytes())
    found = ranks.all_gather(digest.hexdigest())
    if len(set(found)) > 1:
        raise ClusterError(f"the weights of the processes differ after the training: {', '.join(found)}")
    return found[0]


def nan_losses(network: Network) -> Losses:
    """Losses that are not numbers and reach every weight: processes that average must all go backward."""
    touched = torch.stack([parameter.float().sum() for parameter in network.parameters()]).sum()
    return Losses(*(touched * math.nan for _ in Losses._fields))
