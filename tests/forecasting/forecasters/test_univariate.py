"""Mean and response of the classical models against statsforecast's own simulation and plain recursions."""

import warnings

import numpy as np
import pytest
from statsforecast.models import AutoARIMA, AutoETS, AutoTheta

from forecasting.forecasters import univariate as linear_models
from forecasting.forecasters.univariate import CANDIDATES, fit, random_walk


def rough_series(observations, *, trend=0.0, season=0.0, noise=0.2, seed=3):
    rng = np.random.default_rng(seed)
    steps = np.arange(observations)
    walk = np.cumsum(rng.normal(trend, noise, observations))
    return walk + season * np.sin(steps * np.pi / 2) + rng.normal(0, noise / 2, observations)


def simulated(model, horizon, paths=4000):
    return np.asarray(model.simulate(horizon, paths, seed=1), dtype=float)


def use(model, name, monkeypatch):
    """Let the module take this model, as it is, for what it has fitted itself."""
    monkeypatch.setattr(model, "fit", lambda _: model)
    monkeypatch.setattr(linear_models, name, lambda **_: model)


@pytest.fixture(autouse=True)
def fitted_anew():
    """No fit that another test has asked for, perhaps with something in place of a model."""
    linear_models._fit.cache_clear()
    yield
    linear_models._fit.cache_clear()


@pytest.fixture
def undamped(monkeypatch):
    monkeypatch.setattr(linear_models, "DAMPING", 1.0)


def assert_agrees(model, paths):
    """Mean within 5 standard errors, standard deviation within 5 % (4.5 standard errors) of a simulation."""
    horizon = paths.shape[1]
    without_drift = model._replace(drift_error=0.0)
    np.testing.assert_allclose(without_drift.deviation(horizon), paths.std(axis=0), rtol=0.05)
    distance = np.abs(model.mean(horizon) - paths.mean(axis=0)) / paths.std(axis=0)
    assert distance.max() < 5 / np.sqrt(len(paths))


@pytest.mark.parametrize("components", ["ANN", "AAdN", "ANA", "AAdA"])
def test_exponential_smoothing_gives_the_simulated_paths_from_the_same_errors(components, monkeypatch):
    series = rough_series(40, trend=0.1, season=1.0)
    own = AutoETS(season_length=4, model=components.replace("d", ""), damped="d" in components).fit(series)
    own.model_["par"][:3] = np.where(np.isnan(own.model_["par"][:3]), np.nan, [0.5, 0.2, 0.3])
    use(own, "AutoETS", monkeypatch)
    model = fit("AutoETS", series, 4)
    errors = np.random.default_rng(1).normal(0, model.sigma, (50, 10))
    np.testing.assert_allclose(simulated(own, 10, paths=50), model.mean(10) + errors @ model.response(10))


@pytest.mark.parametrize(("season_length", "season"), [(1, 0.0), (4, 1.0)])
@pytest.mark.usefixtures("undamped")
def test_arima_agrees_with_its_simulation(season_length, season, monkeypatch):
    series = rough_series(40, trend=0.05, season=season)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = AutoARIMA(season_length=season_length, max_d=1).fit(series)
    use(own, "AutoARIMA", monkeypatch)
    assert_agrees(fit("AutoARIMA", series, season_length), simulated(own, 10))


@pytest.mark.usefixtures("undamped")
def test_the_dynamic_theta_model_is_smoothing_plus_a_line_regressed_anew_at_every_step(monkeypatch):
    series = rough_series(16, trend=0.1)
    own = AutoTheta(season_length=1, model="DOTM").fit(series)
    alpha, theta = 0.4, 3.0
    own.model_["par"].update(alpha=alpha, theta=theta)
    use(own, "AutoTheta", monkeypatch)
    model = fit("AutoTheta", series, 1)

    def path(errors):
        values, level = list(series), own.model_["states"][-1][0]
        for error in errors:
            n = len(values)
            slope, intercept = np.polyfit(np.arange(1, n + 1), values, 1)
            line = intercept * (1 - alpha) ** n + slope * (1 - (1 - alpha) ** (n + 1)) / alpha
            values.append(level + (1 - 1 / theta) * line + error)
            level = alpha * values[-1] + (1 - alpha) * level
        return values[-len(errors) :]

    errors = np.random.default_rng(1).normal(0, model.sigma, (5, 10))
    expected = [path(row) for row in errors]
    np.testing.assert_allclose(model.mean(10) + errors @ model.response(10), expected, rtol=1e-6)


