"""Paths of every forecaster of `events.py`: the network, classical models, and networks trained on the spot.

Shapes: P paths, L context steps, H horizon steps, V variates.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import date
from itertools import islice

import numpy as np
from neural_peers import STEPS, Kind, TrainedDeepAR, TrainedNetwork
from processes import HORIZON, Floats, Problem, Question
from statsforecast.models import AutoARIMA, AutoETS, AutoTheta

from forecasting.forecasters.bank import BankForecaster
from forecasting.frequencies import STANDARD, Frequency
from forecasting.panel.history import exact_history
from forecasting.panel.schema import FLOWS
from models.inference.forecaster import NetworkForecaster
from pipelines.forecast.forecasters import build_auto
from pipelines.forecast.network import NetworkPathForecaster
from pipelines.runtime.registry.weights import Weights

FORECAST_PATHS = 1000
CLASSICS = {"AutoETS": AutoETS, "AutoARIMA": AutoARIMA, "AutoTheta": AutoTheta}
# Steps that the trained peers read, by the length of the history; windows of so many steps and a horizon.
CONTEXTS = {24: 24, 48: 24, 96: 48}
NETWORK: Kind = "PatchTST"


def network_paths(problem: Problem, *, network: NetworkForecaster, seed: int) -> list[Floats]:
    """Paths [P, H, V] of each question, in one pass; orders and capacity as the product asks for them."""
    values = np.stack([question.history for question in problem.questions])
    if values.shape[1] == len(FLOWS):
        history = exact_history(
            values,
            item_ids=tuple(f"{number:06d}" for number in range(len(values))),
            variates=FLOWS,
            origins=(date(2000, 12, 31),) * len(values),
            frequency=Frequency.YEAR,  # the only one without a season
        )
        return list(NetworkPathForecaster(network).fit(history).sample(HORIZON, FORECAST_PATHS, seed))
    return list(
        network.sample(
            values,
            horizon=HORIZON,
            paths=FORECAST_PATHS,
            seed=seed,
            season_length=np.array([question.season for question in problem.questions]),
        )
    )


def bank_paths(problem: Problem, *, seed: int) -> list[Floats]:
    """Paths [P, H, V] of each question by the bank of structural hypotheses, in one pass."""
    values = np.stack([question.history for question in problem.questions])
    history = exact_history(
        values,
        item_ids=tuple(f"{number:06d}" for number in range(len(values))),
        variates=FLOWS if values.shape[1] == len(FLOWS) else ("y",),
        origins=(date(2000, 12, 31),) * len(values),
        frequency=Frequency.YEAR,
    )
    bank = BankForecaster(season_length=problem.questions[0].season).fit(history)
    return list(bank.sample(HORIZON, FORECAST_PATHS, seed))


def combined_paths(problem: Problem, *, network: NetworkForecaster, seed: int) -> list[Floats]:
    """Paths [P, H, V] of each question by the combination of `overspill predict`, its weights learned."""
    values = np.stack([question.history for question in problem.questions])
    season = problem.questions[0].season
    history = exact_history(
        values,
        item_ids=tuple(f"{number:06d}" for number in range(len(values))),
        variates=FLOWS if values.shape[1] == len(FLOWS) else ("y",),
        origins=(date(2000, 12, 31),) * len(values),
        frequency=next(each for each in STANDARD.values() if each.season_length == season),
    )
    auto = build_auto(Weights(network=network, label="benchmark", digest=""))
    return list(auto.fit(history).sample(HORIZON, FORECAST_PATHS, seed))


def classical_paths(problem: Problem, *, name: str, seed: int) -> list[Floats]:
    """Paths [P, H, V] of each question, simulated from a fitted classical model."""
    return [
        simulated(question, name=name, seed=seed + number)
        for number, question in enumerate(problem.questions)
    ]


def simulated(question: Question, *, name: str, seed: int) -> Floats:
    """Paths [P, H, V] simulated from a fitted classical model, each variate alone."""
    drawn = []
    for variate, series in enumerate(question.history):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = CLASSICS[name](season_length=question.season).fit(series)
            drawn.append(model.simulate(HORIZON, FORECAST_PATHS, seed=seed + variate))
    return np.stack(drawn, axis=-1)


def bootstrap_paths(problem: Problem) -> list[Floats]:
    """Paths [P, H, V] of each question, drawn by the generator of the problem."""
    return [bootstrap(question, problem.rng) for question in problem.questions]


def bootstrap(question: Question, rng: np.random.Generator) -> Floats:
    """Paths [P, H, V] of past moves (on the log scale where positive) drawn with replacement."""
    logs = bool((question.history > 0).all())
    scale = np.log(question.history) if logs else question.history
    moves = np.diff(scale, axis=1).T
    drawn = moves[rng.integers(len(moves), size=(FORECAST_PATHS, HORIZON))].cumsum(axis=1) + scale[:, -1]
    return np.asarray(np.exp(drawn) if logs else drawn)


class TrainedPeers:
    """DeepAR and a network of neuralforecast, trained on the histories of the benchmark itself.

    A peer that forecasts histories of length L is trained on all histories, of every process, that are at
    least as long and hold a whole window; each variate is a series of its own.
    """

    def __init__(self, problems: Sequence[Problem], *, seed: int) -> None:
        self._problems, self._seed = problems, seed
        self._networks: dict[int, TrainedNetwork] = {}
        self._deepar: dict[int, TrainedDeepAR] = {}

    def simulated(self, problem: Problem, method: str) -> list[Floats]:
        """Paths [P, H, V] of each question by `simulate` of neuralforecast."""
        context = CONTEXTS[problem.length]
        if context not in self._networks:
            self._networks[context] = TrainedNetwork.train(
                NETWORK,
                self._training(problem),
                horizon=HORIZON,
                input_size=context,
                steps=STEPS,
                seed=self._seed,
            )
        asked = series_of([problem])
        drawn = self._networks[context].paths(asked, method=method, paths=FORECAST_PATHS, seed=self._seed)
        return by_question(drawn, problem)

    def deepar(self, problem: Problem) -> list[Floats]:
        """Paths [P, H, V] of each question by DeepAR."""
        context = CONTEXTS[problem.length]
        if context not in self._deepar:
            self._deepar[context] = TrainedDeepAR.train(
                self._training(problem), horizon=HORIZON, context=context, seed=self._seed
            )
        drawn = self._deepar[context].paths(series_of([problem]), paths=FORECAST_PATHS, seed=self._seed)
        return by_question(drawn, problem)

    def _training(self, problem: Problem) -> list[Floats]:
        shortest = max(problem.length, CONTEXTS[problem.length] + HORIZON)
        return series_of([other for other in self._problems if other.length >= shortest])


def series_of(problems: Sequence[Problem]) -> list[Floats]:
    """Every variate of every question as a series [L] of its own."""
    return [row for problem in problems for question in problem.questions for row in question.history]


def by_question(drawn: Floats, problem: Problem) -> list[Floats]:
    """Paths [series, P, H] of the problem's series as paths [P, H, V] of its questions."""
    rest = iter(drawn)
    return [np.stack(list(islice(rest, len(q.history))), axis=-1) for q in problem.questions]
