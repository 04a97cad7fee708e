import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import multivariate_t

from models.network.classics import build_classics
from models.network.hypotheses import FAMILIES, GROWTH, REACH, covariance, factors, hypotheses
from models.network.scaling import carry_forward, fit_scaling
from models.network.structures import PRIOR_FREEDOM, TEMPER, interpolated, laws, read_past

GRID = list(hypotheses())
CPU = torch.device("cpu")


def read(values, *, horizon=12, season=0):
    context = torch.as_tensor(np.atleast_2d(values), dtype=torch.float64)[:, None]
    observed = context.isfinite()
    clean = torch.where(observed, context, 0.0)
    scaling = fit_scaling(clean, observed)
    seasons = torch.full((len(context),), season)
    return build_classics(carry_forward(clean, observed), observed, seasons, scaling, horizon)


def laws_of(values, observed=None, *, logs=False, horizon=6):
    series = torch.as_tensor(np.atleast_2d(values), dtype=torch.float32)
    seen = torch.ones_like(series).bool() if observed is None else observed
    past = read_past(series, seen)
    is_log = torch.full((len(series),), logs)
    return laws(past, factors(CPU, REACH), is_log=is_log, horizon=horizon), float(past.unit[0])


@pytest.mark.parametrize("logs", [False, True])
def test_laws_are_those_of_a_plain_student_process(logs):
    values = np.random.default_rng(0).standard_normal(15).cumsum()
    law, unit = laws_of(values, logs=logs)
    back, ahead = -np.arange(1.0, 15), np.arange(1.0, 7)
    past = (values[:-1] - values[-1])[::-1] / unit
    freedom = PRIOR_FREEDOM + 14
    densities = []
    for k, each in enumerate(GRID):
        whole = covariance(each, torch.tensor([*back, *ahead]).double()).numpy()
        known, cross, rest = whole[:14, :14], whole[14:, :14], whole[14:, 14:]
        drift = GROWTH * each.drift * logs
        off = past - drift * back
        mean = cross @ np.linalg.solve(known, off) + drift * ahead
        square = off @ np.linalg.solve(known, off)
        variance = np.diag(rest - cross @ np.linalg.solve(known, cross.T))
        deviation = np.sqrt(variance * (PRIOR_FREEDOM + square) / (freedom - 2))
        np.testing.assert_allclose(law.mean[0, k], mean * unit, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(law.deviation[0, k], deviation * unit, rtol=1e-3, atol=1e-3)
        density = multivariate_t(drift * back, known, df=PRIOR_FREEDOM).logpdf(past)
        densities.append(TEMPER * density + float(factors(CPU, REACH).prior[k]))
    np.testing.assert_allclose(
        law.score[0] - law.score[0, 0], np.array(densities) - densities[0], rtol=1e-3, atol=2e-3
    )


def test_steps_before_the_first_observation_change_nothing():
    values = np.random.default_rng(1).standard_normal(20).cumsum()
    longer = np.concatenate([np.full(9, values[0]), values])
    seen = torch.arange(29)[None] >= 9
    for part, other in zip(laws_of(values)[0], laws_of(longer, seen)[0], strict=True):
        torch.testing.assert_close(part, other, rtol=1e-4, atol=1e-4)


def test_gaps_are_crossed_by_straight_lines_and_ends_kept():
    values = torch.tensor([[1.0, 1.0, 2.0, 2.0, 2.0, 8.0, 8.0]])
    observed = torch.tensor([[False, True, True, False, False, True, False]])
    torch.testing.assert_close(
        interpolated(values, observed), torch.tensor([[1.0, 1.0, 2.0, 4.0, 6.0, 8.0, 8.0]])
    )


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.float64, 30, elements=st.one_of(st.floats(-1e6, 1e6), st.just(0.0), st.just(np.nan))),
    st.sampled_from([0, 4, 12]),
    st.integers(-30, 30),
)
def test_any_history_has_finite_structures(values, season, power):
    found = read(values * 2.0**power, season=season)
    assert all(part.isfinite().all() for part in (found.means, found.spread, found.posterior))
    assert found.posterior[..., : len(FAMILIES)].sum(-1).sub(1).abs().max() < 1e-4


def test_structures_are_worked_out_in_full_precision():
    values = 20 + np.random.default_rng(0).standard_normal((5, 40)).cumsum(-1)
    expected = read(values)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = read(values)
    for name in ("means", "spread", "posterior"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-3, atol=1e-3)


def test_structures_do_not_depend_on_the_unit():
    values = 20 + np.random.default_rng(0).standard_normal((5, 40)).cumsum(-1)
    found, scaled = read(values, season=4), read(values * 1024, season=4)
    for name in ("means", "spread", "posterior"):
        torch.testing.assert_close(getattr(found, name), getattr(scaled, name), rtol=1e-3, atol=1e-3)


def posterior(values, family):
    place = -1 if family == "logs" else FAMILIES.index(family)
    return float(read(values).posterior[..., place].mean())


def test_the_right_family_gains():
    rng = np.random.default_rng(0)
    noise, clock = rng.standard_normal((60, 96)), np.arange(96)
    prior = 1 / len(FAMILIES)
    assert posterior(0.1 * clock + noise, "trend") > 2 * prior
    assert posterior(noise.cumsum(-1), "trend") < 0.8 * prior
    assert posterior(noise.cumsum(-1).cumsum(-1), "walk") < 0.1 * prior
    assert posterior(np.exp((0.02 + 0.1 * noise).cumsum(-1)), "logs") > 0.8
    amounts = 30 + (0.3 + noise).cumsum(-1)
    assert posterior(amounts - np.minimum(0, amounts.min(-1, keepdims=True)) + 1, "logs") < 0.3
    assert posterior(noise, "logs") == 0


def test_means_and_spread_are_those_of_what_comes():
    rng = np.random.default_rng(0)
    walks = (0.2 + rng.standard_normal((400, 108))).cumsum(-1)
    found = read(walks[:, :96])
    scale = np.abs(np.diff(walks[:, :96])).mean(-1, keepdims=True)
    error = (walks[:, 96:] - walks[:, 95:96]) / scale - np.sinh(found.means[:, 0, :, 2].numpy())
    spread = np.exp(found.spread[:, 0, :, 0].numpy()) * np.sqrt(np.arange(1, 13) * np.pi / 2)
    assert np.sqrt((error**2).mean(0)) == pytest.approx(np.sqrt((spread**2).mean(0)), rel=0.15)
