"""The combination: weights are learned on the history alone; any first paths hold every member's share."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.errors import InputError
from forecasting.evaluation.scores import crps
from forecasting.forecasters.combination import CombinationForecaster, Member, Prior
from forecasting.forecasters.combination.forecaster import chosen_items
from forecasting.forecasters.combination.mixing import apportion, mix, needed
from forecasting.forecasters.combination.spread import LEAST_SPREAD, drawn_together, pool_spread
from forecasting.forecasters.combination.validation_windows import ITEMS
from forecasting.forecasters.combination.weights import EVIDENCE, Distances, pool_weights
from forecasting.frequencies import Frequency
from forecasting.panel.history import exact_history
from forecasting.panel.schema import FLOWS

FEW = settings(deadline=None, max_examples=30)


class Oracle:
    """Forecaster of a noise around a line that it knows, at a distance from it."""

    def __init__(self, distance, name="oracle"):
        self.distance, self.name, self.lengths = distance, name, []

    def fit(self, history):
        self.items, self.length = len(history.item_ids), history.context_length
        self.variates = len(history.variates)
        self.lengths.append((history.context_length, history.origins[0]))
        return self

    def sample(self, horizon, paths, seed):
        line = np.arange(self.length, self.length + horizon)[None, None, :, None]
        seeds = [seed, abs(hash(self.name)) % 1000]
        noise = np.random.default_rng(seeds).normal(0, 1, (self.items, paths, horizon, self.variates))
        return line + self.distance + noise


def lines(items=8, length=24, seed=0, variates=("y",)):
    noise = np.random.default_rng(seed).normal(0, 1, (items, len(variates), length))
    return exact_history(
        np.arange(length) + noise,
        item_ids=tuple(f"item {i}" for i in range(items)),
        variates=variates,
        origins=(dt.date(2025, 12, 31),) * items,
        frequency=Frequency.QUARTER,
    )


def same(weight):
    return Prior(flows=weight, plain=weight, season=weight, long_season=weight)


def combined(*distances, priors=None, **options):
    weights = priors or [1.0] * len(distances)
    members = [
        Member(forecaster=Oracle(distance, f"member {m}"), prior=same(weight))
        for m, (distance, weight) in enumerate(zip(distances, weights, strict=True))
    ]
    return CombinationForecaster("auto", members, **options)


def distances(*crps_of_members, apart=1.0, items=20, forecasts=1):
    """Members with these CRPS whose draws are as far from one another's as from their own."""
    losses = np.array(crps_of_members, dtype=float)
    return Distances(
        to_actual=np.tile(losses + apart / 2, (items, 1)),
        between=np.full((items, len(losses), len(losses)), apart),
        forecasts=np.full(items, float(forecasts)),
    )


@FEW
@given(st.lists(st.integers(0, 20), min_size=2, max_size=5).filter(any), st.integers(1, 80))
def test_any_first_paths_hold_every_members_share_to_within_one_path(parts, paths):
    weights = np.array([parts], dtype=float) / sum(parts)
    chosen = apportion(weights, paths)[0]
    counts = (chosen[:, None] == np.arange(len(parts))).cumsum(axis=0)
    shares = weights[0] * np.arange(1, paths + 1)[:, None]
    assert (np.abs(counts - shares) < 1).all()


def test_a_mixed_path_is_wholly_one_members_and_none_comes_twice():
    draw = np.random.default_rng(0).normal
    drawn = [draw(size=(3, 40, 5, 2)) for _ in range(3)]
    weights = np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    mixed = mix(drawn, apportion(weights, 40), seed=0)
    same = np.stack([(mixed[:, :, None] == paths[:, None]).all(axis=(3, 4)) for paths in drawn])
    assert (same.sum(axis=(0, 3)) == 1).all()
    assert same.sum(axis=2).max() == 1
    assert same.sum(axis=(2, 3)).T.tolist() == [[20, 10, 10], [40, 0, 0], [0, 20, 20]]


def test_a_member_draws_as_many_paths_as_one_item_wants_at_most():
    assert needed(apportion(np.array([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]]), 40), 3) == [20, 30, 0]


def test_members_that_draw_two_kinds_of_paths_in_turn_bring_both_into_the_mixture():
    kinds = np.broadcast_to(np.arange(400) % 2, (1, 400)).astype(float)
    mixed = mix([kinds, 10 + kinds], apportion(np.array([[0.5, 0.5]]), 400), seed=1)
    assert 60 < (mixed == 0).sum() < 140
    assert 60 < (mixed == 11).sum() < 140


