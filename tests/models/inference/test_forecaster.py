import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ModelError, SeriesError
from models.inference.checkpoint import PRETRAINED, WEIGHTS
from models.inference.forecaster import NetworkForecaster
from models.network.sampling import sample_paths

LEVELS = (0.1, 0.5, 0.9)


@pytest.fixture(scope="session")
def forecaster(small_network):
    return NetworkForecaster(network=small_network, card={}, device=torch.device("cpu"))


def history(seed=0, *, items=3, variates=2, length=30):
    return np.random.default_rng(seed).standard_normal((items, variates, length)).cumsum(-1) + 20


def test_quantiles_and_paths_have_the_promised_shapes(forecaster):
    assert forecaster.predict_quantiles(history(), horizon=7, levels=LEVELS).shape == (3, 2, 7, 3)
    assert forecaster.sample(history(), horizon=7, paths=5, seed=1).shape == (3, 5, 7, 2)


def test_the_quantiles_are_those_of_the_paths(forecaster):
    quantiles = forecaster.predict_quantiles(history(), horizon=7, levels=LEVELS)
    paths = forecaster.sample(history(), horizon=7, paths=8000, seed=1)
    below = (paths[:, :, :, :, None] < quantiles.transpose(0, 2, 1, 3)[:, None]).mean(1)
    assert np.abs(below - LEVELS).max() < 0.03


