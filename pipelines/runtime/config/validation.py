"""Settings checked against their declaration: whatever is wrong is one sentence, which shows no secret."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from forecasting.errors import InputError
from pipelines.runtime.config.declared import is_scalar, known_keys

T = TypeVar("T")
SECRETS = frozenset({"storage_options"})  # keys whose values no message may show
HIDDEN = "something that is not shown, for it may be secret"


def validated(target: type[T], tree: Any, origins: Mapping[str, str]) -> T:  # noqa: ANN401 - YAML is untyped
    """A tree of keys and values as what it declares.

    Parameters
    ----------
    target : type
        A class of settings.
    tree : mapping
    origins : mapping of str to str
        Where each dotted key was set.

    Raises
    ------
    InputError
        For an unknown key (with the nearest known one), a missing one, or a value of the wrong type or out of
        range; the sentence names the key and where it was set.
    """
    try:
        return TypeAdapter(target).validate_python(tree)
    except ValidationError as error:
        raise _sentence(error, target, origins) from error


def _sentence(error: ValidationError, target: Any, origins: Mapping[str, str]) -> InputError:  # noqa: ANN401
    found_errors = error.errors()
    unknown = [e for e in found_errors if e["type"] in {"extra_forbidden", "unexpected_keyword_argument"}]
    first = (unknown or found_errors)[0]
    path = _without_kind([str(part) for part in first["loc"]])
    dotted = ".".join(path)
    prefixes = [".".join(path[:n]) for n in range(len(path), -1, -1)]
    where = next((origins[prefix] for prefix in prefixes if prefix in origins), "")
    if dotted and where != f"--set {dotted}":
        where = f"{where}, key {dotted}"
    if unknown:
        near = difflib.get_close_matches(path[-1], known_keys(target, path[:-1]), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return InputError("unknown key", found=repr(path[-1]) + hint, where=where)
    if first["type"].startswith("missing"):
        return InputError("a required key is missing", expected=path[-1], where=where)
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return InputError(cause.rule, expected=cause.expected, found=cause.found, where=where)
    found = first.get("input")
    shown = (
        HIDDEN
        if SECRETS & set(path)
        else repr(found)
        if isinstance(found, str | int | float | bool | type(None))
        else type(found).__name__
    )
    message = first["msg"].removeprefix("Value error, ")
    expected = "text: put it in quotes" if first["type"] == "string_type" and is_scalar(found) else ""
    return InputError(message[0].lower() + message[1:], expected=expected, found=shown, where=where)


def _without_kind(path: list[str]) -> list[str]:
    """Path of a key without the kind of data, which pydantic puts in after `data`."""
    return [path[0], *path[2:]] if path[:1] == ["data"] and len(path) > 1 else path
