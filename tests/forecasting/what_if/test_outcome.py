"""One chip's answer: the figures against counts by hand, and what a policy refuses."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from forecasting.errors import InputError
from forecasting.frequencies import Frequency
from forecasting.policy.policy import Policy
from forecasting.policy.terms import Eligibility, SupplyRule
from forecasting.reference.chips import catalogue, chip
from forecasting.saturation.market import Market
from forecasting.what_if.outcome import OutcomeSettings, estimate_outcome
from forecasting.windows.estimate import ExportTerms, MarketsOfChip, PriceTerms

H200 = chip("H200")
READING = OutcomeSettings(now_step=0, confidence=0.5, quantile_levels=(0.1, 0.5, 0.9))
PRICE = PriceTerms(launch_usd_per_h100e=1000.0, half_life_periods=np.inf, successor_factor=0.5)


def policy(tpp_below=21000.0):
    return Policy(
        name="test",
        title="A policy of this test",
        effective_date=dt.date(2025, 1, 1),
        source="none",
        review="case_by_case",
        eligibility=Eligibility(tpp_below=tpp_below),
        supply=SupplyRule(
            normal_lead_time_weeks=0.0, fill_rate_min=0.0, hold_periods=1, scopes=("product", "portfolio")
        ),
    )


def markets(orders, capacity):
    """Markets of paths [P, T] whose first column is the origin."""
    orders, capacity = np.array(orders, dtype=float), np.array(capacity, dtype=float)
    of = Market(
        item_id="H200",
        orders=orders,
        capacity=capacity,
        observed_shipments=np.full(orders.shape, np.nan),
        horizon=orders.shape[1] - 1,
        origin=dt.date(2025, 12, 31),
        frequency=Frequency.QUARTER,
    )
    return MarketsOfChip(product=of, scope=of, counted=of)


def answered(price=PRICE, chips=None, rule=None):
    """Three paths: met in the second period, in the third, and never; backlog 50 at the origin."""
    four = markets(
        orders=[[150, 40, 60, 60], [150, 60, 50, 60], [150, 100, 100, 100]], capacity=[[100] * 4] * 3
    )
    return estimate_outcome(
        H200, rule or policy(), four, terms=ExportTerms(), price=price, reading=READING, chips=chips
    )


def test_figures_are_those_counted_by_hand():
    one = answered()
    assert one.passage.tolist() == [1, 2, 4]  # backlogs 50, 0; 50, 10, 0; 50, 50, 50, 50
    assert one.p_saturated == pytest.approx(2 / 3)
    # Surplus once met: 10, 40, 40 on the first path; 40, 40 on the second (100 - 10 - 50, 100 - 60).
    assert one.units.tolist() == [90, 80, 0]
    assert one.p_any_window == pytest.approx(2 / 3)
    assert one.figures["units_mean"] == pytest.approx((90 + 80 + 0) / 3)
    np.testing.assert_array_equal(one.saturated_steps, [1, 2, np.nan])
    np.testing.assert_allclose(one.units_quantiles, np.quantile([90, 80, 0], [0.1, 0.5, 0.9]))


def test_value_follows_the_launch_dates_it_is_given():
    never = dt.date(2099, 12, 31)
    unborn = {name: replace(catalogue()[name], launch_quarter_end=never) for name in ("B200", "B300", "R200")}
    later = {**catalogue(), **unborn}
    assert answered(chips=later).figures["value_usd_mean"] == pytest.approx(170 / 3 * 1000.0)
    assert (
        answered().figures["value_usd_mean"] < 170 / 3 * 1000.0 / 2
    )  # at least one successor is on sale by then


def test_without_a_price_there_is_no_value():
    assert set(answered(price=None).figures) == {"units_mean", "p_any_window", "p_saturated"}


def test_refused_chip_is_an_error():
    with pytest.raises(InputError, match="policy test, chip H200: the chip is not eligible under the policy"):
        answered(rule=policy(tpp_below=10000))
