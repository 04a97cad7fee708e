"""Scores against brute force and closed forms, and the laws they must keep."""

import doctest

import numpy as np
import pytest
import scoringrules as sr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from forecasting.errors import InputError
from forecasting.evaluation import scores

VALUES = st.floats(-1e3, 1e3, width=32)
ENSEMBLES = st.tuples(arrays(np.float64, (7, 3), elements=VALUES), arrays(np.float64, 3, elements=VALUES))
RANDOM = np.random.default_rng(0)


def test_every_example_in_the_docstrings_runs():
    results = doctest.testmod(scores)
    assert results.attempted > 10
    assert results.failed == 0


@settings(deadline=None, max_examples=50)
@given(ENSEMBLES)
def test_the_crps_is_the_integral_over_both_distribution_functions(ensemble):
    paths, actual = ensemble
    for d in range(3):
        points = np.sort(np.r_[paths[:, d], actual[d]])
        middle = (points[1:] + points[:-1]) / 2
        below = (paths[:, d, None] <= middle).mean(axis=0) - (actual[d] <= middle)
        brute = np.sum(np.diff(points) * below**2)
        assert scores.crps(paths, actual)[d] == pytest.approx(brute, abs=1e-6)


def test_the_crps_of_many_gaussian_paths_is_the_closed_form():
    paths = stats.norm.ppf((np.arange(5000) + 0.5) / 5000)[:, None]
    assert scores.crps(paths, np.array([0.7]))[0] == pytest.approx(sr.crps_normal(0.7, 0.0, 1.0), abs=1e-4)


@settings(deadline=None, max_examples=50)
@given(ENSEMBLES, st.floats(0.01, 100))
def test_path_scores_are_not_negative_and_scale_with_the_units(ensemble, factor):
    paths, actual = ensemble
    for score, power in ((scores.crps, 1), (scores.energy_score, 1), (scores.variogram_score, 1)):
        value = np.asarray(score(paths, actual))
        assert (value >= -1e-9).all()
        scaled = np.asarray(score(paths * factor, actual * factor))
        np.testing.assert_allclose(scaled, value * factor**power, rtol=1e-6, atol=1e-6 * max(factor, 1))


@settings(deadline=None, max_examples=50)
@given(arrays(np.float64, 3, elements=VALUES))
def test_a_perfect_forecast_scores_zero(actual):
    paths = np.tile(actual, (5, 1))
    assert scores.crps(paths, actual).max() == 0
    assert scores.energy_score(paths, actual) == 0
    assert scores.variogram_score(paths, actual) == pytest.approx(0, abs=1e-9)
    assert scores.coverage(paths, actual) == 1
    assert scores.mase(actual, actual, np.array([1.0, 2.0]), 1) == 0


def test_the_energy_score_is_the_double_loop_over_paths(monkeypatch):
    paths, actual = RANDOM.normal(size=(23, 6)), RANDOM.normal(size=6)
    to_actual = np.mean([np.linalg.norm(path - actual) for path in paths])
    between = np.mean([[np.linalg.norm(one - other) for other in paths] for one in paths])
    monkeypatch.setattr(scores, "BLOCK", 5)
    assert scores.energy_score(paths, actual) == pytest.approx(to_actual - between / 2)
    assert scores.energy_score(paths, actual) == pytest.approx(float(sr.es_ensemble(actual, paths, m_axis=0)))


def test_the_energy_score_of_one_number_is_the_crps():
    paths, actual = RANDOM.normal(size=(40, 1)), np.array([0.3])
    assert scores.energy_score(paths, actual) == pytest.approx(scores.crps(paths, actual)[0])


def test_the_variogram_score_is_the_double_loop_over_pairs():
    paths, actual = RANDOM.normal(size=(23, 4)), RANDOM.normal(size=4)
    brute = sum(
        (abs(actual[i] - actual[j]) ** 0.5 - np.mean(np.abs(paths[:, i] - paths[:, j]) ** 0.5)) ** 2
        for i in range(4)
        for j in range(4)
    )
    assert scores.variogram_score(paths, actual) == pytest.approx(brute)


