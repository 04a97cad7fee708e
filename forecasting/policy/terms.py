"""Terms of a policy: eligibility, supply rule, limits on amounts, tariff bands; checked on construction."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, fields
from typing import ClassVar, Literal, TypeAlias

from forecasting.errors import InputError

Scope: TypeAlias = Literal["product", "portfolio"]
CapPeriod: TypeAlias = Literal["since_launch", "trailing_12m", "same_period"]
CapCounts: TypeAlias = Literal["product", "family", "us_hardware"]


def require(condition: bool, rule: str, *, expected: str, found: object, where: str) -> None:  # noqa: FBT001
    """Raise the `InputError` of a rule unless its condition holds."""
    if not condition:
        raise InputError(rule, expected=expected, found=str(found), where=where)


def _require_positive(value: float | None, where: str) -> None:
    met = value is None or (math.isfinite(value) and value > 0)
    require(met, "a threshold must be a positive number", expected="> 0", found=value, where=where)


def _require_share(value: float, where: str) -> None:
    require(0 <= value <= 1, "a share must lie in 0 to 1", expected="0 to 1", found=value, where=where)


@dataclass(frozen=True, kw_only=True)
class Eligibility:
    """Which chips are eligible; a condition that is None is not checked.

    Attributes
    ----------
    tpp_below : float, optional
        Total processing performance must be strictly below this (eCFR 3A090 units: TOPS x bits).
    bandwidth_gb_per_s_below : float, optional
        Total DRAM bandwidth must be strictly below this, GB/s.
    available_in_us_on : date, optional
        The chip must have been on sale in the US on this day.
    interconnect_gb_per_s_below, bandwidth_and_interconnect_gb_per_s_below : float, optional
        Interconnect bandwidth, and its sum with the DRAM bandwidth, must be strictly below this, GB/s.
    tpp_at_most_ratio_of_best_chinese, bandwidth_at_most_ratio_of_best_chinese,
    interconnect_at_most_ratio_of_best_chinese : float, optional
        The measure must not exceed this multiple of that of the most capable Chinese chip, the one with the
        highest TPP.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    tpp_below: float | None = None
    bandwidth_gb_per_s_below: float | None = None
    available_in_us_on: dt.date | None = None
    interconnect_gb_per_s_below: float | None = None
    bandwidth_and_interconnect_gb_per_s_below: float | None = None
    tpp_at_most_ratio_of_best_chinese: float | None = None
    bandwidth_at_most_ratio_of_best_chinese: float | None = None
    interconnect_at_most_ratio_of_best_chinese: float | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            if each.name != "available_in_us_on":
                _require_positive(getattr(self, each.name), f"eligibility.{each.name}")


@dataclass(frozen=True, kw_only=True)
class SupplyRule:
    """When US demand counts as met.

    Attributes
    ----------
    normal_lead_time_weeks : float
        Backlog over capacity may be at most this long; 0 means no backlog at all.
    fill_rate_min : float
        Minimum share of orders shipped within the normal lead time, 0 to 1.
    hold_periods : int
        Periods in a row for which both must hold before saturation is confirmed.
    scopes : tuple of {"product", "portfolio"}
        Whose US orders must be met: those for the exported product, or for all advanced chips of the vendor.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    normal_lead_time_weeks: float
    fill_rate_min: float
    hold_periods: int
    scopes: tuple[Scope, ...]

    def __post_init__(self) -> None:
        weeks, hold = self.normal_lead_time_weeks, self.hold_periods
        require(
            math.isfinite(weeks) and weeks >= 0,
            "a lead time must not be negative",
            expected=">= 0 weeks",
            found=weeks,
            where="supply.normal_lead_time_weeks",
        )
        _require_share(self.fill_rate_min, "supply.fill_rate_min")
        require(
            hold >= 1,
            "saturation must hold for at least one period",
            expected=">= 1",
            found=hold,
            where="supply.hold_periods",
        )
        require(
            len(self.scopes) > 0 and len(set(self.scopes)) == len(self.scopes),
            "at least one scope is needed, each named once",
            expected="product, portfolio or both",
            found=", ".join(self.scopes) or "none",
            where="supply.scopes",
        )


@dataclass(frozen=True, kw_only=True)
class Cap:
    """Limit on exports relative to what US customers have received, both counted in TPP.

    Attributes
    ----------
    ratio : float
        Exports may reach this multiple of the US shipments counted.
    period : {"since_launch", "trailing_12m", "same_period"}
        Over which time both sides are summed.
    counts : {"product", "family", "us_hardware"}
        Which US shipments count: the same product's, its family's, or all US AI hardware.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    ratio: float
    period: CapPeriod
    counts: CapCounts

    def __post_init__(self) -> None:
        _require_positive(self.ratio, "cap.ratio")


@dataclass(frozen=True, kw_only=True)
class StockLimit:
    """Limit on the stock abroad relative to the stock in the US, both counted in TPP.

    Attributes
    ----------
    ratio : float
        The stock in countries of concern, exports included, may reach this multiple of what was shipped to US
        customers in all; beyond it a licence is presumed denied.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    ratio: float

    def __post_init__(self) -> None:
        _require_positive(self.ratio, "stock_limit.ratio")


@dataclass(frozen=True, kw_only=True)
class TariffBand:
    """Duty on chips whose TPP and DRAM bandwidth (GB/s) both lie strictly between two bounds."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    rate: float
    tpp_low: float
    tpp_high: float
    bandwidth_low: float
    bandwidth_high: float

    def __post_init__(self) -> None:
        _require_share(self.rate, "tariff.rate")
        for name in ("tpp", "bandwidth"):
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            _require_positive(low, f"tariff.{name}_low")
            _require_positive(high, f"tariff.{name}_high")
            require(
                low < high,
                "the lower bound of a tariff band must be below the upper",
                expected=f"< {high:g}",
                found=f"{low:g}",
                where=f"tariff.{name}_low",
            )
