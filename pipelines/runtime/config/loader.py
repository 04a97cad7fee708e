"""Configuration: files are merged, overridden, validated and frozen before any work.

The default file comes first, one experiment file on top, then `--set key=value`, then options. `data` and
the policies are names of packaged files, or paths, and `data.mapping` is a path whose keys go on top of the
data's; what comes out holds their content.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from forecasting.errors import InputError
from forecasting.policy.policy import Policy
from forecasting.what_if.scenario import Scenario
from pipelines.runtime.config.declared import is_scalar, takes_text
from pipelines.runtime.config.settings import Settings, Source
from pipelines.runtime.config.validation import validated
from pipelines.runtime.config.yaml_text import Tree, parse, read, to_yaml

MAPPING = "data.mapping"
TEXTS = frozenset(
    ["reason", "unit", "notes", "certainty", "source", "title", "sections", "section", "words", "reading"]
)
TEXT_STARTS = ("*", "%", "@", "`")  # globs and date formats: no value of YAML starts like this


def resolve(
    config: str | None = None,
    overrides: Sequence[str] = (),
    options: Mapping[str, object] = types.MappingProxyType({}),
) -> Settings:
    """Merge the default file, an experiment file and what is set on top of both, and validate.

    Parameters
    ----------
    config : str, optional
        Name or path of the experiment file.
    overrides : sequence of str
        `key=value`, the value as YAML.
    options : mapping of str to object
        Values by dotted key, on top of the overrides; None where an option was not given.

    Raises
    ------
    InputError
        For a missing file, broken YAML, an unknown key (with the nearest known one), a value of the wrong
        type or out of range; the sentence names the key and where it was set.
    """
    origins: dict[str, str] = {}
    tree = read(files("configs") / "default.yaml")
    _mark(tree, "configs/default.yaml", origins)
    if config is not None:
        path = _find(config, "experiment")
        layer = read(path)
        _merge(tree, layer)
        _mark(layer, str(path), origins)
    given = [_parse_override(text) for text in overrides]
    given += [(dotted, value) for dotted, value in options.items() if value is not None]
    # Names of files come first, so that the other keys act on what the files hold.
    _place_all(tree, [(dotted, value) for dotted, value in given if dotted in {"data", "policies"}])
    _expand(tree, origins)
    _place_all(tree, [(dotted, value) for dotted, value in given if dotted == MAPPING])
    _lay_mapping(tree, origins)
    _place_all(
        tree, [(dotted, value) for dotted, value in given if dotted not in {"data", "policies", MAPPING}]
    )
    for dotted, _ in given:
        origins[dotted] = f"--set {dotted}"
        parts = dotted.split(".")
        for n in range(1, len(parts)):
            origins.setdefault(".".join(parts[:n]), f"--set {dotted}")
    return validated(Settings, tree, origins)


def load_policy(name: str) -> Policy:
    """Read one policy by name or path."""
    path = _find(name, "policy")
    return validated(Policy, read(path), {"": str(path)})


def load_scenario(name: str) -> Scenario:
    """Read one scenario by name or path."""
    path = _find(name, "scenario")
    return validated(Scenario, read(path), {"": str(path)})


def packaged_policies() -> list[str]:
    """Names of the policies that ship, the template left out."""
    return [name for name in _packaged("policy") if name != "template"]


def packaged_scenarios() -> list[str]:
    """Names of the scenarios that ship."""
    return _packaged("scenario")


def _packaged(folder: str) -> list[str]:
    return sorted(entry.name.removesuffix(".yaml") for entry in (files("configs") / folder).iterdir())


def load_settings(path: Path) -> Settings:
    """Read resolved settings as a step left them."""
    return validated(Settings, read(path), {"": path.name})


def load_sources() -> dict[str, Source]:
    """Read the sources of the packaged reference tables."""
    path = files("forecasting.reference") / "sources.yaml"
    return validated(dict[str, Source], read(path), {"": "sources.yaml"})


def dump(settings: Settings) -> str:
    """YAML of the resolved settings, as `overspill config` prints it."""
    plain = TypeAdapter(Settings).dump_python(settings, mode="json")
    return to_yaml(plain)


def flatten(settings: Settings) -> dict[str, str]:
    """Resolved settings as dotted keys, texts of reasons left out: the parameters of a run."""
    flat: dict[str, str] = {}

    def walk(value: object, prefix: str) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                if key not in TEXTS:
                    walk(inner, f"{prefix}.{key}" if prefix else str(key))
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for place, inner in enumerate(value):
                walk(inner, f"{prefix}.{inner.get('name', place)}")
        else:
            flat[prefix] = str(value)

    walk(TypeAdapter(Settings).dump_python(settings, mode="json"), "")
    return flat


def _find(name: str, folder: str) -> Traversable:
    packaged = files("configs") / folder / f"{name}.yaml"
    if packaged.is_file():
        return packaged
    if Path(name).is_file():
        return Path(name)
    names = _packaged(folder)
    raise InputError(
        f"no such {folder} file",
        expected=f"a path, or one of {', '.join(n for n in names if not n.startswith('_'))}",
        found=repr(name),
    )


def _expand(tree: Tree, origins: dict[str, str]) -> None:
    """Replace names of the data file and the policies by what the files hold; validate the policies."""
    if isinstance(tree.get("data"), str):
        path = _find(tree["data"], "data")
        tree["data"] = read(path)
        origins["data"] = str(path)
        _mark(tree["data"], str(path), origins, "data.")
    if isinstance(tree.get("policies"), list):
        tree["policies"] = [
            load_policy(entry) if isinstance(entry, str) else entry for entry in tree["policies"]
        ]


def _lay_mapping(tree: Tree, origins: dict[str, str]) -> None:
    """Lay the file that `data.mapping` names over the data settings: it names columns, SKUs, chips."""
    data = tree.get("data")
    if not isinstance(data, dict) or data.get("mapping") is None:
        return
    path = Path(str(data.pop("mapping")))
    if not path.is_file():
        raise InputError("the mapping file does not exist", where=str(path))
    layer = read(path)
    _merge(data, layer)
    _mark(layer, str(path), origins, "data.")


def _parse_override(text: str) -> tuple[str, object]:
    """Key and value of an override; text stays text where YAML would take it for a comment or a number."""
    dotted, equals, value = text.partition("=")
    dotted = dotted.strip()
    if not equals or not dotted:
        raise InputError("an override is key=value", found=repr(text), where="--set")
    is_quoted = value.lstrip().startswith(("'", '"', "[", "{"))
    if value.startswith(TEXT_STARTS) or ("#" in value and not is_quoted):
        return dotted, value
    try:
        parsed = parse(value, f"--set {dotted}")
    except InputError as error:
        if error.rule != "the file is not valid YAML":
            raise
        raise InputError("the value is not valid YAML", found=repr(value), where=f"--set {dotted}") from error
    as_text = is_scalar(parsed) and not is_quoted and takes_text(Settings, dotted.split("."), parsed)
    return dotted, value.strip() if as_text else parsed


def _place_all(tree: Tree, given: Iterable[tuple[str, object]]) -> None:
    for dotted, value in given:
        _place(tree, dotted, value)


def _place(tree: Tree, dotted: str, value: object) -> None:
    """Set one dotted key; a plain number given for an assumption is what it is, without a range."""
    *parents, leaf = dotted.split(".")
    node: Any = tree
    for parent in parents:
        node = node.setdefault(parent, {}) if isinstance(node, dict) else None
    if not isinstance(node, dict):
        raise InputError("the key's parent holds no keys", found=repr(dotted), where="--set")
    current = node.get(leaf)
    if isinstance(current, dict) and "value" in current and value is not None and not isinstance(value, dict):
        _state(current, value)
    else:
        node[leaf] = value


def _merge(base: Tree, layer: Tree) -> None:
    """Lay one tree over another; a plain number given for an assumption is what it is, without a range."""
    for key, value in layer.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        elif isinstance(base.get(key), dict) and "value" in base[key] and is_scalar(value):
            _state(base[key], value)
        else:
            base[key] = value


def _state(assumption: Tree, value: object) -> None:
    """Set an assumption to a plain number; validation refuses one outside its range."""
    low, high = assumption.get("low"), assumption.get("high")
    numbers = all(isinstance(each, int | float) for each in (low, value, high))
    inside = numbers and low <= value <= high  # type: ignore[operator]
    assumption.update({"value": value} | ({"low": value, "high": value} if inside else {}))


def _mark(tree: Tree, where: str, origins: dict[str, str], prefix: str = "") -> None:
    for key, value in tree.items():
        dotted = f"{prefix}{key}"
        origins[dotted] = where
        if isinstance(value, dict):
            _mark(value, where, origins, f"{dotted}.")
