"""Saturation, its confirmation and first passage: small cases by hand, plain loops, and their laws."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forecasting.errors import InputError
from forecasting.policy.terms import SupplyRule
from forecasting.saturation.backlog import fill_rate, flow
from forecasting.saturation.first_passage import (
    confirmed,
    first_passage,
    never,
    probability_by_step,
    quantile_steps,
    saturated,
)

RULE = SupplyRule(normal_lead_time_weeks=10.0, fill_rate_min=0.9, hold_periods=2, scopes=("product",))
AMOUNTS = st.one_of(st.just(0.0), st.floats(0.01, 1e5))
STATES = arrays(np.bool_, st.tuples(st.integers(1, 4), st.integers(1, 10)), elements=st.booleans())


@st.composite
def orders_and_capacity(draw):
    amounts = arrays(np.float64, (draw(st.integers(1, 4)), draw(st.integers(1, 10))), elements=AMOUNTS)
    return draw(amounts), draw(amounts)


def passage_under(orders, capacity, *, weeks, fill_rate_min=0.0, hold=1):
    rule = replace(RULE, normal_lead_time_weeks=weeks, fill_rate_min=fill_rate_min)
    state = saturated(flow(orders, capacity), orders, capacity, rule=rule, weeks_per_period=10.0)
    return first_passage(confirmed(state, hold))


def test_backlog_exactly_as_long_as_the_normal_lead_time_is_saturated():
    orders, capacity = np.array([[20.0, 10.0, 11.0]]), np.full((1, 3), 10.0)
    rule = replace(RULE, fill_rate_min=0.0)
    state = saturated(flow(orders, capacity), orders, capacity, rule=rule, weeks_per_period=10.0)
    np.testing.assert_array_equal(state, [[True, True, False]])  # backlog 10, 10, 11


def test_short_queue_is_not_enough_if_orders_came_late():
    orders, capacity = np.array([[100.0, 0.0, 0.0, 0.0]]), np.array([[20.0, 40.0, 100.0, 100.0]])
    result = flow(
        orders, capacity
    )  # backlog 80, 40, 0, 0; of period 0's orders 60 % are shipped within 10 weeks
    with_fill_rate = saturated(result, orders, capacity, rule=RULE, weeks_per_period=10.0)
    backlog_alone = saturated(
        result, orders, capacity, rule=replace(RULE, fill_rate_min=0.0), weeks_per_period=10.0
    )
    np.testing.assert_array_equal(backlog_alone, [[False, True, True, True]])
    np.testing.assert_array_equal(with_fill_rate, [[False, False, True, True]])


def test_no_backlog_rule_is_met_only_by_an_empty_queue():
    orders, capacity = np.array([[10.0, 11.0, 8.0]]), np.full((1, 3), 10.0)
    rule = replace(RULE, normal_lead_time_weeks=0.0, fill_rate_min=1.0)
    state = saturated(flow(orders, capacity), orders, capacity, rule=rule, weeks_per_period=13.0)
    np.testing.assert_array_equal(state, [[True, False, True]])


@settings(deadline=None, max_examples=50)
@given(STATES, st.integers(1, 5))
def test_confirmed_means_held_for_that_many_periods_in_a_row(state, hold):
    found = confirmed(state, hold)
    for path, steps in enumerate(state):
        run = 0
        for t, held in enumerate(steps):
            run = run + 1 if held else 0
            assert found[path, t] == (run >= hold)


@settings(deadline=None, max_examples=50)
@given(STATES, st.data())
def test_first_passage_agrees_with_a_plain_search(state, data):
    origin = data.draw(st.integers(0, state.shape[-1] - 1))
    found = first_passage(state, origin)
    for path, steps in enumerate(state):
        after = list(steps[origin:])
        assert found[path] == (after.index(True) if True in after else len(after))


@settings(deadline=None, max_examples=50)
@given(orders_and_capacity(), st.floats(0, 40), st.floats(0, 40))
def test_allowing_a_longer_queue_never_delays_the_first_passage(data, weeks, more):
    assert (passage_under(*data, weeks=weeks + more) <= passage_under(*data, weeks=weeks)).all()


@settings(deadline=None, max_examples=50)
@given(orders_and_capacity(), st.floats(0, 40), st.floats(0, 1), st.floats(0, 1))
def test_asking_a_higher_fill_rate_never_hastens_the_first_passage(data, weeks, one, other):
    low, high = sorted((one, other))
    early = passage_under(*data, weeks=weeks, fill_rate_min=low)
    assert (early <= passage_under(*data, weeks=weeks, fill_rate_min=high)).all()


@settings(deadline=None, max_examples=50)
@given(orders_and_capacity(), st.floats(0, 40), st.floats(0, 1), st.integers(1, 4))
def test_a_longer_hold_never_hastens_the_first_passage(data, weeks, fill_rate_min, hold):
    early = passage_under(*data, weeks=weeks, fill_rate_min=fill_rate_min, hold=hold)
    assert (early <= passage_under(*data, weeks=weeks, fill_rate_min=fill_rate_min, hold=hold + 1)).all()


@settings(deadline=None, max_examples=50)
@given(orders_and_capacity(), st.floats(0, 40), st.floats(0, 1), st.sampled_from([0.125, 4.0]))
def test_first_passage_does_not_depend_on_the_units(data, weeks, fill_rate_min, scale):
    orders, capacity = data
    one = passage_under(orders, capacity, weeks=weeks, fill_rate_min=fill_rate_min)
    other = passage_under(scale * orders, scale * capacity, weeks=weeks, fill_rate_min=fill_rate_min)
    np.testing.assert_array_equal(one, other)


def test_a_longer_lead_time_judges_an_older_cohort_and_may_find_it_ill_served():
    orders, capacity = np.array([10.0, 0.0, 0.0]), np.array([0.0, 0.0, 5.0])
    result = flow(orders, capacity)  # period 2: backlog 5 is one period's capacity
    assert fill_rate(orders, result, 1.0)[2] == 1.0  # judges period 1, in which nothing was ordered
    assert fill_rate(orders, result, 2.0)[2] == 0.5  # judges period 0, half of whose orders still wait


def test_what_came_before_the_origin_does_not_count():
    state = np.array([[True, False, False, True], [True, False, False, False], [False, True, True, True]])
    np.testing.assert_array_equal(first_passage(state, 1), [2, 3, 0])  # 3: censored


def test_probabilities_and_quantiles_of_a_small_case_by_hand():
    passage = np.array([0, 2, 2, 3, 4, 4, 4, 4, 4, 4])  # four steps: 4 is censored
    np.testing.assert_array_equal(probability_by_step(passage, 4), [0.1, 0.1, 0.3, 0.4])
    assert never(passage, 4) == pytest.approx(0.6)
    np.testing.assert_array_equal(
        quantile_steps(passage, [0.1, 0.2, 0.3, 0.4, 0.41, 0.9], 4), [0, 2, 2, 3, np.nan, np.nan]
    )


@settings(deadline=None, max_examples=50)
@given(
    arrays(np.int64, st.integers(1, 40), elements=st.integers(0, 6)),
    st.sampled_from([0.05, 0.25, 0.5, 0.9, 1.0]),
)
def test_quantiles_agree_with_the_inverse_distribution_and_are_missing_where_censored(passage, level):
    steps = 6
    expected = np.quantile(np.where(passage < steps, passage, np.inf), level, method="inverted_cdf")
    found = quantile_steps(passage, [level], steps)[0]
    assert found == expected or (math.isnan(found) and math.isinf(expected))
    cumulative = probability_by_step(passage, steps)
    assert (np.diff(cumulative) >= 0).all()
    assert cumulative[-1] + never(passage, steps) == pytest.approx(1.0)
    assert never(passage, steps) == pytest.approx(np.mean(passage == steps))


def test_items_are_summarised_apart():
    passage = np.array([[0, 1, 1, 3], [3, 3, 3, 3]])
    np.testing.assert_array_equal(probability_by_step(passage, 3), [[0.25, 0.75, 0.75], [0, 0, 0]])
    np.testing.assert_array_equal(quantile_steps(passage, [0.5, 0.8], 3), [[1, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(never(passage, 3), [0.25, 1.0])


def test_impossible_questions_are_refused():
    state = np.ones((2, 3), dtype=bool)
    with pytest.raises(InputError, match="at least one period"):
        confirmed(state, 0)
    with pytest.raises(InputError, match="origin must lie inside the periods: expected 0 to 2, found 3"):
        first_passage(state, 3)
    for level in (0.0, 1.5, math.nan):
        with pytest.raises(InputError, match="quantile levels"):
            quantile_steps(np.array([1]), [level], 3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_torch_runs_the_same_lines(dtype):
    rng = np.random.default_rng(5)
    orders, capacity = rng.lognormal(3.0, 0.5, (3, 200, 12)), rng.lognormal(3.0, 0.3, (3, 200, 12))

    def answers(orders, capacity):
        state = saturated(flow(orders, capacity), orders, capacity, rule=RULE, weeks_per_period=13.0)
        passage = first_passage(confirmed(state, 2), 4)
        return (
            passage,
            probability_by_step(passage, 8),
            never(passage, 8),
            quantile_steps(passage, [0.2, 0.5], 8),
        )

    expected = answers(orders, capacity)
    found = answers(torch.tensor(orders, dtype=dtype), torch.tensor(capacity, dtype=dtype))
    assert 0.05 < expected[2].mean() < 0.95
    for tensor, array in zip(found, expected, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), array)
