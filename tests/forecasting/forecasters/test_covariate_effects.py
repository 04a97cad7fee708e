"""What covariates do: found where the data speak, shared within a group, as unsure as stated."""

import datetime as dt

import numpy as np
import pytest

from forecasting.forecasters.covariate_effects import covariate_effects
from forecasting.frequencies import Frequency
from forecasting.panel.history import exact_history


def history_of(values, frequency=Frequency.DAY):
    values = np.asarray(values, dtype=float)[:, None]
    names = tuple(f"s{n}" for n in range(len(values)))
    return exact_history(
        values,
        item_ids=names,
        variates=("y",),
        origins=(dt.date(2026, 1, 31),) * len(names),
        frequency=frequency,
    )


def estimated(values, past, future, groups=None, frequency=Frequency.DAY):
    history = history_of(values, frequency)
    groups = groups or list(history.item_ids)
    return covariate_effects(history, past[:, None, None], future[:, None, None], groups=groups)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_walks_with_promotions_lose_most_of_the_error_that_promotions_make(rng):
    days = (rng.random((200, 108)) < 0.2).astype(float)
    values = 100 + (0.5 * rng.standard_normal((200, 108))).cumsum(axis=1) + 3 * days
    effects = estimated(values[:, :96], days[:, :96], days[:, 96:], groups=["all"] * 200)
    assert np.abs(effects.mean - 3).mean() < 0.15
    plain = np.abs(values[:, 96:] - values[:, 95:96]).mean()
    seen = effects.removed(history_of(values[:, :96]))
    last = np.repeat(seen.values[:, :, None, -1:], 12, axis=2)  # [I, 1, H, 1]: a walk stays where it is
    still = effects.added(last.repeat(400, axis=1), item_ids=seen.item_ids, seed=1)
    known = np.abs(values[:, 96:] - np.median(still, axis=1)[..., 0]).mean()
    assert known < 0.75 * plain


def test_effects_are_those_of_least_squares_where_there_are_many_data(rng):
    price = rng.standard_normal((1, 3000))
    values = 50 - 4 * price + rng.standard_normal((1, 3000))
    effects = estimated(values, price, price[:, :5])
    design = np.stack([np.ones(3000), price[0]], axis=1)
    exact = np.linalg.lstsq(design, values[0], rcond=None)[0][1]
    assert effects.mean[0, 0, 0] == pytest.approx(exact, abs=0.01)
    assert effects.root[0, 0, 0, 0] == pytest.approx(1 / np.sqrt(3000), rel=0.15)


def test_a_covariate_that_does_nothing_is_hardly_used(rng):
    noise = rng.standard_normal((100, 40))
    values = 20 + rng.standard_normal((100, 40)).cumsum(axis=1)
    effects = estimated(values, noise, noise[:, :6], groups=["all"] * 100)
    assert np.abs(effects.mean).mean() < 0.05


def test_a_season_is_not_taken_for_an_effect(rng):
    month = np.arange(120)
    season = 10 * np.sin(month * np.pi / 6)
    promo = (season > 5).astype(float) * (rng.random(120) < 0.6)
    values = 100 + season + 2 * promo + 0.5 * rng.standard_normal(120)
    effects = estimated(values[None], promo[None], promo[None, :6], frequency=Frequency.MONTH)
    assert effects.mean[0, 0, 0] == pytest.approx(2, abs=0.4)


def test_a_short_series_has_the_effects_of_its_group(rng):
    days = (rng.random((21, 120)) < 0.3).astype(float)
    values = 30 + 5 * days + rng.standard_normal((21, 120))
    values[0, :114] = np.nan
    days[0, 114:] = 0.0  # it never had a promotion
    future = np.ones((21, 2))
    shared = estimated(values, days, future, groups=["toys"] * 21)
    alone = estimated(values, days, future)
    assert alone.mean[0, 0, 0] == pytest.approx(0, abs=1e-6)
    assert shared.mean[0, 0, 0] > 1.5


def test_unsure_effects_widen_the_paths(rng):
    days = np.zeros((1, 30))
    days[0, [4, 21]] = 1.0
    values = 10 + 6 * days + rng.standard_normal((1, 30))
    effects = estimated(values, days, np.array([[1.0, 0.0]]))
    drawn = effects.added(np.full((1, 4000, 2, 1), 10.0), item_ids=["s0"], seed=3)
    assert drawn[0, :, 0, 0].std() == pytest.approx(effects.root[0, 0, 0, 0], rel=0.2)
    assert drawn[0, :, 0, 0].std() > 5 * drawn[0, :, 1, 0].std()


def test_covariates_in_other_units_give_the_same_forecast(rng):
    price = rng.random((3, 60))
    values = 40 - 8 * price + rng.standard_normal((3, 60))
    paths = np.full((3, 20, 4, 1), 40.0)
    found = [
        estimated(values, scaled, scaled[:, :4]).added(paths, item_ids=["a", "b", "c"], seed=2)
        for scaled in (price, 100 * price + 7)
    ]
    assert np.allclose(*found)
