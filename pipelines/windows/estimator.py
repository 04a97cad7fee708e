"""The estimator of export windows as the settings ask for it; what has a range is drawn for each path."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

import polars as pl

from forecasting.forecasters.base import PathSet
from forecasting.frequencies import Frequency
from forecasting.panel.history import Floats
from forecasting.public.assumptions import per_path
from forecasting.windows.estimate import EstimatorSettings, ExportTerms, PriceTerms
from forecasting.windows.tables import Estimator, estimator_of
from pipelines.runtime.config.data import ExportFacts, MarketData
from pipelines.runtime.config.settings import Settings

Draw: TypeAlias = "Callable[..., Floats | float]"
"""`per_path` for the paths and the seed at hand."""
ALMOST_NIL = 1e-6  # prices and half-lives are above nothing


def build_estimator(
    settings: Settings,
    paths: PathSet,
    missing: Mapping[str, str],
    published: dt.date,
    observed_until: Mapping[str, dt.date] = MappingProxyType({}),
) -> Estimator:
    """The estimator on these paths; see `forecasting.windows.tables.estimator_of`."""
    own = estimator_settings(settings, paths=paths.paths)
    return estimator_of(own, paths, missing, published, observed_until)


def last_observed(choices: pl.DataFrame) -> dict[str, dt.date]:
    """Last period of each item that is no nowcast, as `choices.parquet` of a forecast run says."""
    if "observed_until" not in choices.columns:
        return {}
    return dict(choices.select("item_id", "observed_until").drop_nulls().iter_rows())


def estimator_settings(settings: Settings, *, paths: int) -> EstimatorSettings:
    """What the estimator needs of the settings, for so many paths."""
    data, draw = settings.data, partial(per_path, paths=paths, seed=settings.seed)
    return EstimatorSettings(
        policies=settings.policies,
        catalogue=data.catalogue,
        frequency=data.panel_frequency,
        confidence=settings.windows.confidence,
        quantile_levels=settings.windows.quantile_levels,
        exports={
            chip_id: _export_terms(chip_id, data.exports.get(chip_id, ExportFacts()), data, draw)
            for chip_id in data.catalogue
        },
        prices=_prices(data, draw),
    )


def _export_terms(chip_id: str, facts: ExportFacts, data: MarketData, draw: Draw) -> ExportTerms:
    stated = {name: getattr(facts, name) for name in type(facts).model_fields}
    drawn = {
        name: draw(each, f"exports.{chip_id}.{name}") for name, each in stated.items() if each is not None
    }
    abroad = data.stock_abroad_h100e
    return ExportTerms(
        **drawn, stock_abroad_h100e=None if abroad is None else draw(abroad, "stock_abroad_h100e")
    )


def _prices(data: MarketData, draw: Draw) -> dict[str, PriceTerms]:
    """Price assumptions by vendor; half-life and discount are one number for all of them."""
    revenue = data.revenue
    periods_per_quarter = Frequency.QUARTER.weeks / data.panel_frequency.weeks
    half_life = draw(revenue.half_life_quarters, "revenue.half_life", least=ALMOST_NIL)
    factor = draw(revenue.successor_discount, "revenue.successor_discount", least=ALMOST_NIL, most=1.0)
    return {
        vendor: PriceTerms(
            launch_usd_per_h100e=draw(launch, f"revenue.launch_price.{vendor}", least=ALMOST_NIL),
            half_life_periods=half_life * periods_per_quarter,
            successor_factor=factor,
            import_value_share=1.0
            if revenue.import_value_share is None
            else draw(revenue.import_value_share, "revenue.import_value_share", least=ALMOST_NIL),
        )
        for vendor, launch in revenue.launch_price_usd_per_h100e.items()
    }
