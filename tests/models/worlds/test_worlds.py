import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.settings import NetworkSettings, WorldSettings
from models.worlds.chips import collapse, draw_supply, error_correction, norton_bass, respond
from models.worlds.cycles import DAYS, HOURS, daily_shape, weekly_shape
from models.worlds.linear import apply_filter, autoregress, growth, lag_response, stable_polynomial
from models.worlds.mixture import GENERATORS, WorldStream, draw_batch, draw_series
from models.worlds.rng import RandomSource, innovations, regimes, seasonal_pattern

CPU = torch.device("cpu")
NETWORK = NetworkSettings()


def rng(seed=0):
    return RandomSource(seed, CPU)


@pytest.mark.parametrize("variates", [1, 2, 3])
@pytest.mark.parametrize("name", list(GENERATORS))
def test_every_generator_gives_finite_moving_series_of_the_asked_shape(name, variates):
    values, season, _ = GENERATORS[name](rng(), 40, variates, 70)
    assert values.shape == (40, variates, 70)
    assert season.shape == (40,)
    assert values.isfinite().all()
    assert (values.std(-1) > 0).float().mean() > 0.8
    assert season.min() >= 1


@pytest.mark.parametrize("name", list(GENERATORS))
def test_the_same_seed_gives_the_same_world(name):
    first, second, other = (GENERATORS[name](rng(seed), 6, 2, 30).values for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    "name", ["generations", "portfolio", "order_book", "error_correction", "geometric", "counts"]
)
def test_flows_and_counts_are_never_negative(name):
    assert GENERATORS[name](rng(), 60, 2, 60).values.min() >= 0


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000))
def test_autoregressive_polynomials_have_their_roots_outside_the_unit_circle(seed):
    for coefficients in stable_polynomial(rng(seed), 5, order=3).double().numpy():
        roots = np.roots(np.concatenate([-coefficients[::-1], [1.0]]))
        assert (np.abs(roots) > 1.0).all()


def test_the_filter_in_frequencies_equals_the_recursion():
    noise, memory = torch.zeros(1, 1, 64), 0.7
    noise[0, 0, 0] = 1.0
    impulse = autoregress(noise, torch.tensor([[memory]]))[0, 0]
    torch.testing.assert_close(impulse[:20], memory ** torch.arange(20.0), rtol=1e-4, atol=1e-5)
    omega = 2 * torch.pi * torch.arange(33) / 64
    moving = apply_filter(noise, lag_response(torch.tensor([[0.5, -0.2]]), omega))[0, 0]
    torch.testing.assert_close(moving[:4], torch.tensor([1.0, -0.5, 0.2, 0.0]), rtol=1e-4, atol=1e-5)


def slow_response(orders, supply, shocks):
    expected = orders[:4].mean()
    capacity = expected * np.exp(supply["margin"])
    backlog, out = 0.5 * supply["lead"] * capacity, []
    for gross, shock in zip(orders, shocks, strict=True):
        net = max(0.0, gross - supply["cancel"] * max(0.0, backlog - 2 * supply["lead"] * capacity))
        backlog = max(0.0, backlog + net - capacity)
        out.append((net, capacity, backlog))
        expected += 0.4 * (net - expected)
        plan = (
            np.log(max(1e-6, expected + max(0.0, backlog - supply["lead"] * capacity) / 4)) + supply["margin"]
        )
        step = np.clip(supply["lag"] * (plan - np.log(capacity)), -supply["cut_limit"], supply["ramp_limit"])
        capacity *= np.exp(step + supply["shock"] * np.clip(shock, -5, 5))
    return np.array(out).T


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_capacity_and_backlog_equal_a_plain_loop(seed):
    rolled = rng(seed)
    orders, supply, shocks = rolled.uniform(3, 25) + 0.1, draw_supply(rolled, 3), rolled.normal(3, 25)
    world = respond(orders.double(), type(supply)(*(part.double() for part in supply)), shocks.double())
    for item in range(3):
        one = {name: float(part[item]) for name, part in supply._asdict().items()}
        expected = slow_response(orders[item].double().numpy(), one, shocks[item].double().numpy())
        np.testing.assert_allclose(world[item].numpy(), expected, rtol=1e-5, atol=1e-7)


def test_backlog_is_conserved_between_orders_and_capacity():
    rolled = rng(5)
    net, capacity, backlog = respond(
        rolled.uniform(50, 40) + 0.1, draw_supply(rolled, 50), rolled.normal(50, 40)
    ).unbind(1)
    expected = (backlog[:, :-1] + net[:, 1:] - capacity[:, 1:]).clamp(min=0.0)
    torch.testing.assert_close(backlog[:, 1:], expected, rtol=1e-4, atol=1e-5)
    assert backlog.min() >= 0.0


def test_later_generations_take_over_from_earlier_ones():
    demand = norton_bass(rng(3), 400, 60)
    peak = demand.argmax(-1)
    assert demand.min() > 0
    assert ((peak > 2) & (peak < 57)).float().mean() > 0.2, "no generation rises and fades"


