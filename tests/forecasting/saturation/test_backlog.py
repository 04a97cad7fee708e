"""Stock and flow against an explicit first-in-first-out queue, the closed form, and conservation."""

import math
from collections import deque

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forecasting.errors import InputError
from forecasting.saturation.backlog import fill_rate, flow, lead_time_weeks

AMOUNTS = st.one_of(st.just(0.0), st.floats(0.01, 1e5))
LEAD_TIMES = st.sampled_from([0.0, 0.4, 0.767, 1.0, 1.5, 2.0, 3.2])


@st.composite
def orders_and_capacity(draw):
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 9)))
    return draw(arrays(np.float64, shape, elements=AMOUNTS)), draw(
        arrays(np.float64, shape, elements=AMOUNTS)
    )


def queue_simulation(orders, capacity, opening):
    """Plain queue of (cohort, units): what each period served, in order, and what was left."""
    queue = deque([[-1, opening]])
    served, backlog = [], []
    for t, (ordered, offered) in enumerate(zip(orders, capacity, strict=True)):
        queue.append([t, ordered])
        left, shipments = offered, []
        while queue and left > 0:
            units = min(queue[0][1], left)
            shipments.append((queue[0][0], units))
            left -= units
            queue[0][1] -= units
            if queue[0][1] == 0:
                queue.popleft()
        served.append(shipments)
        backlog.append(sum(units for _, units in queue))
    return served, backlog


def served_in_time(served, cohort, *, now, lead_time):
    """Units of a cohort shipped before its lead time ran out, going through the shipments in order."""
    units = 0.0
    for t in range(cohort, now + 1):
        share = min(1.0, cohort + lead_time + 1 - t)
        deadline, passed = share * sum(amount for _, amount in served[t]), 0.0
        for owner, amount in served[t]:
            if owner == cohort:
                units += min(max(deadline - passed, 0.0), amount)
            passed += amount
    return units


