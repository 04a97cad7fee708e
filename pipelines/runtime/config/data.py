"""Settings of the data: what every way in has in common, and those of the public one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from forecasting.errors import InputError
from forecasting.frequencies import Frequency
from forecasting.public.assumptions import Assumption, PublicAssumptions, certain
from forecasting.public.bookings import CloudSeries
from forecasting.public.editions import Unreported
from forecasting.public.state_paths import StateTerms
from forecasting.reference.chips import Chip, catalogue


class Frozen(BaseModel):
    """Base of all settings: immutable, and no key that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _from_number(given: object) -> object:
    """A bare number is an assumption without a range."""
    if isinstance(given, Mapping | Assumption):
        return given
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise InputError(
            "an assumption is a number, or has the keys value, low, high, unit and reason", found=repr(given)
        )
    return certain(float(given), unit="as the setting says", reason="stated as a number, without a range")


def _not_negative(units: Assumption) -> Assumption:
    if units.low < 0:
        raise InputError("units are not negative", expected="0 or more", found=f"{units.low:g}")
    return units


StatedAssumption = Annotated[Assumption, BeforeValidator(_from_number)]
AmountAssumption = Annotated[StatedAssumption, AfterValidator(_not_negative)]


class ExportFacts(Frozen):
    """What stands between one chip and its export besides the US market, in units."""

    unsold_stock: AmountAssumption | None = None
    exported_so_far: AmountAssumption | None = None
    licence_limit: AmountAssumption | None = None


class RevenueAssumptions(Frozen):
    """Price of an accelerator over its life, and the value on which duty is due, as a share of the price.

    Without the latter it is the price itself.
    """

    launch_price_usd_per_h100e: Mapping[str, StatedAssumption]
    half_life_quarters: StatedAssumption
    successor_discount: StatedAssumption
    import_value_share: StatedAssumption | None = None


class MarketData(Frozen):
    """What the steps after etl read of the data settings, whichever way the figures came in."""

    frequency: Literal["W", "M", "Q"]
    exports: Mapping[str, ExportFacts]
    revenue: RevenueAssumptions
    stock_abroad_h100e: AmountAssumption | None = None
    min_observations: int = Field(ge=1)

    @property
    def panel_frequency(self) -> Frequency:
        """Frequency of the panel."""
        return Frequency.parse(self.frequency)

    @property
    def catalogue(self) -> Mapping[str, Chip]:
        """Chips by `chip_id` that the figures may speak of."""
        return catalogue()

    @property
    def correlation_of_errors(self) -> float:
        """Correlation of the measurement errors of one item's periods; 0 where figures are exact."""
        return 0.0

    @property
    def state_terms(self) -> StateTerms | None:
        """What a drawn state of the market means; None where orders are known and no state is drawn."""
        return None


class EditionFile(Frozen):
    """One edition of the shipment estimates: when it came out, and its tables (names or paths)."""

    published: dt.date
    totals: str
    owners: str | None = None


class PublicData(MarketData):
    """Settings of the public way in (`configs/data/us_public.yaml`)."""

    kind: Literal["public"]
    frequency: Literal["Q"]
    editions: tuple[EditionFile, ...]
    as_of: dt.date | None
    unreported: tuple[Unreported, ...]
    clouds: Mapping[str, CloudSeries]
    books_from: dt.date
    calm_from: dt.date
    calm_to: dt.date
    assumptions: PublicAssumptions
    error_correlation: StatedAssumption

    @field_validator("assumptions", mode="before")
    @classmethod
    def _from_numbers(cls, given: object) -> object:
        if not isinstance(given, Mapping):
            return given
        return {name: _from_number(value) for name, value in given.items()}

    @property
    def correlation_of_errors(self) -> float:
        """Correlation of the errors of one item's quarters: an assumption."""
        return self.error_correlation.value

    @property
    def state_terms(self) -> StateTerms:
        """Lead time of a market short of supply, and how fast capacity moves on: assumptions."""
        return StateTerms(
            lead_time_weeks=self.assumptions.tight_lead_time_weeks,
            capacity_decay=self.assumptions.capacity_decay,
        )
