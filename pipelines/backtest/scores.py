"""Scores of one forecaster at one origin: its paths and its date against the actuals."""

from __future__ import annotations

from typing import Any

import numpy as np

from forecasting.evaluation.rolling_origin import score_item
from forecasting.evaluation.scores import censored_crps
from forecasting.forecasters.base import PathForecaster, PathSet
from forecasting.panel.history import Floats
from forecasting.panel.schema import FLOWS
from forecasting.policy.terms import SupplyRule
from forecasting.saturation.first_passage import first_passage, probability_by_step
from forecasting.saturation.market import Market, market
from pipelines.backtest.origins import BacktestOrigin
from pipelines.forecast.paths import sample_paths
from pipelines.runtime.config.settings import Settings

Row = dict[str, Any]


def score_origin(
    origin: BacktestOrigin, forecaster: PathForecaster, settings: Settings
) -> tuple[list[Row], list[Row]]:
    """Scores of one forecaster for each item at one origin, and its probabilities of the date."""
    paths = forecast_from(origin, forecaster, settings, horizon=settings.backtest.horizon)
    rows, events = [], []
    for item_id in paths.item_ids:
        row, stated = _scores(origin, paths, item_id, settings)
        rows.append({"forecaster": forecaster.name, **row})
        events += [{"forecaster": forecaster.name, **event} for event in stated]
    return rows, events


def score_task(
    task: tuple[BacktestOrigin, PathForecaster], *, settings: Settings
) -> tuple[list[Row], list[Row]]:
    """`score_origin` of an origin and a forecaster: what a worker loads of the program is little."""
    return score_origin(*task, settings)


def forecast_from(
    origin: BacktestOrigin, forecaster: PathForecaster, settings: Settings, *, horizon: int
) -> PathSet:
    """Joint paths from an origin."""
    sized = settings.forecast.model_copy(update={"horizon": horizon, "paths": settings.backtest.paths})
    return sample_paths(origin.history, settings.model_copy(update={"forecast": sized}), forecaster)


def _scores(
    origin: BacktestOrigin, paths: PathSet, item_id: str, settings: Settings
) -> tuple[Row, list[Row]]:
    """Scores of one forecast of one item, and its probabilities of the date with the outcomes."""
    item = paths.item_ids.index(item_id)
    actual = origin.actuals[item_id]
    steps = min(actual.horizon, paths.horizon)
    outcome = np.stack([actual.orders[0], actual.capacity[0]], axis=-1)  # [T, V]
    scored = score_item(
        paths.future[item, ..., : len(FLOWS)],
        outcome[actual.origin_column + 1 :][:steps],
        origin.history.values[item, : len(FLOWS)].T,
        variates=FLOWS,
        season_length=origin.history.frequency.season_length,
    )
    rule = settings.policies[0].supply
    stated = reached(market(paths, item_id), rule)[: steps + 1]
    observed = observed_step(actual, rule, steps)
    date = censored_crps(stated, observed, steps)
    row = {
        "as_of": origin.as_of,
        "origin": origin.history.origins[item],
        "item_id": item_id,
        "steps": steps,
        "crps": _mean(scored, "scaled_crps"),
        "mase": _mean(scored, "mase"),
        "coverage_80": _mean(scored, "coverage_80"),
        "energy": scored["energy_score"],
        "variogram": scored["variogram_score"],
        "date_crps": date,
        "date_brier": date / (steps + 1),
    }
    events = [
        {"probability": float(p), "outcome": float(observed is not None and observed <= step)}
        for step, p in enumerate(stated)
    ]
    return row, events


def _mean(scored: dict[str, float], name: str) -> float:
    """Mean of one score over the variates."""
    return float(np.mean([scored[f"{name}/{variate}"] for variate in FLOWS]))


def reached(of: Market, rule: SupplyRule) -> Floats:
    """P(demand met by t) for the steps 0 (the origin) to H."""
    passage = first_passage(of.demand_met(rule), of.origin_column)
    return np.asarray(probability_by_step(passage, of.horizon + 1))


def observed_step(actual: Market, rule: SupplyRule, steps: int) -> int | None:
    """Step of the origin or after on which demand was met, None where it was not within these steps."""
    passage = int(first_passage(actual.demand_met(rule), actual.origin_column)[0])
    return passage if passage <= min(steps, actual.horizon) else None