def test_members_that_are_alike_in_everything_hold_their_prior_weights():
    prior = np.tile([0.5, 0.3, 0.2], (20, 1))
    assert np.allclose(pool_weights(prior, distances(1.0, 1.0, 1.0)), prior)


def test_with_equal_distances_between_members_the_weights_are_a_softmax_of_relative_losses():
    prior, losses = np.tile([0.6, 0.4], (30, 1)), np.array([1.02, 0.98])
    expected = prior[0] * np.exp(-EVIDENCE * 30 / 40 * losses / losses.min())
    assert np.allclose(pool_weights(prior, distances(*losses, items=30)), expected / expected.sum())


def test_a_member_that_is_far_better_takes_all():
    prior = np.tile([0.1, 0.9], (40, 1))
    assert np.allclose(pool_weights(prior, distances(0.01, 10.0, items=40)), [1.0, 0.0])


def test_members_that_err_to_either_side_share_where_the_better_of_two_alike_takes_more():
    alike = distances(0.5, 0.55)
    other = Distances(
        to_actual=alike.to_actual,
        between=alike.between + 2.0 * (1 - np.eye(2)),
        forecasts=alike.forecasts,
    )
    prior = np.full((20, 2), 0.5)
    assert 0.5 < pool_weights(prior, other)[0, 0] < pool_weights(prior, alike)[0, 0]


def test_the_weights_are_those_of_the_least_penalised_crps_by_search():
    rng = np.random.default_rng(4)
    draws = rng.normal([[0.0], [0.6], [-0.4]], [[1.0], [0.5], [2.0]], (3, 60))
    actual = 0.3
    one = Distances(
        to_actual=np.abs(draws - actual).mean(axis=1)[None],
        between=np.abs(draws[:, None, :, None] - draws[None, :, None, :]).mean(axis=(2, 3))[None],
        forecasts=np.ones(1),
    )
    prior = np.array([0.5, 0.3, 0.2])
    size = min(crps(member[:, None], np.array([actual]))[0] for member in draws)

    def loss(weights):
        together = weights @ one.to_actual[0] - weights @ one.between[0] @ weights / 2
        divergence = (weights * np.log(weights / prior)).sum()
        return EVIDENCE / 11 * together / size + divergence

    grid = np.array(
        [[a, b, 1 - a - b] for a in np.arange(0.01, 1, 0.01) for b in np.arange(0.01, 1 - a, 0.01)]
    )
    grid = grid[grid[:, 2] > 0.005]
    best = grid[np.argmin([loss(weights) for weights in grid])]
    assert np.abs(pool_weights(prior[None], one)[0] - best).max() < 0.011


@pytest.mark.parametrize("items", [3, 10, 100])
def test_more_evidence_in_the_panel_moves_the_weights_further_from_the_prior(items):
    prior = np.full((items, 2), 0.5)
    more = np.full((10 * items, 2), 0.5)
    few = pool_weights(prior, distances(0.99, 1.01, items=items))[0, 0]
    assert 0.5 < few < pool_weights(more, distances(0.99, 1.01, items=10 * items))[0, 0]


def test_an_item_leans_to_its_own_best_member_the_more_the_more_often_it_was_scored():
    def weight(forecasts):
        losses = distances(1.0, 1.0, items=30)
        losses.to_actual[0] += [-0.3, 0.3]
        losses.forecasts[0] = forecasts
        found = pool_weights(np.full((30, 2), 0.5), losses)
        return found[0, 0] - found[1, 0]

    assert 0 < weight(1) < weight(2)


def test_an_item_without_past_forecasts_has_the_weights_of_its_panel():
    losses = distances(0.9, 1.1, items=10)
    losses.to_actual[3], losses.between[3], losses.forecasts[3] = np.nan, np.nan, 0
    found = pool_weights(np.full((10, 2), 0.5), losses)
    assert np.allclose(found[3], found[0])


@pytest.mark.parametrize("best", [0, 1, 2])
def test_the_member_that_knows_the_line_gets_all_paths_where_the_others_are_far_off(best):
    offsets = [20.0, -20.0, 30.0]
    offsets[best] = 0.0
    forecaster = combined(*offsets).fit(lines(items=30))
    assert forecaster.weights(4)[:, best] == pytest.approx(1.0)
    assert np.abs(forecaster.sample(4, 50, seed=1) - np.arange(24, 28)[:, None]).max() < 6


def test_short_histories_have_the_prior_weights():
    forecaster = combined(0.0, 20.0, priors=[0.25, 0.75])
    assert np.allclose(forecaster.fit(lines(items=4, length=7)).weights(4), [0.25, 0.75])