def test_innovations_have_unit_variance_and_a_correlation_that_changes():
    noise = innovations(rng(1), 4000, 2, 64)
    assert noise.square().mean() == pytest.approx(1.0, abs=0.25)
    early, late = (noise[..., part].prod(1).mean(-1) for part in (slice(32), slice(32, None)))
    assert (early - late).abs().mean() > 0.1


def test_regimes_switch_at_the_given_rate():
    chain = regimes(rng(), 2000, 50, share=0.1)
    assert set(chain.unique().tolist()) == {0, 1}
    assert chain.diff(dim=-1).abs().float().mean() == pytest.approx(0.1, abs=0.01)


def test_seasonal_patterns_repeat_after_their_season():
    season = torch.tensor([4, 7, 12])
    pattern = seasonal_pattern(rng(), season, 2, 48)
    for item, length in enumerate(season.tolist()):
        torch.testing.assert_close(
            pattern[item, :, length:], pattern[item, :, :-length], rtol=1e-4, atol=1e-5
        )


def test_generators_have_equal_shares():
    _, origin = draw_series(rng(), tuple(GENERATORS), items=len(GENERATORS) * 7, variates=1, steps=30)
    assert torch.bincount(origin).tolist() == [7] * len(GENERATORS)


def test_batches_do_not_depend_on_the_order_of_asking():
    worlds = WorldSettings(series_per_batch=16, shapes=((24, 8, 1), (16, 8, 2)))
    first, second = (WorldStream(worlds, NETWORK, seed=4) for _ in range(2))
    forwards = [first.batch(number, CPU) for number in range(9)]
    backwards = [second.batch(number, CPU) for number in reversed(range(9))][::-1]
    for there, back in zip(forwards, backwards, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(there[:5], back[:5], strict=True))
    assert not torch.equal(forwards[0].values, forwards[1].values)


@pytest.mark.parametrize("shape", WorldSettings().shapes)
def test_batches_are_finite_and_observed_where_a_forecast_needs_it(shape):
    context, horizon, variates = shape
    batch = draw_batch(rng(2), WorldSettings(), NETWORK, items=48, shape=shape)
    assert batch.values.shape == batch.observed.shape == (48, variates, context + horizon)
    assert batch.values.isfinite().all()
    assert batch.observed[..., :context].any(-1).all()
    assert (batch.values[~batch.observed] == 0).all()
    assert batch.covariates.shape == (48, NETWORK.covariates, context + horizon)


def test_roles_are_told_in_coupled_worlds_only():
    worlds = WorldSettings(generators=("walks",))
    assert draw_batch(rng(), worlds, NETWORK, items=30, shape=(24, 8, 2)).statics.abs().sum() == 0
    chips = draw_batch(
        rng(), WorldSettings(generators=("portfolio",)), NETWORK, items=30, shape=(24, 8, 2)
    ).statics
    assert set(map(tuple, chips[..., 0].tolist())) == {(0.0, 0.0), (1.0, -1.0)}
    assert set(map(tuple, chips[..., 1].tolist())) == {(0.0, 0.0), (1.0, 0.0)}


def test_an_unknown_generator_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown generators \['garch'\]: expected some of .*sarima"):
        WorldStream(WorldSettings(generators=("garch",)), NETWORK, seed=1)


def test_drifts_are_spread_about_zero_without_a_spike_there():
    moves = growth(rng(), 4000, 1, 400)[:, 0]
    ratio = moves.mean(-1) / moves.std(-1)
    assert (ratio.abs() < 0.02).float().mean() < 0.15
    assert float(ratio.square().mean().sqrt()) == pytest.approx(0.45, abs=0.1)


def test_collapsed_orders_stay_collapsed():
    fall = collapse(rng(), 500, 60, share=0.2)
    assert (fall.diff(dim=-1) <= 0).all()
    assert 0.1 < (fall[:, -1] < 0).float().mean() < 0.25


def test_the_gap_between_orders_and_capacity_closes():
    values, _, ratio = error_correction(rng(), 4000, 2, 200)
    logs = values[~ratio].log()
    gap = (logs[:, 0, -1] - logs[:, 1, -1]).abs()
    moved = (logs[:, 1, -1] - logs[:, 1, 0]).abs()
    assert gap.median() < 0.4 * moved.median(), "levels wander, their ratio does not"


def test_days_and_weeks_repeat_and_shapes_have_a_mean_of_one():
    week = weekly_shape(rng(), 20, 2, 4 * HOURS * DAYS)
    torch.testing.assert_close(week[..., : HOURS * DAYS], week[..., -HOURS * DAYS :])
    assert (week.unfold(-1, HOURS, HOURS).std(-1) < 1e-6).all()
    shape = daily_shape(rng(), torch.full((50,), HOURS), 1, 10 * HOURS)
    torch.testing.assert_close(shape[..., :HOURS], shape[..., HOURS : 2 * HOURS])
    torch.testing.assert_close(shape.mean(-1), torch.ones(50, 1), rtol=1e-3, atol=1e-3)
    assert shape.min() >= 0
