"""Covariances against simulated or summed processes."""

import numpy as np
import pytest

from forecasting.forecasters.bank import catalogue, kernels

TIMES = np.arange(-6, 5)


def summed(covariance_of_steps):
    """Covariance of a sum that is 0 at the origin, from that of the steps (step i leads from i - 1 to i)."""
    weights = np.zeros((len(TIMES), len(TIMES)))
    for row, time in enumerate(TIMES):
        for column, step in enumerate(TIMES):
            weights[row, column] = float(0 < step <= time) - float(time < step <= 0)
    return weights @ covariance_of_steps @ weights.T


def test_a_walk_is_the_sum_of_independent_steps():
    np.testing.assert_allclose(kernels.walk(TIMES), summed(np.eye(len(TIMES))))


@pytest.mark.parametrize("memory", [-0.3, 0.0, 0.6, 0.95])
def test_growth_is_the_sum_of_an_autoregression(memory):
    steps = memory ** np.abs(TIMES[:, None] - TIMES[None, :]).astype(float)
    np.testing.assert_allclose(kernels.growth(TIMES, memory), summed(steps), atol=1e-12)


def test_a_bend_is_the_sum_of_a_walking_slope():
    np.testing.assert_allclose(kernels.bend(TIMES), summed(kernels.walk(TIMES)), atol=1e-12)


@pytest.mark.parametrize("roots", [(0.0, 0.0), (0.7, 0.0), (0.8, 0.5), (0.95, 0.8)])
def test_an_autoregression_has_moves_of_variance_one_and_solves_its_equations(roots):
    covariance = kernels.autoregression(np.arange(8), *roots)[0]
    assert 2 * (covariance[0] - covariance[1]) == pytest.approx(1.0)
    first, second = sum(roots), -roots[0] * roots[1]
    np.testing.assert_allclose(covariance[2:], first * covariance[1:-1] + second * covariance[:-2], atol=1e-9)


@pytest.mark.parametrize(("length", "roughness"), [(2, 0.0), (4, 0.0), (7, 1.5), (12, 0.0), (12, 1.5)])
def test_a_frozen_season_repeats_and_sums_to_zero(length, roughness):
    times = np.arange(-2 * length, length)
    covariance = kernels.season(times, length, roughness=roughness, memory=1.0)
    np.testing.assert_allclose(np.diag(covariance), 1.0)
    np.testing.assert_allclose(covariance[length:], covariance[:-length], atol=1e-12)
    np.testing.assert_allclose(covariance[:, :length].sum(axis=1), 0.0, atol=1e-9)


def test_rough_seasons_have_independent_phases_but_for_their_sum():
    covariance = kernels.season(np.arange(12), 12, roughness=0.0, memory=1.0)
    np.testing.assert_allclose(covariance, (np.eye(12) - 1 / 12) * 12 / 11, atol=1e-12)


@pytest.mark.parametrize("seasons", [(), (4,), (12,), (24,)])
def test_every_hypothesis_is_a_covariance_that_is_zero_at_the_origin(seasons):
    times = np.arange(-30, 9)
    for hypothesis in catalogue(seasons):
        covariance = hypothesis.covariance(times)
        assert not covariance[times == 0].any()
        np.testing.assert_allclose(covariance, covariance.T, atol=1e-9 * np.abs(covariance).max())
        known = times != 0
        assert np.linalg.eigvalsh(covariance[np.ix_(known, known)]).min() > 1e-9


@pytest.mark.parametrize("seasons", [(), (4,), (12,), (52,), (24, 168)])
def test_priors_sum_to_the_number_of_families(seasons):
    assert sum(each.prior for each in catalogue(seasons)) == pytest.approx(6.0)
