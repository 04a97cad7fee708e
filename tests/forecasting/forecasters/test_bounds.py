"""Floors and constants: no forecast of demand below zero, and a series that never moved stays where it is."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forecasting.forecasters.bounds import Bounds
from forecasting.forecasters.statistical import SeasonalNaiveForecaster, StatisticalForecaster
from forecasting.frequencies import Frequency
from forecasting.panel.history import exact_history

NAN = np.nan


def history(rows, variates=("y",)):
    values = np.asarray(rows, dtype=float).reshape(-1, len(variates), len(rows[0]))
    return exact_history(
        values,
        item_ids=tuple(f"s{k}" for k in range(len(values))),
        variates=variates,
        origins=(dt.date(2026, 1, 1),) * len(values),
        frequency=Frequency.DAY,
    )


DEMAND, BALANCE, STILL = [0.0, 3.0, NAN, 1.0], [-1.0, 3.0, 2.0, 1.0], [NAN, 7.0, 7.0, 7.0]


@pytest.mark.parametrize(
    ("floor", "lowest"), [("auto", [0, -np.inf, 0]), ("0", [0, 0, 0]), ("none", [-np.inf, -np.inf, -np.inf])]
)
def test_a_floor_is_zero_for_what_never_was_negative_or_as_asked(floor, lowest):
    bounds = Bounds.of(history([DEMAND, BALANCE, STILL]), floor)
    np.testing.assert_array_equal(bounds.lowest[:, 0], lowest)
    np.testing.assert_array_equal(bounds.constant[:, 0], [NAN, NAN, 7.0])


@settings(deadline=None, max_examples=50)
@given(arrays(np.float64, (3, 2, 4, 1), elements=st.floats(-1e6, 1e6)))
def test_values_are_kept_above_the_floor_and_others_are_left_alone(values):
    kept = Bounds.of(history([DEMAND, BALANCE, STILL]), "auto").keep(values)
    for place, value in np.ndenumerate(values):
        expected = (max(value, 0.0), value, 7.0)[place[0]]
        assert kept[place] == expected


def test_orders_and_capacity_are_left_to_their_own_model():
    flows = history([[0.0, 0.0, 0.0], [5.0, 5.0, 5.0]], ("orders", "capacity"))
    values = np.full((1, 2, 3, 2), -1.0)
    np.testing.assert_array_equal(Bounds.of(flows, "0").keep(values), values)


RNG = np.random.default_rng(5)
SMALL_DEMAND = RNG.poisson(1.0, 40).astype(float)


def naive(*, floor):
    forecaster = SeasonalNaiveForecaster(1)
    forecaster.floor = floor
    return forecaster


@pytest.mark.parametrize("forecaster", [StatisticalForecaster, naive])
def test_demand_is_never_forecast_below_zero_unless_the_floor_is_lifted(forecaster):
    past = history([SMALL_DEMAND])
    assert forecaster(floor="auto").fit(past).sample(10, 300, 1).min() == 0.0
    assert forecaster(floor="none").fit(past).sample(10, 300, 1).min() < 0.0


@pytest.mark.parametrize("length", [3, 6, 30])
@pytest.mark.parametrize("level", [0.0, 0.1, -2.5, 1e9])
def test_a_constant_series_is_forecast_exactly(length, level):
    drawn = StatisticalForecaster().fit(history([[level] * length])).sample(5, 20, 1)
    assert set(drawn.ravel().tolist()) == {level}


@pytest.mark.parametrize("constant", [1000.0, 2.0**20, 1e9])
def test_a_series_and_the_same_series_plus_a_constant_are_forecast_alike(constant):
    walk = 500 + np.round(np.random.default_rng(3).normal(size=60).cumsum() * 8) / 8
    one, other = (StatisticalForecaster().fit(history([walk + c])).sample(7, 200, 1) for c in (0.0, constant))
    np.testing.assert_allclose(other - constant, one, rtol=1e-6, atol=1e-6)


def test_a_floor_of_zero_holds_for_a_series_that_never_moved_below_it():
    past = history([[-5.0] * 6])
    assert set(StatisticalForecaster(floor="0").fit(past).sample(3, 10, 1).ravel().tolist()) == {0.0}
    assert set(StatisticalForecaster(floor="auto").fit(past).sample(3, 10, 1).ravel().tolist()) == {-5.0}
