"""Windows of observed series: nothing held out is cut from, nothing is moved, short series are refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import SeriesError
from models.training.observed_series import (
    MIN_CONTEXT,
    NEVER,
    ObservedSeries,
    TrainingWindows,
    check_observed,
    context_needed,
    held_out_steps,
    rolling_validation,
)

CPU = torch.device("cpu")
FEW = settings(deadline=None, max_examples=30)


def numbered(seed, *, items=3, variates=2, length=30, gaps=0.2, horizon=5):
    """Series whose values are their own place: item * 1e6 + variate * 1e4 + step, with gaps."""
    item, variate, step = np.indices((items, variates, length))
    values = (item * 1e6 + variate * 1e4 + step).astype(float)
    values[np.random.default_rng(seed).random(values.shape) < gaps] = np.nan
    return ObservedSeries(values, 4, horizon)


def windows(observed, network, *, held_out=5, size=16):
    return TrainingWindows(observed, held_out=held_out, size=size, seed=1, network=network)


@FEW
@given(st.integers(0, 1000), st.integers(0, 40), st.floats(0, 0.6))
def test_a_window_is_a_stretch_of_one_item_before_the_held_out_steps(small_settings, seed, number, gaps):
    observed = numbered(seed, gaps=gaps)
    batch = windows(observed, small_settings).batch(number, CPU)
    context = batch.values.shape[-1] - batch.horizon
    assert context >= MIN_CONTEXT
    assert batch.horizon == 5
    for values, seen in zip(batch.values.numpy(), batch.observed.numpy(), strict=True):
        variate, column = np.nonzero(seen)
        found = values[variate, column]
        item = found // 1e6
        assert (item == item[0]).all()
        assert (found % 1e6 // 1e4 == variate).all()
        step = found % 1e4
        assert len(set((step - column).tolist())) == 1
        assert step.max() < 25
        assert (seen[:, :context].sum(-1) >= 3).all()
        assert seen[:, context:].any()
        start = int((step - column)[0])
        columns = np.arange(values.shape[-1]) + start
        inside = (columns >= 0) & (columns < 25)
        truth = observed.values[int(item[0])][:, columns[inside]]
        np.testing.assert_array_equal(seen[:, inside], ~np.isnan(truth))


def test_a_number_gives_the_same_window_in_any_order_of_asking(small_settings):
    observed = numbered(0)
    first, second = windows(observed, small_settings), windows(observed, small_settings)
    early = first.batch(3, CPU)
    second.batch(9, CPU)
    again = second.batch(3, CPU)
    assert all(torch.equal(a, b) for a, b in zip(early[:-1], again[:-1], strict=True))
    assert not torch.equal(early.values, first.batch(4, CPU).values)


def test_contexts_of_many_lengths_are_cut(small_settings):
    stream = windows(numbered(0, length=200, gaps=0.0), small_settings)
    lengths = {stream.batch(number, CPU).values.shape[-1] - 5 for number in range(60)}
    assert min(lengths) < 12
    assert max(lengths) > 100
    assert max(lengths) <= 195


@FEW
@given(st.integers(0, 1000))
def test_the_context_needed_holds_three_observations_of_every_variate(seed):
    values = numbered(seed, items=2, length=12, gaps=0.5).values
    need = context_needed(values)
    for item in range(2):
        for step in range(12):
            enough = [
                columns
                for columns in range(1, step + 2)
                if ((~np.isnan(values[item, :, step + 1 - columns : step + 1])).sum(-1) >= 3).all()
            ]
            assert need[item, step] == (min(enough) if enough else NEVER)


def test_the_validation_sees_all_the_past_of_each_origin_and_the_held_out_steps_alone(small_settings):
    observed = numbered(0, gaps=0.0, length=30, horizon=6)
    batches = rolling_validation(observed, held_out=6, origins=3, network=small_settings)
    origins = []
    for batch in batches:
        context = batch.values.shape[-1] - batch.horizon
        step = batch.values[0, 0] % 1e4
        origins.append(int(step[context - 1]))
        assert int(step[0]) == 0
        assert batch.observed[:, :, context:].sum(-1).unique().tolist() == [29 - origins[-1]]
    assert origins == [23, 25, 27]


def test_items_that_have_ended_are_learned_from_and_not_validated_on(small_settings):
    observed = numbered(0, gaps=0.0)
    observed.values[1, :, 20:] = np.nan
    cut_from = {
        int(value // 1e6)
        for number in range(20)
        for value in windows(observed, small_settings).batch(number, CPU).values[:, 0, -6].tolist()
    }
    assert 1 in cut_from
    (batch, *_) = rolling_validation(observed, held_out=5, origins=1, network=small_settings)
    assert {int(value // 1e6) for value in batch.values[:, 0, 10].tolist()} == {0, 2}


@pytest.mark.parametrize(
    ("length", "horizon", "origins", "steps"),
    [(100, 16, 3, 16), (40, 16, 3, 10), (12, 16, 3, 3), (8, 2, 3, 3)],
)
def test_at_most_a_quarter_of_the_history_is_held_out_and_a_step_per_origin(length, horizon, origins, steps):
    assert held_out_steps(ObservedSeries(np.zeros((1, 1, length)), 1, horizon), origins=origins) == steps


@pytest.mark.parametrize("length", [1, 4, 6])
def test_a_history_that_is_too_short_is_refused_in_one_sentence(small_settings, length):
    observed = ObservedSeries(np.ones((2, 1, length)), 4, 2)
    with pytest.raises(
        SeriesError, match="the history is too short to train on: expected a series with 3"
    ) as no:
        windows(observed, small_settings, held_out=3)
    assert "\n" not in str(no.value)


def test_series_without_an_observation_are_refused(small_settings):
    nothing = ObservedSeries(np.full((2, 2, 40), np.nan), 4, 2)
    with pytest.raises(SeriesError, match="too short to train on"):
        windows(nothing, small_settings)
    with pytest.raises(SeriesError, match="too short to validate on"):
        rolling_validation(nothing, held_out=5, origins=2, network=small_settings)


@pytest.mark.parametrize(
    ("observed", "sentence"),
    [
        (ObservedSeries(np.ones((2, 9)), 4, 2), r"values must be \[items, variates, steps\]"),
        (ObservedSeries(np.ones((2, 0, 9)), 4, 2), "with none of them 0"),
        (ObservedSeries(np.array([[[1.0, -np.inf, 2.0]]]), 4, 2), r"infinite one at .* \(0, 0, 1\)"),
        (ObservedSeries(np.ones((1, 2, 9)), 4, 2, np.ones((1, 2))), r"statics must be of shape \(2, S\)"),
        (ObservedSeries(np.ones((1, 1, 9)), 4, 0), "the horizon must be 1 to 64 steps, found 0"),
        (ObservedSeries(np.ones((1, 1, 9)), 4, 65), "the horizon must be 1 to 64 steps, found 65"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(observed, sentence):
    with pytest.raises(SeriesError, match=sentence):
        check_observed(observed, longest=64)


def test_every_window_carries_the_statics_of_the_variates(small_network):
    statics = np.array([[1.0], [-1.0]])
    observed = ObservedSeries(np.ones((3, 2, 40)), 4, 2, statics)
    windows = TrainingWindows(observed, held_out=4, size=5, seed=0, network=small_network.settings)
    given = windows.batch(0, torch.device("cpu")).statics.numpy()
    assert given.shape == (5, 2, small_network.settings.statics)
    assert (given[..., :1] == statics).all()
    assert not given[..., 1:].any()
