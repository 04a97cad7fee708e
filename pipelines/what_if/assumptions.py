"""Every assumption in the data settings, by name; and the settings with some of them moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from pydantic import BaseModel

from forecasting.public.assumptions import Assumption
from pipelines.runtime.config.settings import Settings

GROUP = "assumptions."  # left out of a name: capacity_decay, exports.H200.unsold_stock, error_correlation


def assumptions_of(settings: Settings) -> dict[str, Assumption]:
    """Name and assumption of everything in `data` that has a range, in the order of the file."""
    return dict(_walk(settings.data, ""))


def with_values(settings: Settings, values: Mapping[str, float]) -> Settings:
    """Settings with some assumptions known to have other values, without a range, as with `--set`."""

    def move(name: str, assumption: Assumption) -> Assumption:
        if name not in values:
            return assumption
        return replace(assumption, value=values[name], low=values[name], high=values[name])

    return settings.model_copy(update={"data": _mapped(settings.data, "", move)})


def _name(prefix: str) -> str:
    return prefix.removeprefix(GROUP)


def _children(node: object) -> dict[str, Any]:
    if isinstance(node, BaseModel):
        return {key: getattr(node, key) for key in type(node).model_fields}
    if isinstance(node, Mapping):
        return dict(node)
    if is_dataclass(node):
        return {field.name: getattr(node, field.name) for field in fields(node)}
    return {}


def _join(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key


def _walk(node: object, prefix: str) -> Iterator[tuple[str, Assumption]]:
    for key, child in _children(node).items():
        if isinstance(child, Assumption):
            yield _name(_join(prefix, key)), child
        else:
            yield from _walk(child, _join(prefix, key))


def _mapped(node: Any, prefix: str, move: Callable[[str, Assumption], Assumption]) -> Any:  # noqa: ANN401
    """Copy of a tree of models, dataclasses and mappings with each assumption passed through `move`."""
    if isinstance(node, Assumption):
        return move(_name(prefix), node)
    changed = {key: _mapped(child, _join(prefix, key), move) for key, child in _children(node).items()}
    if isinstance(node, BaseModel):
        return node.model_copy(update=changed)
    if isinstance(node, Mapping):
        return changed
    return replace(node, **changed) if is_dataclass(node) and not isinstance(node, type) else node
