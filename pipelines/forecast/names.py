"""Which models `predict` has, and the one that answers where none is named; imports nothing heavy."""

from __future__ import annotations

from typing import Literal, TypeAlias, cast, get_args

from forecasting.errors import InputError

Model: TypeAlias = Literal["statistical", "network", "blend"]
DEFAULT_MODEL: Model = "network"


def named_model(name: str) -> Model:
    """The model of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    known = get_args(Model)
    if name not in known:
        *others, last = known
        raise InputError(
            "unknown model",
            expected=f"{', '.join(others)} or {last}",
            found=repr(name),
            where="--model",
        )
    return cast("Model", name)
