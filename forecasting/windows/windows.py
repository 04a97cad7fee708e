"""Export windows: on each path when exports are open, how many units are allowed, and what binds.

P paths, T steps of history and horizon together, H steps after the forecast origin, Q quantile levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from forecasting.errors import InputError
from forecasting.panel.history import Bools, Floats
from forecasting.policy.terms import Cap
from forecasting.saturation.backlog import require_amounts, stack_steps
from forecasting.saturation.first_passage import quantile_steps
from forecasting.windows.cap import CapRoom

Ints = npt.NDArray[np.int64]

MIN_UNITS = 1.0
"""Less than one whole unit is nothing to export, so there is no window."""


def _require_range(met: bool, name: str, found: object, expected: str) -> None:  # noqa: FBT001
    if not met:
        raise InputError(f"{name} is out of range", expected=expected, found=str(found), where=name)


class Binding(IntEnum):
    """The condition that closes a period or, in an open one, the term that limits the units.

    If several conditions close a period, the first in this order is named.
    """

    NOT_IN_EFFECT = 0
    NOT_ELIGIBLE = 1
    NOT_SATURATED = 2
    SURPLUS = 3
    CAP = 4
    LICENCE = 5


@dataclass(frozen=True, kw_only=True)
class WindowInputs:
    """What determines the export windows of one item under one policy and scope.

    Attributes
    ----------
    surplus : array [P, T]
        Units of the product left without a US order, per period.
    us_shipments : array [P, T]
        What the cap counts on the US side, in units of the exported product (TPP shipped over the product's
        TPP). For a cap since launch it must start at the launch.
    saturated_confirmed : bool array [P, T]
        Saturation in the policy's scope, held long enough.
    eligible : bool
        Whether the chip is eligible under the policy.
    in_effect : bool array [T]
        Periods in which the policy applies.
    unsold_stock : float or array [P]
        Units in stock at the origin; they stay until exported.
    exported_so_far : float or array [P]
        Units exported up to the origin; see `export_windows` for how each cap period counts them.
    licence_limit : float, array [P] or None
        Units that the licences at hand still allow from the origin on; None: no limit stated.
    stock_room : array [P, T] or None
        Units by which the stock abroad may still grow in each period before anything is exported after the
        origin; None where the policy has no such limit.
    first_step : int
        Column of the first step after the origin; H = T - first_step.
    """

    surplus: Floats
    us_shipments: Floats
    saturated_confirmed: Bools
    eligible: bool
    in_effect: Bools
    unsold_stock: Floats | float = 0.0
    exported_so_far: Floats | float = 0.0
    licence_limit: Floats | float | None = None
    stock_room: Floats | None = None
    first_step: int

    def __post_init__(self) -> None:
        paths, periods = self.surplus.shape
        expected = {
            "us_shipments": (paths, periods),
            "saturated_confirmed": (paths, periods),
            "in_effect": (periods,),
        }
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"WindowInputs.{name}: expected shape {shape}, found {found}")
        require_amounts(self.surplus, name="surplus")
        require_amounts(self.us_shipments, name="us_shipments")
        last = periods - 1
        _require_range(0 <= self.first_step <= last, "first_step", self.first_step, f"0 to {last}")
        for name in ("unsold_stock", "exported_so_far", "licence_limit"):
            units = getattr(self, name)
            met = units is None or bool(np.all(np.greater_equal(units, 0) & np.isfinite(units)))
            _require_range(met, name, units, "finite and >= 0")


class WindowPaths(NamedTuple):
    """Export windows on each path, for the H steps after the origin.

    `open` bool [P, H]; `units` [P, H] exported, 0 where closed; `headroom` [P, H] units that supply, cap and
    licence leave, whether or not the other conditions hold; `binding` int8 [P, H], a `Binding`; `from_stock`
    [P, H] units among those exported that were on hand before the first step, the others being made anew.
    """

    open: Bools
    units: Floats
    headroom: Floats
    binding: npt.NDArray[np.int8]
    from_stock: Floats

    @property
    def newly_made(self) -> Floats:
        """Units [P, H] exported that are made in the period in which they leave."""
        return self.units - self.from_stock


def export_windows(inputs: WindowInputs, cap: Cap | None, *, periods_per_year: int) -> WindowPaths:
    """Go through the steps after the origin and export, on each path, all that is allowed.

    In each step

        headroom = max(0, min(surplus + stock left, cap room, licence left))
        cap room = ratio x US shipments over the cap's period - exports over the cap's period

    A step is open if the policy is in effect, the chip eligible, saturation confirmed in scope and headroom
    at least one unit. An open step exports its whole headroom, which uses up cap room and licence, and stock
    once the step's own surplus is gone. Surplus that may not be exported is not stored: other buyers take it.
    Stock remains. So of the units exported as many as can be are new production, and as few come from stock.

    A limit on the stock abroad (`stock_room`) is a term of the cap room.

    The US shipments of a step count in that step. What was exported up to the origin (`exported_so_far`)
    counts

    - `since_launch`: in full, permanently;
    - `trailing_12m`: as exported in the period just before the first step, so it is forgotten a year later;
    - `same_period`: not at all.

    A trailing year that reaches back beyond the first column of `us_shipments` is summed over what is there.

    Parameters
    ----------
    inputs : WindowInputs
    cap : Cap or None
        None: no cap.
    periods_per_year : int
        Periods in the trailing twelve months.

    Returns
    -------
    WindowPaths
    """
    _require_range(periods_per_year >= 1, "periods_per_year", periods_per_year, ">= 1")
    paths, periods = inputs.surplus.shape
    cap_room = cap and CapRoom(
        cap,
        inputs.us_shipments[:, : inputs.first_step],
        exported_so_far=inputs.exported_so_far,
        periods_per_year=periods_per_year,
    )
    room, exported = np.full(paths, math.inf), np.zeros(paths)
    stock = np.full(paths, inputs.unsold_stock, dtype=np.float64)
    licence = np.full(paths, math.inf if inputs.licence_limit is None else inputs.licence_limit, np.float64)
    steps: list[tuple[Bools, Floats, Floats, npt.NDArray[np.int8], Floats]] = []
    for t in range(inputs.first_step, periods):
        surplus = inputs.surplus[:, t]
        if cap_room:
            room = cap_room.after_us_shipments(inputs.us_shipments[:, t])
        if inputs.stock_room is not None:
            left = inputs.stock_room[:, t] - exported
            room = np.minimum(room, left) if cap_room else left
        pool = surplus + stock
        headroom = np.maximum(np.minimum(np.minimum(pool, room), licence), 0.0)
        permitted = inputs.saturated_confirmed[:, t] & (inputs.eligible and bool(inputs.in_effect[t]))
        is_open = permitted & (headroom >= MIN_UNITS)
        units = headroom * is_open
        drawn = np.maximum(units - surplus, 0.0)
        binds = _binding(inputs, t, pool=pool, room=room, licence=licence)
        steps.append((is_open, units, headroom, binds, drawn))
        stock -= drawn
        licence -= units
        exported += units
        if cap_room:
            cap_room.export(units)
    return WindowPaths(*(stack_steps(column) for column in zip(*steps, strict=True)))


def _binding(
    inputs: WindowInputs, t: int, *, pool: Floats, room: Floats, licence: Floats
) -> npt.NDArray[np.int8]:
    """Binding condition of each path in step `t`; among equal terms the first of surplus, cap, licence."""
    if not inputs.in_effect[t]:
        return np.full(pool.shape, Binding.NOT_IN_EFFECT, dtype=np.int8)
    if not inputs.eligible:
        return np.full(pool.shape, Binding.NOT_ELIGIBLE, dtype=np.int8)
    term = np.where(room < pool, np.int8(Binding.CAP), np.int8(Binding.SURPLUS))
    term = np.where(licence < np.minimum(pool, room), np.int8(Binding.LICENCE), term)
    return np.where(inputs.saturated_confirmed[:, t], term, np.int8(Binding.NOT_SATURATED))


class FirstWindow(NamedTuple):
    """First window on each path; int64 [P], steps counted from the first one after the origin (0 to H - 1).

    `opening` is H if there is none. `closing` is the first closed step after it, H if still open at the
    horizon (censored) or if there is none. `duration` = closing - opening, a lower bound where the closing is
    censored.
    """

    opening: Ints
    closing: Ints
    duration: Ints


def first_window(is_open: Bools) -> FirstWindow:
    """First run of open steps on each path of a bool array [P, H]."""
    paths, horizon = is_open.shape
    has_opened, has_closed = np.zeros(paths, dtype=np.bool_), np.zeros(paths, dtype=np.bool_)
    opening, closing = np.zeros(paths, dtype=np.int64), np.zeros(paths, dtype=np.int64)
    for t in range(horizon):
        has_opened |= is_open[:, t]
        has_closed |= has_opened & ~is_open[:, t]
        opening += ~has_opened
        closing += ~has_closed
    return FirstWindow(opening, closing, closing - opening)


@dataclass(frozen=True, kw_only=True)
class WindowSummary:
    """Export windows over all paths. Steps count from the first one after the origin (0 to H - 1).

    Attributes
    ----------
    p_open : array [H]
        Share of paths that are open in each step.
    windows : tuple of (start, stop)
        Maximal runs of steps with p_open >= confidence; `stop` is the first step after the run.
    p_any : float
        Share of paths with at least one open step.
    quantile_levels : tuple of Q floats
    opening_steps : array [Q]
        Quantiles of the first opening over all paths; NaN where censored at the horizon.
    closing_steps : array [Q]
        Quantiles of the end of the first window among the paths that have one (conditional on opening); NaN
        where still open at the horizon, or if no path opens.
    total_units, first_window_units : array [Q]
        Quantiles of the units exported over the horizon, and in the first window; a path without one counts
        as 0.
    stock_units, new_units : array [Q]
        Quantiles of the units among `total_units` that were on hand, and that are made anew; the two need not
        add up, for each quantile is of its own figure.
    new_share : float
        Share of new production in all units exported over all paths; NaN where nothing is.
    binding_shares : array [H, 6]
        Share of paths on which each `Binding` binds; rows sum to 1.
    """

    p_open: Floats
    windows: tuple[tuple[int, int], ...]
    p_any: float
    quantile_levels: tuple[float, ...]
    opening_steps: Floats
    closing_steps: Floats
    total_units: Floats
    first_window_units: Floats
    stock_units: Floats
    new_units: Floats
    new_share: float
    binding_shares: Floats


def runs_at_least(probability: Floats, confidence: float) -> tuple[tuple[int, int], ...]:
    """Maximal runs (start, stop) of steps at which a probability [H] is at least `confidence`."""
    sure = np.concatenate(([False], probability >= confidence, [False]))
    edges = np.flatnonzero(sure[1:] != sure[:-1])
    return tuple((int(start), int(stop)) for start, stop in edges.reshape(-1, 2))


def summarise(paths: WindowPaths, *, confidence: float, quantile_levels: Sequence[float]) -> WindowSummary:
    """Summarise the windows of all paths as probabilities, quantiles and shares.

    Parameters
    ----------
    paths : WindowPaths of arrays [P, H]
    confidence : float
        In (0, 1]: how probable a step must be to belong to a window.
    quantile_levels : sequence of Q floats in (0, 1]
    """
    _require_range(0 < confidence <= 1, "confidence", confidence, "above 0, at most 1")
    count, horizon = paths.open.shape
    first = first_window(paths.open)
    opened = first.opening < horizon
    closings = first.closing[opened] if opened.any() else np.array([horizon])
    p_open = np.array([np.count_nonzero(paths.open[:, t]) for t in range(horizon)]) / count
    binding = [[np.count_nonzero(paths.binding[:, t] == each) for each in Binding] for t in range(horizon)]
    return WindowSummary(
        p_open=p_open,
        windows=runs_at_least(p_open, confidence),
        p_any=float(opened.mean()),
        quantile_levels=tuple(quantile_levels),
        opening_steps=quantile_steps(first.opening, quantile_levels, horizon),
        closing_steps=quantile_steps(closings, quantile_levels, horizon),
        total_units=np.quantile(paths.units.sum(axis=1), quantile_levels),
        first_window_units=np.quantile(first_window_units(paths, first).sum(axis=1), quantile_levels),
        stock_units=np.quantile(paths.from_stock.sum(axis=1), quantile_levels),
        new_units=np.quantile(paths.newly_made.sum(axis=1), quantile_levels),
        new_share=new_share(paths),
        binding_shares=np.array(binding) / count,
    )


def first_window_units(paths: WindowPaths, first: FirstWindow) -> Floats:
    """Units [P, H] exported in each step of the first window of each path, 0 outside it."""
    steps = np.arange(paths.units.shape[1])
    return np.where(steps < first.closing[:, None], paths.units, 0.0)


def new_share(paths: WindowPaths) -> float:
    """Share of new production in the units exported over all paths; NaN where nothing is exported."""
    total = float(paths.units.sum())
    return float(paths.newly_made.sum()) / total if total else math.nan
