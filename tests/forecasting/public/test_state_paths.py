"""States on paths: shares are the probabilities, ended supply exports nothing, ranges are drawn per path."""

import datetime as dt

import numpy as np
import pytest

from forecasting.forecasters.base import PathSet
from forecasting.frequencies import Frequency
from forecasting.panel.history import History, exact_history
from forecasting.panel.schema import RATIO, STATE
from forecasting.policy.terms import SupplyRule
from forecasting.public.assumptions import Assumption, certain, drawn
from forecasting.public.state_paths import SHORTEST_QUEUE_WEEKS, StateTerms, with_states
from forecasting.saturation.market import market

ORIGIN = dt.date(2026, 6, 30)
PATHS, CONTEXT, HORIZON = 4000, 4, 6
SHIPPED = np.array([100.0, 80.0, 40.0, 40.0])
TERMS = StateTerms(
    lead_time_weeks=Assumption(value=16, low=8, high=39, unit="", reason=""),
    capacity_decay=certain(0.8, unit="", reason=""),
)
RULE = SupplyRule(
    normal_lead_time_weeks=10, fill_rate_min=0.95, hold_periods=1, scopes=("product", "portfolio")
)


def made(*, short, ended, hazard=0.0, orders=None, seed=1):
    """Paths of one item with steady flows after the origin, under these probabilities in every quarter."""
    values = np.full((1, PATHS, CONTEXT + HORIZON, 3), 40.0)
    values[..., 2] = np.nan
    values[0, :, :CONTEXT] = SHIPPED[:, None]
    if orders is not None:
        values[0, :, :CONTEXT, 0] = orders
    shape = {"item_ids": ("X",), "origins": (ORIGIN,), "frequency": Frequency.QUARTER}
    paths = PathSet(
        variates=("orders", "capacity", "shipments"), context_length=CONTEXT, values=values, **shape
    )
    chances = np.array([np.broadcast_to(each, CONTEXT) for each in (short, ended, hazard)], dtype=np.float64)
    states = exact_history(chances[None], variates=STATE, **shape)
    return market(with_states(paths, states, TERMS, seed=seed), "X")


def met(of, step=0):
    return of.demand_met(RULE)[:, of.origin_column + step].mean()


def test_shares_of_paths_are_the_probabilities():
    of = made(short=0.5, ended=0.2)
    assert of.supply_ended(1) == pytest.approx(0.2, abs=0.03)
    assert met(of) == pytest.approx(0.3, abs=0.03)


def test_withdrawn_supply_is_neither_met_demand_nor_surplus():
    of = made(short=0.0, ended=1.0)
    assert met(of) == 0
    assert met(of, HORIZON) == 0
    # of the 40 that are made, 0.8 are left after each quarter
    assert of.capacity[0, CONTEXT:].tolist() == pytest.approx([40 * 0.8**k for k in range(1, HORIZON + 1)])
    assert (of.flow.surplus[:, CONTEXT - 1 :] == 0).all()


def test_met_demand_leaves_the_decaying_peak_over():
    of = made(short=0.0, ended=0.0)
    assert met(of) == 1
    # 100, then 80 and 64 are left of it, then 51.2; the future goes on in proportion
    assert of.capacity[0, :CONTEXT].tolist() == pytest.approx([100, 80, 64, 51.2])
    assert of.flow.surplus[0, CONTEXT - 1] == pytest.approx(11.2)
    assert of.capacity[0, CONTEXT] == pytest.approx(51.2)


def test_a_shortage_waits_at_least_as_long_as_quoted_once_supply_had_eased():
    of = made(short=1.0, ended=0.0)
    weeks = of.lead_time[:, 0]
    assert weeks.min() == pytest.approx(SHORTEST_QUEUE_WEEKS)
    assert np.median(weeks) == pytest.approx(16, rel=0.05)
    assert np.quantile(weeks, 0.95) == pytest.approx(39, rel=0.08)
    assert met(of) == 0


