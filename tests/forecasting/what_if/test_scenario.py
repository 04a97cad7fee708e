"""Scenarios: loops as oracles for what they do to the paths, and the laws that a what-if must keep."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forecasting.errors import InputError
from forecasting.forecasters.base import PathSet
from forecasting.frequencies import Frequency, period_ends
from forecasting.policy.policy import Policy
from forecasting.policy.terms import Cap, Eligibility, SupplyRule
from forecasting.reference.chips import catalogue
from forecasting.saturation.first_passage import first_passage
from forecasting.saturation.market import market
from forecasting.what_if.scenario import (
    Delay,
    FlowScaling,
    Scenario,
    apply_scenario,
    delay_launches,
    modify_policy,
)

ORIGIN = dt.date(2025, 12, 31)
ITEMS = ("H200", "portfolio/nvidia", "MI325X", "portfolio/us", "Hopper")
VARIATES = ("orders", "capacity", "shipments")
CONTEXT, HORIZON, PATHS = 2, 6, 3
COUNTS = st.integers(0, 40)
R200_STEP = 3  # launched in the quarter that ends on 2026-09-30


def path_set(values):
    return PathSet(
        item_ids=ITEMS,
        variates=VARIATES,
        origins=(ORIGIN,) * len(ITEMS),
        frequency=Frequency.QUARTER,
        context_length=CONTEXT,
        values=values,
    )


@st.composite
def some_paths(draw):
    """Whole units in multiples of 5, so that a fifth more is exact."""
    shape = (len(ITEMS), PATHS, CONTEXT + HORIZON, len(VARIATES))
    values = 5.0 * draw(arrays(np.int64, shape, elements=COUNTS)).astype(float)
    values[:, :, CONTEXT:, 2] = np.nan
    return path_set(values)


def example():
    values = np.random.default_rng(0).uniform(1, 9, (len(ITEMS), PATHS, CONTEXT + HORIZON, len(VARIATES)))
    values[:, :, CONTEXT:, 2] = np.nan
    return path_set(values)


def under(paths, **changes):
    return apply_scenario(paths, Scenario(title="what if", **changes), catalogue())


def same(one, other):
    return np.array_equal(one.values, other.values, equal_nan=True)


@settings(deadline=None, max_examples=30)
@given(some_paths())
def test_scenario_of_no_change_equals_the_base_bit_for_bit(paths):
    assert same(under(paths), paths)
    still = under(paths, capacity=FlowScaling(factor=1.0), orders=FlowScaling(factor=1.0))
    assert same(still, paths)
    assert same(under(paths, successor=Delay(chip="R200", periods=0)), paths)


@settings(deadline=None, max_examples=30)
@given(
    some_paths(),
    st.sampled_from([0.0, 6.5, 10.0, 13.0, 30.0]),
    st.sampled_from([0.0, 0.5, 0.95, 1.0]),
    st.integers(1, 3),
)
def test_more_capacity_never_delays_saturation_on_any_path(paths, weeks, fill, hold):
    rule = SupplyRule(
        normal_lead_time_weeks=weeks, fill_rate_min=fill, hold_periods=hold, scopes=("product",)
    )

    def passage(of):
        each = market(of, "H200")
        return first_passage(each.demand_met(rule), each.origin_column)

    assert (passage(under(paths, capacity=FlowScaling(factor=1.2))) <= passage(paths)).all()


@pytest.mark.parametrize("starting", [None, dt.date(2026, 9, 30), dt.date(2026, 10, 1), dt.date(2099, 1, 1)])
def test_factor_applies_to_every_item_from_its_day_on_and_never_to_the_past(starting):
    paths = example()
    found = under(paths, orders=FlowScaling(factor=0.85, starting=starting)).values
    expected = paths.values.copy()
    for step, end in enumerate(period_ends(ORIGIN, range(1, HORIZON + 1), Frequency.QUARTER)):
        if starting is None or end >= starting:
            for item in range(len(ITEMS)):
                for path in range(PATHS):
                    expected[item, path, CONTEXT + step, 0] *= 0.85
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("periods", [1, 2, 9])
def test_while_the_successor_is_late_its_vendors_items_stand_still_and_then_go_on(periods):
    paths = example()
    found = under(paths, successor=Delay(chip="R200", periods=periods)).values
    expected = paths.values.copy()
    for item in (0, 1, 4):  # H200, portfolio/nvidia and Hopper; AMD and the portfolio of all are left alone
        clock = 0
        for step in range(1, HORIZON + 1):
            clock += not R200_STEP <= step < R200_STEP + periods
            expected[item, :, CONTEXT - 1 + step, :2] = paths.values[item, :, CONTEXT - 1 + clock, :2]
    np.testing.assert_array_equal(found, expected)


def test_a_launch_of_the_quarter_that_has_just_ended_may_be_late():
    paths = replace(example(), origins=(dt.date(2026, 9, 30),) * len(ITEMS))
    found = under(paths, successor=Delay(chip="R200", periods=2)).values
    stands = paths.values[0, :, CONTEXT - 1, None, :2].repeat(2, axis=1)
    np.testing.assert_array_equal(found[0, :, CONTEXT : CONTEXT + 2, :2], stands)
    np.testing.assert_array_equal(found[0, :, CONTEXT + 2, :2], paths.values[0, :, CONTEXT, :2])


def test_delay_comes_before_a_factor_so_that_the_factor_starts_on_its_day():
    paths, delay = example(), Delay(chip="R200", periods=2)
    scaling = FlowScaling(factor=0.5, starting=dt.date(2027, 1, 1))
    both = under(paths, successor=delay, orders=scaling)
    assert same(both, under(under(paths, successor=delay), orders=scaling))


def test_delayed_chip_is_launched_later_in_the_catalogue_and_no_other_is():
    scenario = Scenario(title="late", successor=Delay(chip="R200", periods=2))
    late = delay_launches(catalogue(), scenario, example())
    assert late["R200"].launch_quarter_end == dt.date(2027, 3, 31)
    assert {n for n, c in late.items() if c != catalogue()[n]} == {"R200"}


def test_delay_of_an_unknown_chip_or_of_a_launch_in_the_past_is_refused():
    with pytest.raises(InputError, match="no such chip: expected a chip of the catalogue, found 'R300'"):
        under(example(), successor=Delay(chip="R300", periods=2))
    with pytest.raises(InputError, match="only a future launch can be delayed"):
        under(example(), successor=Delay(chip="B200", periods=2))


def test_negative_factor_and_negative_delay_are_refused():
    with pytest.raises(InputError, match="a factor must not be negative"):
        FlowScaling(factor=-0.1)
    with pytest.raises(InputError, match="a delay is not negative"):
        Delay(chip="R200", periods=-1)


def test_cap_is_read_in_another_way_only_where_there_is_one():
    policy = Policy(
        name="test",
        title="A policy of this test",
        effective_date=ORIGIN,
        source="none",
        review="case_by_case",
        eligibility=Eligibility(),
        supply=SupplyRule(normal_lead_time_weeks=0, fill_rate_min=0, hold_periods=1, scopes=("product",)),
        cap=Cap(ratio=0.5, period="since_launch", counts="product"),
    )
    scenario = Scenario(title="tight", cap_period="same_period")
    assert modify_policy(policy, scenario).cap == Cap(ratio=0.5, period="same_period", counts="product")
    assert modify_policy(policy, Scenario(title="none")) == policy
    with pytest.raises(InputError, match="a policy without a cap has no other reading of it"):
        modify_policy(replace(policy, cap=None), scenario)
