"""Settings that a step took from its input, as tags of its run; settings are compared without them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from pipelines.runtime.config.deviations import Flat
from pipelines.runtime.store.tags import DERIVED_TAG, TAG_LENGTH

UNSET = "None"  # how `flatten` writes a setting that is not stated


def derived_tags(keys: Iterable[str]) -> dict[str, str]:
    """Tags that hold dotted keys of settings, each key with all that lies below it, as JSON lists.

    There are as many tags as it takes to keep each within the length that every MLflow store takes whole.

    >>> derived_tags(["data.exports.H200.exported_so_far"])
    {'overspill.derived_settings': '["data.exports.H200.exported_so_far"]'}
    """
    lists: list[list[str]] = []
    for key in sorted(keys):
        if not lists or len(json.dumps([*lists[-1], key])) > TAG_LENGTH:
            lists.append([])
        lists[-1].append(key)
    names = (f"{DERIVED_TAG}.{place}" if place else DERIVED_TAG for place in range(len(lists)))
    return {name: json.dumps(each) for name, each in zip(names, lists, strict=True)}


def derived_keys(tags: Mapping[str, str]) -> Iterator[str]:
    """The keys that tags of a run hold; a tag that a store cut short holds none."""
    for name, text in tags.items():
        if name == DERIVED_TAG or name.startswith(f"{DERIVED_TAG}."):
            try:
                yield from json.loads(text)
            except ValueError:
                continue


def without_derived(theirs: Flat, mine: Flat, tags: Mapping[str, str]) -> tuple[Flat, Flat]:
    """Settings of a run and one's own without what the run took from its input and is not stated here.

    Parameters
    ----------
    theirs, mine : mapping
        Flat settings of the run, and one's own.
    tags : mapping
        Those of the run.
    """
    keys = {f"{key}." for key in derived_keys(tags)}
    stated = {key for key in keys for own in _under(mine, (key,)) if mine[own] != UNSET}
    taken = tuple(keys - stated)
    beside = tuple({f"{key[:-1].rpartition('.')[0]}." for key in taken})

    def rest(flat: Flat) -> Flat:
        left_out = {*_under(flat, taken), *(key for key in _under(flat, beside) if flat[key] == UNSET)}
        return {key: value for key, value in flat.items() if key not in left_out}

    return rest(theirs), rest(mine)


def _under(flat: Flat, prefixes: tuple[str, ...]) -> list[str]:
    return [key for key in flat if f"{key}.".startswith(prefixes)]
