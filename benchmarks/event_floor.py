"""What a forecaster can reach who knows the process and not its parameters: error against bias on walks.

    python benchmarks/event_floor.py [--series 200] [--seed 7]

The questions are those of `events.py`. The forecaster is Bayes' rule itself: moves (of logs on geometric
walks) are Gaussian, their variance has Jeffreys' prior, and their drift is Gaussian about zero with a given
spread, in standard deviations of a move; infinite is no prior at all (Gelman et al. 2013, Bayesian Data
Analysis, section 3.3). A narrow prior errs less and underestimates growth; with a wide one it is the other
way round. The table shows the rate of exchange.

Shapes: P paths, L context steps, H horizon steps.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from processes import HORIZON, Floats, Problem, Question

LENGTHS = (24, 48, 96)
SPREADS = (0.15, 0.2, 0.3, 0.5, np.inf)
DRAWS = 4000
LOGS = {"geometric walk": True, "walk with drift": False, "random walk": False}


def paths(values: Floats, *, spread: float, rng: np.random.Generator) -> Floats:
    """Draws [P, H] of what follows a walk [L]: one drift and one scale per path."""
    moves = np.diff(values)
    count = len(moves)
    scale = np.sqrt(moves.var(ddof=1) * (count - 1) / rng.chisquare(count - 1, DRAWS))
    trust = 1.0 if np.isinf(spread) else count * spread**2 / (1 + count * spread**2)
    drift = trust * moves.mean() + scale * np.sqrt(trust / count) * rng.standard_normal(DRAWS)
    ahead = drift[:, None] + scale[:, None] * rng.standard_normal((DRAWS, HORIZON))
    return np.asarray(values[-1] + ahead.cumsum(axis=1))


def answer(question: Question, *, logs: bool, spread: float, rng: np.random.Generator) -> Floats:
    """P(T <= t) [H] under the prior."""
    history = question.history[0]
    if logs:
        return question.answer(np.exp(paths(np.log(history), spread=spread, rng=rng))[..., None])
    return question.answer(paths(history, spread=spread, rng=rng)[..., None])


def rows(*, series: int, seed: int) -> Iterator[tuple[str, float, float, float, float, float]]:
    """Process, spread of the prior, both errors, bias of rising barriers and its standard error."""
    for process, logs in LOGS.items():
        problems = [Problem.draw(process, length, series=series, seed=seed) for length in LENGTHS]
        for spread in SPREADS:
            errors, biases = [], []
            for problem in problems:
                for question in problem.questions:
                    error = answer(question, logs=logs, spread=spread, rng=problem.rng) - question.truth
                    errors.append((abs(error[-1]), np.abs(error).mean()))
                    if question.rising:
                        biases.append(error[-1])
            end, cdf = np.mean(errors, axis=0)
            yield process, spread, end, cdf, np.mean(biases), np.std(biases) / np.sqrt(len(biases))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=200, help="per process and length")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    print("| process | spread of the prior | P(cross) | P(T <= t) | bias (s.e.) |")
    print("| --- | --- | --- | --- | --- |")
    for process, spread, end, cdf, bias, error in rows(series=options.series, seed=options.seed):
        print(f"| {process} | {spread:g} | {end:.3f} | {cdf:.3f} | {bias:+.3f} ({error:.3f}) |", flush=True)


if __name__ == "__main__":
    main()