def test_the_variogram_score_notices_wrong_dependence_that_the_crps_cannot_see():
    walk = np.cumsum(RANDOM.normal(size=(2000, 8)), axis=1)
    shuffled = np.stack([RANDOM.permutation(column) for column in walk.T], axis=1)
    truths = np.cumsum(RANDOM.normal(size=(60, 8)), axis=1)
    right, wrong = (
        np.mean([scores.variogram_score(paths[:400], truth) for truth in truths])
        for paths in (walk, shuffled)
    )
    assert right < 0.8 * wrong
    marginal = [np.mean([scores.crps(paths, truth).mean() for truth in truths]) for paths in (walk, shuffled)]
    assert marginal[0] == pytest.approx(marginal[1])


@settings(deadline=None, max_examples=50)
@given(ENSEMBLES, st.floats(0.05, 0.95))
def test_the_quantile_loss_is_the_tilted_absolute_error(ensemble, level):
    quantiles, actual = ensemble
    loss = scores.quantile_loss(quantiles[:1], actual, np.array([level]))[0]
    for q, y, found in zip(quantiles[0], actual, loss, strict=True):
        assert found == pytest.approx(max(level * (y - q), (level - 1) * (y - q)), abs=1e-6)


def test_the_weighted_quantile_loss_at_many_levels_is_twice_the_crps_share():
    paths, actual = RANDOM.normal(10, 2, size=(4000, 5)), RANDOM.normal(10, 2, size=5)
    levels = (np.arange(400) + 0.5) / 400
    found = scores.wql(np.quantile(paths, levels, axis=0), actual, levels)
    assert found == pytest.approx(scores.crps(paths, actual).sum() / np.abs(actual).sum(), rel=0.01)


def test_mase_divides_by_the_mean_seasonal_change_over_observed_pairs():
    history = np.array([np.nan, 10.0, 20.0, 13.0, np.nan, 14.0, 29.0])
    changes = [abs(13.0 - 10.0), abs(14.0 - 13.0)]
    assert scores.naive_scale(history, 2) == pytest.approx(np.mean(changes))
    found = scores.mase(np.array([1.0, 2.0]), np.array([3.0, 8.0]), history, 2)
    assert found == pytest.approx(4.0 / np.mean(changes))


@pytest.mark.parametrize(
    ("history", "scale"),
    [([1.0, 4.0, 2.0], 2.5), ([np.nan, 4.0], 4.0), ([3.0, 3.0, 3.0, 3.0, 3.0], 3.0), ([0.0, 0.0], 1.0)],
)
def test_the_scale_falls_back_to_one_step_then_to_the_level_then_to_one(history, scale):
    assert scores.naive_scale(np.array(history), 4) == scale


def test_coverage_counts_what_lies_between_the_outer_quantiles():
    paths = np.tile(np.linspace(0, 1, 1001)[:, None], (1, 4))
    actual = np.array([0.05, 0.11, 0.89, 0.95])
    assert scores.coverage(paths, actual) == 0.5
    assert scores.coverage(paths, actual, level=0.94) == 1.0


def brute_censored(probability, observed, last):
    return sum((probability[t] - (observed is not None and observed <= t)) ** 2 for t in range(last + 1))


@settings(deadline=None, max_examples=50)
@given(
    arrays(np.float64, 6, elements=st.floats(0, 1)).map(np.sort),
    st.integers(0, 5).flatmap(lambda last: st.tuples(st.just(last), st.none() | st.integers(0, last))),
)
def test_the_censored_crps_adds_the_brier_scores_of_the_known_steps(probability, outcome):
    last, observed = outcome
    found = scores.censored_crps(probability, observed, last)
    assert found == pytest.approx(brute_censored(probability, observed, last))
    reached = np.arange(6) >= (6 if observed is None else observed)
    assert found == pytest.approx(scores.brier(probability, reached)[: last + 1].sum())


def test_the_censored_crps_is_least_in_the_mean_for_the_true_distribution():
    truth, other = np.array([0.1, 0.4, 0.7]), np.array([0.2, 0.3, 0.9])
    passages = RANDOM.choice(4, p=[0.1, 0.3, 0.3, 0.3], size=4000)

    def mean(probability):
        return np.mean([scores.censored_crps(probability, int(t) if t < 3 else None, 2) for t in passages])

    assert mean(truth) < mean(other)


