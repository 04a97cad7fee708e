"""Settings compared: which ones matter to what a step leaves, and which deviate from the packaged defaults.

A deviation in data or assumptions makes a run a what-if. Keys are dotted and values are text, as `flatten`
gives them.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from itertools import groupby

from pipelines.runtime.config.loader import flatten, resolve
from pipelines.runtime.config.settings import Settings

Flat = Mapping[str, str]

HOW_READ = ("data.engine", "data.cache", "data.storage_options")  # how the data is read, not what it says
MATTERS = {"etl": ("data.",), "forecast": ("data.",), "windows": ("data.", "windows.")}
ENTERS_LATER = {
    "etl": (
        "data.exports",
        "data.revenue",
        "data.stock_abroad_h100e",
        "data.error_correlation",
        "data.min_observations",
    ),
    "forecast": ("data.exports", "data.revenue", "data.stock_abroad_h100e"),
    "windows": (),
}
"""By step: what only a later step reads of the sections in `MATTERS`.

A forecast's model, paths and horizon, and the policies of a windows run, are printed and do not decide: a
step can read any of them.
"""
DRAWN = ("seed", "forecast.", "statistical.")
STATED = {"etl": (), "forecast": DRAWN, "windows": (*DRAWN, "policies.")}
HOW_RUN = ("tracking.", "cluster.", "backtest.engine", "forecast.device")
VALUE, RANGE = ".value", (".low", ".high")
ASSUMED = (VALUE, *RANGE)
LINES_PER_SECTION = 6
MOST_NAMED, LONGEST_VALUE = 40, 80


def relevant(flat: Flat, step: str) -> dict[str, str]:
    """Those settings that decide what a step leaves."""
    later = (*ENTERS_LATER[step], *HOW_READ)
    return {
        key: value
        for key, value in flat.items()
        if key.startswith(MATTERS[step]) and not key.startswith(later)
    }


def stated(flat: Flat, step: str) -> dict[str, str]:
    """Settings that a run of a step is described by: those that decide, and what else it was done with."""
    shown = {key: value for key, value in flat.items() if key.startswith(STATED[step])}
    return {key: value for key, value in shown.items() if not key.startswith(HOW_RUN)} | relevant(flat, step)


@functools.cache
def default_settings(kind: str) -> Flat:
    """The packaged defaults for one kind of data."""
    return flatten(resolve(None if kind == "public" else kind))


def differing(mine: Flat, other: Flat) -> dict[str, tuple[str | None, str | None]]:
    """Values of all keys that two settings do not share, mine first; None where one lacks the key.

    An assumption that one of them states as a plain number differs by its value alone.
    """
    keys = [*mine, *(key for key in other if key not in mine)]
    found = {key: (mine.get(key), other.get(key)) for key in keys if mine.get(key) != other.get(key)}
    plain = [
        name
        for name in (key.removesuffix(VALUE) for key in found if key.endswith(VALUE))
        if any(_is_plain(flat, name) for flat in (mine, other))
    ]
    ends = {name + end for name in plain for end in RANGE}
    return {key: pair for key, pair in found.items() if key not in ends}


def _is_plain(flat: Flat, name: str) -> bool:
    """Whether an assumption has no range."""
    return name + VALUE in flat and len({flat.get(name + part) for part in ASSUMED}) == 1


def deviations(settings: Settings) -> dict[str, tuple[str | None, str | None]]:
    """What deviates from the defaults, with the default; where and how a run is done is left out."""
    found = differing(flatten(settings), default_settings(settings.data.kind))
    return {key: pair for key, pair in found.items() if not key.startswith((*HOW_RUN, *HOW_READ))}


def what_if(settings: Settings) -> dict[str, str]:
    """Deviations in data and assumptions; of an order book, which is the user's own, assumptions alone."""
    public = settings.data.kind == "public"
    found = {
        key: str(value)[:LONGEST_VALUE]
        for key, (value, default) in deviations(settings).items()
        if key.startswith("data.") and (public or (key.endswith(ASSUMED) and default is not None))
    }
    if len(found) <= MOST_NAMED:
        return found
    named = dict(list(found.items())[:MOST_NAMED])
    digest = hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()[:16]
    return {**named, "data.": f"{len(found) - MOST_NAMED} more, {digest}"}


def lines(differences: Mapping[str, tuple[str | None, str | None]], *, other: str) -> list[str]:
    """One line per difference; a section with many of them is one line."""

    def section(key: str) -> str:
        return ".".join(key.split(".")[:2])

    sentences = []
    for name, keys in groupby(sorted(differences), key=section):
        own = list(keys)
        if len(own) > LINES_PER_SECTION:
            sentences.append(f"{name}: {len(own)} settings differ ({other})")
            continue
        for key in own:
            mine, theirs = (_shown(value) for value in differences[key])
            sentences.append(f"{key} = {mine} ({other} {theirs})")
    return sentences


def _shown(value: str | None) -> str:
    return "none" if value is None else value[:LONGEST_VALUE]


def short_names(keys: Iterable[str]) -> list[str]:
    """Dotted keys by the name that tells them apart at a glance: that of the assumption."""
    parts = (key.removesuffix(".value").rstrip(".").split(".") for key in keys)
    return [".".join(each[-2:]) if each[-1] in {"low", "high"} else each[-1] for each in parts]