def test_a_seed_fixes_the_paths(forecaster):
    first, second, other = (forecaster.sample(history(), horizon=4, paths=6, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


@settings(deadline=None, max_examples=50)
@given(st.integers(-40, 40), st.integers(0, 100))
def test_forecasts_scale_with_the_unit(forecaster, power, seed):
    values = history(seed)
    output = forecaster.predict_quantiles(values, horizon=5, levels=LEVELS)
    scaled = forecaster.predict_quantiles(values * 2.0**power, horizon=5, levels=LEVELS)
    np.testing.assert_allclose(scaled / 2.0**power, output, rtol=1e-3, atol=1e-3)


def test_the_forecast_of_a_mirrored_series_of_both_signs_is_the_mirrored_forecast(forecaster):
    values = history() - history().mean(-1, keepdims=True)
    output = forecaster.predict_quantiles(values, horizon=5, levels=LEVELS)
    mirrored = forecaster.predict_quantiles(-values, horizon=5, levels=LEVELS)
    np.testing.assert_allclose(mirrored, -output[..., ::-1], rtol=1e-5, atol=1e-5)


def test_variates_of_a_told_role_are_not_mirrored(forecaster):
    roles = np.broadcast_to([[1.0, 0.0], [-1.0, 0.0]], (3, 2, 2))
    output = forecaster.predict_quantiles(history(), horizon=5, levels=LEVELS, statics=roles)
    mirrored = forecaster.predict_quantiles(-history(), horizon=5, levels=LEVELS, statics=roles)
    assert np.abs(mirrored + output[..., ::-1]).max() > 1e-3


@pytest.mark.parametrize(
    "series",
    [
        np.zeros(20),
        np.full(20, 7.0),
        np.full(20, -1e-12),
        np.r_[np.zeros(19), 1.0],
        np.arange(20) * 1e-30,
        np.arange(20) * 1e30,
        np.r_[np.full(17, np.nan), 1.0, 2.0, 3.0],
        np.r_[1.0, 2.0, 3.0, np.full(17, np.nan)],
        np.r_[1.0, np.full(9, np.nan), 4.0, np.full(8, np.nan), 2.0],
        np.exp(np.arange(20.0)),
        np.array([1.0, 2.0, 1.5]),
    ],
    ids=[
        "zeros",
        "constant",
        "tiny",
        "one jump",
        "1e-30",
        "1e30",
        "late",
        "early",
        "gaps",
        "explosive",
        "three",
    ],
)
def test_awkward_series_get_finite_ordered_answers(forecaster, series):
    values = series[None, None]
    quantiles = forecaster.predict_quantiles(values, horizon=9, levels=LEVELS, season_length=4)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    assert np.isfinite(forecaster.sample(values, horizon=9, paths=20, seed=0)).all()


@pytest.mark.parametrize("horizon", [65, 150])
def test_a_longer_horizon_is_rolled(forecaster, horizon):
    values = history(length=40)
    paths = forecaster.sample(values, horizon=horizon, paths=21, seed=3)
    assert paths.shape == (3, 21, horizon, 2)
    assert np.isfinite(paths).all()
    np.testing.assert_allclose(paths[:, :, :64], forecaster.sample(values, horizon=64, paths=21, seed=3))
    quantiles = forecaster.predict_quantiles(values, horizon=horizon, levels=LEVELS)
    assert quantiles.shape == (3, 2, horizon, 3)
    assert (np.diff(quantiles, axis=-1) >= 0).all()


def test_rolled_paths_go_on_from_their_own_last_value(forecaster, monkeypatch):
    def nothing_moves_after_the_first_piece(distribution, levels, *, paths, generator, budget):
        drawn = sample_paths(distribution, levels, paths=paths, generator=generator, budget=budget)
        return drawn if paths == 21 else torch.zeros_like(drawn)

    monkeypatch.setattr("models.inference.forecaster.sample_paths", nothing_moves_after_the_first_piece)
    paths = forecaster.sample(history(length=40), horizon=80, paths=21, seed=3)
    np.testing.assert_allclose(paths[:, :, 64:], np.repeat(paths[:, :, 63:64], 16, axis=2), rtol=1e-9)


def test_a_context_beyond_the_limit_is_cut_at_its_start(forecaster):
    values = history(length=700)
    whole = forecaster.predict_quantiles(values, horizon=3, levels=LEVELS)
    np.testing.assert_allclose(
        whole, forecaster.predict_quantiles(values[..., -512:], horizon=3, levels=LEVELS)
    )


def test_the_known_future_moves_the_forecast(forecaster):
    values, known = history(length=30), np.zeros((3, 1, 35))
    output = forecaster.predict_quantiles(values, horizon=5, levels=LEVELS)
    known[:, :, [3, 9, 32]] = 1.0
    moved = forecaster.predict_quantiles(values, horizon=5, levels=LEVELS, covariates=known)
    assert not np.allclose(output, moved)


def test_items_do_not_touch_each_other(forecaster, monkeypatch):
    values = history(items=5)
    together = forecaster.predict_quantiles(values, horizon=4, levels=LEVELS)
    monkeypatch.setattr("models.inference.forecaster.SERIES_PER_PASS", 2)
    apart = forecaster.predict_quantiles(values, horizon=4, levels=LEVELS)
    np.testing.assert_allclose(together, apart, rtol=1e-4)


@pytest.mark.parametrize("length", [3, 5, 12, 24, 30])
def test_a_forecast_does_not_hang_on_the_length_of_other_histories(forecaster, length):
    own = history(items=1, length=length)
    beside = np.full((3, 2, 40), np.nan)
    beside[1:] = history(7, items=2, length=40)
    beside[0, :, -length:] = own[0]
    alone = forecaster.predict_quantiles(own, horizon=4, levels=LEVELS)
    together = forecaster.predict_quantiles(beside, horizon=4, levels=LEVELS)
    np.testing.assert_allclose(together[:1], alone, rtol=1e-4)
    others = forecaster.predict_quantiles(beside[1:], horizon=4, levels=LEVELS)
    np.testing.assert_allclose(together[1:], others, rtol=1e-4)


def test_out_of_memory_halves_the_items_and_says_so(forecaster, monkeypatch, caplog):
    real, sizes = forecaster.network.features, []

    def fails_above_six(inputs):
        sizes.append(len(inputs.values))
        if len(inputs.values) > 6:
            raise torch.OutOfMemoryError("no room")
        return real(inputs)

    monkeypatch.setattr(forecaster.network, "features", fails_above_six)
    monkeypatch.setattr("models.inference.forecaster.SERIES_PER_PASS", 10)
    with caplog.at_level(logging.WARNING):
        answer = forecaster.predict_quantiles(history(items=5), horizon=4, levels=LEVELS)
    assert answer.shape[0] == 5
    assert sizes == [15, 6, 6, 3]  # each piece with its mirror image and its logs
    assert "2 items at a time" in caplog.messages[-1]


def test_out_of_memory_with_a_single_item_is_one_sentence(forecaster, monkeypatch):
    def full(_):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(forecaster.network, "features", full)
    with pytest.raises(ModelError, match="runs out of memory with a single item"):
        forecaster.predict_quantiles(history(items=3), horizon=4, levels=LEVELS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"values": np.full((1, 1, 9), np.nan)},
            r"at least 3 observations, found 0 at \[item, variate\] \(0, 0\)",
        ),
        ({"values": np.array([[[1.0, np.nan, 2.0]]])}, "at least 3 observations, found 2"),
        (
            {"values": np.array([[[1.0, 2.0, np.inf]]])},
            r"infinite one at \[item, variate, step\] \(0, 0, 2\)",
        ),
        ({"values": np.ones((2, 9))}, "must be .items, variates, steps."),
        ({"horizon": 0}, "horizon must be at least 1"),
        ({"levels": [0.5, 1.0]}, r"inside \(0, 1\), found 1.0"),
        ({"covariates": np.ones((3, 1, 9))}, "covariates must be of shape"),
        ({"statics": np.full((3, 2, 1), np.nan)}, "statics must be finite"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_sentence(forecaster, change, message):
    arguments = {"values": history(), "horizon": 3, "levels": LEVELS, **change}
    with pytest.raises(SeriesError, match=message):
        forecaster.predict_quantiles(arguments.pop("values"), **arguments)


def test_no_paths_are_refused(forecaster):
    with pytest.raises(SeriesError, match="paths must be at least 1"):
        forecaster.sample(history(), horizon=3, paths=0, seed=1)


@pytest.mark.skipif(not (PRETRAINED / WEIGHTS).exists(), reason="no weights in the package")
def test_the_shipped_weights_forecast_a_walk_sensibly():
    walk = np.random.default_rng(1).standard_normal((40, 1, 96)).cumsum(-1)
    forecaster = NetworkForecaster.load(device="cpu")
    quantiles = forecaster.predict_quantiles(walk, horizon=12, levels=LEVELS)
    width = (quantiles[:, 0, -1, 2] - quantiles[:, 0, -1, 0]).mean()
    assert 0.6 < width / (2 * 1.2816 * np.sqrt(12)) < 1.6
    assert sum(path.stat().st_size for path in PRETRAINED.iterdir()) < 16_000_000
