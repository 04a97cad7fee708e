"""Answers of the peers of the events, their mixture and what is kept of them."""

import numpy as np
import pytest
from event_peers import bank_paths, bootstrap_paths, by_question, classical_paths, series_of
from events import Peer, Run, answer, half, peers_of
from processes import HORIZON, Problem


@pytest.fixture(scope="module")
def problem() -> Problem:
    return Problem.draw("orders and capacity", 24, series=2, seed=7)


def test_the_mixture_answers_as_all_paths_of_both_would(problem):
    question = problem.questions[1]
    one, other = (np.exp(np.random.default_rng(seed).normal(0.1, 0.2, (50, HORIZON, 2))) for seed in (1, 2))
    pair = [{"curves": question.answer(paths)[None], "seconds": np.ones(1)} for paths in (one, other)]
    mixed = half(*pair)
    np.testing.assert_allclose(mixed["curves"][0], question.answer(np.concatenate([one, other])))
    assert mixed["seconds"].tolist() == [2.0]


def test_series_go_back_to_the_questions_that_they_came_from(problem):
    series = np.stack(series_of([problem]))
    assert len(series) == sum(len(question.history) for question in problem.questions)
    drawn = np.repeat(series[:, None], 5, axis=1)
    for question, paths in zip(problem.questions, by_question(drawn, problem), strict=True):
        np.testing.assert_array_equal(paths[3].T, question.history)


def test_every_peer_gives_whole_paths_of_both_variates(problem):
    classical = classical_paths(problem, name="AutoETS", seed=1)
    for paths in (*classical, *bootstrap_paths(problem), *bank_paths(problem, seed=1)):
        assert paths.shape == (1000, HORIZON, 2)
        assert np.isfinite(paths).all()


def test_a_peer_that_fails_is_noted_and_the_others_answer(problem):
    def fail(_: Problem):
        raise ValueError("too short")

    peers = {
        "broken": Peer(make=fail),
        "absent": Peer(make=bootstrap_paths, library="no-such-library"),
        "bootstrap": Peer(make=bootstrap_paths),
    }
    run = Run(peers=peers, cache=None)
    assert list(run.answers(problem)) == ["bootstrap"]
    assert [note.split(":")[0] for note in run.notes] == ["broken", "absent"]
    assert "too short" in run.notes[0]


def test_answers_are_recalled_for_the_same_questions_and_for_no_others(problem, tmp_path):
    asked = []

    def make(some: Problem):
        asked.append(some)
        return bootstrap_paths(some)

    run = Run(peers={"bootstrap": Peer(make=make)}, cache=tmp_path)
    first, again = (run.answers(problem)["bootstrap"]["curves"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len(asked) == 1
    run.answers(Problem.draw("orders and capacity", 24, series=2, seed=8))
    assert len(asked) == 2


def test_answers_are_probabilities_that_do_not_fall(problem):
    curves = answer(problem, bootstrap_paths)["curves"]
    assert ((curves >= 0) & (curves <= 1)).all()
    assert (np.diff(curves, axis=1) >= 0).all()


def test_peers_can_be_left_out_by_name(problem):
    names = list(peers_of([problem], seed=1, skip=[]))
    kept = peers_of([problem], seed=1, skip=["DeepAR", "AutoARIMA"])
    assert set(names) - set(kept) == {"DeepAR", "AutoARIMA"}
