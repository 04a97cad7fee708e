"""Which member each path of a mixture is drawn from.

I items, M members, P paths.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from forecasting.panel.history import Floats


def apportion(weights: Floats, paths: int) -> npt.NDArray[np.intp]:
    """Member [I, P] of each path, such that any first paths hold every member's share to within one path.

    Path p goes to the member with the least (count + 1) / weight among those whose count is below their share
    of p + 1 paths: the quota method (Balinski and Young 1975, American Mathematical Monthly 82:701).

    >>> apportion(np.array([[0.5, 0.25, 0.25]]), 4).tolist()
    [[0, 0, 1, 2]]
    """
    count = np.zeros_like(weights)
    chosen = np.empty((len(weights), paths), dtype=np.intp)
    items = np.arange(len(weights))
    with np.errstate(divide="ignore"):
        price = 1 / weights
    for path in range(paths):
        eligible = count < weights * (path + 1) - 1e-9
        chosen[:, path] = np.where(eligible, (count + 1) * price, np.inf).argmin(axis=1)
        count[items, chosen[:, path]] += 1
    return chosen


def needed(chosen: npt.NDArray[np.intp], members: int) -> list[int]:
    """Paths that each member must draw so that no item wants more."""
    return [int((chosen == member).sum(axis=1).max()) for member in range(members)]


def mix(drawn: Sequence[Floats | None], chosen: npt.NDArray[np.intp], seed: int) -> Floats:
    """Paths [I, P, ...] of which path p of an item is one of its chosen [I, P] member's, none twice.

    `drawn` holds as many paths of each member as are `needed`, None where that is none. They are first put
    into random order, the same for all items: some forecasters draw paths of one kind first, or in turn, and
    a share of them must hold all kinds.
    """
    shape = next(paths.shape[2:] for paths in drawn if paths is not None)
    mixed = np.empty((*chosen.shape, *shape))
    for member, paths in enumerate(drawn):
        if paths is not None:
            order = np.random.default_rng([seed, member]).permutation(paths.shape[1])
            items, places = np.nonzero(chosen == member)
            rank = np.cumsum(chosen == member, axis=1)[items, places] - 1
            mixed[items, places] = paths[items, order[rank]]
    return mixed
