import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.network.classics import EVIDENCE, FORECASTS, METHODS, build_classics
from models.network.scaling import carry_forward, fit_scaling

SHAPE, MEAN = FORECASTS - 2, FORECASTS - 1
LOG_WEIGHT = EVIDENCE - 2


def classics_of(values, *, horizon=12, season=0):
    context = torch.as_tensor(np.atleast_2d(values), dtype=torch.float64)[:, None]
    observed = context.isfinite()
    clean = torch.where(observed, context, 0.0)
    scaling = fit_scaling(clean, observed)
    seasons = torch.full((len(context),), season)
    found = build_classics(carry_forward(clean, observed), observed, seasons, scaling, horizon)
    return found, scaling.restore(found.forecasts.double())[:, 0].numpy()


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.float64, 30, elements=st.one_of(st.floats(-1e6, 1e6), st.just(0.0), st.just(np.nan))),
    st.sampled_from([0, 1, 4, 12, 24]),
    st.integers(-30, 30),
)
def test_any_history_has_finite_classical_forecasts(values, season, power):
    found, _ = classics_of(values * 2.0**power, season=season)
    assert found.forecasts.shape == (1, 1, 12, FORECASTS)
    assert found.evidence.shape == (1, 1, EVIDENCE)
    assert all(part.isfinite().all() for part in (found.forecasts, found.evidence, found.beneath))


def test_forecasts_scale_with_the_unit_of_the_series():
    values = 20 + np.random.default_rng(0).standard_normal((5, 40)).cumsum(-1)
    found, ahead = classics_of(values, season=4)
    scaled, far = classics_of(values * 1024, season=4)
    np.testing.assert_allclose(far / 1024, ahead, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.evidence, scaled.evidence, rtol=1e-3, atol=1e-3)


def test_a_series_without_logs_has_the_forecasts_of_its_values_in_their_place():
    found, _ = classics_of(np.random.default_rng(0).standard_normal((5, 40)).cumsum(-1))
    assert torch.equal(found.forecasts[..., :METHODS], found.forecasts[..., METHODS : 2 * METHODS])
    assert (found.evidence[..., LOG_WEIGHT] == 0).all()


def test_growth_by_shares_is_told_from_growth_by_amounts():
    rng = np.random.default_rng(0)
    shares = np.exp((0.02 + 0.1 * rng.standard_normal((60, 96))).cumsum(-1))
    amounts = 30 + (0.3 + rng.standard_normal((60, 96))).cumsum(-1)
    amounts = amounts - np.minimum(0, amounts.min(-1, keepdims=True)) + 1
    for values, above in ((shares, True), (amounts, False)):
        found, _ = classics_of(values)
        plain, logs = found.gains
        assert bool((logs.amax(-1) > plain.amax(-1)).float().mean() > 0.8) == above
        assert bool(found.evidence[..., LOG_WEIGHT].mean() > 0.5) == above


def test_a_trending_season_is_continued_better_than_by_the_seasonal_naive_forecast():
    rng = np.random.default_rng(0)
    clock = np.arange(96 + 12)
    pattern = rng.standard_normal((80, 12))[:, clock % 12]
    noise = 0.3 * rng.standard_normal((80, 108))
    added = 50 + 0.1 * clock + 2 * pattern + noise
    multiplied = np.exp(0.01 * clock + 0.2 * pattern + 0.1 * noise)
    for values in (added, multiplied):
        _, ahead = classics_of(values[:, :96], season=12)
        actual = values[:, 96:]
        naive = np.abs(values[:, 84:96] - actual).mean()
        for method in (MEAN, SHAPE, 2, METHODS + 2):
            assert np.abs(ahead[..., method] - actual).mean() < 0.75 * naive


def test_beneath_its_season_a_series_is_smooth():
    clock = np.arange(60)
    found, _ = classics_of(10 + 0.2 * clock + 5 * np.sin(2 * np.pi * clock / 12), season=12)
    moves = found.beneath[0, 0].sinh().diff()
    assert moves.abs().max() < 0.2


def test_the_mean_leans_to_the_method_that_erred_least():
    rng = np.random.default_rng(0)
    level = np.abs(5 + 0.3 * rng.standard_normal((50, 96)))
    _, ahead = classics_of(level)
    assert np.abs(ahead[..., MEAN] - 5).mean() < 0.1
    assert np.abs(level[:, -1:] - 5).mean() > 0.2


def test_the_likelihood_of_the_logs_counts_their_jacobian():
    values = np.exp((0.05 * np.random.default_rng(1).standard_normal((1, 200))).cumsum(-1))
    found, _ = classics_of(values)
    moves, logs = np.diff(values[0]), np.diff(np.log(values[0]))
    gain = -np.log(logs.std()) - np.log(values[0]).mean() + np.log(moves.std())
    plain, ours = (float(part[0, 0, 3]) for part in found.gains)
    assert ours - plain == pytest.approx(gain, abs=0.03)
