"""Lumpy order books: every member's forecast stays near what the item's own past would give."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from forecasting.evaluation.scores import crps
from forecasting.forecasters.intermittent import BLOCK, is_intermittent, sample_blocks
from forecasting.forecasters.settings import CANDIDATES, StatisticalSettings
from forecasting.forecasters.statistical import SeasonalNaiveForecaster, StatisticalForecaster
from forecasting.frequencies import Frequency
from forecasting.panel.history import exact_history

ITEMS, HORIZON, PATHS = 4, 6, 300
MEMBERS = {
    **{
        name: lambda name=name: StatisticalForecaster(StatisticalSettings(candidates=(name,)))
        for name in CANDIDATES
    },
    "statistical": StatisticalForecaster,
    "seasonal naive": SeasonalNaiveForecaster,
}


def lumpy(generator, length):
    """Orders in one period of three, their sizes far apart; capacity as an order book shows it."""
    orders = np.where(
        generator.random(length) < 0.35, np.exp(generator.normal(5.0, 1.3, length)), 0.0
    ).round()
    shipped = np.r_[0.0, orders[:-1]]
    capacity, peak = np.zeros(length), 0.0
    for t in range(length):
        peak = max(shipped[t], 0.85 * peak)
        capacity[t] = shipped[t] if generator.random() < 0.3 else peak
    return np.stack([orders, capacity])


def history_of(values):
    return exact_history(
        values,
        item_ids=tuple(f"item {n}" for n in range(len(values))),
        variates=("orders", "capacity"),
        origins=(dt.date(2026, 3, 31),) * len(values),
        frequency=Frequency.QUARTER,
    )


def mean_scores(paths, actual):
    """CRPS [I, V], averaged over the steps; paths [I, P, H, V], actual [I, V, H]."""
    return np.stack(
        [
            [crps(paths[i, :, :, v], actual[i, v]).mean() for v in range(actual.shape[1])]
            for i in range(len(actual))
        ]
    )


@pytest.mark.parametrize("length", [40, 24])
@pytest.mark.parametrize("member", MEMBERS)
def test_every_member_scores_within_twice_the_items_own_past_on_a_lumpy_book(member, length):
    generator = np.random.default_rng(1)
    whole = np.stack([lumpy(generator, length + HORIZON) for _ in range(ITEMS)])
    past, actual = whole[:, :, :length], whole[:, :, length:]
    draws = generator.integers(0, length, (ITEMS, PATHS, HORIZON))
    own_past = np.stack([np.moveaxis(past[i][:, draws[i]], 0, -1) for i in range(ITEMS)])
    forecaster = MEMBERS[member]().fit(history_of(past))
    paths = forecaster.sample(HORIZON, PATHS, 0)
    assert (mean_scores(paths, actual) <= 2.0 * mean_scores(own_past, actual) + 1e-9).all()
    assert (paths >= 0).all()
    assert (paths.max(axis=(1, 2)) <= 3.0 * past.max(axis=2)).all()
    assert set(forecaster.choices.values()) == {"Bootstrap"}


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        ([5, 0, 0, 7, 0, 0, 6, 0, 9], True),
        ([5, 6, 7, 5, 6, 7, 8, 9, 5], False),
        ([0, 0, 0, 0, 5, 6, 7, 8, 9], False),  # not on sale before
        ([5, 6, 7, 8, 9, 0, 0, 0, 0], False),  # ended
        ([0, 0, 0, 5, 0, 0, 0, 0, 7], False),  # too few to say
    ],
)
def test_an_item_is_intermittent_whose_demand_stops_and_comes_again(orders, expected):
    values = np.stack([np.asarray(orders, float), np.full(len(orders), 5.0)])[None]
    assert is_intermittent(history_of(values), 0) is expected


def test_smooth_items_are_forecast_as_if_the_lumpy_ones_were_not_there():
    generator = np.random.default_rng(2)
    smooth = np.exp(generator.normal(4.0, 0.1, (2, 2, 24)))
    both = np.concatenate([smooth, lumpy(generator, 24)[None]])
    alone, among = (StatisticalForecaster().fit(history_of(values)) for values in (smooth, both))
    assert np.array_equal(alone.sample(4, 50, 0), among.sample(4, 50, 0)[:2])
    assert among.choices["item 2"] == "Bootstrap"


def test_blocks_keep_orders_and_capacity_of_a_period_together_and_follow_the_past():
    past = np.stack([np.arange(1.0, 33.0), 100.0 + np.arange(1.0, 33.0)])
    drawn = sample_blocks(past, season_length=400, horizon=200, paths=50, generator=np.random.default_rng(3))
    ratio = drawn[..., 1] / drawn[..., 0]
    period = np.rint(100.0 / (ratio - 1.0))  # the jitter is common to both
    assert np.allclose(ratio, 1.0 + 100.0 / period)
    follows = (np.diff(period, axis=1) == 1).mean()
    expected = (1 - 1 / BLOCK) * (1 - 1 / 32)
    assert abs(follows - expected) < 0.05
