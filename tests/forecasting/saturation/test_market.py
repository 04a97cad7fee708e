"""One item's market on every path: small cases by hand, and alignment on the forecast origin."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forecasting.errors import InputError
from forecasting.forecasters.base import PathSet
from forecasting.frequencies import Frequency
from forecasting.policy.terms import SupplyRule
from forecasting.reference.chips import chip
from forecasting.saturation.market import cap_item, counted_shipments, market, right_aligned, scope_item

ORIGIN = dt.date(2025, 12, 31)
WEEKS = Frequency.QUARTER.weeks
NAN = np.nan
H100_TPP = 1979 * 8  # dense FP8 of 1,979 TFLOPS, NVIDIA H100 and H200 data sheets


def market_of(orders, capacity, shipments, *, horizon, item_id="H200"):
    """Market of one item whose paths are given as rows [P, T]; shipments of the history alone."""
    orders, capacity = (np.atleast_2d(np.asarray(each, dtype=float)) for each in (orders, capacity))
    shipments = np.atleast_2d(np.asarray(shipments, dtype=float))
    unknown = np.full((shipments.shape[0], horizon), np.nan)
    values = np.stack([orders, capacity, np.concatenate([shipments, unknown], axis=1)], axis=-1)
    return market(
        PathSet(
            item_ids=("B200", item_id),
            variates=("orders", "capacity", "shipments"),
            origins=(ORIGIN, ORIGIN),
            frequency=Frequency.QUARTER,
            context_length=orders.shape[1] - horizon,
            values=np.stack([np.full_like(values, 1e9), values]),
        ),
        item_id,
    )


def example():
    """Two paths, two quarters of history and two to come, after a quarter before the item's start."""
    return market_of(
        orders=[[NAN, 100, 120, 50, 80], [NAN, 100, 120, 200, 80]],
        capacity=[[NAN, 90, 100, 100, 100], [NAN, 90, 100, 100, 100]],
        shipments=[[NAN, 85, 95], [NAN, 86, 96]],
        horizon=2,
    )


def test_a_market_starts_where_orders_and_capacity_are_known():
    of = example()
    assert (of.item_id, of.periods, of.horizon, of.origin_column) == ("H200", 4, 2, 1)
    assert of.orders[:, of.origin_column].tolist() == [120.0, 120.0]
    late = market_of([[1, 2, 3]], [[NAN, 2, 3]], [[1, 2]], horizon=1)
    assert late.periods == 2


def test_periods_are_counted_from_the_origin():
    of = example()
    quarters = [dt.date(2025, 9, 30), ORIGIN, dt.date(2026, 3, 31), dt.date(2026, 6, 30)]
    assert of.all_timestamps == quarters
    assert of.timestamps(0) == quarters[1:]
    assert of.timestamps(1) == quarters[2:]


def test_backlog_and_lead_time_follow_from_orders_and_capacity():
    of = example()
    np.testing.assert_array_equal(of.flow.backlog, [[10, 30, 0, 0], [10, 30, 130, 110]])
    np.testing.assert_array_equal(of.flow.surplus, [[0, 0, 20, 20], [0, 0, 0, 0]])
    np.testing.assert_allclose(of.lead_time, WEEKS * np.array([[0.3, 0, 0], [0.3, 1.3, 1.1]]))


def test_shipments_are_the_observed_ones_until_the_origin_and_follow_the_flow_after_it():
    np.testing.assert_array_equal(example().shipments, [[85, 95, 80, 80], [86, 96, 100, 100]])


@pytest.mark.parametrize(
    ("hold", "lead_time_weeks", "met"),
    [
        (1, 0.0, [[False, False, True, True], [False, False, False, False]]),
        (2, 0.0, [[False, False, False, True], [False, False, False, False]]),
        (1, 0.5 * WEEKS, [[True, True, True, True], [True, True, False, False]]),
        (2, 0.5 * WEEKS, [[False, True, True, True], [False, True, False, False]]),
    ],
)
def test_demand_is_met_once_the_queue_was_short_for_as_long_as_asked(hold, lead_time_weeks, met):
    rule = SupplyRule(
        normal_lead_time_weeks=lead_time_weeks, fill_rate_min=0.0, hold_periods=hold, scopes=("product",)
    )
    np.testing.assert_array_equal(example().demand_met(rule), met)


