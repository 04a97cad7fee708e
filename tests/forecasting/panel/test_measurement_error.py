"""Measurement error: exact at three quantiles, alike within an item, absent from exact figures."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from forecasting.errors import InputError
from forecasting.frequencies import Frequency
from forecasting.panel.history import History
from forecasting.panel.measurement_error import Z_95, draw_history, error_scales


def history(p05, p50, p95, item_ids=("H200",), variates=("units",)):
    shape = (len(item_ids), len(variates), -1)
    p05, p50, p95 = (np.asarray(values, dtype=float).reshape(shape) for values in (p05, p50, p95))
    return History(
        item_ids=item_ids,
        variates=variates,
        values=p50,
        value_p05=p05,
        value_p95=p95,
        origins=(dt.date(2025, 12, 31),) * len(item_ids),
        frequency=Frequency.QUARTER,
    )


def test_the_95_percent_point_is_that_of_a_standard_normal():
    assert float(ndtri(0.95)) == Z_95


@settings(deadline=None, max_examples=50)
@given(median=st.floats(1e-3, 1e9), below=st.floats(0.01, 1), above=st.floats(1, 100))
def test_the_distribution_meets_all_three_quantiles(median, below, above):
    p05, p50, p95 = (np.array([median * share]) for share in (below, 1.0, above))
    lower, upper = error_scales(p05, p50, p95)
    np.testing.assert_allclose(p50 * np.exp(-Z_95 * lower), p05)
    np.testing.assert_allclose(p50 * np.exp(Z_95 * upper), p95)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_drawn_figures_have_the_stated_quantiles(correlation):
    stated = history([[80.0, 5.0]], [[100.0, 10.0]], [[150.0, 12.0]])
    drawn = draw_history(stated, paths=40_000, seed=1, correlation=correlation)
    found = np.quantile(drawn[0, :, :, 0], [0.05, 0.5, 0.95], axis=0)
    np.testing.assert_allclose(found, [[80.0, 5.0], [100.0, 10.0], [150.0, 12.0]], rtol=0.02)


def test_exact_zero_and_missing_figures_stay_as_they_are():
    figures = [7.0, 0.0, np.nan, -3.0]
    p95 = [7.0, 5.0, np.nan, -1.0]
    drawn = draw_history(history(figures, figures, p95), paths=50, seed=1, correlation=0.5)
    np.testing.assert_array_equal(drawn[0, :, :, 0], np.tile(figures, (50, 1)))


def test_a_figure_without_quantiles_is_exact():
    drawn = draw_history(history([np.nan], [9.0], [np.nan]), paths=10, seed=1, correlation=0.5)
    assert (drawn == 9.0).all()


def test_a_five_percent_point_of_zero_takes_the_upper_scale():
    lower, upper = error_scales(np.array([0.0]), np.array([100.0]), np.array([150.0]))
    assert lower == upper == pytest.approx(np.log(1.5) / Z_95)


@pytest.mark.parametrize("correlation", [0.0, 0.6, 1.0])
def test_errors_are_correlated_as_stated_between_periods_and_shared_by_the_variates(correlation):
    spread = np.exp(Z_95 * 0.1)
    stated = history(
        np.full((2, 2), 1 / spread), np.ones((2, 2)), np.full((2, 2), spread), variates=("orders", "capacity")
    )
    z = np.log(draw_history(stated, paths=40_000, seed=1, correlation=correlation))[0]
    np.testing.assert_array_equal(z[:, :, 0], z[:, :, 1])
    assert np.corrcoef(z[:, :, 0].T)[0, 1] == pytest.approx(correlation, abs=0.02)


def test_an_items_draws_do_not_depend_on_the_other_items():
    both = history([[8.0], [4.0]], [[10.0], [5.0]], [[12.0], [9.0]], item_ids=("A", "B"))
    joint = draw_history(both, paths=20, seed=5, correlation=0.5)
    reversed_ = draw_history(both.select([1, 0]), paths=20, seed=5, correlation=0.5)
    np.testing.assert_array_equal(joint, reversed_[::-1])
    np.testing.assert_array_equal(
        joint[:1], draw_history(both.select([0]), paths=20, seed=5, correlation=0.5)
    )


@pytest.mark.parametrize("correlation", [-0.1, 1.1])
def test_a_correlation_that_is_no_share_is_refused(correlation):
    with pytest.raises(InputError, match=r"correlation .* expected a number in \[0, 1\]"):
        draw_history(history([1.0], [1.0], [1.0]), paths=1, seed=1, correlation=correlation)


@pytest.mark.parametrize(("p05", "p95"), [(11.0, 12.0), (9.0, 9.5)])
def test_quantiles_out_of_order_are_refused_with_item_variate_and_period(p05, p95):
    stated = history([5.0, p05, 5.0], [10.0, 10.0, 10.0], [12.0, p95, 12.0])
    with pytest.raises(InputError, match=rf"H200, units, 2025Q3: .* found {p05:g}, 10, {p95:g}"):
        draw_history(stated, paths=1, seed=1, correlation=0.5)
