"""The blend: each part has its share of any first paths, and the weight is found on the history alone."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.evaluation.scores import crps, naive_scale
from forecasting.forecasters.blend import CUTS, DEFAULT_WEIGHT, PATHS, STEPS, WEIGHTS, BlendForecaster, mix
from forecasting.panel.history import exact_history
from forecasting.periods import Frequency

FEW = settings(deadline=None, max_examples=30)


class Oracle:
    """Forecaster of a noise around a line that it knows, at a distance from it."""

    name = "oracle"

    def __init__(self, distance):
        self.distance, self.lengths = distance, []

    def fit(self, history):
        self.items, self.length = len(history.item_ids), history.context_length
        self.variates = len(history.variates)
        self.lengths.append((history.context_length, history.origins[0]))
        return self

    def sample(self, horizon, paths, seed):
        line = np.arange(self.length, self.length + horizon)[None, None, :, None]
        noise = np.random.default_rng(seed).normal(0, 1, (self.items, paths, horizon, self.variates))
        return line + self.distance + noise


def lines(items=8, length=24, seed=0):
    values = np.arange(length) + np.random.default_rng(seed).normal(0, 1, (items, 1, length))
    return exact_history(
        values,
        item_ids=tuple(f"item {i}" for i in range(items)),
        variates=("y",),
        origins=(dt.date(2025, 12, 31),) * items,
        frequency=Frequency.QUARTER,
    )


def blend(near, far):
    return BlendForecaster(network=Oracle(near), statistical=Oracle(far), rehearsal=Oracle(near))


@FEW
@given(st.sampled_from(WEIGHTS), st.integers(1, 60))
def test_any_first_paths_hold_each_part_in_its_share(weight, paths):
    ours, theirs = np.ones((2, paths, 3, 1)), np.zeros((2, paths, 3, 1))
    share = mix(ours, theirs, weight)[:, :, 0, 0].cumsum(1) / np.arange(1, paths + 1)
    assert (np.abs(share - weight) * np.arange(1, paths + 1) < 1).all()


def test_a_mixed_path_is_wholly_one_of_the_same_number():
    draw = np.random.default_rng(0).normal
    ours, theirs = draw(size=(3, 40, 5, 2)), draw(size=(3, 40, 5, 2))
    mixed = mix(ours, theirs, 0.25)
    from_ours = (mixed == ours).all((0, 2, 3))
    assert ((mixed == theirs).all((0, 2, 3)) == ~from_ours).all()
    assert from_ours.sum() == 10


@pytest.mark.parametrize(("near", "far", "weight"), [(0.0, 20.0, 1.0), (20.0, 0.0, 0.0)])
def test_the_better_one_gets_all_the_weight_where_the_other_is_far_off(near, far, weight):
    assert blend(near, far).fit(lines()).weight == weight


def test_two_that_err_to_either_side_are_mixed():
    assert blend(2.0, -2.0).fit(lines(items=30)).weight == 0.5


def test_the_weight_is_that_of_the_least_crps_of_the_mixture():
    history, forecaster = lines(items=5, seed=3), blend(1.5, -0.8)
    season = history.frequency.season_length
    losses = {}
    for weight in WEIGHTS:
        scores = []
        for cut in CUTS:
            past = history.values[..., :-cut]
            end = past.shape[-1]
            for item in range(5):
                parts = []
                for part in (forecaster.network, forecaster.statistical):
                    part.items, part.length, part.variates = 5, end, 1
                    parts.append(part.sample(STEPS, PATHS, 0)[item])
                take = round(weight * PATHS)
                mixture = np.concatenate([parts[0][:take], parts[1][take:]])
                actual = history.values[item, 0, end : end + STEPS]
                scores.append(crps(mixture[..., 0], actual).mean() / naive_scale(past[item, 0], season))
        losses[weight] = np.mean(scores)
    assert forecaster.fit(history).weight == min(losses, key=losses.get)


def test_what_comes_after_an_inner_origin_is_not_shown_to_either():
    forecaster = blend(0.0, 1.0).fit(lines(length=24))
    assert [length for length, _ in forecaster.statistical.lengths] == [20, 16, 24]
    assert forecaster.statistical.lengths[0][1] == dt.date(2024, 12, 31)
    assert [length for length, _ in forecaster.network.lengths] == [24]


@pytest.mark.parametrize("history", [lines(items=4, length=10), lines(items=40, length=5), lines(items=4)])
def test_too_little_history_leaves_both_their_half(history):
    assert blend(0.0, 20.0).fit(history).weight == DEFAULT_WEIGHT


def test_gaps_after_an_inner_origin_do_not_count():
    history = lines()
    history.values[:4, :, -5:] = np.nan
    assert blend(0.0, 20.0).fit(history).weight == 1.0


def test_paths_have_the_protocols_shape_and_a_seed_fixes_them():
    forecaster = blend(1.0, -1.0).fit(lines(items=30))
    paths = forecaster.sample(6, 50, seed=2)
    assert paths.shape == (30, 50, 6, 1)
    assert np.array_equal(paths, forecaster.sample(6, 50, seed=2))
    assert not np.array_equal(paths, forecaster.sample(6, 50, seed=3))
