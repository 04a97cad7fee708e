import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.network.seasons import (
    CYCLE_WEIGHT,
    PRIOR_OBSERVATIONS,
    central,
    decompose,
    level_times_shape,
    moving_average,
    profile,
    weekly,
)


def one(values):
    return torch.as_tensor(values, dtype=torch.float64)[None]


def seen(length):
    return torch.ones(1, length).bool()


@settings(deadline=None, max_examples=40)
@given(arrays(np.float64, 23, elements=st.floats(-50, 50)), st.integers(2, 9))
def test_the_moving_average_equals_a_plain_loop(values, period):
    found = moving_average(one(values), torch.tensor([period]))[0]
    inside = central(seen(23), torch.tensor([period]))[0]
    half = period // 2
    weight = np.ones(period) if period % 2 else np.r_[0.5, np.ones(period - 1), 0.5]
    for t in range(23):
        whole = t - half >= 0 and t + half < 23
        assert bool(inside[t]) == whole
        if whole:
            expected = weight @ values[t - half : t + half + 1] / period
            assert float(found[t]) == pytest.approx(expected, abs=1e-9)


def slow_profile(values, observed, period, horizon):
    length = len(values)
    means, errors = {}, []
    for phase in range(period):
        steps = [t for t in range(length) if (length - 1 - t) % period == phase and observed[t]]
        weight = np.array([CYCLE_WEIGHT ** ((length - 1 - t) // period) for t in steps])
        if steps:
            means[phase] = weight @ values[steps] / weight.sum()
            errors.append((weight**2).sum() / weight.sum() ** 2)
    centre = np.mean(list(means.values()))
    means = {phase: mean - centre for phase, mean in means.items()}
    left = sum((values[t] - means[(length - 1 - t) % period]) ** 2 for t in range(length) if observed[t])
    spread = (values[observed] ** 2).mean()
    noise = (left + PRIOR_OBSERVATIONS * spread / 2) / (
        max(0, observed.sum() - len(means)) + PRIOR_OBSERVATIONS
    )
    power = np.mean(np.square(list(means.values())))
    strength = min(1.0, max(0.0, 1 - noise * np.mean(errors) / max(power, 1e-12)))
    strength *= 2 * len(means) > period
    return [strength * means.get(-h % period, 0.0) for h in range(1, horizon + 1)]


@settings(deadline=None, max_examples=40)
@given(arrays(np.float64, 19, elements=st.floats(-9, 9)), arrays(np.bool_, 19), st.integers(2, 7))
def test_the_shrunk_profile_equals_a_plain_loop(values, observed, period):
    if observed.sum() < 3:
        return
    found = profile(
        one(values), torch.from_numpy(observed)[None], torch.tensor([period]), longest=9, horizon=8
    )
    np.testing.assert_allclose(found.future[0], slow_profile(values, observed, period, 8), atol=1e-6)


def test_a_clean_season_is_found_whole_and_noise_is_shrunk_away():
    pattern = np.tile([1.0, 5.0, 2.0, 9.0], 8) - 4.25
    found = decompose(one(pattern + np.arange(32)), seen(32), torch.tensor([4]), 6)
    np.testing.assert_allclose(found.future[0], pattern[:6], atol=0.05)
    assert float(found.strength) > 0.99
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((300, 48)))
    strengths = decompose(noise, torch.ones(300, 48).bool(), torch.full((300,), 12), 6).strength
    assert float(strengths.mean()) < 0.25


def test_no_season_is_found_where_none_is_told_or_no_cycle_fits():
    values = one(np.random.default_rng(0).standard_normal(20))
    for period in (0, 1, 20, 30):
        found = decompose(values, seen(20), torch.tensor([period]), 5)
        assert float(found.past.abs().max()) == float(found.future.abs().max()) == float(found.strength) == 0


def test_hours_of_the_day_and_days_of_the_week_are_both_found():
    rng = np.random.default_rng(0)
    clock = np.arange(512 + 48)
    day, week = rng.standard_normal(24), np.repeat(rng.standard_normal(7), 24)
    season = day[clock % 24] + week[clock % 168]
    found = decompose(one(season[:512]), seen(512), torch.tensor([24]), 48)
    truth = season[512:] - season[:504].mean()
    assert np.abs(found.future[0].numpy() - truth).mean() < 0.25 * np.abs(truth).mean()
    assert weekly(torch.tensor([24, 24, 12]), 300).tolist() == [0, 0, 0]
    assert weekly(torch.tensor([24, 12]), 336).tolist() == [168, 0]


def test_a_drifting_season_is_followed():
    clock = np.arange(96)
    swing = np.linspace(1.0, 3.0, 96) * np.sin(2 * np.pi * clock / 12)
    found = decompose(one(swing), seen(96), torch.tensor([12]), 12)
    assert found.future[0].abs().max() > 2.2, "more than the mean swing of 2"


def test_a_level_times_a_shape_is_continued_and_never_negative():
    shape = np.tile([0.0, 1.0, 3.0, 0.0], 10)
    level = np.repeat(np.arange(10, 20.0), 4)
    forecast, fits = level_times_shape(one(level * shape), seen(40), torch.tensor([4]), 4)
    assert bool(fits)
    assert forecast.min() >= 0
    np.testing.assert_allclose(forecast[0], 19.5 * shape[:4], rtol=0.1, atol=0.5)
    for values, period in ((level * shape - 1, 4), (level * shape, 1), (level * shape, 30)):
        assert not level_times_shape(one(values), seen(40), torch.tensor([period]), 4)[1]