def test_orders_beyond_capacity_wait_in_every_state():
    of = made(short=0.0, ended=0.0, orders=[100.0, 130.0, 120.0, 100.0])
    # capacity 100, 80, 64, 51.2: 50, 106 and 154.8 more than it wait
    assert of.flow.backlog[0, :CONTEXT].tolist() == pytest.approx([0, 50, 106, 154.8])
    assert met(of) == 0


def test_supply_that_has_not_ended_ends_with_its_hazard():
    of = made(short=0.0, ended=0.0, hazard=0.3)
    ended = [of.supply_ended(step) for step in range(1, HORIZON + 1)]
    assert ended == pytest.approx([1 - 0.7**step for step in range(1, HORIZON + 1)], abs=0.03)
    over = of.ended[:, CONTEXT - 1 :]
    assert (over[:, :-1] <= over[:, 1:]).all()  # what has ended does not come back
    assert (of.flow.surplus[of.ended > 0] == 0).all()


def test_a_path_keeps_its_state_while_the_probabilities_stand():
    of = made(short=[0.4, 0.4, 0.6, 0.6], ended=0.0)
    waits = of.flow.backlog[:, :CONTEXT] > 0
    assert (waits[:, 0] == waits[:, 1]).all()
    assert (waits[:, 1] <= waits[:, 2]).all()
    assert waits[:, 3].mean() == pytest.approx(0.6, abs=0.03)


def test_the_same_seed_draws_the_same_paths_and_another_one_does_not():
    one, same, other = (made(short=0.5, ended=0.2, seed=seed).capacity for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_drawn_values_meet_the_three_points():
    given = TERMS.lead_time_weeks
    z = np.array([-1.6448536, 0.0, 1.6448536])
    assert drawn(given, z).tolist() == pytest.approx([8, 16, 39], abs=1e-4)


def two_items(ratio=(1.2, 1.0, 1.5)):
    """Paths of a portfolio short of supply, whose orders exceed shipments by a ratio, and of a product."""
    shape = {"item_ids": ("portfolio/x", "X"), "origins": (ORIGIN,) * 2, "frequency": Frequency.QUARTER}
    values = np.full((2, PATHS, CONTEXT + HORIZON, 3), 40.0)
    values[..., 2] = np.nan
    values[:, :, :CONTEXT] = SHIPPED[:, None]
    paths = PathSet(
        variates=("orders", "capacity", "shipments"), context_length=CONTEXT, values=values, **shape
    )
    middle = np.zeros((2, len(STATE) + 1, CONTEXT))
    middle[:, 0] = 1.0  # short
    middle[:, -1] = 1.0
    low, high = middle.copy(), middle.copy()
    for array, value in ((middle, ratio[0]), (low, ratio[1]), (high, ratio[2])):
        array[0, -1] = value
    states = History(variates=(*STATE, RATIO), values=middle, value_p05=low, value_p95=high, **shape)
    return with_states(paths, states, TERMS, seed=3)


def test_a_path_has_one_lead_time_for_all_items():
    found = two_items(ratio=(1.0, 1.0, 1.0))
    portfolio, product = (market(found, item).lead_time[:, 0] for item in found.item_ids)
    np.testing.assert_allclose(portfolio, product)
    assert np.unique(product).size > PATHS / 3


def test_orders_exceed_shipments_by_a_ratio_that_is_drawn_once_per_path():
    found = two_items()
    portfolio, product = (market(found, item) for item in found.item_ids)
    ratios = portfolio.orders[:, :CONTEXT] / SHIPPED
    np.testing.assert_allclose(
        ratios, np.repeat(ratios[:, :1], CONTEXT, axis=1)
    )  # one number for all quarters
    np.testing.assert_allclose(np.quantile(ratios[:, 0], [0.05, 0.5, 0.95]), [1.0, 1.2, 1.5], rtol=0.02)
    np.testing.assert_array_equal(product.orders[:, :CONTEXT], np.broadcast_to(SHIPPED, (PATHS, CONTEXT)))
    # the future goes on in proportion: 40 where the last quarter's orders were 40
    np.testing.assert_allclose(portfolio.orders[:, CONTEXT], 40 * ratios[:, 0])
