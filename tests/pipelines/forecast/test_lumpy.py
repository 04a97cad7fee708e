"""A book of rare, large orders: every forecaster stays near the best, for flows and as plain series."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from forecasting.evaluation.scores import crps
from forecasting.forecasters.seasonal_bootstrap import SeasonalBootstrapForecaster
from forecasting.forecasters.settings import CANDIDATES, StatisticalSettings
from forecasting.forecasters.statistical import StatisticalForecaster
from forecasting.frequencies import Frequency
from forecasting.panel.history import exact_history
from pipelines.forecast.forecasters import named_forecaster
from pipelines.runtime.registry.shipped import shipped_weights

ITEMS, LENGTH, HORIZON, PATHS = 5, 48, 8, 200
WORST = 3.0
"""Times the CRPS of the best forecaster that any other may have."""
BOOKS = {"monthly": Frequency.MONTH, "quarterly": Frequency.QUARTER}


def purchase_lines(generator: np.random.Generator, length: int) -> np.ndarray:
    """Orders and capacity [2, length] of one product: lines of a supply chain added up by period.

    In most periods nobody orders; then one programme orders for a year, a log-normal amount, in one to three
    deliveries some periods later. Capacity is what an order book shows: the recent peak of shipments.
    """
    chance, size, spread = generator.uniform(0.08, 0.25), generator.uniform(4, 9), generator.uniform(0.8, 1.5)
    comes = generator.random(length) < chance
    comes[: length // 2][generator.integers(0, length // 2, 3)] = True
    orders = np.where(comes, np.exp(generator.normal(size, spread, length)), 0.0).round()
    shipped = np.zeros(length + 8)
    for period in np.flatnonzero(orders):
        deliveries = generator.integers(1, 4)
        for delivery in range(deliveries):
            shipped[period + 1 + 2 * delivery] += orders[period] / deliveries
    capacity, peak = np.zeros(length), 0.0
    for period in range(length):
        peak = max(shipped[period], 0.85 * peak)
        capacity[period] = shipped[period] if generator.random() < 0.3 else peak
    return np.stack([orders, capacity])


def lines_of(frequency: Frequency, seed: int, variates: tuple[str, ...]):
    """History of five products and what came after it [I, V, H]."""
    generator = np.random.default_rng(seed)
    whole = np.stack([purchase_lines(generator, LENGTH + HORIZON) for _ in range(ITEMS)])[:, : len(variates)]
    history = exact_history(
        whole[..., :LENGTH],
        item_ids=tuple(f"item {place}" for place in range(ITEMS)),
        variates=variates,
        origins=(dt.date(2026, 3, 31),) * ITEMS,
        frequency=frequency,
    )
    return history, whole[..., LENGTH:]


def forecasters():
    weights = shipped_weights("cpu")
    named = {
        name: named_forecaster(name, StatisticalSettings(), weights)
        for name in ("statistical", "bank", "network", "auto")
    }
    singles = {
        name: StatisticalForecaster(StatisticalSettings(candidates=(name,), walk_share=0.0))
        for name in CANDIDATES
    }
    return {**named, **singles, "seasonal bootstrap": SeasonalBootstrapForecaster()}


def scaled_scores(history, actual):
    """Mean CRPS of each forecaster over the items, each in units of its own mean order or capacity."""
    size = history.values.mean(axis=2)[..., None]  # [I, V, 1]
    found = {}
    for name, forecaster in forecasters().items():
        paths = forecaster.fit(history).sample(HORIZON, PATHS, 0)  # [I, P, H, V]
        assert np.isfinite(paths).all()
        assert (paths >= 0).all()
        scored = crps(np.moveaxis(paths, 1, 0), np.moveaxis(actual, 1, 2))  # [I, H, V]
        found[name] = float((np.moveaxis(scored, 1, 2) / size).mean())
    return found


@pytest.mark.parametrize("variates", [("orders", "capacity"), ("y",)], ids=["flows", "plain series"])
@pytest.mark.parametrize("book", BOOKS)
def test_no_forecaster_scores_worse_than_three_times_the_best_on_a_lumpy_book(book, variates):
    history, actual = lines_of(BOOKS[book], 0, variates)
    assert (history.values[:, 0] == 0).mean() > 0.6
    scores = scaled_scores(history, actual)
    best = min(scores.values())
    assert {name: score / best for name, score in scores.items() if score > WORST * best} == {}
