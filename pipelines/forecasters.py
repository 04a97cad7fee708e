"""Which forecaster answers, and which ones stand beside it in the backtest."""

from __future__ import annotations

from dataclasses import replace

from forecasting.forecaster import PathForecaster
from forecasting.statistical import SeasonalNaiveForecaster, StatisticalForecaster
from pipelines.network import NetworkPathForecaster
from pipelines.settings import Settings


def chosen_forecaster(settings: Settings) -> PathForecaster:
    """The forecaster that `forecast.model` names."""
    if settings.forecast.model == "network":
        return NetworkPathForecaster()
    return StatisticalForecaster(settings.statistical)


def contenders(settings: Settings) -> list[PathForecaster]:
    """The floor, the single classical models, the choice among them, and the network."""
    statistical = settings.statistical
    singles = [
        StatisticalForecaster(replace(statistical, candidates=(name,), walk_share=0.0))
        for name in statistical.candidates
    ]
    return [
        SeasonalNaiveForecaster(statistical.season_length),
        *singles,
        StatisticalForecaster(statistical),
        NetworkPathForecaster(),
    ]
