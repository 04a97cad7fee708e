"""Checkpoints: weights in safetensors beside a JSON card that says what they are; nothing is unpickled."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from models.errors import CheckpointError
from models.network.transformer import Network
from models.settings import NetworkSettings

WEIGHTS = "weights.safetensors"
CARD = "card.json"
ARCHITECTURE = "overspill-patch-transformer-4"
# Without the bank of hypotheses: the same network with the maps from it at zero.
WITHOUT_STRUCTURES = "overspill-patch-transformer-3"
# Without classical forecasts either.
WITHOUT_CLASSICS = "overspill-patch-transformer-2"
PRETRAINED = Path(__file__).parents[1] / "pretrained"


def save_checkpoint(folder: Path, network: Network, card: dict[str, Any]) -> None:
    """Write weights (float32) and card into a folder, each complete or not at all.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.
    network : Network
        Its settings go into the card.
    card : dict
        Further entries: recipe, seed, steps, device, date, commit, scores.

    Raises
    ------
    CheckpointError
        They cannot be written; what was there before is kept.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    entries = {"architecture": ARCHITECTURE, "network": asdict(network.settings), **card}
    partials = {name: folder / f"{name}.partial" for name in (WEIGHTS, CARD)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(weights, partials[WEIGHTS])
        text = json.dumps(entries, indent=2, allow_nan=False) + "\n"
        partials[CARD].write_text(text, encoding="utf-8")
        for name, partial in partials.items():
            partial.replace(folder / name)
    except (OSError, SafetensorError) as error:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
        raise CheckpointError(f"{folder}: the checkpoint cannot be written ({error})") from error


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a checkpoint.

    Raises
    ------
    CheckpointError
        There is no card, or it is not one of this architecture.
    """
    path = folder / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such model card") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: the model card cannot be read ({error})") from error
    found = card.get("architecture") if isinstance(card, dict) else None
    if found not in {ARCHITECTURE, WITHOUT_STRUCTURES, WITHOUT_CLASSICS}:
        raise CheckpointError(
            f"{path}: the model is of another architecture: expected {ARCHITECTURE}, found {found}"
        )
    return dict(card)


def load_checkpoint(folder: Path, device: torch.device) -> tuple[Network, dict[str, Any]]:
    """Network in evaluation mode on the device, and its card.

    Raises
    ------
    CheckpointError
        The folder holds no checkpoint, or one that is truncated or does not fit this code.
    """
    card = read_card(folder)
    network = Network(network_settings(card, folder / CARD))
    path = folder / WEIGHTS
    try:
        weights = load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file of weights") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: the weights cannot be read, the file may be truncated ({error})"
        ) from error
    if card["architecture"] == WITHOUT_CLASSICS:
        weights = {**network.classical_weights(), **weights}
    if card["architecture"] != ARCHITECTURE:
        weights = {**network.structural_weights(), **weights}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path}: the weights do not fit the network of their card: {detail}"
        ) from error
    return network.to(device).eval(), card


def network_settings(card: dict[str, Any], where: os.PathLike[str]) -> NetworkSettings:
    """Settings of the network that a card describes.

    Raises
    ------
    CheckpointError
        An entry is missing, unknown or out of range.
    """
    entries = card.get("network")
    known = {field.name for field in fields(NetworkSettings)}
    if not isinstance(entries, dict) or set(entries) != known:
        found = sorted(entries) if isinstance(entries, dict) else entries
        raise CheckpointError(
            f"{where}: the card's network does not fit this code: expected {sorted(known)}, found {found}"
        )
    try:
        return NetworkSettings(**{**entries, "quantile_levels": tuple(entries["quantile_levels"])})
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{where}: the card's network is not valid: {error}") from error
