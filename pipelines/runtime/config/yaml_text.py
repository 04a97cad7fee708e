"""Text of YAML, read and written here alone: keys are text, none twice, with bounds on what it expands to."""

from __future__ import annotations

from contextlib import suppress
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from forecasting.errors import InputError

Tree = dict[str, Any]
MAX_BYTES = 1 << 22  # of a file, and below the number of values in it once its anchors are written out
MAX_NODES = 100_000


MAX_QUICK_DEPTH = 1000  # that the C library's parser is given: it recurses without a check


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe loader that refuses a key given twice (plain YAML silently keeps the last)."""


class _QuickLoader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """The same on top of libyaml, in a tenth of the time; for shallow text without a mistake."""


def _unique_mapping(loader: _UniqueKeyLoader | _QuickLoader, node: yaml.MappingNode) -> Tree:
    keys: set[str] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        where = f"{loader.name}, line {key_node.start_mark.line + 1}"
        if not isinstance(key, str):
            raise _not_text(key_node, key, where)
        if key in keys:
            raise InputError("a key may be given once", found=f"{key!r} twice", where=where)
        keys.add(key)
    return {
        loader.construct_object(key): loader.construct_object(value, deep=True) for key, value in node.value
    }


def _not_text(node: yaml.Node, key: object, where: str) -> InputError:
    """YAML takes 0123 for a number in octal and NO for a truth value."""
    if not isinstance(node, yaml.ScalarNode):
        return InputError("a key is text", found=f"a {type(node).__name__}", where=where)
    return InputError(
        "a key is text: put it in quotes",
        expected=f'"{node.value}"',
        found=f"{node.value} without quotes, which YAML reads as {key!r}",
        where=where,
    )


for _loader in (_UniqueKeyLoader, _QuickLoader):
    _loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def read(path: Traversable) -> Tree:
    """The keys and values of a file.

    Raises
    ------
    InputError
        If it cannot be read, is too large, no YAML, or holds something else.
    """
    where = str(path)
    try:
        size = Path(where).stat().st_size if isinstance(path, Path) else 0
        if size > MAX_BYTES:
            raise InputError(
                "the file is too large for settings",
                expected=f"at most {MAX_BYTES:,} bytes",
                found=f"{size:,}",
                where=where,
            )
        tree = parse(path.read_text(encoding="utf-8"), where)
    except (UnicodeDecodeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        detail = " ".join(str(error).split())
        raise InputError("the file is not valid YAML", found=detail, where=where) from error
    except OSError as error:
        raise InputError("the file cannot be read", found=str(error.strerror), where=where) from error
    if not isinstance(tree, dict):
        raise InputError("the file must hold keys and values", found=type(tree).__name__, where=where)
    return tree


def parse(text: str, where: str) -> object:
    """What a text of YAML holds.

    Raises
    ------
    InputError
        If it is not valid, nests too deeply, or its anchors expand to more than MAX_NODES.
    """
    try:
        loader, node = _composed(text, where)
        if node is None:
            return None
        if (nodes := _expanded(node, {})) > MAX_NODES:
            raise InputError(
                "the anchors of a file expand to more than settings hold",
                expected=f"at most {MAX_NODES:,} values",
                found=f"{nodes:,}" if nodes < 1 << 63 else "far more, or one that holds itself",
                where=where,
            )
        return loader.construct_document(node)
    except RecursionError as error:
        raise InputError("the file nests too deeply for settings", where=where) from error
    except yaml.YAMLError as error:
        detail = " ".join(str(error).split())
        raise InputError("the file is not valid YAML", found=detail, where=where) from error


def _composed(text: str, where: str) -> tuple[_UniqueKeyLoader | _QuickLoader, yaml.Node | None]:
    """The loader of a text and its uppermost node; a mistake is reported in the words of the slow loader."""
    if _greatest_depth(text) <= MAX_QUICK_DEPTH:
        with suppress(yaml.YAMLError):
            quick = _QuickLoader(text)
            quick.name = where
            return quick, quick.get_single_node()
    loader = _UniqueKeyLoader(text)
    loader.name = where
    return loader, loader.get_single_node()


def _greatest_depth(text: str) -> int:
    """No text nests deeper: a bracket opens one level, a column of indentation at most two."""
    return text.count("[") + text.count("{") + 2 * max(map(len, text.splitlines()), default=0)


def _expanded(node: yaml.Node, known: dict[int, int]) -> int:
    """Number of values once every alias is written out; more than MAX_NODES for one that holds itself."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = 1 << 63
    parts = [node.value] if isinstance(node, yaml.SequenceNode) else []
    parts += zip(*node.value, strict=True) if isinstance(node, yaml.MappingNode) else []
    known[id(node)] = 1 + sum(_expanded(inner, known) for part in parts for inner in part)
    return known[id(node)]


def to_yaml(plain: object) -> str:
    """Text of YAML for plain values, keys in their order."""
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100))
