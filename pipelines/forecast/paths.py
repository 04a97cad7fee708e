"""Joint paths of orders and capacity: what the forecast step, the backtest and what-if cases share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forecasting.forecasters.base import PathForecaster, PathSet, forecast_paths
from forecasting.panel.history import History
from forecasting.panel.measurement_error import draw_history
from forecasting.panel.schema import FLOWS, RATIO, STATE
from forecasting.public.state_paths import with_states
from pipelines.runtime.config.settings import Settings


def sample_paths(history: History, settings: Settings, forecaster: PathForecaster) -> PathSet:
    """Joint paths of orders and capacity, with the drawn history of shipments beside them (no future).

    `history` holds the variates orders, capacity and shipments; the last is not forecast, since shipments
    follow from the other two. Where it also holds the probabilities of the market's state, a state is drawn
    for each path (`public.state_paths`).
    """
    forecast, correlation = settings.forecast, settings.data.correlation_of_errors
    flows = forecast_paths(
        forecaster,
        history.only(*FLOWS),
        horizon=forecast.horizon,
        paths=forecast.paths,
        seed=settings.seed,
        error_correlation=correlation,
    )
    shipments = history.only("shipments")
    drawn = draw_history(shipments, paths=forecast.paths, seed=settings.seed, correlation=correlation)
    unknown = np.full((len(history.item_ids), forecast.paths, forecast.horizon, 1), np.nan)
    past = np.concatenate([drawn, unknown], axis=2)
    paths = replace(
        flows, variates=(*flows.variates, "shipments"), values=np.concatenate([flows.values, past], axis=3)
    )
    terms = settings.data.state_terms
    if terms is None or STATE[0] not in history.variates:
        return paths
    return with_states(paths, history.only(*STATE, RATIO), terms, seed=settings.seed)
