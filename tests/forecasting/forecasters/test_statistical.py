"""The statistical forecaster: calibrated, deterministic, and never at a loss for an answer."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.errors import InputError
from forecasting.evaluation.scores import coverage
from forecasting.forecasters import statistical
from forecasting.forecasters.scaling import GROWTH_DEVIATIONS, GROWTH_MARGIN, RATIO_MARGIN, RATIO_OFFSET
from forecasting.forecasters.statistical import (
    SHRINKAGE,
    SeasonalNaiveForecaster,
    StatisticalForecaster,
    StatisticalSettings,
    shock_correlation,
)
from forecasting.frequencies import Frequency
from forecasting.panel.history import exact_history

FAST = StatisticalSettings(candidates=("AutoETS", "AutoTheta"))


def panel(values, variates=("y",), item_ids=None, frequency=Frequency.QUARTER):
    values = np.asarray(values, dtype=float)
    item_ids = item_ids or tuple(f"item {i}" for i in range(len(values)))
    return exact_history(
        values,
        item_ids=item_ids,
        variates=variates,
        origins=(dt.date(2025, 12, 31),) * len(values),
        frequency=frequency,
    )


def random_walks(items, steps, seed=7, scale=0.15):
    shocks = np.random.default_rng(seed).normal(0, scale, (items, 1, steps))
    return 100 * np.exp(np.cumsum(shocks, axis=-1))


def order_books(items, steps, seed=7):
    rng = np.random.default_rng(seed)
    capacity = random_walks(items, steps, seed)
    orders = capacity * np.exp(rng.normal(0, 0.2, capacity.shape))
    return panel(np.concatenate([orders, capacity], axis=1), ("orders", "capacity"))


def sampled(history, horizon=6, paths=400, seed=1, forecaster=None):
    return (forecaster or StatisticalForecaster(FAST)).fit(history).sample(horizon, paths, seed)


def test_the_spread_brings_the_coverage_of_80_percent_intervals_into_70_to_90(monkeypatch):
    values = random_walks(60, 16 + 6)
    past, future = panel(values[..., :16]), values[:, 0, 16:].T

    def covered():
        forecaster = StatisticalForecaster(FAST)
        paths = sampled(past, paths=800, forecaster=forecaster)
        return coverage(paths[..., 0].transpose(1, 2, 0), future), forecaster.spread

    honest, spread = covered()
    monkeypatch.setattr(statistical, "needed_spread", lambda _: 1.0)
    classical, _ = covered()
    assert classical < 0.75
    assert 0.7 < honest < 0.9
    assert 1.2 < spread < 1.95


def test_the_floor_has_the_quantiles_of_a_random_walk():
    values = random_walks(30, 60)
    forecaster = SeasonalNaiveForecaster(season_length=1)
    paths = sampled(panel(values), horizon=4, paths=4000, forecaster=forecaster)
    logs = np.log(paths[..., 0] / values[:, :, -1:])
    changes = np.diff(np.log(values[:, 0]), axis=-1)
    h = np.arange(1, 5)
    expected = forecaster.spread * np.sqrt((changes**2).mean(axis=1)[:, None] * h * (1 + h / 60))
    np.testing.assert_allclose(logs.std(axis=1), expected, rtol=0.06)
    np.testing.assert_allclose(np.median(logs, axis=1) / expected, 0, atol=0.1)


def test_the_same_seed_gives_the_same_paths_and_another_seed_others():
    history = order_books(3, 14)
    first, again, other = (sampled(history, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.99


def test_the_order_of_items_does_not_matter():
    history = order_books(4, 14)
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(sampled(history)[order], sampled(history.select(order)))


@settings(deadline=None, max_examples=50)
@given(factor=st.floats(1e-3, 1e3), positive=st.booleans(), seed=st.integers(0, 1000))
def test_paths_scale_with_the_units(factor, positive, seed):
    values = random_walks(2, 12, seed) - (0 if positive else 100)
    forecaster = SeasonalNaiveForecaster()
    once = sampled(panel(values), paths=20, forecaster=forecaster)
    scaled = sampled(panel(values * factor), paths=20, forecaster=forecaster)
    np.testing.assert_allclose(scaled, once * factor, rtol=1e-6, atol=1e-9 * factor)


def test_every_kind_of_series_gets_an_answer():
    steps = np.arange(20.0)
    rows = {
        "gap": np.where(steps % 5 == 2, np.nan, 50 + steps),
        "constant": np.full(20, 7.0),
        "single": np.r_[np.full(19, np.nan), 3.0],
        "short": np.r_[np.full(16, np.nan), 3.0, 4.0, 3.0, 5.0],
        "zeros": np.zeros(20),
        "negative": -50 - steps,
        "mixed": np.sin(steps),
        "counts": (steps % 3 == 0) * 2.0,
        "level shift": np.where(steps < 12, 10.0, 1000.0),
    }
    history = panel(np.array(list(rows.values()))[:, None], item_ids=tuple(rows))
    forecaster = StatisticalForecaster()
    paths = dict(zip(rows, sampled(history, horizon=8, forecaster=forecaster), strict=True))
    assert all(np.isfinite(each).all() for each in paths.values())
    np.testing.assert_allclose(paths["constant"], 7)
    np.testing.assert_array_equal(paths["zeros"], 0)
    assert paths["counts"].min() >= 0
    assert paths["negative"].max() < 0 or paths["negative"].min() < -50
    assert forecaster.choices["short"] == forecaster.choices["single"] == "RandomWalk"
    assert paths["single"].std() > 0


def test_a_short_series_moves_with_the_volatility_of_the_panel():
    values = random_walks(21, 16, scale=0.3)
    values[0, 0, :13] = np.nan
    paths = sampled(panel(values), horizon=1, paths=4000)
    changes = np.diff(np.log(values[:, 0]), axis=-1)
    pooled = np.median([np.sqrt(np.nanmean(change**2)) for change in changes])
    assert np.log(paths[0, :, 0, 0]).std() == pytest.approx(pooled, rel=0.05)


def test_a_series_without_any_observation_is_refused_by_name():
    with pytest.raises(InputError, match="item 1, y: a series needs at least one observation"):
        StatisticalForecaster().fit(panel([[[1.0, 2.0]], [[np.nan, np.nan]]]))


def test_an_item_that_comes_twice_is_refused():
    with pytest.raises(InputError, match="an item must not come twice: found A, A"):
        StatisticalForecaster().fit(panel([[[1.0]], [[2.0]]], item_ids=("A", "A")))


def test_orders_stay_near_capacity_when_they_always_were():
    orders, capacity = np.moveaxis(sampled(order_books(6, 40), horizon=12)[:, :, -1], -1, 0)
    low, high = np.quantile(orders / capacity, [0.1, 0.9], axis=1)
    assert (high / low).max() < 2.5
    low, high = np.quantile(capacity, [0.1, 0.9], axis=1)
    assert (high / low).min() > 2


def test_an_item_with_a_quiet_past_borrows_volatility_from_its_kin():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.3, (7, 2, 16))
    noise[0] = rng.normal(0, 0.01, (2, 16))
    values = 100 * np.exp(np.cumsum(noise, axis=-1))
    alone = sampled(panel(values[:1], ("orders", "capacity")), horizon=1, paths=2000)
    among = sampled(panel(values, ("orders", "capacity")), horizon=1, paths=2000)
    as_plain = sampled(panel(values, ("a", "b")), horizon=1, paths=2000)
    widths = [np.log(paths[0, :, 0, 1]).std() for paths in (alone, among, as_plain)]
    assert widths[1] > 5 * widths[0]
    assert widths[2] < 2 * widths[0]


def with_walks(share):
    return StatisticalForecaster(StatisticalSettings(candidates=("AutoETS",), walk_share=share))


def test_the_walking_share_of_the_paths_is_that_of_a_random_walk_and_the_rest_that_of_the_model():
    books = order_books(8, 24)
    half, none, all_ = (sampled(books, forecaster=with_walks(share)) for share in (0.5, 0.0, 1.0))
    assert np.array_equal(half[:, :200], all_[:, :200])
    assert np.array_equal(half[:, 200:], none[:, 200:])
    assert not np.allclose(none[:, :200], all_[:, :200])


def test_plain_series_have_no_kin_and_never_walk():
    plain = panel(random_walks(4, 24))
    assert np.array_equal(
        sampled(plain, forecaster=with_walks(1.0)), sampled(plain, forecaster=with_walks(0.0))
    )


@pytest.mark.parametrize("direction", [1, -1])
def test_runaway_growth_and_fall_are_held_within_what_the_panel_has_seen(direction):
    logs = direction * 0.02 * np.arange(16.0) ** 2.2
    forecaster = StatisticalForecaster(StatisticalSettings(candidates=("AutoARIMA",)))
    paths = sampled(panel(np.exp(logs)[None, None]), horizon=16, paths=4000, forecaster=forecaster)
    growth = np.abs(np.log(paths[0, :, :, 0]) - logs[-1])
    volatility = np.sqrt(np.mean(np.diff(logs) ** 2))
    for h in range(1, 17):
        seen = max(abs(logs[k:] - logs[:-k]).max() for k in range(1, min(h, 15) + 1))
        limit = max(GROWTH_MARGIN * seen, GROWTH_DEVIATIONS * volatility * np.sqrt(h))
        assert growth[:, h - 1].max() <= limit + 1e-9
    assert growth[:, -1].max() == pytest.approx(limit)


def test_the_book_to_bill_stays_within_reach_of_the_highest_in_the_panel():
    ratio = np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.5, (5, 16)), axis=1))
    history = panel(np.stack([100 * ratio, np.full((5, 16), 100.0)], axis=1), ("orders", "capacity"))
    paths = sampled(history, horizon=16, paths=2000)
    highest = RATIO_MARGIN * (ratio.max() + RATIO_OFFSET) - RATIO_OFFSET
    assert (paths[..., 0] / paths[..., 1]).max() == pytest.approx(highest)


def test_variates_that_moved_together_do_so_in_the_future():
    rng = np.random.default_rng(0)
    common = rng.normal(size=(1, 60))
    together = np.concatenate([common, common + 0.1 * rng.normal(size=(1, 60))])
    values = np.exp(0.1 * np.cumsum([together, rng.normal(size=(2, 60))], axis=-1))
    paths = np.log(sampled(panel(values, ("a", "b")), paths=2000))
    growth = paths[:, :, -1]
    assert np.corrcoef(growth[0].T)[0, 1] > 0.7
    assert abs(np.corrcoef(growth[1].T)[0, 1]) < 0.35


def test_the_correlation_of_shocks_is_shrunk_by_the_length_of_the_series():
    rng = np.random.default_rng(0)
    series = tuple(np.cumsum(rng.normal(size=(2, 21)), axis=1))
    sample = np.corrcoef(np.diff(series))[0, 1]
    found = shock_correlation((series[0], np.r_[9.0, 8.0, series[1]]))
    assert found[0, 1] == pytest.approx(sample * 20 / (20 + SHRINKAGE))
    np.testing.assert_array_equal(np.diag(found), 1.0)


def test_constants_and_short_series_are_uncorrelated():
    moving, still = np.array([0.0, 1.0, 0.0, 2.0]), np.zeros(4)
    np.testing.assert_array_equal(shock_correlation((moving, still)), np.eye(2))
    np.testing.assert_array_equal(shock_correlation((moving[:2], moving[:2])), np.eye(2))


def test_the_last_season_shapes_the_forecast_of_a_seasonal_series():
    steps = np.arange(40)
    values = 100 * np.exp(0.5 * np.sin(steps * np.pi / 2) + np.random.default_rng(0).normal(0, 0.02, 40))
    median = np.median(sampled(panel(values[None, None]), horizon=4)[0, :, :, 0], axis=0)
    np.testing.assert_allclose(median, values[-4:], rtol=0.1)


def test_a_forecaster_is_named_after_its_only_candidate():
    assert StatisticalForecaster().name == "statistical"
    assert StatisticalForecaster(StatisticalSettings(candidates=("AutoETS",))).name == "AutoETS"
    assert SeasonalNaiveForecaster().name == "SeasonalNaive"


def test_choices_name_one_of_the_candidates_for_every_item():
    forecaster = StatisticalForecaster(FAST).fit(order_books(5, 16))
    assert set(forecaster.choices) == {f"item {i}" for i in range(5)}
    assert set(forecaster.choices.values()) <= {"AutoETS", "AutoTheta"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"walk_share": 1.5}, "walk_share must be a share: expected 0 to 1, found 1.5"),
        (
            {"candidates": ("AutoETS", "Prophet")},
            "unknown candidate model: expected .*AutoARIMA.*found Prophet",
        ),
        ({"candidates": ()}, "at least one candidate model is needed"),
        ({"selection_origins": 0}, "selection_origins must be at least 1: found 0"),
        ({"season_length": 0}, "season_length must be at least 1: found 0"),
    ],
)
def test_settings_out_of_bounds_are_refused(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        StatisticalSettings(**changes)


def test_sampling_needs_a_fit_and_at_least_one_step():
    with pytest.raises(RuntimeError, match="before fit"):
        StatisticalForecaster().sample(4, 10, 1)
    with pytest.raises(InputError, match="horizon must be at least 1"):
        sampled(order_books(1, 8), horizon=0)
