"""Seasonal bootstrap: the empirical law of seasonal errors, in units, for any history."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from forecasting.errors import InputError
from forecasting.forecasters.seasonal_bootstrap import (
    SeasonalBootstrapForecaster,
    filled,
)
from forecasting.frequencies import Frequency
from forecasting.panel.history import exact_history


def history(values, frequency=Frequency.QUARTER):
    values = np.asarray(values, dtype=float)
    values = values.reshape(-1, *values.shape[-2:]) if values.ndim > 1 else values[None, None]
    return exact_history(
        values,
        item_ids=tuple(f"item {i}" for i in range(len(values))),
        variates=tuple(f"v{v}" for v in range(values.shape[1])),
        origins=(dt.date(2025, 12, 31),) * len(values),
        frequency=frequency,
    )


def test_a_timetable_is_forecast_to_repeat_to_the_digit():
    table = np.tile([3.0, 0.0, 7.0, 1.0], 10)
    paths = SeasonalBootstrapForecaster().fit(history(table)).sample(9, 30, seed=1)
    assert np.array_equal(paths[..., 0], np.broadcast_to(np.r_[table[:8], 3.0], (1, 30, 9)))


def test_without_errors_in_phase_the_steps_ahead_are_a_past_value_and_past_changes():
    values = np.random.default_rng(0).normal(size=11)
    drawn = SeasonalBootstrapForecaster().fit(history(values)).sample(4, 200, seed=3)[0, ..., 0]
    changes = values[4:] - values[:-4]
    starts = np.abs(drawn[:, :1] - values[-4] - changes).argmin(axis=1)
    expected = values[-4:] + changes[(starts[:, None] + np.arange(4)) % 7]
    assert np.allclose(drawn, expected)
    assert set(starts) == set(range(7))


def test_errors_add_up_over_seasons():
    values = np.random.default_rng(1).normal(size=400).cumsum()
    drawn = SeasonalBootstrapForecaster().fit(history(values)).sample(16, 4000, seed=0)[0, ..., 0]
    assert drawn[:, 15].var() / drawn[:, 3].var() == pytest.approx(4, rel=0.15)


def test_many_cycles_are_resampled_at_their_own_phase():
    noise = np.random.default_rng(2).normal(size=20)
    values = np.tile([5.0, 0.0, 0.0, 0.0], 20)
    values[::4] += noise
    drawn = SeasonalBootstrapForecaster().fit(history(values)).sample(4, 100, seed=0)[0, ..., 0]
    assert np.ptp(drawn[:, 0]) > 1
    assert (drawn[:, 1:] == 0).all()


def test_a_walk_without_a_season_has_no_drift_and_the_spread_of_its_moves():
    moves = np.random.default_rng(3).normal(0.5, 1.0, 300)
    paths = SeasonalBootstrapForecaster().fit(history(moves.cumsum() - 900, Frequency.YEAR))
    drawn = paths.sample(9, 4000, seed=0)[0, ..., 0] - (moves.sum() - 900)
    assert abs(drawn[:, 8].mean()) < 0.2
    assert drawn[:, 8].std() == pytest.approx(3 * moves.std(), rel=0.1)


def test_variates_are_resampled_at_the_same_steps():
    values = np.random.default_rng(4).normal(size=24)
    drawn = SeasonalBootstrapForecaster().fit(history(np.stack([values, -2 * values]))).sample(6, 40, seed=0)
    assert np.allclose(drawn[..., 1], -2 * drawn[..., 0])


def test_a_gap_takes_the_last_value_of_its_phase():
    values = np.array([[np.nan, 1.0, 2.0, 3.0, 4.0, np.nan, np.nan, np.nan, 5.0]])
    assert filled(values, 3).tolist() == [[1.0, 2.0, 3.0, 4.0, 2.0, 3.0, 4.0, 5.0]]


@pytest.mark.parametrize("values", [[5.0], [0.0, 0.0], [np.nan, 3.0, np.nan], [7.0] * 40])
def test_short_and_constant_series_are_carried_forward(values):
    paths = SeasonalBootstrapForecaster().fit(history(np.array(values))).sample(6, 5, seed=0)
    assert (paths == np.nanmax(values)).all()


def test_what_was_never_negative_stays_so():
    values = np.random.default_rng(6).poisson(0.5, 80)
    assert SeasonalBootstrapForecaster().fit(history(values)).sample(20, 300, seed=0).min() >= 0


def test_an_items_paths_depend_on_nothing_but_its_name_its_past_and_the_seed():
    values = np.random.default_rng(7).normal(size=(3, 1, 40))
    panel = history(values)
    paths = SeasonalBootstrapForecaster().fit(panel).sample(5, 20, seed=2)
    assert np.array_equal(
        SeasonalBootstrapForecaster().fit(panel.select([2])).sample(5, 20, seed=2)[0], paths[2]
    )
    assert not np.array_equal(SeasonalBootstrapForecaster().fit(panel).sample(5, 20, seed=3), paths)


@pytest.mark.parametrize("values", [[np.nan, np.nan], [1.0, np.inf]])
def test_series_without_a_finite_observation_are_refused(values):
    with pytest.raises(InputError, match="item 0, v0"):
        SeasonalBootstrapForecaster().fit(history(np.array(values)))
