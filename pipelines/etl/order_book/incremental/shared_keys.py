"""Which keys stand in several rows, in one file or in several: found by their hashes, a group at a time.

Each file's hashes lie in sorted runs. Of files that were held against each other before, only the hashes that
a new file may share are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Hashes: TypeAlias = npt.NDArray[np.uint64]
Rows: TypeAlias = npt.NDArray[np.uint32]
Run: TypeAlias = tuple[Hashes, Rows]
Part: TypeAlias = tuple[int, Hashes, Rows]  # with the place of the file

NO_ROWS: Rows = np.empty(0, np.uint32)
NO_HASHES: Hashes = np.empty(0, np.uint64)
KEYS_AT_ONCE = 4_000_000  # hashes that are sorted together: 32 MB
FILTER_BITS = 22  # of a hash, in a table of those that are looked for


def shared_keys(runs: Sequence[Sequence[Run]], new: Sequence[bool]) -> dict[int, Rows]:
    """Rows of each file whose hash stands in more than one row, wherever a new file has a part in it.

    Of such a hash every row is listed, in old files too.

    Parameters
    ----------
    runs : for each file, sorted runs of (hashes, rows)
    new : for each file, whether it has not been held against the others before

    Returns
    -------
    mapping of the file's place to rows, rising
    """
    total = sum(len(hashes) for of_file in runs for hashes, _ in of_file)
    groups = 1 << (total // KEYS_AT_ONCE).bit_length()
    found: dict[int, list[Rows]] = {}
    for group in range(groups):
        parts = [
            (place, hashes[part], rows[part])
            for place, of_file in enumerate(runs)
            for hashes, rows in of_file
            for part in [_slice(hashes, group, groups)]
        ]
        fresh = np.concatenate([hashes for place, hashes, _ in parts if new[place]] or [NO_HASHES])
        if not len(fresh):
            continue
        old = [part for part in parts if not new[part[0]]]
        parts = [part for part in parts if new[part[0]]] + _near(fresh, old)
        repeated = _repeated(np.concatenate([hashes for _, hashes, _ in parts]))
        if old:
            repeated = repeated[_is_among(repeated, np.sort(fresh, kind="stable"))]
        for place, hashes, rows in _near(repeated, parts):
            found.setdefault(place, []).append(rows[_is_among(hashes, repeated)])
    return {place: np.sort(np.concatenate(rows)) for place, rows in found.items() if any(map(len, rows))}


def _slice(hashes: Hashes, group: int, groups: int) -> slice:
    """Where the hashes of one group, which share their leading bits, stand in a sorted run."""
    width = (1 << 64) // groups
    first, last = np.array([group * width, (group + 1) * width - 1], dtype=np.uint64)
    return slice(int(np.searchsorted(hashes, first)), int(np.searchsorted(hashes, last, side="right")))


def _repeated(hashes: Hashes) -> Hashes:
    """Hashes that stand more than once, each once, rising."""
    ordered = np.sort(hashes, kind="stable")  # merges what is sorted in runs: a fifth of the time
    again: Hashes = ordered[1:][ordered[1:] == ordered[:-1]]
    first: Hashes = again[np.diff(again, prepend=~again[:1]) != 0]
    return first


def _is_among(hashes: Hashes, rising: Hashes) -> npt.NDArray[np.bool_]:
    """Which hashes are among some others."""
    if not len(rising):
        return np.zeros(len(hashes), np.bool_)
    among: npt.NDArray[np.bool_] = (
        rising[np.minimum(np.searchsorted(rising, hashes), len(rising) - 1)] == hashes
    )
    return among


def _near(wanted: Hashes, parts: Sequence[Part]) -> list[Part]:
    """Hashes of each file that share their low bits with a wanted one, and their rows, if there are any."""
    table = np.zeros(1 << FILTER_BITS, dtype=np.bool_)
    low = np.uint64((1 << FILTER_BITS) - 1)
    table[wanted & low] = True
    near = [(place, hashes, rows, table[hashes & low]) for place, hashes, rows in parts]
    return [(place, hashes[hit], rows[hit]) for place, hashes, rows, hit in near if hit.any()]
