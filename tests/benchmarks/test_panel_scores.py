"""Scores of a panel against plain loops and scoringrules."""

import numpy as np
import pytest
import scoringrules as sr
from hypothesis import given, settings
from hypothesis import strategies as st
from panel_scores import geometric_mean, panel_scores, relative
from panels import Panel
from peers import LEVELS, Forecast

SERIES, HORIZON, SEASON, DRAWS = 3, 5, 4, 40


def drawn(seed: int, *, unit: float = 1.0) -> tuple[Panel, Forecast]:
    """A panel of random walks and a forecast of it from paths, in some unit."""
    rng = np.random.default_rng(seed)
    histories = tuple(unit * (50 + rng.normal(size=20 + k).cumsum()) for k in range(SERIES))
    last = np.array([history[-1] for history in histories])
    actual = last[:, None] + unit * rng.normal(size=(SERIES, HORIZON)).cumsum(axis=1)
    paths = last[:, None, None] + unit * rng.normal(size=(SERIES, DRAWS, HORIZON)).cumsum(axis=2)
    quantiles = np.moveaxis(np.quantile(paths, LEVELS, axis=1), 0, -1)
    panel = Panel(name="walks", season_length=SEASON, histories=histories, actual=actual)
    return panel, Forecast(quantiles=quantiles, paths=paths)


def in_sample_error(history: np.ndarray) -> float:
    """Error of the seasonal naive forecast of the past, step by step."""
    errors = [abs(history[t] - history[t - SEASON]) for t in range(SEASON, len(history))]
    return sum(errors) / len(errors)


def looped(panel: Panel, forecast: Forecast) -> dict[str, float]:
    """Scores, one number at a time."""
    losses, scaled, distances, inside = [], [], [], []
    for n, history in enumerate(panel.histories):
        for h in range(HORIZON):
            truth = panel.actual[n, h]
            for q, level in enumerate(LEVELS):
                output = forecast.quantiles[n, h, q]
                loss = 2 * (level * (truth - output) if truth >= output else (1 - level) * (output - truth))
                losses.append(loss)
                scaled.append(loss / in_sample_error(history))
            distances.append(abs(truth - forecast.quantiles[n, h, 4]) / in_sample_error(history))
            inside.append(forecast.quantiles[n, h, 0] <= truth <= forecast.quantiles[n, h, 8])
    return {
        "wql": sum(losses) / len(LEVELS) / np.abs(panel.actual).sum(),
        "sql": sum(scaled) / len(scaled),
        "mase": sum(distances) / len(distances),
        "coverage": sum(inside) / len(inside),
    }


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000))
def test_the_scores_of_quantiles_are_those_of_a_loop_over_every_number(seed):
    panel, forecast = drawn(seed)
    scores = panel_scores(panel, forecast)
    for name, value in looped(panel, forecast).items():
        assert scores[name] == pytest.approx(value, rel=1e-9), name


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000))
def test_the_scores_of_paths_are_those_of_scoringrules_on_scaled_vectors(seed):
    panel, forecast = drawn(seed)
    scores = panel_scores(panel, forecast)
    energy, variogram = [], []
    for n, history in enumerate(panel.histories):
        scale = in_sample_error(history)
        paths, truth = forecast.paths[n] / scale, panel.actual[n] / scale
        energy.append(sr.es_ensemble(truth, paths, m_axis=0, v_axis=-1))
        variogram.append(sr.vs_ensemble(truth, paths, m_axis=0, v_axis=-1, p=0.5))
    assert scores["energy"] == pytest.approx(np.mean(energy), rel=1e-9)
    assert scores["variogram"] == pytest.approx(np.mean(variogram), rel=1e-9)


def test_no_score_changes_with_the_unit():
    small, large = (panel_scores(*drawn(5, unit=unit)) for unit in (1.0, 1e6))
    assert large == pytest.approx(small, rel=1e-6)


def test_a_forecast_without_paths_has_no_scores_of_paths():
    panel, forecast = drawn(1)
    scores = panel_scores(panel, Forecast(quantiles=forecast.quantiles))
    assert set(scores) == {"wql", "sql", "mase", "coverage"}
    assert np.isnan(relative(scores, panel_scores(panel, forecast), "energy"))


def test_the_geometric_mean_of_ratios_does_not_depend_on_which_side_is_the_baseline():
    ratios = [0.5, 0.8, 1.7]
    assert geometric_mean([1 / ratio for ratio in ratios]) == pytest.approx(1 / geometric_mean(ratios))
