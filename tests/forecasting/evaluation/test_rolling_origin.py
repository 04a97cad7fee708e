"""Rolling origins and the record of one item's scores."""

import datetime as dt
import doctest
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.errors import InputError
from forecasting.evaluation import rolling_origin as backtest
from forecasting.evaluation import scores
from forecasting.evaluation.rolling_origin import Split, rolling_splits, score_item, skill
from forecasting.frequencies import Frequency, add_periods

LAST = dt.date(2025, 12, 31)
RANDOM = np.random.default_rng(0)


def splits(**changes):
    settings_ = {
        "first_origin": dt.date(2024, 3, 31),
        "last_origin": LAST,
        "step": 2,
        "horizon": 8,
        "frequency": Frequency.QUARTER,
    }
    return rolling_splits(**(settings_ | changes))


def test_every_example_in_the_docstrings_runs():
    assert doctest.testmod(backtest) == doctest.TestResults(failed=0, attempted=4)


def test_origins_go_back_from_the_last_one():
    assert splits() == tuple(
        Split(as_of=origin, origin=origin, horizon=8)
        for origin in (dt.date(2024, 6, 30), dt.date(2024, 12, 31), dt.date(2025, 6, 30), LAST)
    )


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from([Frequency.WEEK, Frequency.MONTH, Frequency.QUARTER, Frequency.YEAR]),
    st.integers(1, 5),
    st.integers(0, 1500),
)
def test_origins_are_evenly_spaced_within_the_bounds_and_cannot_be_extended(frequency, step, days):
    last = dt.date(2023, 12, 31)
    first = last - dt.timedelta(days=days)
    origins = [
        split.origin
        for split in rolling_splits(
            first_origin=first, last_origin=last, step=step, horizon=1, frequency=frequency
        )
    ]
    assert origins[-1] == last
    assert all(add_periods(a, step, frequency) == b for a, b in pairwise(origins))
    assert add_periods(origins[0], -step, frequency) < first <= origins[0]


def test_figures_are_known_a_publication_lag_after_the_origin():
    last = splits(publication_lag_days=92)[-1]
    assert (last.origin, last.as_of) == (LAST, dt.date(2026, 4, 2))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"horizon": 0}, "horizon must be at least 1: found 0"),
        ({"step": 0}, "step must be at least 1: found 0"),
        ({"publication_lag_days": -1}, "publication_lag_days must be at least 0"),
        ({"first_origin": dt.date(2026, 1, 1)}, "no origin fits the backtest"),
        ({"last_origin": dt.date(2025, 12, 30)}, "last_origin: an origin must be the end of a period"),
    ],
)
def test_splits_that_make_no_sense_are_refused(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        splits(**changes)


def record(future, actual, history):
    return score_item(future, actual, history, variates=("orders", "capacity"), season_length=1)


def example():
    history = np.array([[np.nan, 4.0], [10.0, 6.0], [12.0, 5.0], [11.0, 8.0]])
    return RANDOM.normal(10, 2, (300, 5, 2)), RANDOM.normal(10, 2, (3, 2)), history


def test_only_the_known_steps_are_scored():
    future, actual, history = example()
    beyond = future.copy()
    beyond[:, 3:] = 1e9
    assert record(future, actual, history) == record(beyond, actual, history)
    assert record(future, actual, history)["steps"] == 3


def test_each_score_is_that_of_its_variate():
    future, actual, history = example()
    found = record(future, actual, history)
    paths, truth, past = future[:, :3, 1], actual[:, 1], history[:, 1]
    assert found["crps/capacity"] == pytest.approx(scores.crps(paths, truth).mean())
    assert found["scaled_crps/capacity"] == pytest.approx(found["crps/capacity"] / 2.0)
    assert found["mase/capacity"] == pytest.approx(scores.mase(np.median(paths, axis=0), truth, past, 1))
    assert found["coverage_80/capacity"] == scores.coverage(paths, truth)
    deciles = np.arange(1, 10) / 10
    assert found["wql/capacity"] == pytest.approx(
        scores.wql(np.quantile(paths, deciles, axis=0), truth, deciles)
    )


def test_joint_scores_are_taken_in_units_of_the_typical_change():
    future, actual, history = example()
    found = record(future, actual, history)
    scale = np.array([1.5, 2.0])
    scaled = (future[:, :3] / scale).reshape(300, 6)
    assert found["energy_score"] == pytest.approx(scores.energy_score(scaled, (actual / scale).ravel()))
    assert found["variogram_score"] == pytest.approx(scores.variogram_score(scaled, (actual / scale).ravel()))


def test_scores_without_unit_do_not_change_with_the_unit():
    future, actual, history = example()
    once, thousand = record(future, actual, history), record(future * 1e3, actual * 1e3, history * 1e3)
    for name in once:
        factor = 1e3 if name.startswith("crps/") else 1.0
        assert thousand[name] == pytest.approx(once[name] * factor), name


def test_the_weighted_quantile_loss_is_undefined_where_nothing_came():
    future, actual, history = example()
    actual[:, 0] = 0.0
    found = record(future, actual, history)
    assert np.isnan(found["wql/orders"])
    assert np.isfinite([value for name, value in found.items() if name != "wql/orders"]).all()


def test_an_outcome_with_a_gap_is_an_error():
    future, actual, history = example()
    actual[1, 0] = np.nan
    with pytest.raises(InputError, match="numbers are missing"):
        record(future, actual, history)


@pytest.mark.parametrize("known", [0, 6])
def test_an_outcome_of_no_steps_or_of_more_than_the_horizon_is_an_error(known):
    future, _, history = example()
    with pytest.raises(InputError, match=f"expected 1 to 5 steps, found {known}"):
        record(future, np.ones((known, 2)), history)


@pytest.mark.parametrize(
    ("score", "baseline", "expected"),
    [(0.5, 1.0, 0.5), (2.0, 1.0, -1.0), (0.0, 0.0, 0.0), (1.0, 0.0, -np.inf)],
)
def test_skill_is_the_share_of_the_baseline_that_is_saved(score, baseline, expected):
    assert skill(score, baseline) == expected
