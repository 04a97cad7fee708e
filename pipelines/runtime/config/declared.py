"""What the settings declare, read off their annotations: keys beside a key, and whether it takes text."""

from __future__ import annotations

import datetime as dt
import functools
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

TEXT = (str, Path, SecretStr)


def known_keys(target: Any, path: Sequence[str]) -> list[str]:  # noqa: ANN401 - walks type annotations
    """Names of the keys that may stand beside the last one of a path."""
    hints = _fields(target)
    for part in path:
        target = hints.get(part, target)
        hints = _fields(target)
    return list(hints)


def takes_text(target: Any, path: Sequence[str], value: object) -> bool:  # noqa: ANN401
    """Whether the key at the end of a path takes text and not a value of this kind."""
    found = [target]
    for part in path:
        found = [inner for each in found for inner in _inside(each, part)]
    kinds = {kind for each in found for kind in _alternatives(each)}
    own = (int, float) if type(value) is int else (type(value),)
    return any(kind in TEXT for kind in kinds) and not any(kind in kinds for kind in own)


def is_scalar(value: object) -> bool:
    """Whether YAML has taken a plain word for something else than text."""
    return isinstance(value, bool | int | float | dt.date)


def _alternatives(hint: Any) -> Iterator[Any]:  # noqa: ANN401
    """The types that a hint admits, unions resolved."""
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        for argument in typing.get_args(hint):
            yield from _alternatives(argument)
    else:
        yield hint


def _inside(target: Any, key: str) -> Iterator[Any]:  # noqa: ANN401
    """Hints of what a key holds inside what another holds."""
    for hint in _alternatives(target):
        arguments = typing.get_args(hint)
        if isinstance(typing.get_origin(hint), type) and issubclass(typing.get_origin(hint), Mapping):
            yield arguments[-1]
        elif key in (fields := _fields(hint)):
            yield fields[key]


@functools.cache
def _fields(target: Any) -> dict[str, Any]:  # noqa: ANN401
    origin, arguments = typing.get_origin(target), typing.get_args(target)
    if origin in {types.UnionType, typing.Union, tuple}:
        return {key: hint for argument in arguments for key, hint in _fields(argument).items()}
    if isinstance(target, type) and (issubclass(target, BaseModel) or is_dataclass(target)):
        return {key: hint for key, hint in typing.get_type_hints(target).items() if not key.startswith("__")}
    if origin is not None and arguments:  # a mapping: every key leads to the value's type
        return _fields(arguments[-1])
    return {}
