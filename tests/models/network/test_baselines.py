import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.network.baselines import (
    build_baselines,
    build_spreads,
    detrended,
    lag_moves,
    seasonal_move,
    trend_line,
)
from models.network.scaling import carry_forward, fit_scaling

DRIFT, LOG_DRIFT, MEAN, LINE, SEASONAL = range(5)


def anchors_of(values, *, horizon=6, season=0):
    context = torch.as_tensor(values, dtype=torch.float64)[None, None]
    observed = context.isfinite()
    scaling = fit_scaling(context, observed)
    views = build_baselines(
        carry_forward(context, observed), observed, torch.tensor([season]), scaling, horizon
    )
    return scaling.restore(views.double())[0, 0].numpy()


def test_a_straight_line_is_continued_by_drift_and_line():
    found = anchors_of(3 + 2 * np.arange(10.0))
    expected = 3 + 2 * np.arange(10, 16)
    np.testing.assert_allclose(found[:, DRIFT], expected, rtol=1e-5)
    np.testing.assert_allclose(found[:, LINE], expected, rtol=1e-5)


def test_exponential_growth_is_continued_by_the_log_drift():
    np.testing.assert_allclose(
        anchors_of(1.1 ** np.arange(10))[:, LOG_DRIFT], 1.1 ** np.arange(10, 16), rtol=1e-4
    )


def test_a_repeating_season_is_continued_by_the_seasonal_move():
    season = np.tile([1.0, 5.0, 2.0, 9.0], 5)
    np.testing.assert_allclose(
        anchors_of(season[:18], season=4)[:, SEASONAL], np.roll(season, -2)[:6], rtol=1e-5
    )


def test_the_seasonal_anchor_stays_at_the_last_value_without_a_season():
    np.testing.assert_allclose(anchors_of(np.arange(10.0) ** 2)[:, SEASONAL], 81.0)


@settings(deadline=None, max_examples=50)
@given(arrays(np.float64, 12, elements=st.floats(-50, 50)), arrays(np.bool_, 12))
def test_mean_and_slope_are_those_of_numpy(values, observed):
    if observed.sum() < 2:
        return
    mean, slope = trend_line(torch.from_numpy(values)[None, None], torch.from_numpy(observed)[None, None])
    steps = np.arange(12)[observed]
    assert float(mean) == pytest.approx(values[observed].mean(), abs=1e-9)
    line = np.polyfit(steps, values[observed], 1)
    assert float(slope) == pytest.approx(line[0], abs=1e-6)
    residual = detrended(torch.from_numpy(values)[None, None], torch.from_numpy(observed)[None, None])[0, 0]
    expected = np.where(observed, values - np.polyval(line, np.arange(12)), 0.0)
    np.testing.assert_allclose(residual, expected, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(arrays(np.float64, 17, elements=st.floats(-50, 50)), arrays(np.bool_, 17), st.integers(2, 9))
def test_the_seasonal_move_equals_a_plain_loop(values, observed, season):
    found = seasonal_move(
        torch.from_numpy(values)[None, None],
        torch.from_numpy(observed)[None, None],
        torch.tensor([season]),
        11,
    )
    for h in range(1, 12):
        moves, first = [], -(-h // season)
        for j in range(first, first + 3):
            start = 16 - j * season
            if start >= 0 and observed[start] and observed[start + h]:
                moves.append(values[start + h] - values[start])
        assert float(found[0, 0, h - 1]) == pytest.approx(np.mean(moves) if moves else 0.0, abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(arrays(np.float64, 12, elements=st.floats(-50, 50)), arrays(np.bool_, 12))
def test_lag_moves_equal_a_plain_loop_over_observed_pairs(values, observed):
    found = lag_moves(torch.from_numpy(values)[None, None], torch.from_numpy(observed)[None, None], 5)[0, 0]
    for lag in range(1, 6):
        pairs = [
            (values[t + lag] - values[t]) ** 2 for t in range(12 - lag) if observed[t] and observed[t + lag]
        ]
        expected = np.sqrt(np.mean(pairs)) if len(pairs) > 1 else 0.0
        assert float(found[lag - 1]) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def spreads_of(values, *, horizon, season=0):
    context = torch.as_tensor(values, dtype=torch.float64)[:, None]
    observed = context.isfinite()
    scaling = fit_scaling(context, observed)
    seasons = torch.full((len(context),), season)
    return build_spreads(carry_forward(context, observed), observed, seasons, scaling, horizon)[:, 0]


def test_spreads_of_a_long_gaussian_walk_are_near_those_of_a_walk():
    walks = np.random.default_rng(0).standard_normal((400, 512)).cumsum(-1)
    found = spreads_of(walks, horizon=8).mean(0)
    assert found[:, 0].abs().max() < 0.1
    assert found[:, 2].abs().max() < 0.05


def test_spreads_tell_noise_around_a_line_from_a_walk():
    noise = 0.3 * np.arange(256) + np.random.default_rng(0).standard_normal((50, 256))
    found = spreads_of(noise, horizon=16).mean(0)
    assert found[15, 0] == pytest.approx(-np.log(4), abs=0.1), "moves off the line do not grow with the lag"
    assert (found[:, 2] - found[0, 2]).abs().max() < 1e-4


def test_the_walk_beneath_a_season_is_told_by_its_seasonal_differences():
    rng = np.random.default_rng(0)
    season = np.tile(10 * rng.standard_normal(12), 40)
    found = spreads_of(season + rng.standard_normal((50, 480)).cumsum(-1), horizon=4, season=12).mean(0)
    scale = np.abs(np.diff(season + rng.standard_normal((50, 480)).cumsum(-1))).mean()
    assert found[0, 3] == pytest.approx(np.log(1 / (scale * np.sqrt(np.pi / 2))), abs=0.15)
