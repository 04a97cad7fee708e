"""The network behind the path forecaster's protocol."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from forecasting.errors import InputError
from forecasting.frequencies import Frequency
from forecasting.panel.history import exact_history
from pipelines.forecast.network import NetworkPathForecaster


def history(values, variates=("orders", "capacity")):
    values = np.asarray(values, dtype=float)
    return exact_history(
        values,
        item_ids=tuple(f"item {i}" for i in range(len(values))),
        variates=variates,
        origins=(dt.date(2025, 12, 31),) * len(values),
        frequency=Frequency.QUARTER,
    )


def quarters(ratio, start=100.0, growth=1.05, length=16):
    capacity = start * growth ** np.arange(length)
    return np.stack([ratio * capacity, capacity])


@pytest.fixture(scope="module")
def network():
    return NetworkPathForecaster()


def test_paths_have_the_protocols_shape_and_are_never_negative(network):
    paths = network.fit(history([quarters(1.2), quarters(0.3)])).sample(6, 50, seed=1)
    assert paths.shape == (2, 50, 6, 2)
    assert (paths >= 0).all()


def test_same_seed_gives_the_same_paths(network):
    network.fit(history([quarters(1.2)]))
    assert np.array_equal(network.sample(4, 20, seed=3), network.sample(4, 20, seed=3))
    assert not np.array_equal(network.sample(4, 20, seed=3), network.sample(4, 20, seed=4))


@pytest.mark.parametrize("ratio", [0.3, 1.2])
def test_orders_keep_their_relation_to_capacity(network, ratio):
    noise = np.exp(np.random.default_rng(0).normal(0, 0.05, 16))
    orders, capacity = np.moveaxis(
        network.fit(history([quarters(ratio * noise)])).sample(4, 400, seed=1)[0], -1, 0
    )
    on_sale = capacity > 0
    assert on_sale.mean() > 0.9
    assert np.median(orders[on_sale] / capacity[on_sale]) == pytest.approx(ratio, rel=0.25)


def test_quarters_without_capacity_are_unobserved_and_answered(network):
    flows = quarters(1.0)
    flows[:, :5] = 0.0
    assert np.isfinite(network.fit(history([flows])).sample(3, 10, seed=1)).all()


def test_series_that_is_too_short_is_refused_in_one_sentence(network):
    with pytest.raises(InputError, match="3 observations|at least 3"):
        network.fit(history([quarters(1.0, length=2)])).sample(3, 10, seed=1)


def test_item_with_too_few_quarters_of_capacity_is_answered(network):
    flows = [[0.0, 5.0, 40.0, 60.0], [0.0, 0.0, 30.0, 50.0]]
    drawn = network.fit(history([flows])).sample(4, 10, seed=0)
    assert np.isfinite(drawn).all()
    assert (drawn >= 0).all()
