"""The model scale: there and back, gaps, zeros, and what cannot be forecast."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forecasting.errors import InputError
from forecasting.forecasters.scaling import (
    CAPACITY_OFFSET,
    DEFAULT_VOLATILITY,
    RATIO_OFFSET,
    highest_level,
    largest_growth,
    pooled_volatility,
    scale_item,
)
from forecasting.frequencies import Frequency
from forecasting.panel.history import exact_history


def scaled(rows, variates=("y",)):
    values = np.asarray(rows, dtype=float)[None]
    history = exact_history(
        values,
        item_ids=("H200",),
        variates=variates,
        origins=(dt.date(2025, 12, 31),),
        frequency=Frequency.QUARTER,
    )
    return scale_item(history, 0)


def flows(orders, capacity):
    return scaled([orders, capacity], ("orders", "capacity"))


@settings(deadline=None, max_examples=50)
@given(arrays(np.float64, (2, 6), elements=st.floats(1e-2, 1e6)))
def test_restoring_the_scaled_history_gives_the_history(values):
    item = scaled(values, ("a", "b"))
    np.testing.assert_allclose(item.restore(np.stack(item.series, axis=-1)[None])[0].T, values, rtol=1e-6)


@settings(deadline=None, max_examples=50)
@given(arrays(np.float64, (2, 6), elements=st.floats(1e-2, 1e6)))
def test_flows_above_those_at_the_origin_are_restored(values):
    ratio, capacity = -np.sort(-values, axis=1)
    item = flows(ratio / 1e4 * capacity, capacity)
    found = item.restore(np.stack(item.series, axis=-1)[None])[0].T
    np.testing.assert_allclose(found, [ratio / 1e4 * capacity, capacity], rtol=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.floats(0.01, 1.0), st.floats(0.01, 3.0))
def test_flows_fall_at_the_rate_at_which_they_would_rise_and_never_to_zero(share, ratio):
    item = flows([100.0 * ratio, share * 100.0 * ratio], [100.0, share * 100.0])
    step = 1e-6
    fallen, here, risen = item.restore(np.array([[[-step] * 2, [0.0] * 2, [step] * 2]]))[0]
    np.testing.assert_allclose(here - fallen, risen - here, rtol=1e-3)
    assert (fallen < here).all()
    assert (item.restore(np.full((1, 1, 2), -1.0)) > 0).all()


@settings(deadline=None, max_examples=50)
@given(arrays(np.float64, (2, 6), elements=st.floats(-1e6, 1e6, width=32)))
def test_series_of_any_sign_are_restored(values):
    item = scaled(values, ("a", "b"))
    np.testing.assert_allclose(item.restore(np.stack(item.series, axis=-1)[None])[0].T, values, atol=1e-6)


def test_every_series_ends_at_zero():
    item = scaled([[1.0, 2.0, 4.0], [-3.0, 0.0, 6.0]], ("a", "b"))
    assert [float(series[-1]) for series in item.series] == [0.0, 0.0]
    np.testing.assert_allclose(item.series[0], np.log([0.25, 0.5, 1.0]))
    np.testing.assert_allclose(item.series[1], [-9 / 4.5, -6 / 4.5, 0.0])


def test_orders_are_seen_as_their_ratio_to_capacity():
    item = flows([50.0, 200.0], [100.0, 100.0])
    np.testing.assert_allclose(item.series[0][0], np.log((0.5 + RATIO_OFFSET) / (2.0 + RATIO_OFFSET)))
    np.testing.assert_allclose(item.series[1], [0.0, 0.0])


def test_no_orders_come_back_as_none():
    item = flows([100.0, 0.0], [100.0, 80.0])
    np.testing.assert_allclose(item.restore(np.zeros((1, 1, 2)))[0, 0], [0.0, 80.0], atol=1e-9)


def test_an_item_that_never_sold_stays_at_zero():
    item = flows([0.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    np.testing.assert_allclose(item.restore(np.zeros((2, 3, 2))), 0.0, atol=1e-12)


def test_orders_are_never_negative_on_a_path():
    item = flows([50.0, 40.0], [100.0, 90.0])
    paths = item.restore(np.linspace(-1e3, 1.0, 50)[None, :, None] * np.ones(2))
    assert (paths >= 0).all()
    assert (np.diff(paths, axis=1) >= 0).all()


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ([1.0, np.nan, 1.5], "log"),
        ([1.0, 1.1, 1.0], "anywhere"),
        ([1.0, 1.3, 1.0], "log"),  # three values of a walk range less than thirty
        ([1.0, *[1.3] * 30, 1.0], "anywhere"),
        ([1e6, 1e6 + 1], "anywhere"),
        ([0.0, 3.0, 1.0], "from zero"),
        ([0.0, 0.0], "from zero"),
        ([-1.0, 3.0], "anywhere"),
        ([-9.0, -1.0], "anywhere"),
    ],
)
def test_logs_are_for_positive_series_that_range_widely_for_their_length(row, kind):
    item = scaled([row])
    assert item.kinds == (kind,)
    assert item.logs == (kind == "log",)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 400), min_size=3, max_size=9), st.sampled_from([1000, 2**20, 10**9, -(10**6)]))
def test_a_series_far_from_zero_is_scaled_by_its_moves_alone(moves, level):
    row = np.array(moves) / 8
    one, other = scaled([row + level]), scaled([row + 3 * level])
    assert one.kinds == other.kinds == ("anywhere",)
    if np.ptp(row):
        np.testing.assert_array_equal(one.series[0], other.series[0])
        np.testing.assert_array_equal(one.unit, other.unit)


def test_periods_before_the_first_capacity_are_left_out():
    item = flows([0.0, 0.0, 5.0, 10.0], [0.0, 0.0, 10.0, 10.0])
    assert [len(series) for series in item.series] == [2, 2]


def test_gaps_are_filled_linearly_on_the_log_scale():
    item = scaled([[np.nan, 1.0, np.nan, 100.0]])
    np.testing.assert_allclose(item.restore(item.series[0][None, :, None])[0, :, 0], [1.0, 10.0, 100.0])


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([[1.0, 2.0], [np.nan, np.nan]], "H200, capacity: a series needs at least one observation"),
        ([[-1.0, 2.0], [1.0, 1.0]], "H200, orders: orders must not be negative: found -1"),
        ([[1.0, 2.0], [1.0, -4.0]], "H200, capacity: capacity must not be negative: found -4"),
        ([[1.0, np.nan], [np.nan, 1.0]], "a period in which both are observed"),
    ],
)
def test_what_cannot_be_forecast_is_refused_by_name(rows, sentence):
    with pytest.raises(InputError, match=sentence):
        scaled(rows, ("orders", "capacity"))


def test_volatility_is_the_median_over_items_and_leaves_constants_out():
    items = [scaled([np.exp([0.0, step, 0.0])]) for step in (0.5, 0.9, 1.3)] + [scaled([[5.0, 5.0, 5.0]])]
    np.testing.assert_allclose(pooled_volatility(items), [0.9])
    np.testing.assert_allclose(pooled_volatility(items[-1:]), [DEFAULT_VOLATILITY])


def test_largest_growth_is_the_maximum_over_items_windows_and_shorter_spans():
    items = [scaled([np.exp([0.0, 0.5, 0.2, 0.1])]), scaled([np.exp([0.0, 0.3, 0.8])])]
    np.testing.assert_allclose(largest_growth(items)[:, 0], [0.5, 0.8, 0.8])


def test_only_the_book_to_bill_has_a_highest_level():
    item = flows([50.0, 200.0], [100.0, 100.0])
    highest = highest_level([item, flows([1.0, 1.0], [1.0, 1.0])])
    assert highest[0] == pytest.approx(np.log(2 + RATIO_OFFSET))
    assert highest[1] == np.inf
    assert item.offset[1] == CAPACITY_OFFSET * 100
