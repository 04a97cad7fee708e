"""Joint paths: drawn history and sampled future meet, path by path."""

import datetime as dt

import numpy as np
import pytest

from forecasting.errors import InputError
from forecasting.forecasters.base import PathForecaster, PathSet, forecast_paths
from forecasting.forecasters.statistical import StatisticalForecaster
from forecasting.frequencies import Frequency
from forecasting.panel.history import History, exact_history


class Steady:
    """Continues the last value of every series, times 1, 2, 3 ..."""

    name = "steady"
    fitted: History

    def fit(self, history):
        self.fitted = history
        return self

    def sample(self, horizon, paths, seed):  # noqa: ARG002 (steady whatever the seed)
        last = self.fitted.values[:, None, None, :, -1]
        return np.broadcast_to(
            last * np.arange(1, horizon + 1)[:, None], (len(last), paths, horizon, 2)
        ).copy()


def uncertain_history():
    values = np.array([[[90.0, 100.0], [50.0, 60.0]], [[np.nan, 0.0], [-1.0, -2.0]]])
    return History(
        item_ids=("H200", "idle"),
        variates=("orders", "capacity"),
        values=values,
        value_p05=np.where(values > 0, values * 0.7, values),
        value_p95=np.where(values > 0, values * 1.5, values),
        origins=(dt.date(2025, 12, 31),) * 2,
        frequency=Frequency.QUARTER,
    )


def forecast(history, **changes):
    settings = {"horizon": 3, "paths": 200, "seed": 1, "error_correlation": 0.5}
    return forecast_paths(Steady(), history, **(settings | changes))


def test_history_and_future_are_two_views_of_one_array():
    paths = forecast(uncertain_history())
    assert paths.values.shape == (2, 200, 2 + 3, 2)
    assert (paths.horizon, paths.paths, paths.context_length) == (3, 200, 2)
    np.testing.assert_array_equal(np.concatenate([paths.history, paths.future], axis=2), paths.values)
    assert paths.future.base is not None


def test_every_path_starts_where_its_own_history_ends():
    paths = forecast(uncertain_history())
    start = paths.history[0, :, -1]
    np.testing.assert_allclose(paths.future[0], start[:, None] * np.array([1, 2, 3])[:, None])
    assert start.std(axis=0).min() > 1


def test_exact_figures_leave_the_future_as_it_was_sampled():
    exact = exact_history(
        np.array([[[90.0, 100.0], [50.0, 60.0]]]),
        item_ids=("H200",),
        variates=("orders", "capacity"),
        origins=(dt.date(2025, 12, 31),),
        frequency=Frequency.QUARTER,
    )
    paths = forecast(exact)
    np.testing.assert_array_equal(paths.future, Steady().fit(exact).sample(3, 200, 1))
    np.testing.assert_array_equal(paths.history[0, 0], exact.values[0].T)


def test_figures_that_are_zero_negative_or_missing_are_not_moved():
    paths = forecast(uncertain_history())
    np.testing.assert_array_equal(paths.future[1], Steady().fit(uncertain_history()).sample(3, 200, 1)[1])
    assert np.isnan(paths.history[1, :, 0, 0]).all()


def test_the_forecaster_is_fitted_to_the_central_figures():
    forecaster, history = Steady(), uncertain_history()
    forecast_paths(forecaster, history, horizon=1, paths=1, seed=1, error_correlation=0.5)
    assert forecaster.fitted is history


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"horizon": 0}, "horizon must be at least 1: found 0"),
        ({"paths": 0}, "paths must be at least 1: found 0"),
        ({"seed": -1}, "seed must be at least 0: found -1"),
        ({"error_correlation": 2.0}, "correlation of measurement errors"),
    ],
)
def test_settings_out_of_bounds_are_refused(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        forecast(uncertain_history(), **changes)


def test_a_path_set_whose_parts_do_not_fit_is_refused():
    with pytest.raises(ValueError, match="do not fit"):
        PathSet(
            item_ids=("A",),
            variates=("y",),
            origins=(dt.date(2025, 12, 31),),
            frequency=Frequency.QUARTER,
            context_length=4,
            values=np.zeros((1, 5, 4, 1)),
        )


def test_the_statistical_forecaster_keeps_the_protocol():
    forecaster: PathForecaster = StatisticalForecaster()
    paths = forecast_paths(
        forecaster, uncertain_history().select([0]), horizon=2, paths=5, seed=1, error_correlation=0.5
    )
    assert paths.values.shape == (1, 5, 4, 2)
    assert np.isfinite(paths.future).all()


def test_items_with_the_same_figures_have_the_same_paths():
    values = np.stack([np.linspace(1, 8, 16), np.linspace(8, 1, 16)])[None].repeat(3, 0)
    values[1] += 1
    history = exact_history(
        values,
        item_ids=("H200", "other", "portfolio/nvidia"),
        variates=("orders", "capacity"),
        origins=(dt.date(2025, 12, 31),) * 3,
        frequency=Frequency.QUARTER,
    )
    paths = forecast_paths(
        StatisticalForecaster(), history, horizon=3, paths=20, seed=1, error_correlation=0.5
    ).values
    np.testing.assert_array_equal(paths[0], paths[2])
    assert not np.array_equal(paths[0], paths[1])
