"""Weights cut from a stable training: its state goes on, apart, while the learning rate goes to zero.

The training itself is not touched. The mean of several such decays, each on batches of its own, is what is
kept (Wortsman et al. 2022, arXiv 2203.05482).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from models.errors import RecipeError
from models.inference.checkpoint import load_checkpoint, save_checkpoint
from models.network.transformer import Network
from models.settings import PretrainSettings
from models.training.checkpointing import STATE
from models.training.pretrain import pretrain, steps_done, write_recipe
from models.training.validation import Progress

# Parts the batches of the decays of one training.
DECAY_SEEDS = 1_009


def cut(
    settings: PretrainSettings,
    folder: Path,
    *,
    steps: int,
    decays: int = 1,
    device: str = "auto",
    progress: Progress | None = None,
) -> Path:
    """Folder of a checkpoint whose learning rate went to zero in some further steps.

    Interrupted, the same call goes on where it was, as long as the training has not.

    Parameters
    ----------
    settings : PretrainSettings
        Recipe of the training, with the stable schedule.
    folder : Path
        Of the training; the decays lie in `cuts` in it, by the step that they begin at and their length.
    steps, decays : int
        Steps of each decay, and their number; both >= 1.
    device : str
        As `models.hardware.device.choose_device` takes it.
    progress : callable, optional
        Called with every step's scalars.

    Raises
    ------
    CheckpointError
        As of `first_step`, or a state cannot be read or written.
    """
    begin = first_step(settings, folder)
    base = folder / "cuts" / f"step-{begin}"
    parts = [base / f"decay-{number}-{steps}" for number in range(1, decays + 1)]
    for number, part in enumerate(parts):
        training = replace(
            settings.training,
            steps=begin + steps,
            decay_from=begin,
            seed=settings.training.seed + number * DECAY_SEEDS,
        )
        recipe = replace(settings, training=training)
        if not (part / STATE).exists():
            write_recipe(recipe, part)
            copy_state(folder / STATE, part / STATE)
        pretrain(recipe, part, device=device, progress=progress)
    network, card = averaged([load_checkpoint(part, torch.device("cpu")) for part in parts])
    save_checkpoint(base, network, {**card, "decay": {"from": begin, "steps": steps, "averaged": decays}})
    return base


def first_step(settings: PretrainSettings, folder: Path) -> int:
    """Step at which a decay would begin now.

    Raises
    ------
    RecipeError
        There is no training there, one of another recipe, or one whose learning rate is not stable.
    """
    if settings.training.schedule != "stable":
        raise RecipeError(
            f"{folder}: weights can be cut from a training with the stable schedule: expected "
            f"training.schedule stable, found {settings.training.schedule}"
        )
    begin = steps_done(settings, folder)
    if not begin:
        raise RecipeError(f"{folder}: weights are cut from a training, found no {STATE} there")
    return begin


def averaged(members: Sequence[tuple[Network, dict[str, object]]]) -> tuple[Network, dict[str, object]]:
    """Network with the mean of the weights of some, and the card of the first of them."""
    network, card = members[0]
    states = [member.state_dict() for member, _ in members]
    network.load_state_dict(
        {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}
    )
    return network, {key: value for key, value in card.items() if key not in {"architecture", "network"}}


def copy_state(source: Path, target: Path) -> None:
    """Copy a state, whole or not at all."""
    partial = target.with_name(f"{target.name}.partial")
    partial.write_bytes(source.read_bytes())
    partial.replace(target)
