"""Which assumption moves the answer: each one through its range, the effects, and their order.

An effect is the difference of two outcomes on common random numbers, so an assumption that enters nothing has
an effect of exactly 0, not of about 0.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from forecasting.errors import InputError
from forecasting.public.assumptions import Assumption

Stage: TypeAlias = Literal["panel", "paths", "windows", "nothing"]
"""The first thing that differs when an assumption moves: the panel, the paths, the outcome, or none."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """One assumption set to a value, all others left alone."""

    name: str
    side: Literal["low", "high"]
    value: float


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Effect of one assumption on one figure of the outcome.

    Attributes
    ----------
    name : str
    at_low, base, at_high : float
        The figure with the assumption at its low end, at its value and at its high end.
    """

    name: str
    at_low: float
    base: float
    at_high: float

    @property
    def swing(self) -> float:
        """Figure at the high end less figure at the low end; its sign is the direction."""
        return self.at_high - self.at_low

    @property
    def reach(self) -> float:
        """Largest less smallest of the three figures: the length of the bar in a tornado chart.

        Unlike the size of the swing it is not fooled by a figure that both ends move the same way.
        """
        figures = (self.at_low, self.base, self.at_high)
        return max(figures) - min(figures)


def one_at_a_time(assumptions: Mapping[str, Assumption]) -> list[Move]:
    """Both ends of each range, in the order given; an end that is the value itself is no move."""
    moves = []
    for name, a in assumptions.items():
        ends = Move(name=name, side="low", value=a.low), Move(name=name, side="high", value=a.high)
        moves += [move for move in ends if move.value != a.value]
    return moves


def effects(names: Iterable[str], base: float, moved: Mapping[tuple[str, str], float]) -> list[Effect]:
    """Effects of assumptions on one figure.

    Parameters
    ----------
    names : iterable of str
    base : float
        The figure with every assumption at its value.
    moved : mapping of (name, side) to float
        The figure after each move; a side without a move is the base.
    """
    return [
        Effect(
            name=name,
            at_low=moved.get((name, "low"), base),
            base=base,
            at_high=moved.get((name, "high"), base),
        )
        for name in names
    ]


def rank_effects(found: Iterable[Effect]) -> list[Effect]:
    """Effects by reach, largest first; equals by name."""
    return sorted(found, key=lambda effect: (-effect.reach, effect.name))


def first_stage(*stages: Stage) -> Stage:
    """The earliest of several stages: where an assumption enters, given what each of its ends changes."""
    order: tuple[Stage, ...] = ("panel", "paths", "windows", "nothing")
    return min(stages, key=order.index, default="nothing")


def select_assumptions(assumptions: Mapping[str, Assumption], names: Sequence[str]) -> dict[str, Assumption]:
    """The named assumptions, in the order of the whole; all of them where none is named.

    Raises
    ------
    InputError
        For a name that is not among them, with the nearest that is.
    """
    for name in names:
        if name not in assumptions:
            near = difflib.get_close_matches(name, assumptions, n=1)
            raise InputError(
                "no such assumption",
                expected="one of " + ", ".join(assumptions),
                found=repr(name) + (f"; did you mean {near[0]!r}?" if near else ""),
            )
    return {name: a for name, a in assumptions.items() if not names or name in names}
