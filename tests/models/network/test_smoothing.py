import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.network.smoothing import (
    DAMPED,
    FAMILIES,
    SIMPLE,
    THETA,
    THETA_SHARE,
    UNSETTLED,
    VARIANCE_FLOOR,
    autoregress_ahead,
    line_ahead,
    moves_ahead,
    second_order,
    smooth,
)

VALUES = arrays(np.float64, 14, elements=st.floats(-30, 30))


def one(values):
    return torch.as_tensor(values)[None]


def slow_filter(values, observed, slope, triple, horizon):
    alpha, beta, phi = triple
    begin = int(np.argmax(observed))
    level = values[begin]
    steep = slope * (0.0 if phi == 0 else THETA_SHARE if phi == 1 else 1.0)
    squares, before = 0.0, 0
    for t in range(begin, len(values)):
        steep *= phi
        level += steep
        if observed[t]:
            error = values[t] - level
            squares += error**2 if before >= UNSETTLED else 0.0
            level += max(alpha, 1 / (before + 1)) * error
            steep += beta * error
            before += 1
    return level + steep * np.cumsum(phi ** np.arange(1.0, horizon + 1)), squares / max(1, before - UNSETTLED)


@settings(deadline=None, max_examples=40)
@given(VALUES, arrays(np.bool_, 14), st.floats(-2, 2))
def test_each_family_is_the_likelihood_weighted_mean_of_plain_recursions(values, observed, slope):
    if observed.sum() < 5:
        return
    found = smooth(one(values), one(observed), torch.tensor([slope]).double(), 6)
    counted = max(1, observed.sum() - UNSETTLED)
    for family, forecasts in zip(FAMILIES, found, strict=True):
        slow = [slow_filter(values, observed, slope, triple, 6) for triple in family]
        ahead, variance = np.array([a for a, _ in slow]), np.array([v for _, v in slow])
        kept = np.maximum(variance, VARIANCE_FLOOR * max(variance.max(), 1e-6))
        weight = kept ** (-0.5 * counted) / (kept.min() ** (-0.5 * counted))
        weight = weight / weight.sum()
        np.testing.assert_allclose(forecasts.ahead[0], weight @ ahead, rtol=1e-4, atol=1e-3)
        assert float(forecasts.variance[0]) == pytest.approx(weight @ variance, rel=1e-4, abs=1e-4)


def test_damped_trends_and_theta_carry_on_where_simple_smoothing_stays():
    line = torch.arange(40.0).double()[None]
    simple, theta, damped = smooth(line, torch.ones(1, 40).bool(), torch.ones(1).double(), 4)
    assert len(SIMPLE) + len(THETA) + len(DAMPED) == sum(map(len, FAMILIES))
    assert float(simple.ahead.diff().abs().max()) == 0
    assert float(theta.ahead[0, -1]) == pytest.approx(39 + 4 * THETA_SHARE, abs=1.0)
    assert float(damped.ahead[0, -1]) == pytest.approx(43, abs=0.7)


@settings(deadline=None, max_examples=40)
@given(VALUES, arrays(np.bool_, 14))
def test_yule_walker_agrees_with_a_linear_solve(values, seen):
    kept = np.where(seen, values, 0.0)
    zero, first, second = (kept[lag:] @ kept[: 14 - lag] / max(1, seen.sum()) for lag in (0, 1, 2))
    near, far, variance = second_order(one(values), one(seen))
    if zero < 1e-3 or abs(first / zero) > 0.99:
        return
    expected = np.linalg.solve([[zero, first], [first, zero]], [first, second])
    np.testing.assert_allclose([float(near), float(far)], expected, rtol=1e-5, atol=1e-6)
    assert float(variance) >= VARIANCE_FLOOR * zero * 0.999


@settings(deadline=None, max_examples=40)
@given(VALUES)
def test_fitted_autoregressions_are_stationary(values):
    near, far, _ = second_order(one(values), torch.ones(1, 14).bool())
    ahead = autoregress_ahead(torch.ones(1).double(), torch.ones(1).double(), near, far, 400)
    assert ahead.abs().max() < 50


def test_moves_that_persist_and_noise_about_a_line_are_told_apart():
    rng = np.random.default_rng(0)
    moves = np.zeros((200, 120))
    for t in range(1, 120):
        moves[:, t] = 0.7 * moves[:, t - 1] + rng.standard_normal(200)
    walks = torch.from_numpy(moves.cumsum(-1))
    output = moves_ahead(walks, torch.ones(200, 120).bool(), 3)
    expected = torch.from_numpy(moves[:, -1:] * 0.7 ** np.arange(1, 4)).cumsum(-1) + walks[:, -1:]
    assert (output.ahead - expected).abs().mean() < 0.5
    assert output.variance.mean() == pytest.approx(1.0, abs=0.05)
    noise = torch.from_numpy(rng.standard_normal((200, 120)))
    line = torch.full((200, 3), 5.0).double()
    back = line_ahead(noise, torch.ones(200, 120).bool(), line)
    assert (back.ahead - line).abs().mean() < 0.2
