"""What the bank promises of any series: symmetries, constants, gaps, short and strange histories."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.forecasters.bank import BankSettings, bank_posterior
from forecasting.forecasters.bank.average import _groups, season_lengths

LEVELS = (0.1, 0.5, 0.9)
PLAIN = BankSettings(logs=0.0)


def walks(count=3, length=30, seed=0):
    return np.random.default_rng(seed).normal(0.1, 1.0, (count, length)).cumsum(axis=1) + 40.0


def paths_of(values, *, seeds=None, horizon=6, count=50, **options):
    posterior = bank_posterior(values, horizon=horizon, **options)
    seeds = seeds if seeds is not None else range(len(values))
    return posterior.paths(count, [np.random.default_rng(seed) for seed in seeds])


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(1e-6, 1e6), season=st.sampled_from([1, 4, 12]))
def test_forecasts_scale_with_the_units(factor, season):
    values = walks()
    once, scaled = (paths_of(each, seasons=season) for each in (values, factor * values))
    np.testing.assert_allclose(scaled, factor * once, rtol=1e-6)


@settings(max_examples=15, deadline=None)
@given(shift=st.floats(-1e6, 1e6))
def test_plain_hypotheses_know_no_level(shift):
    values, anywhere = walks(), np.full(3, -np.inf)
    once, shifted = (paths_of(each, settings=PLAIN, floor=anywhere) for each in (values, values + shift))
    np.testing.assert_allclose(shifted - shift, once, atol=1e-6 * max(1.0, abs(shift)) ** 0.5 + 1e-9)


def test_small_moves_at_a_high_level_are_seen():
    values = (1e6 + np.arange(40.0) + 0.01 * np.random.default_rng(0).standard_normal(40))[None]
    quantiles = bank_posterior(values, horizon=10).quantiles(LEVELS)[0]
    np.testing.assert_allclose(quantiles[:, 1] - 1e6, np.arange(40.0, 50.0), atol=0.5)
    assert (quantiles[:, 2] - quantiles[:, 0] < 5.0).all()


@pytest.mark.parametrize("line", [np.arange(40.0), 1e6 - np.arange(40.0), 1.1 ** np.arange(40.0)])
def test_a_straight_line_goes_straight_on_and_a_straight_growth_too(line):
    quantiles = bank_posterior(line[None, :30], horizon=10, seasons=4).quantiles(LEVELS)[0]
    np.testing.assert_allclose(quantiles - line[29], (line[30:] - line[29])[:, None].repeat(3, 1), rtol=0.01)


@pytest.mark.parametrize("value", [7.3, 0.0, -2.0, 1e9])
@pytest.mark.parametrize("length", [3, 40])
def test_a_constant_series_stays_exactly_constant(value, length):
    values = np.full((1, length), value)
    posterior = bank_posterior(values, horizon=5, seasons=4)
    assert (paths_of(values, seasons=4) == value).all()
    assert (posterior.quantiles(LEVELS) == value).all()
    assert (posterior.mean() == value).all()
    assert np.isneginf(posterior.log_spread()).all()


@pytest.mark.parametrize("length", [1, 2, 3, 5])
@pytest.mark.parametrize("season", [1, 4, 12, 24])
def test_the_prior_answers_where_the_history_is_short(length, season):
    values = np.array([[3.0, 5.0, 4.0, 6.0, 5.5][:length]])
    paths = paths_of(values, seasons=season)
    assert np.isfinite(paths).all()
    assert (paths >= 0).all()
    assert np.ptp(paths) > 0


def test_series_do_not_hang_on_their_neighbours_nor_on_their_order():
    values = np.concatenate([walks(2, 30), np.zeros((1, 30)), walks(1, 30, seed=9)])
    values[1, :12] = np.nan
    values[3, [4, 20]] = np.nan
    together = paths_of(values, seasons=4)
    backward = paths_of(values[::-1], seasons=4, seeds=range(3, -1, -1))[::-1]
    np.testing.assert_allclose(backward, together, rtol=1e-9)
    for n in range(4):
        np.testing.assert_allclose(paths_of(values[[n]], seasons=4, seeds=[n])[0], together[n], rtol=1e-7)


def test_padding_before_the_first_observation_changes_nothing():
    values = walks()
    padded = np.concatenate([np.full((3, 25), np.nan), values], axis=1)
    np.testing.assert_allclose(paths_of(padded), paths_of(values), rtol=1e-8)


def test_gaps_at_the_end_are_steps_ahead():
    values = walks()
    late = np.concatenate([values, np.full((3, 2), np.nan)], axis=1)
    early = bank_posterior(values, horizon=8).quantiles(LEVELS)[:, 2:]
    np.testing.assert_allclose(bank_posterior(late, horizon=6).quantiles(LEVELS), early, rtol=1e-7)


def test_quantiles_are_ordered_and_the_mean_lies_between():
    posterior = bank_posterior(walks(), horizon=8, seasons=4)
    quantiles = posterior.quantiles((0.01, 0.1, 0.5, 0.9, 0.99))
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    assert (quantiles[..., 0] < posterior.mean()).all()
    assert (posterior.mean() < quantiles[..., -1]).all()


def test_the_floor_is_zero_unless_the_past_was_negative_or_another_is_told():
    values = np.abs(np.random.default_rng(1).normal(0, 1, (1, 30)))
    assert paths_of(values).min() == 0.0
    assert paths_of(values - 1.0).min() < 0.0
    assert paths_of(values, floor=np.array([0.3])).min() == 0.3


def test_a_season_is_carried_on_and_grows_with_the_level_where_logs_say_so():
    rng, time = np.random.default_rng(4), np.arange(72)
    shape = np.exp(0.5 * np.sin(2 * np.pi * time / 12))
    values = (np.exp(0.02 * time + 0.02 * rng.standard_normal(72)) * shape)[None]
    posterior = bank_posterior(values[:, :60], horizon=12, seasons=12)
    assert posterior.families[0, -1] > 0.9
    np.testing.assert_allclose(posterior.quantiles([0.5])[0, :, 0], values[0, 60:], rtol=0.1)


def test_a_day_and_a_week_of_hours_are_both_found():
    rng, hour = np.random.default_rng(5), np.arange(24 * 7 * 5)
    day, week = np.sin(2 * np.pi * hour / 24), (hour // 24 % 7 >= 5) * np.cos(2 * np.pi * hour / 24)
    values = 10 + 2 * day + 2 * week + 0.1 * rng.standard_normal(len(hour))
    median = bank_posterior(values[None, :-48], horizon=48, seasons=24).quantiles([0.5])[0, :, 0]
    error, naive = (np.abs(values[-48:] - each).mean() for each in (median, values[-48 - 168 : -168]))
    assert error < naive


def test_logs_are_bounded_where_positive_values_jump_about():
    values = np.exp(np.random.default_rng(6).normal(0, 3, (4, 10)))
    paths = paths_of(values, horizon=24, count=2000)
    assert np.isfinite(paths).all()
    assert (paths.max(axis=(1, 2)) < 1e6 * values.max(axis=1)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_series_without_a_finite_observation_are_refused(bad):
    with pytest.raises(ValueError, match="finite observation"):
        bank_posterior(np.full((1, 5), bad), horizon=3)


@pytest.mark.parametrize(
    ("seasons", "expected"), [(1, ()), (12, (12,)), (24, (24, 168)), (168, (24, 168)), ([4, 12], (4, 12))]
)
def test_hours_of_a_day_come_with_those_of_a_week(seasons, expected):
    assert tuple(season_lengths(seasons)) == expected


def test_a_season_too_long_to_be_seen_does_not_take_the_place_of_one_that_was():
    values = walks(length=300)
    groups = list(_groups(values, season_lengths([24, 200])))
    assert [seasons for _, _, seasons in groups] == [(24, 200)]