def test_the_static_theta_models_are_smoothing_with_drift():
    response = linear_models._theta_response(4, 16, alpha=0.3, theta=2.0, dynamic=False)
    np.testing.assert_allclose(response[0], [1, 0.3, 0.3, 0.3])
    np.testing.assert_allclose(response[2], [0, 0, 1, 0.3])


def test_seasons_do_not_widen_the_theta_model():
    series = rough_series(40, season=5.0, noise=0.1)
    assert fit("AutoTheta", series, 4).sigma < 0.5


@pytest.mark.parametrize("name", ["AutoARIMA", "AutoTheta"])
def test_a_trend_fades_from_step_to_step(name):
    series = np.arange(24) * 0.3 + 0.01 * np.sin(np.arange(24) * 12.3)
    growth = np.diff(fit(name, series, 1).mean(10))
    np.testing.assert_allclose(growth[1:] / growth[:-1], linear_models.DAMPING, rtol=0.02)
    assert growth[0] > 0.1


def test_the_seasonal_naive_forecast_repeats_the_season_and_adds_errors_up():
    series = np.array([1.0, 5.0, 2.0, 7.0, 1.5, 6.0])
    model = fit("SeasonalNaive", series, 2)
    np.testing.assert_array_equal(model.mean(5), [1.5, 6.0, 1.5, 6.0, 1.5])
    assert model.sigma == pytest.approx(np.sqrt(np.mean([1.0, 4.0, 0.25, 1.0])))
    without_drift = model._replace(drift_error=0.0).deviation(5) / model.sigma
    np.testing.assert_allclose(without_drift**2, [1, 1, 2, 2, 3])


def test_a_random_walk_with_estimated_drift_has_the_textbook_variance():
    series = rough_series(30)
    model = fit("SeasonalNaive", series, 1)
    h = np.arange(1, 9)
    np.testing.assert_allclose(model.deviation(8) ** 2, model.sigma**2 * h * (1 + h / 30))


@pytest.mark.parametrize("name", sorted(CANDIDATES))
def test_a_constant_series_stays_constant(name):
    model = fit(name, np.full(12, 4.0), 4)
    np.testing.assert_array_equal(model.mean(6), np.full(6, 4.0))
    np.testing.assert_array_equal(model.deviation(6), np.zeros(6))


@pytest.mark.parametrize("name", ["AutoETS", "AutoTheta", "SeasonalNaive"])
@pytest.mark.parametrize("length", [2, 3])
def test_a_series_too_short_for_a_model_gives_none(name, length):
    assert fit(name, np.arange(length) ** 2.0, 4) is None


@pytest.mark.parametrize("name", sorted(CANDIDATES))
def test_every_response_is_causal_with_a_unit_effect_at_once(name):
    model = fit(name, rough_series(30, season=0.5), 4)
    response = model.response(9)
    np.testing.assert_allclose(np.diag(response), 1.0)
    assert (np.tril(response, -1) == 0).all()


def test_a_random_walk_carries_the_last_value_and_adds_errors_up():
    model = random_walk(np.array([1.0, 2.0]), 0.5)
    np.testing.assert_array_equal(model.mean(3), [2.0, 2.0, 2.0])
    np.testing.assert_allclose(model.deviation(3), 0.5 * np.sqrt([1, 2, 3]))


def test_only_the_last_values_of_a_long_series_are_read(monkeypatch):
    monkeypatch.setattr(linear_models, "LONGEST", 60)
    series = rough_series(90)
    for name in CANDIDATES:
        whole, part = fit(name, series, 4), fit(name, series[-60:], 4)
        np.testing.assert_array_equal(whole.mean(5), part.mean(5))
        np.testing.assert_array_equal(whole.deviation(5), part.deviation(5))


def test_a_series_is_fitted_once_whatever_array_holds_it(monkeypatch):
    asked = []

    def counted(series, season_length):
        asked.append(len(series))
        return linear_models.random_walk(series, 0.1)

    monkeypatch.setattr(linear_models, "CANDIDATES", {"AutoETS": counted})
    series = rough_series(40, trend=0.1, season=1.0)
    first = fit("AutoETS", series, 4)
    assert fit("AutoETS", series.copy(), 4) is first
    assert fit("AutoETS", np.repeat(series, 2)[::2], 4) is first
    assert fit("AutoETS", series[:-1], 4) is not first
    assert fit("AutoETS", series, 1) is not first
    assert asked == [40, 39, 40]
