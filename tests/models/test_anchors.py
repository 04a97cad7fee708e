import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.anchors import build_anchors, detrended, seasonal_move, trend_line
from models.scaling import carry_forward, fit_scaling

DRIFT, LOG_DRIFT, MEAN, LINE, SEASONAL = range(5)


def anchors_of(values, *, horizon=6, season=0):
    context = torch.as_tensor(values, dtype=torch.float64)[None, None]
    observed = context.isfinite()
    scaling = fit_scaling(context, observed)
    views = build_anchors(
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
