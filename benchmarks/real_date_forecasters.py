"""Who answers the questions of `real_dates.py`: one line of `forecasters` each, imported when first asked.

Shapes: N questions, P paths, L context steps, H horizon steps, V variates.
"""

from __future__ import annotations

import datetime as dt
import importlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from real_questions import FREQUENCIES, Problem, Question

from forecasting.forecasters.base import PathForecaster
from forecasting.panel.history import Floats, History, exact_history

PATHS = 1000
STATISTICAL = "forecasting.forecasters.statistical"
DrawPaths = Callable[[Problem], list[Floats]]


@dataclass(frozen=True, kw_only=True)
class Forecaster:
    """How paths [P, H, V] of each question are drawn, and the library whose version names kept answers.

    Attributes
    ----------
    draw : callable
    library : str
        Empty for code of this repository, whose answers are never kept.
    slow : bool
        Left out unless asked for.
    """

    draw: DrawPaths
    library: str = ""
    slow: bool = False


def forecasters(checkpoint: Path, *, seed: int) -> dict[str, Forecaster]:
    """All that can be asked, by name; another one is another line."""
    own = partial(product_paths, seed=seed)
    classical = partial(classical_paths, seed=seed)
    return {
        "network": Forecaster(draw=partial(own, make=partial(network, checkpoint))),
        "auto": Forecaster(draw=partial(own, make=partial(auto, checkpoint))),
        "SeasonalNaive": Forecaster(
            draw=partial(own, make=imported(f"{STATISTICAL}:SeasonalNaiveForecaster"))
        ),
        "bootstrap": Forecaster(draw=partial(bootstrap_paths, seed=seed)),
        "AutoETS": Forecaster(draw=partial(classical, name="AutoETS"), library="statsforecast"),
        "AutoTheta": Forecaster(draw=partial(classical, name="AutoTheta"), library="statsforecast"),
        "bank": Forecaster(draw=partial(own, make=imported("forecasting.forecasters.bank:BankForecaster"))),
        "AutoARIMA": Forecaster(
            draw=partial(classical, name="AutoARIMA"), library="statsforecast", slow=True
        ),
        "statistical": Forecaster(
            draw=partial(own, make=imported(f"{STATISTICAL}:StatisticalForecaster")), slow=True
        ),
    }


def imported(place: str) -> Callable[[], PathForecaster]:
    """What makes a path forecaster from `module:Class`, imported when it is called."""
    module, _, name = place.partition(":")

    def make() -> PathForecaster:
        made: PathForecaster = getattr(importlib.import_module(module), name)()
        return made

    return make


def network(checkpoint: Path) -> PathForecaster:
    """The network with the weights of a folder."""
    from models.inference.forecaster import NetworkForecaster  # noqa: PLC0415 - torch takes seconds
    from pipelines.forecast.network import NetworkPathForecaster  # noqa: PLC0415

    return NetworkPathForecaster(NetworkForecaster.load(checkpoint, device="cpu"))


def auto(checkpoint: Path) -> PathForecaster:
    """The combination of `overspill predict`, its weights learned on the questions of a panel together."""
    from models.inference.forecaster import NetworkForecaster  # noqa: PLC0415 - torch takes seconds
    from pipelines.forecast.forecasters import build_auto  # noqa: PLC0415
    from pipelines.runtime.registry.weights import Weights  # noqa: PLC0415

    loaded = NetworkForecaster.load(checkpoint, device="cpu")
    return build_auto(Weights(network=loaded, label="benchmark", digest=""))


def product_paths(problem: Problem, *, make: Callable[[], PathForecaster], seed: int) -> list[Floats]:
    """Paths of a forecaster of the product, all questions of a problem at once."""
    fitted = make().fit(history_of(problem, problem.questions))
    return list(fitted.sample(problem.horizon, PATHS, seed))


def history_of(problem: Problem, questions: Sequence[Question]) -> History:
    """Histories of some questions as the product takes them; shorter ones begin later."""
    longest = max(question.history.shape[1] for question in questions)
    values = np.full((len(questions), len(problem.variates), longest), np.nan)
    for row, question in zip(values, questions, strict=True):
        row[:, longest - question.history.shape[1] :] = question.history
    return exact_history(
        values,
        item_ids=tuple(f"{number:06d}" for number in range(len(values))),
        variates=problem.variates,
        origins=(dt.date(2000, 12, 31),) * len(values),
        frequency=FREQUENCIES[problem.season],
    )


def classical_paths(problem: Problem, *, name: str, seed: int) -> list[Floats]:
    """Paths simulated from a model of statsforecast, fitted to each variate of each question alone."""
    return [
        np.stack(
            [
                simulated(
                    series, name, season=problem.season, horizon=problem.horizon, seed=seed + 10 * number + v
                )
                for v, series in enumerate(question.history)
            ],
            axis=-1,
        )
        for number, question in enumerate(problem.questions)
    ]


def simulated(series: Floats, name: str, *, season: int, horizon: int, seed: int) -> Floats:
    """Paths [P, H] of one series; of the seasonal naive method where the model fails or runs off."""
    import statsforecast.models  # noqa: PLC0415 - compiles for seconds

    for kind in (name, "SeasonalNaive"):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                model: Any = getattr(statsforecast.models, kind)(season_length=season)
                paths = np.asarray(model.fit(series).simulate(horizon, PATHS, seed=seed), dtype=float)
            except Exception:  # noqa: BLE001, S112 (any failure of a peer means the stand-in)
                continue
        if np.isfinite(paths).all():
            return paths
    raise ValueError(f"neither {name} nor SeasonalNaive can be fitted to a series of {len(series)}")


def bootstrap_paths(problem: Problem, *, seed: int) -> list[Floats]:
    """Paths of past seasonal moves drawn with replacement, on logs where all is positive."""
    rng = np.random.default_rng(seed)
    return [
        bootstrapped(question.history, season=problem.season, horizon=problem.horizon, rng=rng)
        for question in problem.questions
    ]


def bootstrapped(history: Floats, *, season: int, horizon: int, rng: np.random.Generator) -> Floats:
    """Paths [P, H, V] whose every step adds to the value of a season ago a drawn seasonal move, mean and all.

    Variates move together: the same past period is drawn for all.
    """
    logs = bool((history > 0).all())
    scale = (np.log(history) if logs else history).T
    moves = scale[season:] - scale[:-season]
    known = np.broadcast_to(scale[-season:], (PATHS, season, scale.shape[1]))
    cycles = -(-horizon // season)
    drawn = moves[rng.integers(len(moves), size=(PATHS, cycles, season))]
    ahead = (known[:, None] + drawn.cumsum(axis=1)).reshape(PATHS, cycles * season, -1)[:, :horizon]
    return np.asarray(np.exp(ahead) if logs else ahead)