def test_the_censored_crps_ignores_what_is_said_beyond_the_last_observed_step():
    one, other = np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.2, 1.0])
    assert scores.censored_crps(one, None, 1) == scores.censored_crps(other, None, 1)


@pytest.mark.parametrize(
    ("probability", "observed", "last", "sentence"),
    [
        ([0.1, 0.2], None, 2, "last observed step must lie within the horizon: expected 0 to 1, found 2"),
        ([0.1, 0.2], 1, 0, "cannot be observed after the last observed step"),
        ([0.2, 0.1], None, 1, "must not fall with time"),
        ([0.2, 1.1], None, 1, r"probability must lie in \[0, 1\]"),
        ([0.2, np.nan], None, 1, "numbers are missing"),
    ],
)
def test_a_censored_crps_that_makes_no_sense_is_refused(probability, observed, last, sentence):
    with pytest.raises(InputError, match=sentence):
        scores.censored_crps(np.array(probability), observed, last)


def test_reliability_compares_stated_and_observed_shares_bin_by_bin():
    stated = RANDOM.uniform(size=500)
    outcomes = (RANDOM.uniform(size=500) < stated).astype(float)
    stated[0], outcomes[0] = 1.0, 1.0
    found = scores.reliability(stated, outcomes, bins=5)
    for k in range(5):
        inside = (stated >= k / 5) & ((stated < (k + 1) / 5) | ((k == 4) & (stated == 1)))
        assert found.size[k] == inside.sum()
        assert found.forecast[k] == pytest.approx(stated[inside].mean())
        assert found.observed[k] == pytest.approx(outcomes[inside].mean())


def test_an_empty_bin_has_no_share():
    found = scores.reliability(np.array([0.05]), np.array([0.0]), bins=10)
    assert found.size.sum() == found.size[0] == 1
    assert np.isnan(found.observed[1:]).all()


def test_pit_values_of_calibrated_paths_are_uniform_even_with_ties():
    draws = RANDOM.poisson(2.0, size=(20, 3000)).astype(float)
    values = scores.pit(draws[1:], draws[0], seed=3)
    assert stats.kstest(values, "uniform").pvalue > 0.01


def test_pit_values_of_narrow_paths_pile_up_at_the_ends():
    values = scores.pit(0.3 * RANDOM.normal(size=(200, 1000)), RANDOM.normal(size=1000), seed=3)
    assert ((values < 0.1) | (values > 0.9)).mean() > 0.5


def test_pit_is_repeatable():
    paths, actual = np.zeros((5, 4)), np.zeros(4)
    np.testing.assert_array_equal(scores.pit(paths, actual, seed=1), scores.pit(paths, actual, seed=1))
    assert (scores.pit(paths, actual, seed=1) != scores.pit(paths, actual, seed=2)).all()


@pytest.mark.parametrize("score", [scores.crps, scores.coverage, scores.energy_score, scores.variogram_score])
def test_missing_numbers_are_an_error_and_never_dropped(score):
    complete, gap = np.ones((3, 2)), np.array([1.0, np.nan])
    with pytest.raises(InputError, match="0 missing in the forecast, 1 in the actual"):
        score(complete, gap)
    with pytest.raises(InputError, match="3 missing in the forecast, 0 in the actual"):
        score(complete * gap, np.ones(2))


def test_shapes_that_do_not_fit_are_an_error():
    with pytest.raises(InputError, match="must fit what it is scored against"):
        scores.crps(np.ones((3, 2)), np.ones(3))
    with pytest.raises(InputError, match="each quantile needs its level"):
        scores.quantile_loss(np.ones((3, 2)), np.ones(2), np.array([0.1, 0.9]))


def test_outcomes_and_probabilities_out_of_range_are_an_error():
    with pytest.raises(InputError, match="an outcome must be 0 or 1"):
        scores.brier(np.array([0.5]), np.array([0.5]))
    with pytest.raises(InputError, match="probability must lie in"):
        scores.reliability(np.array([-0.5]), np.array([1.0]))


def test_the_weighted_quantile_loss_of_zeros_is_an_error():
    with pytest.raises(InputError, match="not all zero"):
        scores.wql(np.ones((1, 2)), np.zeros(2), np.array([0.5]))
