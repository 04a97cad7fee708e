"""The forecasters that `--model` knows, and the one that `predict` uses by default; imports nothing heavy."""

from __future__ import annotations

from typing import Literal, TypeAlias, cast, get_args

from forecasting.errors import InputError

ModelName: TypeAlias = Literal["auto", "network", "bank", "statistical", "ensemble"]
DEFAULT_MODEL: ModelName = "auto"  # of `predict`; that of `forecast` and `run` stands in configs/default.yaml
MODEL_HELP = "Forecaster: auto, network, bank, statistical or ensemble."


def needs_network(model: ModelName) -> bool:
    """Whether a model answers with the network's weights."""
    return model in {"auto", "network", "ensemble"}


def named_model(name: str) -> ModelName:
    """The model of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    known = get_args(ModelName)
    if name not in known:
        *others, last = known
        raise InputError(
            "unknown model",
            expected=f"{', '.join(others)} or {last}",
            found=repr(name),
            where="--model",
        )
    return cast("ModelName", name)
