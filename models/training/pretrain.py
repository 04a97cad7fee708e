"""Pretraining on synthetic worlds alone, by one process or many, which goes on from its folder's state.

The folder holds the recipe, the state of the training (`last.ckpt`), and a checkpoint of the averaged weights
that is written anew with every state. With the stable schedule the training has no end of its own: it can be
made longer, and `models.training.decay` takes decayed weights from it at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from models.distributed.ranks import Ranks
from models.distributed.signals import STOP
from models.errors import CheckpointError, RecipeError
from models.hardware.device import choose_device, compile_in_place, describe
from models.inference.checkpoint import WEIGHTS, load_checkpoint, save_checkpoint
from models.network.transformer import Network, count_parameters
from models.settings import PretrainSettings
from models.training.checkpointing import (
    SECONDS_BETWEEN,
    STATE,
    CheckpointSettings,
    StateCheckpoint,
    check_state,
    checkpoint_step,
    stop_together,
)
from models.training.module import ForecasterModule, weights_digest
from models.training.trainer import lightning_trainer, quiet
from models.training.validation import Progress
from models.worlds.mixture import GENERATORS

RECIPE = "recipe.json"
logger = logging.getLogger(__name__)


class KeepAverage(Callback):
    """Tells every step's scalars, and writes the averaged weights as a checkpoint when it is asked to."""

    def __init__(
        self, folder: Path, progress: Progress | None, *, begun_from: dict[str, Any] | None = None
    ) -> None:
        self._folder, self._progress = folder, progress
        self._trainer: lightning.Trainer | None = None
        self._begun_from = begun_from

    def state_dict(self) -> dict[str, Any]:
        """What a later process needs to go on."""
        return {"begun_from": self._begun_from}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what an earlier process kept."""
        self._begun_from = state_dict["begun_from"]

    def on_train_start(self, trainer: lightning.Trainer, *_: object) -> None:
        """Remember what is kept."""
        self._trainer = trainer

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        """Tell the step's scalars."""
        if self._progress is not None:
            scalars = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self._progress(trainer.global_step, scalars)

    def keep(self) -> None:
        """Write the weights."""
        trainer = self._trainer
        if trainer is not None and isinstance(trainer.lightning_module, ForecasterModule):
            module = trainer.lightning_module
            card = recipe_card(module, trainer.global_step)
            save_checkpoint(self._folder, module.average, {**card, "begun_from": self._begun_from})


def recipe_card(module: ForecasterModule, steps: int) -> dict[str, Any]:
    """Card of a pretraining run after a number of steps."""
    settings = module.settings
    return {
        "parameters": count_parameters(module.network),
        "steps": steps,
        "training": asdict(settings.training),
        "worlds": {**asdict(settings.worlds), "generators": list(settings.worlds.generators or GENERATORS)},
        "data": "synthetic worlds only, generators in equal shares",
        "statics": [
            "role in a coupled world: 1 orders or book-to-bill, -1 capacity, 0 other or unknown",
            "1 where the variate is book-to-bill, orders over capacity",
        ],
        "seed": settings.training.seed,
        "device": describe(module.device),
        "torch": torch.__version__,
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "scores": {},
    }


