"""Inner rolling origins: what they score, whom they prefer, and the spread they ask for."""

import datetime as dt

import numpy as np
import pytest
from scipy import integrate, stats

from forecasting.forecasters.scaling import scale_item
from forecasting.forecasters.selection import (
    DEFAULT_SPREAD,
    MAX_SPREAD,
    Trial,
    needed_spread,
    rank_by_wins,
    try_candidates,
)
from forecasting.frequencies import Frequency
from forecasting.panel.history import exact_history


def item(logs):
    history = exact_history(
        np.exp(np.asarray(logs, dtype=float))[None, None],
        item_ids=("H200",),
        variates=("units",),
        origins=(dt.date(2025, 12, 31),),
        frequency=Frequency.QUARTER,
    )
    return scale_item(history, 0)


def tried(series, *candidates, origins=1, spacing=3):
    return try_candidates(
        item(series), candidates, origins=origins, spacing=spacing, shortest=5, season_length=1
    )


def trial(errors, score=1.0, forecasts=10_000):
    return Trial(score, forecasts, np.asarray(errors, dtype=float))


def test_a_trial_scores_every_step_after_the_origin_by_hand():
    series = np.array([0.0, 0.2, 0.1, 0.4, 0.3, 0.5, 0.9, 0.4])
    found = tried(series, "SeasonalNaive")["SeasonalNaive"]
    sigma, h = np.sqrt(np.mean(np.diff(series[:5]) ** 2)), np.arange(1, 4)
    deviation = sigma * np.sqrt(h * (1 + h / 5))
    distance = series[5:] - series[4]
    np.testing.assert_allclose(found.errors, np.abs(distance) / deviation)

    def crps(y, scale):
        below, _ = integrate.quad(lambda x: stats.norm.cdf(x, scale=scale) ** 2, -10, y)
        above, _ = integrate.quad(lambda x: stats.norm.sf(x, scale=scale) ** 2, y, 10)
        return below + above

    assert found.score == pytest.approx(
        np.mean([crps(y, s) for y, s in zip(distance, deviation, strict=True)])
    )
    assert found.forecasts == 1


def test_the_candidate_that_fits_comes_first():
    rising = np.arange(24) * 0.3 + 0.01 * np.sin(np.arange(24) * 12.3)
    assert next(iter(tried(rising, "SeasonalNaive", "AutoARIMA", origins=2))) == "AutoARIMA"


def test_only_origins_with_enough_history_before_them_count():
    series = np.random.default_rng(0).normal(size=11)
    assert tried(series, "SeasonalNaive", origins=4)["SeasonalNaive"].forecasts == 2
    assert tried(series[:7], "SeasonalNaive") == {}


def test_a_candidate_that_cannot_be_fitted_everywhere_is_left_out():
    series = np.random.default_rng(0).normal(size=8)
    assert list(tried(series, "AutoETS", "SeasonalNaive")) == ["SeasonalNaive"]


@pytest.mark.parametrize("factor", [1.2, 1.5, 1.8])
def test_the_spread_undoes_intervals_that_are_too_narrow(factor):
    errors = np.abs(np.random.default_rng(0).normal(scale=factor, size=100_000))
    assert needed_spread([{"A": trial(errors)}]) == pytest.approx(factor, rel=0.01)


def test_the_spread_neither_narrows_nor_exceeds_the_worst_case():
    assert needed_spread([{"A": trial(np.full(99, 0.1))}]) == pytest.approx(1.0, rel=1e-3)
    assert needed_spread([{"A": trial(np.full(99, 50.0))}]) == pytest.approx(MAX_SPREAD, rel=1e-3)


def test_without_evidence_the_spread_is_the_default_and_with_little_it_stays_near():
    assert needed_spread([{}]) == DEFAULT_SPREAD == pytest.approx(1.3, abs=0.005)
    little = needed_spread([{"A": trial(np.full(4, 50.0), forecasts=1)}, {}])
    assert DEFAULT_SPREAD < little < DEFAULT_SPREAD * 1.1


def test_the_largest_spread_repairs_a_coverage_of_49_percent():
    assert stats.norm.cdf(stats.norm.ppf(0.745) * MAX_SPREAD) == pytest.approx(0.9)


def test_candidates_are_ordered_by_wins_and_then_by_preference():
    best = {"B": trial([1.0]), "A": trial([1.0], score=2.0)}
    assert rank_by_wins([best, best, {}], ("A", "B", "C")) == ["B", "A", "C"]
    assert rank_by_wins([{}], ("A", "B", "C")) == ["A", "B", "C"]
