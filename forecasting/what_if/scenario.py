"""What-ifs as data: what a scenario does to the sampled paths, the policy and the catalogue.

I items, P paths, L context steps, H horizon steps, V variates. Only the future is changed, and the same paths
are changed in the same way, so a scenario differs from the base case only in what it states.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from forecasting.errors import InputError
from forecasting.forecasters.base import PathSet
from forecasting.frequencies import add_periods, period_ends
from forecasting.policy.policy import Policy
from forecasting.policy.terms import CapCounts, CapPeriod, require
from forecasting.reference.chips import Chip
from forecasting.saturation.market import PORTFOLIO, US_PORTFOLIO


@dataclass(frozen=True, kw_only=True)
class FlowScaling:
    """A flow multiplied by a factor, from a day on (None: from the first step after the origin)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    factor: float
    starting: dt.date | None = None

    def __post_init__(self) -> None:
        met = 0 <= self.factor < float("inf")
        require(met, "a factor must not be negative", expected=">= 0", found=self.factor, where="factor")


@dataclass(frozen=True, kw_only=True)
class Delay:
    """A chip launched some periods later than the catalogue says."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    chip: str
    periods: int

    def __post_init__(self) -> None:
        require(
            self.periods >= 0, "a delay is not negative", expected=">= 0", found=self.periods, where="periods"
        )


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One named what-if.

    Attributes
    ----------
    title : str
        What it says, for people.
    capacity, orders : FlowScaling, optional
        Of every item.
    successor : Delay, optional
    cap_period, cap_counts : optional
        Another reading of the policy's cap.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    title: str
    capacity: FlowScaling | None = None
    orders: FlowScaling | None = None
    successor: Delay | None = None
    cap_period: CapPeriod | None = None
    cap_counts: CapCounts | None = None


def apply_scenario(paths: PathSet, scenario: Scenario, chips: Mapping[str, Chip]) -> PathSet:
    """Paths under a scenario, as a new set.

    The delay is applied first, so that a factor that starts on a day starts on that day.

    Raises
    ------
    InputError
        If the delayed chip is unknown, or launched before the future begins.
    """
    values = paths.values.copy()
    if scenario.successor is not None:
        _stand_still(values, paths, scenario.successor, chips)
    for variate, scaling in (("capacity", scenario.capacity), ("orders", scenario.orders)):
        if scaling is not None:
            v = paths.variates.index(variate)
            for i in range(len(paths.item_ids)):
                later = slice(paths.context_length + _steps_before(paths, i, scaling.starting), None)
                values[i, :, later, v] *= scaling.factor
    return replace(paths, values=values)


def delay_launches(chips: Mapping[str, Chip], scenario: Scenario, paths: PathSet) -> dict[str, Chip]:
    """Catalogue in which the scenario's delayed chip is launched later; prices fall that much later, too."""
    if scenario.successor is None:
        return dict(chips)
    late = _launched_later(chips, scenario.successor)
    day = add_periods(late.launch_quarter_end, scenario.successor.periods, paths.frequency)
    return {**chips, late.chip_id: replace(late, launch_quarter_end=day)}


def modify_policy(policy: Policy, scenario: Scenario) -> Policy:
    """The policy with the scenario's reading of its cap.

    Raises
    ------
    InputError
        If the policy has no cap to be read in another way.
    """
    if scenario.cap_period is None and scenario.cap_counts is None:
        return policy
    if policy.cap is None:
        raise InputError(
            "a policy without a cap has no other reading of it",
            found="no cap",
            where=f"policy {policy.name}, scenario {scenario.title!r}",
        )
    cap = replace(
        policy.cap,
        period=scenario.cap_period or policy.cap.period,
        counts=scenario.cap_counts or policy.cap.counts,
    )
    return replace(policy, cap=cap)


def _stand_still(
    values: np.ndarray[Any, Any], paths: PathSet, delay: Delay, chips: Mapping[str, Chip]
) -> None:
    """Hold orders and capacity of the vendor's items at the launch for the length of the delay, then resume.

    In the paths a change of generation is orders and capacity moving from one item to the next. While the new
    chip is late, every item stays where it was in the period before the launch was due, and the rest of its
    path follows that much later: X'[h] = X[max(h - d, min(h, s))] with s the steps before the launch. A
    launch in the quarter of the origin, which is known from a nowcast at most, may be late too (s = 0).
    """
    late = _launched_later(chips, delay)
    flows = [paths.variates.index(name) for name in ("orders", "capacity")]
    for i, item_id in enumerate(paths.item_ids):
        if _vendor(item_id, chips) != late.vendor:
            continue
        before = _steps_before(paths, i, late.launch_quarter_end)
        if late.launch_quarter_end < paths.origins[i]:
            raise InputError(
                "only a future launch can be delayed, or one of the quarter that has just ended",
                expected=f"{paths.origins[i]} or later",
                found=f"{late.chip_id}, {late.launch_quarter_end}",
                where="successor",
            )
        h = np.arange(1, paths.horizon + 1)
        source = paths.context_length - 1 + np.maximum(h - delay.periods, np.minimum(h, before))
        for v in flows:
            values[i, :, paths.context_length :, v] = paths.values[i][:, source, v]


def _steps_before(paths: PathSet, item: int, day: dt.date | None) -> int:
    """Number of future steps whose period has ended before a day."""
    if day is None:
        return 0
    ends = period_ends(paths.origins[item], range(1, paths.horizon + 1), paths.frequency)
    return sum(end < day for end in ends)


def _vendor(item_id: str, chips: Mapping[str, Chip]) -> str | None:
    """Vendor of a chip, a family or a vendor's portfolio; None for the portfolio of all."""
    if item_id == US_PORTFOLIO:
        return None
    if item_id.startswith(PORTFOLIO):
        return item_id.removeprefix(PORTFOLIO)
    return next((chip.vendor for chip in chips.values() if item_id in {chip.chip_id, chip.family}), None)


def _launched_later(chips: Mapping[str, Chip], delay: Delay) -> Chip:
    if delay.chip not in chips:
        raise InputError(
            "no such chip", expected="a chip of the catalogue", found=repr(delay.chip), where="successor.chip"
        )
    return chips[delay.chip]
