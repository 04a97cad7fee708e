"""The estimator of export windows as the settings ask for it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from forecasting.forecasters.base import PathSet
from forecasting.periods import Frequency
from forecasting.windows.estimate import EstimatorSettings, ExportTerms, PriceTerms
from forecasting.windows.tables import Estimator, estimator_of
from pipelines.runtime.config.data import ExportFacts, MarketData
from pipelines.runtime.config.settings import Settings


def build_estimator(
    settings: Settings, paths: PathSet, missing: Mapping[str, str], published: dt.date
) -> Estimator:
    """The estimator on these paths; see `forecasting.windows.tables.estimator_of`."""
    return estimator_of(estimator_settings(settings), paths, missing, published)


def estimator_settings(settings: Settings) -> EstimatorSettings:
    """What the estimator needs of the settings."""
    data = settings.data
    return EstimatorSettings(
        policies=settings.policies,
        catalogue=data.catalogue,
        frequency=data.panel_frequency,
        confidence=settings.windows.confidence,
        quantile_levels=settings.windows.quantile_levels,
        exports={
            chip_id: _export_terms(data.exports.get(chip_id, ExportFacts()), data)
            for chip_id in data.catalogue
        },
        prices=_prices(data),
    )


def _export_terms(facts: ExportFacts, data: MarketData) -> ExportTerms:
    return ExportTerms(
        unsold_stock=facts.unsold_stock.value if facts.unsold_stock else 0.0,
        exported_so_far=facts.exported_so_far.value if facts.exported_so_far else 0.0,
        licence_limit=facts.licence_limit.value if facts.licence_limit else None,
        stock_abroad_h100e=data.stock_abroad_h100e.value if data.stock_abroad_h100e else None,
    )


def _prices(data: MarketData) -> dict[str, PriceTerms]:
    revenue = data.revenue
    periods_per_quarter = Frequency.QUARTER.weeks / data.panel_frequency.weeks
    return {
        vendor: PriceTerms(
            launch_usd_per_h100e=launch.value,
            half_life_periods=revenue.half_life_quarters.value * periods_per_quarter,
            successor_factor=revenue.successor_discount.value,
            import_value_share=revenue.import_value_share.value if revenue.import_value_share else 1.0,
        )
        for vendor, launch in revenue.launch_price_usd_per_h100e.items()
    }