def commit() -> str | None:
    """Git commit of the code, None outside a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def pretrain(
    settings: PretrainSettings,
    folder: Path,
    *,
    device: str = "auto",
    ranks: Ranks | None = None,
    progress: Progress | None = None,
    before: Callable[[], None] | None = None,
    seconds: float = SECONDS_BETWEEN,
) -> int:
    """Train from the recipe's first weights, or go on with a folder's run; returns the steps done before.

    Every process calls this with the same arguments, and reads the same folder; the first one writes to it.

    Parameters
    ----------
    settings : PretrainSettings
    folder : Path
        Made where it does not exist.
    device : str
        As `models.hardware.device.choose_device` takes it.
    ranks : Ranks, optional
        The processes that train together; every batch is shared among them.
    progress, before : callable, optional
        Called with every step's scalars; called before each state is written. In the first process.
    seconds : float
        Between two states.

    Raises
    ------
    DeviceError
        A GPU is asked for and there is none, or too few.
    CheckpointError
        The folder holds a run of another recipe, or a state that cannot be read or written.
    ClusterError
        Another process is gone, or has other weights.
    NotANumberError
        The loss is not finite; the last state is kept.
    StopRequestedError
        The process was asked to stop; the state is kept.
    """
    chosen, ranks = choose_device(device), ranks or Ranks()
    check_recipe(settings, folder)
    done = checkpoint_step(folder / STATE, ranks)
    if ranks.rank == 0:
        write_recipe(settings, folder)
    torch.manual_seed(settings.training.seed)
    network, begun_from = (None, None) if done or not settings.init else first_weights(settings)
    module = ForecasterModule(settings, network=network, ranks=ranks)
    if settings.training.compile_network:
        compile_in_place(module.network, chosen)
    keeper = KeepAverage(folder, progress if ranks.rank == 0 else None, begun_from=begun_from)

    def keep() -> None:
        keeper.keep()
        if before is not None:
            before()

    state = StateCheckpoint(
        CheckpointSettings(folder / STATE, seconds, result=True, before=keep), ranks=ranks
    )
    with quiet(), STOP.deferred():
        trainer = lightning_trainer(settings.training, chosen, [keeper, state], ranks=ranks)
        trainer.fit(module, ckpt_path=folder / STATE if done else None, weights_only=True)
        stop_together(ranks)
    weights_digest(module, ranks)
    return done


def first_weights(settings: PretrainSettings) -> tuple[Network, dict[str, Any]]:
    """Network of the checkpoint that a recipe begins from, and what the card says of it.

    Raises
    ------
    RecipeError
        It cannot be read, or its network is not of the recipe's shape.
    """
    folder = Path(settings.init)
    try:
        network, card = load_checkpoint(folder, torch.device("cpu"))
        digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    except (CheckpointError, OSError) as error:
        raise RecipeError(f"the training cannot begin from these weights: {error}") from error
    wanted, found = asdict(settings.network), asdict(network.settings)
    if differing := list(_differing(wanted, found)):
        key, here, there = differing[0]
        raise RecipeError(
            f"{folder}: a training begins from a network of the recipe's shape: network.{key} is {there} "
            f"there and {here} here"
        )
    return network.train(), {
        "sha256": digest,
        **{key: card.get(key) for key in ("architecture", "steps", "date", "begun_from")},
    }


def steps_done(settings: PretrainSettings, folder: Path) -> int:
    """Number of steps that a folder's run has done; 0 where there is none.

    Raises
    ------
    CheckpointError
        The run is of another recipe, or its state cannot be read.
    """
    check_recipe(settings, folder)
    return check_state(folder / STATE) if (folder / STATE).exists() else 0


def check_recipe(settings: PretrainSettings, folder: Path) -> None:
    """Refuse a folder that holds the run of another recipe.

    Raises
    ------
    CheckpointError
        It does, or its recipe cannot be read.
    """
    path = folder / RECIPE
    if not (folder / STATE).exists():
        return
    wanted = json.loads(json.dumps(asdict(settings)))
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: the recipe of the run cannot be read ({error})") from error
    free = {"training.steps"} if settings.training.schedule == "stable" else set()
    differing = [each for each in _differing(wanted, found) if each[0] not in free]
    if differing:
        key, here, there = differing[0]
        raise RecipeError(
            f"{folder}: the folder holds a run of another recipe: {key} is {there} there and {here} here; "
            "give another folder, or the same recipe"
        )


def write_recipe(settings: PretrainSettings, folder: Path) -> None:
    """Put the recipe beside the state that it leads to."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{RECIPE}.partial"
    partial.write_text(json.dumps(asdict(settings), indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / RECIPE)


def _differing(wanted: Any, found: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:  # noqa: ANN401 - JSON
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in sorted({*wanted, *found}):
            yield from _differing(wanted.get(name), found.get(name), f"{key}.{name}".strip("."))
    elif wanted != found:
        yield key, wanted, found
