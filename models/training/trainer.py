"""Lightning's trainer as it is used here: chosen device, joined processes, whole states, no remarks."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import lightning
import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.strategies import DDPStrategy

from models.distributed.launch import Launch
from models.distributed.ranks import Ranks
from models.hardware.device import check_enough
from models.settings import TrainingSettings
from models.training.checkpointing import AtomicCheckpointIO

# Remarks of Lightning and torch that do not hold here.
REMARKS = (
    ".*does not have many workers.*",
    ".*srun. command is available.*",
    ".*find_unused_parameters=True was specified.*",
)


class LaunchedEnvironment(ClusterEnvironment):
    """A launch as Lightning expects it; Lightning itself would take any batch job for one started by srun."""

    def __init__(self, launch: Launch) -> None:
        super().__init__()
        self._launch = launch

    @property
    def creates_processes_externally(self) -> bool:
        """Lightning starts no process of its own."""
        return True

    @property
    def main_address(self) -> str:
        """Where the first process listens."""
        return self._launch.address

    @property
    def main_port(self) -> int:
        """Its port."""
        return self._launch.port

    @staticmethod
    def detect() -> bool:
        """Never chosen by Lightning itself."""
        return False

    def world_size(self) -> int:
        """Number of processes."""
        return self._launch.world_size

    def set_world_size(self, size: int) -> None:
        """The launch has settled it."""

    def global_rank(self) -> int:
        """Number of this process."""
        return self._launch.rank

    def set_global_rank(self, rank: int) -> None:
        """The launch has settled it."""

    def local_rank(self) -> int:
        """Number of this process on its node."""
        return self._launch.local_rank

    def node_rank(self) -> int:
        """Number of this node."""
        return self._launch.rank // self._launch.local_size


def lightning_trainer(
    training: TrainingSettings,
    device: torch.device,
    callbacks: Sequence[Callback],
    *,
    ranks: Ranks,
    progress_bar: bool = False,
) -> lightning.Trainer:
    """Lightning's trainer for a recipe on the chosen kind of device, without a logger of its own.

    Raises
    ------
    DeviceError
        There are more processes on this node than GPUs.
    """
    launch, strategy = ranks.launch, "auto" if ranks.world_size == 1 else distributed(ranks)
    check_enough(device, launch.local_size)
    trainer = lightning.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=launch.local_size,
        num_nodes=launch.nodes,
        strategy=strategy,
        plugins=[LaunchedEnvironment(launch), AtomicCheckpointIO()],
        precision="bf16-mixed" if training.bfloat16 else "32-true",
        max_steps=training.steps,
        callbacks=list(callbacks),
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        enable_progress_bar=progress_bar,
        enable_model_summary=False,
        logger=False,
    )
    # Lightning's handlers wait for other processes inside of a signal (docs/decisions/0013): ours stay.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]  # noqa: SLF001
    # Its message per step that no process has seen SIGTERM would hold an accelerator up.
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]  # noqa: SLF001
    return trainer


def distributed(ranks: Ranks) -> DDPStrategy:
    """Data parallelism over the processes, which have joined already."""
    return DDPStrategy(
        timeout=ranks.collective,
        gradient_as_bucket_view=True,
        find_unused_parameters=True,  # items of one variate use no weights between variates
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's remarks on devices, loaders and its own dependencies from the terminal."""
    remarks = logging.getLogger("lightning.pytorch")
    level = remarks.level
    remarks.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category in (DeprecationWarning, FutureWarning):
                warnings.filterwarnings("ignore", category=category)
            for message in REMARKS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        remarks.setLevel(level)