def test_demand_is_not_met_while_too_little_is_shipped_in_time():
    rule = SupplyRule(normal_lead_time_weeks=0.0, fill_rate_min=0.95, hold_periods=1, scopes=("product",))
    slack = market_of([[100, 50, 50]], [[100, 100, 100]], [[100, 50]], horizon=1)
    np.testing.assert_array_equal(slack.demand_met(rule), [[True, True, True]])
    short = market_of([[100, 106, 94]], [[100, 100, 100]], [[100, 100]], horizon=1)
    np.testing.assert_array_equal(short.demand_met(rule), [[True, False, True]])


def test_an_item_without_paths_is_refused_with_those_that_have_some():
    of = PathSet(
        item_ids=("H100", "H200"),
        variates=("orders", "capacity", "shipments"),
        origins=(ORIGIN, ORIGIN),
        frequency=Frequency.QUARTER,
        context_length=1,
        values=np.ones((2, 1, 2, 3)),
    )
    with pytest.raises(InputError, match=r"^paths: the item has no paths: expected H100, H200, found H20$"):
        market(of, "H20")


def test_a_variate_is_found_by_its_name():
    values = np.array([[[[3.0, 1.0, 2.0], [NAN, 10.0, 20.0]]]])
    of = market(
        PathSet(
            item_ids=("H200",),
            variates=("shipments", "orders", "capacity"),
            origins=(ORIGIN,),
            frequency=Frequency.QUARTER,
            context_length=1,
            values=values,
        ),
        "H200",
    )
    np.testing.assert_array_equal(of.orders, [[1.0, 10.0]])
    np.testing.assert_array_equal(of.capacity, [[2.0, 20.0]])
    assert of.shipments[0, 0] == 3.0


@settings(deadline=None, max_examples=50)
@given(
    values=arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 6)), elements=st.floats(0, 9)),
    periods=st.integers(1, 8),
)
def test_columns_are_aligned_on_the_last_one(values, periods):
    aligned = right_aligned(values, periods)
    assert aligned.shape == (len(values), periods)
    for back in range(1, periods + 1):
        expected = values[:, -back] if back <= values.shape[1] else np.zeros(len(values))
        np.testing.assert_array_equal(aligned[:, -back], expected)


def test_scopes_and_caps_name_the_items_they_ask_about():
    h200 = chip("H200")
    assert [scope_item(h200, scope) for scope in ("product", "portfolio")] == ["H200", "portfolio/nvidia"]
    counted = [cap_item(h200, counts) for counts in ("product", "family", "us_hardware")]
    assert counted == ["H200", "Hopper", "portfolio/us"]
    assert scope_item(chip("MI325X"), "portfolio") == "portfolio/amd"


def test_a_cap_on_the_product_counts_its_own_shipments():
    of = example()
    np.testing.assert_array_equal(counted_shipments(chip("H200"), "product", of, of), of.shipments)


@pytest.mark.parametrize(
    ("chip_id", "tpp", "launched"),
    [("H200", H100_TPP, dt.date(2024, 6, 30)), ("MI325X", 2614.9 * 8, dt.date(2024, 12, 31))],
)
def test_a_family_counts_by_tpp_after_the_launch_quarter(chip_id, tpp, launched):
    exported = chip(chip_id)
    assert exported.launch_quarter_end == launched
    history = 12  # from 2023Q1 on
    flat = np.full((1, history + 1), 50.0)
    product = market_of(flat, flat, flat[:, :history], horizon=1, item_id=chip_id)
    family = market_of(2 * flat, 4 * flat, 3 * flat[:, :history], horizon=1, item_id=exported.family)
    counted = counted_shipments(exported, "family", family, product)
    for end, units in zip(product.all_timestamps, counted[0], strict=True):
        h100e = 150.0 if end <= ORIGIN else 100.0
        own = 50.0  # until the launch quarter the product's shipments, and none of its forerunners'
        assert units == pytest.approx(own if end <= launched else h100e * H100_TPP / tpp)


def test_a_family_known_for_longer_or_shorter_than_the_product_is_aligned_on_the_origin():
    product = market_of([[9, 9, 9, 9]], [[9, 9, 9, 9]], [[9, 9, 9]], horizon=1)
    longer = market_of([[1, 2, 3, 4, 5, 6]], [[9] * 6], [[1, 2, 3, 4, 5]], horizon=1, item_id="Hopper")
    shorter = market_of([[5, 6]], [[9, 9]], [[5]], horizon=1, item_id="Hopper")
    h200 = chip("H200")
    np.testing.assert_allclose(counted_shipments(h200, "family", longer, product), [[3, 4, 5, 6]])
    np.testing.assert_allclose(counted_shipments(h200, "family", shorter, product), [[0, 0, 5, 6]])
