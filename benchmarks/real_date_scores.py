"""Scores of `real_dates.py`: what was stated against what happened, by panel and over all.

Shapes: N questions, H horizon steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from real_questions import Problem
from store import Arrays

from forecasting.evaluation.scores import brier, censored_crps, reliability
from forecasting.panel.history import Floats

BINS = 5
Answers = dict[str, Arrays]


def outcomes(problem: Problem) -> Floats:
    """1 from the step on in which the event was first confirmed, 0 before it: [N, H]."""
    steps = np.arange(1, problem.horizon + 1)
    passed = [np.inf if question.passage is None else question.passage for question in problem.questions]
    return np.asarray(steps >= np.array(passed)[:, None], dtype=float)


def crps_of(problem: Problem, curves: Floats) -> Floats:
    """Censored CRPS of each question [N], in steps."""
    last = problem.horizon - 1
    return np.array(
        [
            censored_crps(row, None if question.passage is None else question.passage - 1, last)
            for row, question in zip(curves, problem.questions, strict=True)
        ]
    )


def scores(problem: Problem, curves: Floats) -> dict[str, float]:
    """Mean scores of one forecaster on one panel."""
    happened, horizon = outcomes(problem), problem.horizon
    rising = np.array([question.threshold.side == "above" for question in problem.questions])
    marks = {"quarter": -(-horizon // 4), "half": -(-horizon // 2), "end": horizon}
    excess = curves[:, -1] - happened[:, -1]
    crps = crps_of(problem, curves)
    return {
        "crps": float(crps.mean()),
        "integrated_brier": float(crps.mean()) / horizon,
        **{
            f"brier_{name}": float(brier(curves[:, step - 1], happened[:, step - 1]).mean())
            for name, step in marks.items()
        },
        "bias_rising": float(excess[rising].mean()) if rising.any() else np.nan,
        "bias_falling": float(excess[~rising].mean()) if not rising.all() else np.nan,
    }


def difference(
    problems: Sequence[Problem], answered: Sequence[Answers], one: str, other: str
) -> tuple[float, float]:
    """Mean integrated Brier score of one forecaster less another's, and its standard error.

    The error sums the deviations of each series before it squares them (Liang and Zeger 1986, Biometrika
    73:13), since the rolling origins of a series share their outcomes.
    """
    gaps, series = [], []
    for problem, found in zip(problems, answered, strict=True):
        pair = [crps_of(problem, found[name]["curves"]) / problem.horizon for name in (one, other)]
        gaps.append(pair[0] - pair[1])
        series += [f"{problem.panel} {question.series}" for question in problem.questions]
    gap = np.concatenate(gaps)
    _, owner = np.unique(series, return_inverse=True)
    sums = np.bincount(owner, gap - gap.mean())
    return float(gap.mean()), float(np.sqrt((sums**2).sum())) / len(gap)


def summary(problems: Sequence[Problem], answered: Sequence[Answers]) -> list[dict[str, object]]:
    """One row per panel and forecaster."""
    return [
        {
            "panel": problem.panel,
            "questions": len(problem.questions),
            "origins": problem.origins,
            "passed": float(outcomes(problem)[:, -1].mean()),
            "forecaster": name,
            **scores(problem, arrays["curves"]),
            "seconds": float(arrays["seconds"].sum()),
        }
        for problem, found in zip(problems, answered, strict=True)
        for name, arrays in found.items()
    ]


def reliability_rows(
    problems: Sequence[Problem], answered: Sequence[Answers], name: str
) -> list[dict[str, float]]:
    """Stated P(T <= H) against how often the event happened, over all panels, by bins of equal width."""
    stated = np.concatenate([found[name]["curves"][:, -1] for found in answered])
    passed = np.concatenate([outcomes(problem)[:, -1] for problem in problems])
    table = reliability(stated, passed, BINS)
    return [
        {"stated": float(forecast), "passed": float(observed), "questions": int(size)}
        for forecast, observed, size in zip(*table, strict=True)
    ]
