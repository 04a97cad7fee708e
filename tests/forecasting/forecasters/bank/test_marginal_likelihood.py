"""Marginal likelihoods and predictive laws against dense algebra, quadrature and simulation."""

import numpy as np
import pytest
from oracle import conditional, dense, log_density, log_density_by_quadrature
from scipy import stats

from forecasting.forecasters.bank import BankSettings, bank_posterior, catalogue
from forecasting.forecasters.bank.factors import factors
from forecasting.forecasters.bank.marginal_likelihood import marginal_likelihoods
from forecasting.forecasters.bank.transforms import read

FREEDOM, HORIZON = 2.0, 4


def weigh(values, seasons=(), growth=0.0):
    readings = read(np.atleast_2d(values), season=max(seasons, default=1))
    found = factors(seasons, readings.differences.shape[1], HORIZON)
    return readings, marginal_likelihoods(readings, found, prior_freedom=FREEDOM, growth=growth)


@pytest.fixture(scope="module")
def series():
    return np.random.default_rng(3).normal(0.2, 1.0, 9).cumsum() + 20.0


def test_the_closed_form_is_the_integral_over_the_scale(series):
    differences = (series[:-1] - series[-1])[-4:]
    for hypothesis in catalogue(())[::7]:
        covariance = dense(hypothesis, np.arange(-4, 0))
        by_quadrature = log_density_by_quadrature(differences, covariance, FREEDOM)
        assert log_density(differences, covariance, FREEDOM) == pytest.approx(by_quadrature, abs=1e-6)


@pytest.mark.parametrize("seasons", [(), (4,)])
@pytest.mark.parametrize("missing", [(), (3,), (1, 2, 6), (5,)])
def test_likelihood_and_forecast_are_those_of_dense_algebra_without_the_missing_rows(
    series, seasons, missing
):
    values = series.copy()
    values[list(missing)] = np.nan
    readings, found = weigh(values, seasons)
    past = np.arange(-8, 0)
    known = ~np.isnan(values[:-1])
    units = (values[:-1] - values[-1])[known] / readings.unit[0]
    future = np.arange(1, HORIZON + 1)
    shape = factors(seasons, 8, HORIZON)
    for k, hypothesis in enumerate(catalogue(seasons)):
        expected = log_density(units, dense(hypothesis, past[known]), FREEDOM)
        expected -= known.sum() * np.log(readings.unit[0])
        assert found.log_likelihood[0, k] == pytest.approx(expected, abs=1e-5)
        location, scale, freedom = conditional(units, past[known], future, hypothesis, FREEDOM)
        np.testing.assert_allclose(
            found.location[0, k], values[-1] + readings.unit[0] * location, rtol=1e-5, atol=1e-5
        )
        pattern = found.patterns[found.pattern[0]]
        ours = found.spread[0, k] ** 2 * pattern.covariance(shape, np.array([k]))[0]
        np.testing.assert_allclose(ours, readings.unit[0] ** 2 * scale, rtol=1e-4, atol=1e-6)
        assert found.freedom[0] == freedom


def test_logs_are_compared_by_densities_of_the_values_themselves(series):
    readings, found = weigh(series)
    logged = np.log(series)
    moved = (logged[:-1] - logged[-1]) / readings.unit[1]
    for k, hypothesis in enumerate(catalogue(())):
        density = log_density(moved, dense(hypothesis, np.arange(-8, 0)), FREEDOM)
        jacobian = -8 * np.log(readings.unit[1]) - logged[:-1].sum()
        assert found.log_likelihood[1, k] == pytest.approx(density + jacobian, abs=1e-5)


def test_an_expected_growth_of_logs_is_a_line_with_that_slope(series):
    readings, found = weigh(series, growth=0.7)
    _, without = weigh(series)
    np.testing.assert_array_equal(found.log_likelihood[0], without.log_likelihood[0])
    logged = np.log(series)
    back = np.arange(-8, 0)
    for k, hypothesis in enumerate(catalogue(())):
        slope = 0.7 * hypothesis.drift
        units = (logged[:-1] - logged[-1]) / readings.unit[1] - slope * back
        future = np.arange(1, HORIZON + 1)
        location, _, _ = conditional(units, back, future, hypothesis, FREEDOM)
        expected = logged[-1] + readings.unit[1] * (location + slope * future)
        np.testing.assert_allclose(found.location[1, k], expected, atol=1e-5)


def test_shorter_series_are_read_with_the_factors_of_longer_ones(series):
    _, alone = weigh(series[3:])
    both = np.stack([series, np.where(np.arange(9) < 3, np.nan, series)])
    _, beside = weigh(both)
    np.testing.assert_allclose(beside.log_likelihood[1], alone.log_likelihood[0], atol=1e-9)
    np.testing.assert_allclose(beside.location[1], alone.location[0], atol=1e-9)


def test_posterior_weights_are_bayes_rule_on_tempered_likelihoods(series):
    settings = BankSettings(temper=0.5, logs=0.3, kept=1000, growth=0.0, prior_freedom=FREEDOM)
    posterior = bank_posterior(series[None], horizon=HORIZON, settings=settings)
    _, found = weigh(series)
    prior = np.array([each.prior for each in catalogue(())])
    mass = np.exp(0.5 * (found.log_likelihood - found.log_likelihood.max())) * prior * [[0.7], [0.3]]
    expected = (mass / mass.sum()).ravel()
    got = np.zeros(2 * len(prior))
    got[posterior.hypothesis[0] + len(prior) * posterior.logs[0]] = posterior.weight[0]
    np.testing.assert_allclose(got, expected, atol=1e-9)
    assert posterior.families[0, -1] == pytest.approx(expected[len(prior) :].sum())
    assert posterior.families[0, :-1].sum() == pytest.approx(1.0)


def test_quantiles_are_those_of_simulated_hypotheses_and_scales(series):
    settings = BankSettings(kept=1000)
    posterior = bank_posterior(series[None], horizon=HORIZON, settings=settings, floor=np.array([-np.inf]))
    rng, draws = np.random.default_rng(1), 200_000
    chosen = rng.choice(len(posterior.weight[0]), draws, p=posterior.weight[0])
    scale = np.sqrt(posterior.freedom[0] / rng.chisquare(posterior.freedom[0], draws))
    step = posterior.location[0, chosen, -1] + scale * posterior.deviation[
        0, chosen, -1
    ] * rng.standard_normal(draws)
    values = np.where(posterior.logs[0, chosen], np.exp(step), step)
    levels = np.array([0.1, 0.5, 0.9])
    quantiles = posterior.quantiles(levels)[0, -1]
    for level, quantile in zip(levels, quantiles, strict=True):
        assert (values <= quantile).mean() == pytest.approx(level, abs=5 * np.sqrt(0.25 / draws))


def test_paths_have_the_quantiles_of_the_mixture_and_the_dependence_of_its_roots(series):
    posterior = bank_posterior(series[None], horizon=HORIZON)
    paths = posterior.paths(40_000, [np.random.default_rng(2)])[0]
    levels = (0.1, 0.5, 0.9)
    below = (paths[:, :, None] <= posterior.quantiles(levels)[0]).mean(axis=0)
    np.testing.assert_allclose(below, np.broadcast_to(levels, below.shape), atol=0.01)
    moves = np.diff(paths, axis=1)
    assert stats.spearmanr(paths[:, 0], paths[:, -1]).statistic > 0.3
    assert np.abs(stats.spearmanr(paths[:, 0], moves[:, -1]).statistic) < 0.4
