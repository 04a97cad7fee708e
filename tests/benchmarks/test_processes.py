"""Known truths of the processes, and the event that is asked about."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import (
    HOLD,
    HORIZON,
    PROCESSES,
    TRUTH_PATHS,
    Problem,
    Question,
    Sample,
    autoregression,
    crossing_statistic,
)
from scipy.stats import norm

# First barrier and mean true probability of seed 7 and length 24: those that the results in
# docs/benchmarks.md were measured with.
MEASURED_WITH = {
    "random walk": (-40.04560423632558, 0.07991666666666668),
    "walk with drift": (60.32497301926843, 0.13759375),
    "AR in growth": (-91.53780017471763, 0.14998958333333334),
    "trend-stationary": (25.89778859644232, 0.03790625),
    "season plus walk": (-32.35355063333013, 0.4348229166666666),
    "geometric walk": (49.576846706198744, 0.60925),
}


@pytest.mark.parametrize("steps", [1, 6, 11])
def test_a_simple_walk_crosses_as_often_as_the_reflection_principle_says(steps):
    """P(max >= a) = P(S >= a) + P(S > a) for steps of +1 and -1 (Feller 1968, III.7)."""
    walks = np.array(list(product([-1.0, 1.0], repeat=steps))).cumsum(axis=1)
    reached = crossing_statistic(walks[..., None], rising=True, backlog=0.0)[:, -1]
    for level in range(1, steps + 1):
        ends = walks[:, -1]
        assert (reached >= level).mean() == pytest.approx((ends >= level).mean() + (ends > level).mean())


def test_the_truth_of_a_gaussian_walk_is_that_of_the_reflection_principle():
    """In discrete time, the barrier moved by 0.5826 of a step (Siegmund 1985, Sequential Analysis, X.2)."""
    problem = Problem.draw("random walk", 48, series=12, seed=3)
    for question in problem.questions:
        origin = question.history[0, -1]
        distance = question.barrier - (origin if question.rising else -origin)
        known = 2 * norm.sf((distance + 0.5826) / math.sqrt(HORIZON))
        assert question.truth[-1] == pytest.approx(known, abs=4 * math.sqrt(0.25 / TRUTH_PATHS))


def test_an_autoregression_forgets_its_start_and_spreads_to_its_own_variance():
    paths = autoregression(np.random.default_rng(1), paths=20_000, steps=12, memory=0.6, start=5.0)
    steps = np.arange(1, 13)
    np.testing.assert_allclose(paths.mean(axis=0), 5.0 * 0.6**steps, atol=0.04)
    np.testing.assert_allclose(paths.var(axis=0), (1 - 0.36**steps) / (1 - 0.36), rtol=0.05)


def first_passage(orders: list[float], capacity: list[float], *, backlog: float, bound: float) -> int | None:
    """First step by which the backlog was below the bound, in units of capacity, for HOLD steps in a row."""
    run = 0
    for step, (ordered, made) in enumerate(zip(orders, capacity, strict=True)):
        backlog = max(0.0, backlog + ordered - made)
        run = run + 1 if backlog / made < bound else 0
        if run == HOLD:
            return step
    return None


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), bound=st.floats(0.05, 3.0), backlog=st.floats(0.0, 4.0))
def test_a_backlog_passes_its_bound_when_a_loop_over_the_steps_says_so(seed, bound, backlog):
    flows = np.random.default_rng(seed).uniform(0.5, 1.5, (8, 10, 2))
    passed = crossing_statistic(flows, rising=True, backlog=backlog) > -bound
    for path, flow in zip(passed, flows, strict=True):
        known = first_passage(flow[:, 0].tolist(), flow[:, 1].tolist(), backlog=backlog, bound=bound)
        assert (int(path.argmax()) if path.any() else None) == known
        assert (np.diff(path.astype(int)) >= 0).all()


@pytest.mark.parametrize("process", PROCESSES)
def test_the_true_probability_is_spread_as_intended_and_never_falls_with_time(process):
    for question in Problem.draw(process, 24, series=4, seed=2).questions:
        assert (np.diff(question.truth) >= 0).all()
        if question.barrier != 0:  # a backlog cannot fall below zero
            assert 0.149 <= question.truth[-1] <= 0.851


@pytest.mark.parametrize(("process", "measured"), MEASURED_WITH.items())
def test_a_seed_asks_what_it_has_always_asked(process, measured):
    question = Problem.draw(process, 24, series=2, seed=7).questions[0]
    assert (question.barrier, question.truth.mean()) == pytest.approx(measured, rel=1e-9)


def test_whoever_knows_the_process_answers_with_the_truth():
    rng = np.random.default_rng(4)
    future = rng.normal(size=(500, HORIZON, 1)).cumsum(axis=1)
    sample = Sample(history=np.zeros((1, 5)), future=future)
    question = Question.ask(sample, rising=False, target=0.4)
    np.testing.assert_array_equal(question.answer(future), question.truth)
    assert question.truth[-1] == pytest.approx(0.4)
