"""Export windows of one chip from its markets: small cases by hand, caps in all readings, and alignment."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from forecasting.frequencies import Frequency
from forecasting.policy.policy import Policy
from forecasting.policy.terms import Cap, Eligibility, StockLimit, SupplyRule, TariffBand
from forecasting.reference.chips import chip
from forecasting.saturation.market import Market
from forecasting.windows.estimate import (
    ExportTerms,
    MarketsOfChip,
    PriceTerms,
    cap_units,
    estimate_windows,
    stock_room,
    value_at_stake,
)
from forecasting.windows.windows import Binding

ORIGIN = dt.date(2025, 12, 31)
H200 = chip("H200")
BANDS = (TariffBand(rate=0.25, tpp_low=14000, tpp_high=17500, bandwidth_low=4500, bandwidth_high=5000),)


def market(orders, capacity, *, horizon, observed=(), item_id="H200"):
    """Market of paths [P, T]; `observed` replaces the first shipments."""
    orders, capacity = (
        np.atleast_2d(np.array(orders, dtype=float)),
        np.atleast_2d(np.array(capacity, dtype=float)),
    )
    seen = np.full(orders.shape, np.nan)
    seen[:, : orders.shape[1] - horizon] = np.atleast_2d(np.array(observed, dtype=float))
    return Market(
        item_id=item_id,
        orders=orders,
        capacity=capacity,
        observed_shipments=seen,
        horizon=horizon,
        origin=ORIGIN,
        frequency=Frequency.QUARTER,
    )


def policy(cap=None, *, effective=dt.date(2025, 1, 1), hold=1):
    return Policy(
        name="test",
        title="A policy of this test",
        effective_date=effective,
        source="none",
        review="case_by_case",
        eligibility=Eligibility(tpp_below=21000),
        supply=SupplyRule(
            normal_lead_time_weeks=0.0, fill_rate_min=0.0, hold_periods=hold, scopes=("product", "portfolio")
        ),
        cap=cap,
        tariff=BANDS,
    )


def half(period, counts="product"):
    return Cap(ratio=0.5, period=period, counts=counts)


PRODUCT = market(
    orders=[[100, 100, 60, 50, 40]], capacity=[[100, 100, 100, 100, 100]], observed=[80, 90], horizon=3
)


def alone(product):
    return MarketsOfChip(product=product, scope=product, counted=product)


def windows(of_policy, markets, terms=None, now_step=0):
    return estimate_windows(
        H200,
        of_policy,
        markets,
        terms or ExportTerms(),
        now_step=now_step,
        confidence=0.5,
        quantile_levels=(0.1, 0.5, 0.9),
    )


def names(estimate, path=0):
    return [Binding(code).name for code in estimate.paths.binding[path]]


def test_without_a_cap_the_surplus_of_a_met_market_goes():
    estimate = windows(policy(), alone(PRODUCT))
    np.testing.assert_array_equal(estimate.paths.units, [[40, 50, 60]])
    np.testing.assert_array_equal(estimate.summary.total_units, [150, 150, 150])
    assert estimate.summary.windows == ((0, 3),)


@pytest.mark.parametrize(
    ("period", "units"),
    [
        # shipped to US customers: 80 and 90 observed, then 60, 50 and 40; exports stop at half of it
        ("since_launch", [40, 50, 60]),  # 115, 140 and 160 in all
        ("trailing_12m", [40, 50, 30]),  # 115, 140, and 120 once the 80 are a year old; 90 went before
        ("same_period", [30, 25, 20]),
    ],
)
def test_caps_count_observed_shipments_in_the_history_and_the_flow_after_it(period, units):
    np.testing.assert_array_equal(windows(policy(half(period)), alone(PRODUCT)).paths.units, [units])


def test_a_cap_since_launch_is_filled_by_what_was_observed_not_by_what_capacity_allowed():
    scarce = market([[1000, 1000, 0]], [[1000, 1000, 5000]], observed=[60, 80], horizon=1)
    np.testing.assert_array_equal(windows(policy(half("since_launch")), alone(scarce)).paths.units, [[70]])


@pytest.mark.parametrize(
    ("period", "by_step"),
    [
        ("since_launch", [85, 115, 140, 160]),
        ("trailing_12m", [85, 115, 140, 120]),
        ("same_period", [45, 30, 25, 20]),
    ],
)
def test_cap_units_are_half_of_what_the_period_counts(period, by_step):
    for step, units in enumerate(by_step):
        assert cap_units(H200, half(period), alone(PRODUCT), step=step).tolist() == [units]


def test_a_trailing_year_is_four_quarters():
    product = market([[1] * 8], [[1] * 8], observed=[16, 8, 4, 2, 1], horizon=3)
    assert cap_units(H200, half("trailing_12m"), alone(product), step=0).tolist() == [7.5]
    assert cap_units(H200, half("trailing_12m"), alone(product), step=1).tolist() == [4.0]
    assert cap_units(H200, half("since_launch"), alone(product), step=0).tolist() == [15.5]


def test_cap_units_are_given_per_path_and_scale_with_the_ratio():
    product = market([[4, 4], [8, 8]], [[9, 9]] * 2, observed=[[4], [8]], horizon=1)
    quarter = Cap(ratio=0.25, period="since_launch", counts="product")
    assert cap_units(H200, quarter, alone(product), step=0).tolist() == [1.0, 2.0]
    assert cap_units(H200, quarter, alone(product), step=1).tolist() == [2.0, 4.0]


def test_a_cap_on_the_family_counts_the_family():
    family = market([[500] * 6], [[500] * 6], observed=[300, 400, 500], horizon=3, item_id="Hopper")
    markets = MarketsOfChip(product=PRODUCT, scope=PRODUCT, counted=family)
    # an H200 has the TPP of an H100; the family's first quarter lies before the product's and is cut off
    assert cap_units(H200, half("since_launch", "family"), markets, step=0)[0] == pytest.approx(450)
    estimate = windows(policy(half("same_period", "family")), markets)
    np.testing.assert_allclose(estimate.paths.headroom, [[40, 50, 60]])


def test_the_portfolio_scope_asks_whether_the_portfolio_is_served():
    sold_out = market([[200] * 5], [[100] * 5], observed=[100] * 2, horizon=3, item_id="portfolio/nvidia")
    estimate = windows(policy(), MarketsOfChip(product=PRODUCT, scope=sold_out, counted=PRODUCT))
    assert not estimate.paths.open.any()
    assert names(estimate) == ["NOT_SATURATED"] * 3
    np.testing.assert_array_equal(estimate.paths.headroom, [[40, 50, 60]])


@pytest.mark.parametrize("history", [1, 2, 6], ids=["shorter", "equal", "longer"])
def test_a_portfolio_known_for_another_time_is_aligned_on_the_origin(history):
    """The portfolio has a backlog at the origin and in its first future quarter, and none after it."""
    orders = [*[100] * (history - 1), 150, 90, 60, 100]
    portfolio = market(
        [orders], [[100] * (history + 3)], observed=[100] * history, horizon=3, item_id="portfolio/nvidia"
    )
    estimate = windows(policy(), MarketsOfChip(product=PRODUCT, scope=portfolio, counted=PRODUCT))
    np.testing.assert_array_equal(estimate.paths.open, [[False, True, True]])
    np.testing.assert_array_equal(estimate.paths.units, [[0, 50, 60]])


def test_a_hold_counts_the_history_before_the_origin():
    met_at_origin = market([[100, 60, 60, 60]], [[100] * 4], observed=[100, 60], horizon=2)
    np.testing.assert_array_equal(windows(policy(hold=3), alone(met_at_origin)).paths.open, [[True, True]])
    np.testing.assert_array_equal(windows(policy(hold=4), alone(met_at_origin)).paths.open, [[False, True]])


def test_a_policy_opens_in_the_period_in_which_it_takes_effect():
    estimate = windows(policy(effective=dt.date(2026, 5, 20)), alone(PRODUCT))
    assert names(estimate) == ["NOT_IN_EFFECT", "SURPLUS", "SURPLUS"]
    np.testing.assert_array_equal(estimate.paths.units, [[0, 50, 60]])


def test_stock_licences_and_past_exports_enter_the_windows():
    stocked = windows(policy(), alone(PRODUCT), ExportTerms(unsold_stock=1000.0))
    np.testing.assert_array_equal(stocked.paths.units, [[1040, 50, 60]])
    licensed = windows(policy(), alone(PRODUCT), ExportTerms(licence_limit=75.0, exported_so_far=10.0))
    np.testing.assert_array_equal(licensed.paths.units, [[40, 25, 0]])
    capped = windows(policy(half("since_launch")), alone(PRODUCT), ExportTerms(exported_so_far=100.0))
    np.testing.assert_array_equal(capped.paths.units, [[15, 25, 20]])


@pytest.mark.parametrize(
    ("limit", "exported", "left"), [(None, 5.0, None), (20.0, 5.0, 15.0), (20.0, 30.0, 0.0)]
)
def test_a_licence_is_used_up_by_what_was_exported(limit, exported, left):
    assert ExportTerms(licence_limit=limit, exported_so_far=exported).licence_left == left


PRICE = PriceTerms(launch_usd_per_h100e=30_000.0, half_life_periods=4.0, successor_factor=0.5)


def test_nothing_is_exported_in_periods_that_are_over():
    whole = windows(policy(), alone(PRODUCT), ExportTerms(unsold_stock=5.0))
    later = windows(policy(), alone(PRODUCT), ExportTerms(unsold_stock=5.0), now_step=1)
    assert whole.paths.units.shape == (1, 3)
    assert later.paths.units.shape == (1, 2)
    assert later.paths.open.any()


def test_value_at_stake_fades_by_half_life_and_successors_and_pays_the_duty():
    """H200 launched in 2024Q2, its successors in 2024Q4, 2025Q3 and 2026Q3 (reference table chips)."""
    line = [chip(chip_id) for chip_id in ("B200", "B300", "R200")]
    assert [H200.successor_chip_id, *(each.successor_chip_id for each in line)] == [
        "B200",
        "B300",
        "R200",
        None,
    ]
    assert [each.launch_quarter_end.isoformat()[:7] for each in line] == ["2024-12", "2025-09", "2026-09"]
    value = value_at_stake(H200, policy(), PRODUCT, np.array([[10.0, 0, 4], [0, 0, 0]]), PRICE)
    expected = 0.0
    for units, quarters, successors in ((10, 7, 2), (4, 9, 3)):  # 2026Q1 and 2026Q3
        expected += units * 30_000 * 0.5 ** (quarters / 4) * 0.5**successors * (1 - 0.25)
    assert value[0] == pytest.approx(expected, rel=0.01)  # quarters are not quite of equal length
    assert value[1] == 0.0


def test_duty_is_due_on_the_import_value_that_the_assumption_says():
    units = np.array([[10.0, 0, 4]])
    whole, half = (
        value_at_stake(H200, policy(), PRODUCT, units, replace(PRICE, import_value_share=share))[0]
        for share in (1.0, 0.5)
    )
    assert half / whole == pytest.approx((1 - 0.125) / (1 - 0.25))


def test_a_limit_on_the_stock_abroad_counts_us_shipments_of_all_vendors_in_units_of_the_chip():
    """Two periods of history and three ahead; an H200 has the TPP of an H100."""
    everyone = market([[1000] * 5], [[2000] * 5], observed=[100, 100], horizon=3, item_id="portfolio/us")
    limited = replace(policy(), stock_limit=StockLimit(ratio=0.05))
    markets = replace(alone(PRODUCT), us_hardware=everyone)
    room = stock_room(H200, limited, markets, ExportTerms(stock_abroad_h100e=60.0))
    us_stock = everyone.shipments.cumsum(axis=1)[:, -PRODUCT.periods :]
    np.testing.assert_allclose(room, 0.05 * us_stock - 60.0)
    assert stock_room(H200, policy(), markets, ExportTerms()) is None
    with pytest.raises(ValueError, match="needs that stock"):
        stock_room(H200, limited, markets, ExportTerms())
    none_left = windows(limited, markets, ExportTerms(unsold_stock=50.0, stock_abroad_h100e=1e9))
    assert not none_left.paths.open.any()


def test_value_is_counted_in_h100_equivalents_of_the_exported_chip():
    product = market([[1, 1]], [[9, 9]], observed=[1], horizon=1, item_id="MI325X")
    mi325x = chip("MI325X")
    flat = PriceTerms(launch_usd_per_h100e=10_000.0, half_life_periods=np.inf, successor_factor=1.0)
    value = value_at_stake(mi325x, policy(), product, np.array([[3.0]]), flat)
    # TPP from dense FP8 rates of 2,614.9 and 1,979 TFLOPS; outside this policy's only tariff band
    assert value.tolist() == pytest.approx([3 * 10_000 * 2614.9 / 1979])


def test_terms_of_each_path_act_as_if_it_were_alone():
    stock, licence, exported = (np.array(each) for each in ([0.0, 1000.0], [300.0, 75.0], [0.0, 10.0]))
    one = windows(policy(half("since_launch")), alone(PRODUCT))
    paths = len(one.paths.units)
    spread = [np.resize(each, paths) for each in (stock, licence, exported)]
    found = windows(
        policy(half("since_launch")),
        alone(PRODUCT),
        ExportTerms(unsold_stock=spread[0], licence_limit=spread[1], exported_so_far=spread[2]),
    )
    for path in range(paths):
        terms = ExportTerms(
            unsold_stock=float(spread[0][path]),
            licence_limit=float(spread[1][path]),
            exported_so_far=float(spread[2][path]),
        )
        scalar = windows(policy(half("since_launch")), alone(PRODUCT), terms)
        np.testing.assert_array_equal(found.paths.units[path], scalar.paths.units[path])