@settings(deadline=None, max_examples=50)
@given(orders_and_capacity(), AMOUNTS)
def test_flow_agrees_with_an_explicit_queue(data, opening):
    orders, capacity = data
    result = flow(orders, capacity, opening)
    for path in range(len(orders)):
        served, backlog = queue_simulation(orders[path], capacity[path], opening)
        np.testing.assert_allclose(result.backlog[path], backlog, rtol=1e-9, atol=1e-6)
        shipped = [sum(units for _, units in period) for period in served]
        np.testing.assert_allclose(result.shipments[path], shipped, rtol=1e-9, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(orders_and_capacity(), AMOUNTS)
def test_backlog_has_lindleys_closed_form(data, opening):
    orders, capacity = data
    walk = opening + np.cumsum(orders - capacity, axis=-1)
    closed_form = walk - np.minimum(0.0, np.minimum.accumulate(walk, axis=-1))
    np.testing.assert_allclose(flow(orders, capacity, opening).backlog, closed_form, rtol=1e-9, atol=1e-5)


@settings(deadline=None, max_examples=50)
@given(orders_and_capacity(), AMOUNTS)
def test_nothing_is_lost_or_negative(data, opening):
    orders, capacity = data
    backlog, shipments, surplus = flow(orders, capacity, opening)
    assert (backlog >= 0).all()
    assert (surplus >= 0).all()
    assert (shipments <= capacity).all()
    assert ((backlog == 0) | (surplus == 0)).all()
    np.testing.assert_allclose(shipments + surplus, capacity, rtol=1e-12)
    came_in = opening + orders.sum(axis=-1)
    np.testing.assert_allclose(shipments.sum(axis=-1) + backlog[..., -1], came_in, rtol=1e-9, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(orders_and_capacity(), LEAD_TIMES, AMOUNTS)
def test_fill_rate_agrees_with_an_explicit_queue(data, lead_time, opening):
    orders, capacity = data
    rates = fill_rate(orders, flow(orders, capacity, opening), lead_time)
    for path in range(len(orders)):
        served, _ = queue_simulation(orders[path], capacity[path], opening)
        for now in range(orders.shape[-1]):
            cohort = max(now - math.ceil(lead_time), 0)
            ordered = orders[path, cohort]
            in_time = served_in_time(served, cohort, now=now, lead_time=lead_time)
            expected = in_time / ordered if ordered > 0 else 1.0
            tolerance = 1e-9 * (orders[path].sum() + opening) / max(ordered, 1e-2)
            assert rates[path, now] == pytest.approx(expected, abs=tolerance + 1e-9)


def test_fill_rate_of_a_small_case_by_hand():
    orders, capacity = np.array([[100.0, 0.0, 0.0, 50.0]]), np.full((1, 4), 40.0)
    result = flow(orders, capacity)
    np.testing.assert_array_equal(result.backlog, [[60.0, 20.0, 0.0, 10.0]])
    np.testing.assert_array_equal(fill_rate(orders, result, 0.0), [[0.4, 1.0, 1.0, 0.8]])
    # lead time 1: cohort 0 is judged in period 1 (40 + 40 of 100), in period 0 by what has gone out so far
    np.testing.assert_allclose(fill_rate(orders, result, 1.0), [[0.4, 0.8, 1.0, 1.0]])
    # half a period more: of period 1 only half of the 40 shipped counts
    np.testing.assert_allclose(fill_rate(orders, result, 0.5), [[0.4, 0.6, 1.0, 1.0]])


@settings(deadline=None, max_examples=50)
@given(orders_and_capacity(), LEAD_TIMES)
def test_nothing_looks_into_the_future(data, lead_time):
    orders, capacity = data
    whole = flow(orders, capacity)
    for now in range(1, orders.shape[-1] + 1):
        part = flow(orders[:, :now], capacity[:, :now])
        np.testing.assert_array_equal(part.backlog, whole.backlog[:, :now])
        rates = fill_rate(orders[:, :now], part, lead_time)
        np.testing.assert_array_equal(rates, fill_rate(orders, whole, lead_time)[:, :now])


@settings(deadline=None, max_examples=50)
@given(orders_and_capacity(), LEAD_TIMES, st.sampled_from([0.25, 2.0, 1024.0]))
def test_flow_scales_with_the_units_and_the_fill_rate_does_not(data, lead_time, scale):
    orders, capacity = data
    small, large = flow(orders, capacity), flow(scale * orders, scale * capacity)
    for one, other in zip(small, large, strict=True):
        np.testing.assert_array_equal(scale * one, other)
    rates = fill_rate(orders, small, lead_time)
    np.testing.assert_array_equal(rates, fill_rate(scale * orders, large, lead_time))
    assert ((rates >= 0) & (rates <= 1)).all()


def test_orders_that_are_met_at_once_are_filled_to_exactly_one():
    orders = np.random.default_rng(1).uniform(0.1, 0.9, (100, 12)) * np.pi
    result = flow(orders, np.full_like(orders, 3.0))
    assert (result.backlog == 0).all()
    for lead_time in (0.0, 0.767, 2.0):
        assert (fill_rate(orders, result, lead_time) == 1.0).all()


def test_leading_axes_and_broadcast_capacity_are_kept():
    orders = np.arange(24.0).reshape(2, 3, 4)
    capacity = np.full(4, 5.0)
    result = flow(orders, capacity, opening=np.array([[0.0], [7.0]]))
    assert result.backlog.shape == result.shipments.shape == result.surplus.shape == (2, 3, 4)
    one = flow(orders[1, 2], capacity, 7.0)
    np.testing.assert_array_equal(result.backlog[1, 2], one.backlog)


def test_lead_time_is_backlog_over_capacity_in_weeks():
    backlog, capacity = np.array([0.0, 0.0, 3.0, 6.0]), np.array([0.0, 2.0, 0.0, 2.0])
    np.testing.assert_array_equal(lead_time_weeks(backlog, capacity, 13.0), [0.0, 0.0, math.inf, 39.0])


@pytest.mark.parametrize("broken", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["orders", "capacity"])
def test_amounts_that_are_negative_or_missing_are_refused_by_name(name, broken):
    amounts = {"orders": np.ones((2, 3)), "capacity": np.ones((2, 3))}
    amounts[name][1, 2] = broken
    with pytest.raises(InputError, match=f"{name} must be given in every period.*found 1 missing"):
        flow(**amounts)


def test_periods_that_do_not_match_are_refused():
    with pytest.raises(InputError, match="found 3 and 2 periods"):
        flow(np.ones(3), np.ones(2))
    with pytest.raises(InputError, match="found 0 and 0 periods"):
        flow(np.ones((2, 0)), np.ones((2, 0)))
    with pytest.raises(InputError, match="lead time must not be negative"):
        fill_rate(np.ones(3), flow(np.ones(3), np.ones(3)), -0.1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_torch_runs_the_same_lines(dtype, tolerance):
    rng = np.random.default_rng(3)
    orders, capacity = rng.lognormal(0.0, 0.5, (2, 50, 12)), rng.lognormal(0.0, 0.3, (2, 50, 12))
    expected = flow(orders, capacity, 4.0)
    torch_orders, torch_capacity = (torch.tensor(x, dtype=dtype) for x in (orders, capacity))
    found = flow(torch_orders, torch_capacity, 4.0)
    pairs = [
        *zip(found, expected, strict=True),
        (fill_rate(torch_orders, found, 1.4), fill_rate(orders, expected, 1.4)),
        (
            lead_time_weeks(found.backlog, torch_capacity, 1.0),
            lead_time_weeks(expected.backlog, capacity, 1.0),
        ),
    ]
    for tensor, array in pairs:
        assert tensor.dtype == dtype
        np.testing.assert_allclose(tensor.numpy(), array, rtol=tolerance, atol=tolerance)
