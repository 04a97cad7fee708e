"""Which forecaster answers, and which ones stand beside it in the backtest."""

from __future__ import annotations

from dataclasses import replace

from forecasting.forecasters.bank import LONGEST_HORIZON
from forecasting.forecasters.base import PathForecaster
from forecasting.forecasters.bounds import Floor
from forecasting.forecasters.combination import CombinationForecaster, Member, Prior
from forecasting.forecasters.flow_bank import FlowBankForecaster
from forecasting.forecasters.seasonal_bootstrap import SeasonalBootstrapForecaster
from forecasting.forecasters.settings import StatisticalSettings
from forecasting.forecasters.statistical import SeasonalNaiveForecaster, StatisticalForecaster
from pipelines.forecast.network import NetworkPathForecaster
from pipelines.runtime.config.model_names import ModelName
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.registry.weights import Weights, shipped_weights

# What is believed of each member before its past forecasts are scored (docs/decisions/0017).
NETWORK = Prior(flows=0.5, plain=0.5, season=0.4, long_season=0.2)
BANK = Prior(flows=0.5, young_flows=0.0, plain=0.5, season=0.4, long_season=0.6)
CHOICE = Prior(flows=0.0, young_flows=0.5, plain=0.0, season=0.0, long_season=0.0)  # docs/decisions/0027
BOOTSTRAP = Prior(flows=0.0, plain=0.0, season=0.2, long_season=0.2)
CLASSIC = Prior(flows=0.2, plain=0.2, season=0.2, long_season=0.2)  # each of those of the ensemble


def named_forecaster(
    name: ModelName, statistical: StatisticalSettings, weights: Weights | None, *, floor: Floor = "auto"
) -> PathForecaster:
    """The forecaster of that name; auto, network and ensemble need weights."""
    if name == "statistical":
        return StatisticalForecaster(statistical, floor=floor)
    if name == "bank":
        return FlowBankForecaster(floor=floor)
    if weights is None:
        raise ValueError(f"the forecaster {name} needs weights")
    if name == "network":
        return NetworkPathForecaster(weights.network, floor=floor)
    members = _members(weights, floor, statistical)
    if name == "ensemble":
        members += _classics(statistical, floor)
    return CombinationForecaster(name, members)


def build_auto(weights: Weights, statistical: StatisticalSettings | None = None) -> CombinationForecaster:
    """Network, bank and seasonal bootstrap; of young flows the network and the statistical choice."""
    return CombinationForecaster("auto", _members(weights, "auto", statistical))


def _classics(statistical: StatisticalSettings, floor: Floor) -> list[Member]:
    """Each classical model by itself."""
    return [
        Member(
            forecaster=StatisticalForecaster(replace(statistical, candidates=(name,)), floor=floor),
            prior=CLASSIC,
        )
        for name in statistical.candidates
    ]


def _members(weights: Weights, floor: Floor, statistical: StatisticalSettings | None = None) -> list[Member]:
    """The network with the given weights, what is as fast, and with its settings the statistical choice."""
    choice = [] if statistical is None else [StatisticalForecaster(statistical, floor=floor)]
    device = "cpu" if weights.network.device.type == "cpu" else "gpu"
    unseeing = weights if weights.trained_until is None else shipped_weights(device)
    return [
        Member(
            forecaster=NetworkPathForecaster(weights.network, floor=floor),
            rehearsal=NetworkPathForecaster(unseeing.network, floor=floor),
            prior=NETWORK,
        ),
        Member(forecaster=FlowBankForecaster(floor=floor), prior=BANK, longest=LONGEST_HORIZON),
        Member(forecaster=SeasonalBootstrapForecaster(floor=floor), prior=BOOTSTRAP),
        *(Member(forecaster=each, prior=CHOICE) for each in choice),
    ]


def backtest_forecasters(settings: Settings, weights: Weights | None = None) -> list[PathForecaster]:
    """The floor, the single classical models, the choice among them, the network, the bank, and all combined.

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
        FlowBankForecaster(),
        build_auto(used, statistical),
    ]
