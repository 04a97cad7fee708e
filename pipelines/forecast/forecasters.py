"""Which forecaster answers, and which ones stand beside it in the backtest."""

from __future__ import annotations

from dataclasses import replace

from forecasting.forecasters.base import PathForecaster
from forecasting.forecasters.blend import BlendForecaster
from forecasting.forecasters.bounds import Floor
from forecasting.forecasters.settings import StatisticalSettings
from forecasting.forecasters.statistical import SeasonalNaiveForecaster, StatisticalForecaster
from pipelines.forecast.network import NetworkPathForecaster
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.registry.weights import Weights, shipped_weights


def named_forecaster(
    name: str, statistical: StatisticalSettings, weights: Weights | None, *, floor: Floor = "auto"
) -> PathForecaster:
    """The forecaster of that name: statistical, or network or blend, which need weights."""
    classical = StatisticalForecaster(statistical, floor=floor)
    if name == "statistical":
        return classical
    if weights is None:
        raise ValueError(f"the forecaster {name} needs weights")
    if name == "network":
        return NetworkPathForecaster(weights.network, floor=floor)
    return build_blend(weights, classical, floor=floor)


def build_blend(weights: Weights, statistical: PathForecaster, *, floor: Floor = "auto") -> BlendForecaster:
    """The network with the given weights and the statistical forecaster."""
    device = "cpu" if weights.network.device.type == "cpu" else "gpu"
    unseeing = weights if weights.trained_until is None else shipped_weights(device)
    return BlendForecaster(
        network=NetworkPathForecaster(weights.network, floor=floor),
        statistical=statistical,
        rehearsal=NetworkPathForecaster(unseeing.network, floor=floor),
    )


def backtest_forecasters(settings: Settings, weights: Weights | None = None) -> list[PathForecaster]:
    """The floor, the single classical models, the choice among them, the network, and the blend of both.

    Parameters
    ----------
    settings : Settings
    weights : Weights, optional
        Of the network; by default those of the package.
    """
    statistical = settings.statistical
    singles = [
        StatisticalForecaster(replace(statistical, candidates=(name,), walk_share=0.0))
        for name in statistical.candidates
    ]
    used = weights or shipped_weights(settings.forecast.device)
    return [
        SeasonalNaiveForecaster(statistical.season_length),
        *singles,
        StatisticalForecaster(statistical),
        NetworkPathForecaster(used.network),
        build_blend(used, StatisticalForecaster(statistical)),
    ]
