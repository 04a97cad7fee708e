"""The bank as a forecaster of the product."""

import datetime as dt

import numpy as np
import pytest

from forecasting.errors import InputError
from forecasting.forecasters.bank import BankForecaster
from forecasting.forecasters.bank.forecaster import shock_correlation
from forecasting.frequencies import Frequency
from forecasting.panel.history import exact_history


def history_of(values, names=("y",)):
    return exact_history(
        values,
        item_ids=tuple(f"item {k}" for k in range(len(values))),
        variates=names,
        origins=(dt.date(2026, 9, 30),) * len(values),
        frequency=Frequency.QUARTER,
    )


@pytest.fixture(scope="module")
def flows():
    rng = np.random.default_rng(0)
    common = rng.normal(0.02, 0.1, (3, 1, 30))
    return np.exp((common + rng.normal(0, 0.03, (3, 2, 30))).cumsum(axis=-1))


def test_paths_have_a_place_for_every_item_path_step_and_variate(flows):
    forecaster = BankForecaster().fit(history_of(flows, ("orders", "capacity")))
    paths = forecaster.sample(5, 7, 1)
    assert forecaster.name == "bank"
    assert paths.shape == (3, 7, 5, 2)
    assert (paths >= 0).all()


def test_a_seed_fixes_the_paths_and_an_item_does_not_hang_on_the_others(flows):
    history = history_of(flows, ("orders", "capacity"))
    once, again, other = (BankForecaster().fit(history).sample(4, 20, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert not np.allclose(once, other)
    alone = BankForecaster().fit(history.select([2])).sample(4, 20, 1)
    np.testing.assert_allclose(alone[0], once[2], rtol=1e-7)


def test_variates_that_moved_together_go_on_together(flows):
    paths = BankForecaster().fit(history_of(flows, ("orders", "capacity"))).sample(1, 4000, 1)
    last = np.log(paths[0, :, 0])
    assert np.corrcoef(last.T)[0, 1] > 0.4


def test_the_correlation_of_moves_is_shrunk_and_blind_to_common_seasons():
    rng = np.random.default_rng(1)
    moves = rng.standard_normal((2, 400))
    season = 5 * np.sin(np.pi * np.arange(400) / 2)
    values = moves.cumsum(axis=1) + season
    found = shock_correlation(values, season=4)
    assert abs(found[0, 1]) < 0.2
    same = shock_correlation(np.stack([values[0], values[0]]), season=1)
    assert same[0, 1] == pytest.approx(399 / 409)
    np.testing.assert_array_equal(shock_correlation(np.ones((2, 9)), season=1), np.eye(2))


def test_bad_requests_are_refused_in_words(flows):
    with pytest.raises(RuntimeError, match="before fit"):
        BankForecaster().sample(1, 1, 1)
    forecaster = BankForecaster().fit(history_of(flows, ("orders", "capacity")))
    with pytest.raises(InputError, match="horizon"):
        forecaster.sample(0, 1, 1)
    with pytest.raises(InputError, match="seed"):
        forecaster.sample(1, 1, -1)
    for bad in (np.nan, np.inf):
        values = flows.copy()
        values[1, 0] = bad
        with pytest.raises(InputError, match="finite"):
            BankForecaster().fit(history_of(values, ("orders", "capacity")))
