"""Weights of the network and where they come from: the package, a folder, or a store's champion."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from forecasting.errors import InputError
from models.errors import CheckpointError, DeviceError
from models.hardware.device import choose_device
from models.inference.checkpoint import PRETRAINED, WEIGHTS
from models.inference.forecaster import NetworkForecaster
from pipelines.runtime.files.artifacts import file_digest

ORIGIN_TAG, WEIGHTS_TAG = "overspill.weights", "overspill.weights_sha256"
TRAINED_UNTIL = "trained_until"  # entry of the card
CARD = "network_card.json"  # artifact of a run that used the weights


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A network and where its weights come from.

    Attributes
    ----------
    network : NetworkForecaster
    label : str
        `overspill version 3`, `pretrained 4aa2f6bc37a4` (commit), or `checkpoint FOLDER`.
    digest : str
        SHA-256 of the file of weights.
    """

    network: NetworkForecaster
    label: str
    digest: str

    @property
    def trained_until(self) -> dt.date | None:
        """Day up to which the training knew what had been published; None where it saw no real series."""
        day = self.network.card.get(TRAINED_UNTIL)
        return None if day is None else dt.date.fromisoformat(day)

    def tags(self) -> dict[str, str]:
        """As a run records them."""
        return {ORIGIN_TAG: self.label, WEIGHTS_TAG: self.digest}

    def write_card(self, path: Path) -> None:
        """Write the card as JSON."""
        path.write_text(json.dumps(self.network.card, indent=1, ensure_ascii=False), encoding="utf-8")


def require_device(device: str) -> None:
    """Refuse a device that is not there, before any work is done.

    Raises
    ------
    InputError
        A GPU is asked for and there is none.
    """
    with convert_model_errors():
        choose_device(device)


def shipped_weights(device: str = "auto") -> Weights:
    """The weights of the package."""
    weights = folder_weights(PRETRAINED, device=device)
    commit = weights.network.card.get("commit") or "without a commit"
    return Weights(network=weights.network, label=f"pretrained {commit[:12]}", digest=weights.digest)


def folder_weights(folder: Path, *, device: str, label: str | None = None) -> Weights:
    """The weights of a checkpoint's folder.

    Raises
    ------
    InputError
        The checkpoint cannot be used, or the device is not there.
    """
    with convert_model_errors():
        network = NetworkForecaster.load(folder, device=device)
    return Weights(
        network=network, label=label or f"checkpoint {folder}", digest=file_digest(folder / WEIGHTS)
    )


@contextmanager
def convert_model_errors() -> Iterator[None]:
    """Turn what is wrong with a checkpoint or a device into bad input."""
    try:
        yield
    except (CheckpointError, DeviceError) as error:
        raise InputError(str(error)) from error
