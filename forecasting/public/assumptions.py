"""What public figures do not say and the panel must assume: each a named, ranged, explained number."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from forecasting.errors import InputError
from forecasting.panel.history import Floats
from forecasting.panel.measurement_error import Z_95
from forecasting.seeds import item_generator


@dataclass(frozen=True, kw_only=True)
class Assumption:
    """One assumed number with the range in which it may reasonably lie.

    Attributes
    ----------
    value, low, high : float
        Default, and the 5 % and 95 % points of what it may be.
    unit, reason : str
        What it counts, and why it was chosen (with its source).
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    value: float
    low: float
    high: float
    unit: str
    reason: str

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.low, self.value, self.high))):
            raise InputError(
                "an assumption and its range are finite numbers",
                found=f"{self.low:g}, {self.value:g}, {self.high:g}",
            )
        if not self.low <= self.value <= self.high:
            raise InputError(
                "an assumption must lie within its own range",
                expected=f"a value from {self.low:g} to {self.high:g}",
                found=f"{self.value:g}",
            )


def certain(value: float, *, unit: str, reason: str) -> Assumption:
    """A number without a range."""
    return Assumption(value=value, low=value, high=value, unit=unit, reason=reason)


def drawn(given: Assumption, z: Floats) -> Floats:
    """A value for each standard normal number: the default at 0, its 5 % and 95 % points at -1.645 and 1.645.

    >>> drawn(Assumption(value=2.0, low=1.0, high=4.0, unit="", reason=""), np.array([0.0, 1.6448536]))
    array([2., 4.])
    """
    side = np.where(z < 0, given.value - given.low, given.high - given.value)
    return np.round(given.value + z / Z_95 * side, 6)


def standard_draws(name: str, *, paths: int, seed: int) -> Floats:
    """Standard normal number [P] of an assumption on each path, the same wherever that assumption is read."""
    return item_generator(seed, purpose="assumption", item_id=name).standard_normal(paths)


def per_path(
    given: Assumption,
    name: str,
    *,
    paths: int,
    seed: int,
    least: float = 0.0,
    most: float = math.inf,
) -> Floats | float:
    """What an assumption is on each path [P]; a number without a range is itself.

    Parameters
    ----------
    given : Assumption
    name : str
        Of the assumption: one name is one number for all items.
    paths, seed : int
    least, most : float
        Nothing is drawn beyond them.
    """
    if given.low == given.high:
        return given.value
    return np.clip(drawn(given, standard_draws(name, paths=paths, seed=seed)), least, most)


@dataclass(frozen=True, kw_only=True)
class PublicAssumptions:
    """The assumptions behind the public panel; their meaning and reasons are in `us_public.yaml`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    us_end_use_share: Assumption
    unknown_owner_us_share: Assumption
    carried_share_drift: Assumption
    nowcast_persistence: Assumption
    nowcast_step: Assumption
    nowcast_portfolio_step: Assumption
    h200_midpoint_quarters: Assumption
    h200_ramp_quarters: Assumption
    tight_lead_time_weeks: Assumption
    capacity_decay: Assumption
    short_ends: Assumption
    end_hazard: Assumption
    delivery_duration_quarters: Assumption
    coreweave_double_counted_share: Assumption
    microsoft_basis_ratio: Assumption

    def items(self) -> list[tuple[str, Assumption]]:
        """Name and assumption, in the order of the file."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]