def test_what_follows_an_inner_origin_is_not_shown_to_a_member():
    forecaster = combined(0.0, 1.0).fit(lines(items=8, length=24))
    forecaster.sample(4, 10, seed=0)
    lengths = forecaster.members[1].forecaster.lengths
    assert [length for length, _ in lengths] == [20, 16, 12, 24]
    assert lengths[0][1] == dt.date(2024, 12, 31)


def test_a_member_with_a_stand_in_is_not_scored_itself():
    seen, unseen = Oracle(0.0, "seen"), Oracle(20.0, "unseen")
    members = [
        Member(forecaster=seen, rehearsal=unseen, prior=same(1.0)),
        Member(forecaster=Oracle(1.0, "other"), prior=same(1.0)),
    ]
    forecaster = CombinationForecaster("auto", members).fit(lines(items=30))
    assert forecaster.weights(4)[0, 0] == 0.0
    assert seen.lengths == []


def test_the_order_of_the_items_and_of_the_members_is_of_no_matter():
    rng = np.random.default_rng(1)
    prior, order = rng.dirichlet([1, 1, 1], 12), rng.permutation(12)
    near, draws = rng.uniform(1, 2, (12, 3)), rng.normal(size=(12, 3))
    apart = np.abs(draws[:, :, None] - draws[:, None])
    counts = rng.integers(0, 4, 12).astype(float)
    found = pool_weights(prior, Distances(to_actual=near, between=apart, forecasts=counts))
    moved = Distances(to_actual=near[order], between=apart[order], forecasts=counts[order])
    assert np.allclose(pool_weights(prior[order], moved), found[order])
    turned = Distances(to_actual=near[:, ::-1], between=apart[:, ::-1, ::-1], forecasts=counts)
    assert np.allclose(pool_weights(prior[:, ::-1], turned), found[:, ::-1], atol=1e-5)


def test_parts_of_a_panel_have_the_weights_that_were_learned_on_all_of_it():
    history, forecaster = lines(items=12, seed=5), combined(0.5, -0.5, 1.0)
    whole = forecaster.fit(history).weights(4)
    part = forecaster.learned(history, 4).fit(history.select([7, 2]))
    assert np.array_equal(part.weights(4), whole[[7, 2]])
    assert np.array_equal(part.weights(3), combined(0.5, -0.5, 1.0).fit(history.select([7, 2])).weights(3))


def test_which_items_are_scored_hangs_on_their_names_alone():
    names = [f"item {i}" for i in range(500)]
    first = {names[i] for i in chosen_items(names)}
    turned = names[::-1]
    assert {turned[i] for i in chosen_items(turned)} == first
    assert len(first) == ITEMS


def test_a_member_takes_no_part_beyond_its_longest_horizon():
    members = [
        Member(forecaster=Oracle(0.0, "near"), prior=same(1.0), longest=3),
        Member(forecaster=Oracle(5.0, "far"), prior=same(1.0)),
    ]
    forecaster = CombinationForecaster("auto", members).fit(lines(items=30))
    assert forecaster.weights(3)[0, 0] > 0.9
    assert forecaster.weights(4)[0].tolist() == [0.0, 1.0]


def test_the_prior_depends_on_the_kind_of_series():
    prior = Prior(flows=1, plain=2, season=3, long_season=4)
    history = lines(items=2, length=12)
    history.values[1, :, :8] = np.nan
    assert prior.weights(history, 4).tolist() == [3, 2]
    assert prior.weights(history, 1).tolist() == [2, 2]
    assert prior.weights(lines(items=1, length=60), 24).tolist() == [4]
    assert prior.weights(lines(items=1, variates=FLOWS), 4).tolist() == [1]


def test_flows_of_a_small_panel_of_young_items_have_a_prior_of_their_own():
    prior = Prior(flows=1, young_flows=3, plain=2, season=2, long_season=2)
    assert prior.weights(lines(items=2, length=23, variates=FLOWS), 4).tolist() == [3, 3]
    assert prior.weights(lines(items=2, length=24, variates=FLOWS), 4).tolist() == [1, 1]
    assert prior.weights(lines(items=101, length=23, variates=FLOWS), 4).tolist() == [1] * 101
    assert prior.weights(lines(items=1, length=23), 1).tolist() == [2]
    mixed = lines(items=2, length=30, variates=FLOWS)
    mixed.values[1, :, :20] = np.nan
    assert prior.weights(mixed, 4).tolist() == [1, 1]


def test_a_seed_fixes_the_paths():
    forecaster = combined(1.0, -1.0).fit(lines(items=30))
    paths = forecaster.sample(6, 50, seed=2)
    assert paths.shape == (30, 50, 6, 1)
    assert np.array_equal(paths, forecaster.sample(6, 50, seed=2))
    assert not np.array_equal(paths, forecaster.sample(6, 50, seed=3))


