"""Classical peers, the ensemble and mixtures."""

import numpy as np
import pytest
from peers import LEVELS, PATHS, Forecast, answer_one, fitted_answer, half_of_each, median_ensemble, mixture
from scipy.stats import norm


def of_paths(center: float, seed: int) -> Forecast:
    paths = np.random.default_rng(seed).normal(center, 1.0, (2, 2000, 3))
    return Forecast(quantiles=np.moveaxis(np.quantile(paths, LEVELS, axis=1), 0, -1), paths=paths)


def test_a_mixture_has_the_quantiles_of_half_of_the_probability_from_each():
    mixed = mixture(of_paths(0.0, 1), of_paths(3.0, 2))
    share = (norm.cdf(mixed.quantiles) + norm.cdf(mixed.quantiles, loc=3.0)) / 2
    np.testing.assert_allclose(share, np.broadcast_to(LEVELS, share.shape), atol=0.03)


def test_any_number_of_first_paths_of_a_mixture_holds_half_of_each():
    one, other = np.zeros((2, 10, 3)), np.ones((2, 10, 3))
    drawn = half_of_each(one, other)
    for count in (2, 4, 10):
        assert drawn[:, :count].mean() == 0.5
    assert one.sum() == 0


def test_a_forecast_without_paths_cannot_be_mixed():
    with pytest.raises(ValueError, match="paths"):
        mixture(of_paths(0.0, 1), Forecast(quantiles=np.zeros((2, 3, len(LEVELS)))))


def test_the_ensemble_is_the_median_of_the_members_at_each_level():
    members = [Forecast(quantiles=np.full((1, 1, len(LEVELS)), value)) for value in (1.0, 2.0, 4.0, 9.0)]
    assert median_ensemble(members).quantiles == pytest.approx(3.0)


def test_the_quantiles_of_a_random_walk_are_those_of_the_normal_law():
    history = 100 + np.random.default_rng(3).normal(size=200).cumsum()
    quantiles, paths = fitted_answer(history, name="SeasonalNaive", season=1, horizon=4, seed=1)
    spread = np.std(np.diff(history)) * np.sqrt(np.arange(1, 5))
    expected = history[-1] + spread[:, None] * norm.ppf(LEVELS)
    np.testing.assert_allclose(quantiles, expected, atol=0.05)
    assert paths.shape == (PATHS, 4)


def test_the_seasonal_naive_forecast_stands_in_where_a_model_fails():
    history = np.array([1.0, 2.0, 1.5])
    asked = {"season": 12, "horizon": 2, "seed": 1}
    with pytest.raises(Exception, match=r".*"):
        fitted_answer(history, name="NoSuchModel", **asked)
    quantiles, _, gave_up = answer_one(history, name="NoSuchModel", **asked)
    assert gave_up
    assert np.isfinite(quantiles).all()
