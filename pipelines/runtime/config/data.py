"""Settings of the data: what every way in has in common, and those of the public one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from forecasting.periods import Frequency
from forecasting.public.assumptions import Assumption, PublicAssumptions
from forecasting.public.bookings import CloudSeries
from forecasting.reference.chips import Chip, catalogue


class Frozen(BaseModel):
    """Base of all settings: immutable, and no key that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ExportFacts(Frozen):
    """What stands between one chip and its export besides the US market, in units."""

    unsold_stock: Assumption | None = None
    exported_so_far: Assumption | None = None
    licence_limit: Assumption | None = None


class RevenueAssumptions(Frozen):
    """Price of an accelerator over its life."""

    launch_price_usd_per_h100e: Mapping[str, Assumption]
    half_life_quarters: Assumption
    successor_discount: Assumption


class MarketData(Frozen):
    """What the steps after etl read of the data settings, whichever way the figures came in."""

    frequency: Literal["W", "M", "Q"]
    exports: Mapping[str, ExportFacts]
    revenue: RevenueAssumptions
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


class PublicData(MarketData):
    """Settings of the public way in (`configs/data/us_public.yaml`)."""

    kind: Literal["public"]
    frequency: Literal["Q"]
    clouds: Mapping[str, CloudSeries]
    books_from: dt.date
    calm_from: dt.date
    calm_to: dt.date
    assumptions: PublicAssumptions
    error_correlation: Assumption

    @property
    def correlation_of_errors(self) -> float:
        """Correlation of the errors of one item's quarters: an assumption."""
        return self.error_correlation.value