def test_a_mixture_of_calibrated_members_that_disagree_is_calibrated_once_it_is_drawn_together():
    rng = np.random.default_rng(0)
    common, own = np.sqrt(0.5) * rng.normal(size=(2000, 1)), np.sqrt(0.5) * rng.normal(size=(2000, 2))
    paths = (common + own)[..., None] + rng.normal(size=(2000, 2, 100))
    between = np.abs(paths[:, :, None, :, None] - paths[:, None, :, None, ::10]).mean(axis=(3, 4))
    found = Distances(to_actual=np.ones((2000, 2)), between=between, forecasts=np.ones(2000))
    spread = pool_spread(np.full((2000, 2), 0.5), found)
    mixture = paths.reshape(2000, 200, 1, 1)

    def coverage(drawn):
        low, high = np.quantile(drawn[:, :, 0, 0], [0.1, 0.9], axis=1)
        return ((low <= 0) & (high >= 0)).mean()

    assert coverage(paths[:, 0, :, None, None]) == pytest.approx(0.8, abs=0.03)
    assert coverage(mixture) > 0.86
    assert coverage(drawn_together(mixture, spread)) == pytest.approx(0.8, abs=0.03)


def test_members_that_agree_are_not_drawn_together_nor_items_that_were_not_scored():
    weights = np.full((20, 2), 0.5)
    assert pool_spread(weights, distances(1.0, 1.0)) == 1.0
    assert pool_spread(weights, distances(1.0, 1.0, apart=0.0)) == 1.0
    assert pool_spread(weights, distances(1.0, 1.0, forecasts=0)) == 1.0


def test_members_far_apart_are_drawn_together_by_half_at_most():
    far = distances(1.0, 1.0)
    far.between[:, 0, 1] = far.between[:, 1, 0] = 100.0
    assert pool_spread(np.full((20, 2), 0.5), far) == LEAST_SPREAD


@FEW
@given(st.floats(LEAST_SPREAD, 1.0), st.integers(0, 100))
def test_paths_drawn_together_keep_their_median_their_order_and_their_sign(spread, seed):
    paths = np.random.default_rng(seed).exponential(size=(2, 31, 4, 1))
    drawn = drawn_together(paths, spread)
    assert np.allclose(np.median(drawn, axis=1), np.median(paths, axis=1))
    assert np.array_equal(drawn.argsort(axis=1), paths.argsort(axis=1))
    assert (drawn >= 0).all()
    assert np.allclose(np.ptp(drawn, axis=1), spread * np.ptp(paths, axis=1))


def test_demand_that_does_not_come_is_not_drawn_to_a_little():
    demand = np.random.default_rng(0).poisson(1.5, (3, 200, 5, 1)).astype(float)
    drawn = drawn_together(demand, 0.7)
    assert np.median(demand) == 1.0
    assert np.array_equal(drawn == 0, demand == 0)
    moves = demand - 1
    middle = np.median(moves, axis=1, keepdims=True)
    assert np.allclose(drawn_together(moves, 0.7), middle + 0.7 * (moves - middle))


def test_the_spread_is_that_of_the_panel_in_its_parts_too_and_one_of_several_variates():
    history, forecaster = lines(items=12, seed=5), combined(0.8, -0.8)
    spread = forecaster.fit(history).pool(4).spread
    assert LEAST_SPREAD < spread < 0.9
    assert forecaster.learned(history, 4).fit(history.select([7, 2])).pool(4).spread == spread
    joint = lines(items=12, seed=5, variates=("a", "b"))
    assert combined(0.8, -0.8).fit(joint).pool(4).spread == 1.0


def test_shares_are_the_mean_weights_at_the_horizon_last_asked_for():
    forecaster = combined(0.0, 20.0).fit(lines(items=30))
    assert forecaster.shares() == {}
    forecaster.sample(4, 10, seed=0)
    assert forecaster.shares() == pytest.approx({"member 0": 1.0, "member 1": 0.0})


@pytest.mark.parametrize(("horizon", "paths", "seed"), [(0, 1, 0), (1, 0, 0), (1, 1, -1)])
def test_numbers_out_of_range_are_refused(horizon, paths, seed):
    with pytest.raises(InputError, match="must be at least"):
        combined(0.0, 1.0).fit(lines()).sample(horizon, paths, seed)


def test_paths_before_a_fit_are_refused():
    with pytest.raises(RuntimeError, match="before fit"):
        combined(0.0, 1.0).sample(1, 1, 0)
