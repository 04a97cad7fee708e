"""What events are about: a series itself, or the ratio, backlog or cover of two variates.

I items, V variates, K measured series of an item, P paths, L context steps, H horizon steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, cast, get_args

import numpy as np

from forecasting.errors import InputError
from forecasting.panel.history import Floats, History
from forecasting.panel.schema import FLOWS
from forecasting.saturation.backlog import flow, lead_time_weeks

Kind: TypeAlias = Literal["series", "ratio", "backlog", "cover"]
QUEUES = ("backlog", "cover")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """The series that events are about.

    Attributes
    ----------
    kind : "series", "ratio", "backlog" or "cover"
        `series`: each variate by itself. `ratio`: the first of two variates over the second, for a stock and
        a flow its cover in periods. `backlog`: what waits where orders (the first) are served from capacity
        (the second), by Lindley's recursion from an empty queue in the first period with both. `cover`: that
        backlog in periods of the capacity at the time.
    variates : (str, str), optional
        First and second; by default orders and capacity, or the two variates there are, by name.
    """

    kind: Kind = "series"
    variates: tuple[str, str] | None = None

    @classmethod
    def parse(cls, text: str) -> Measure:
        """Read `series`, `ratio`, `backlog` or `cover`, the last three with two variates if wanted.

        >>> Measure.parse("ratio:sales,visits").variates
        ('sales', 'visits')

        Raises
        ------
        InputError
            For an unknown word, or variates that are not two.
        """
        kind, colon, names = text.strip().partition(":")
        if kind not in get_args(Kind):
            raise InputError(
                "unknown measure",
                expected="ratio, backlog or cover, or series",
                found=repr(text),
                where="--event-of",
            )
        pair = [name.strip() for name in names.split(",")]
        if colon and (kind == "series" or len(pair) != 2 or not all(pair) or pair[0] == pair[1]):
            raise InputError(
                "a measure is made of two variates",
                expected="such as ratio:orders,capacity",
                found=repr(text),
                where="--event-of",
            )
        return cls(kind=cast("Kind", kind), variates=(pair[0], pair[1]) if colon else None)

    def pair(self, history: History) -> tuple[str, str]:
        """First and second variate of these items.

        Raises
        ------
        InputError
            If they do not have them.
        """
        known = history.variates
        at = f"--event-of {self.kind}, series {history.item_ids[0]}"
        if self.variates is not None:
            if missing := [name for name in self.variates if name not in known]:
                raise InputError(
                    f"there is no variate {missing[0]!r}", expected=", ".join(known), found="none", where=at
                )
            return self.variates
        if set(FLOWS) <= set(known):
            return FLOWS
        if len(known) != 2:
            raise InputError(
                f"{self.kind} needs two variates",
                expected=f"two in the column variate, or their names, {self.kind}:FIRST,SECOND",
                found=f"{len(known)} ({', '.join(known)})",
                where=at,
            )
        first, second = sorted(known)
        return first, second


class Measured(NamedTuple):
    """Measured series: their K names, past [I, K, L] and future [I, K, P, H]."""

    names: tuple[str, ...]
    past: Floats
    future: Floats


def measured_series(history: History, future: Floats, measure: Measure) -> Measured:
    """What events are about, from a history and sampled futures [I, P, H, V].

    In a queue a sampled amount below zero counts as zero. A ratio of zero to zero is missing.

    Raises
    ------
    InputError
        If there are no two variates, or an amount of a queue is missing or negative in the history.
    """
    if measure.kind == "series":
        return Measured(history.variates, history.values, np.moveaxis(future, 3, 1))
    names = measure.pair(history)
    places = [history.variates.index(name) for name in names]
    past = (history.values[:, places[0]], history.values[:, places[1]])
    ahead = (future[..., places[0]], future[..., places[1]])
    if measure.kind in QUEUES:
        made = _queues(history, names, past, ahead, cover=measure.kind == "cover")
    else:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            made = (past[0] / past[1], ahead[0] / ahead[1])
    label = "/".join(names) if measure.kind == "ratio" else f"{measure.kind} {'/'.join(names)}"
    return Measured((label,), made[0][:, None], made[1][:, None])


def _queues(
    history: History,
    names: tuple[str, str],
    past: tuple[Floats, Floats],
    future: tuple[Floats, Floats],
    *,
    cover: bool,
) -> tuple[Floats, Floats]:
    """Backlog, or periods of cover, of the past [I, L] and of the future [I, P, H] that goes on from it."""
    unknown = np.isnan(past[0]) | np.isnan(past[1])
    before = np.logical_and.accumulate(unknown, axis=1)  # the queue starts with the first period of both
    orders, capacity = (np.where(before, 0.0, amounts) for amounts in past)
    for name, amounts in zip(names, (orders, capacity), strict=True):
        broken = ~(amounts >= 0) | np.isinf(amounts)
        if broken.any():
            item, step = (int(index[0]) for index in np.nonzero(broken))
            raise InputError(
                "a queue needs every amount, none negative",
                expected=f"{name} >= 0 in every period since the first",
                found=f"{amounts[item, step]:g}, {amounts.shape[1] - 1 - step} periods before the last",
                where=f"series {history.item_ids[item]}",
            )
    ahead = [np.maximum(amounts, 0.0) for amounts in future]
    waiting = flow(orders, capacity).backlog
    coming = flow(ahead[0], ahead[1], opening=waiting[:, None, -1]).backlog
    if not cover:
        return waiting, coming
    with np.errstate(over="ignore"):
        return lead_time_weeks(waiting, capacity, 1.0), lead_time_weeks(coming, ahead[1], 1.0)
