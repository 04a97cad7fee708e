"""Forecasts of the classical peers, their median ensemble, and mixtures; the networks are in `neural_peers`.

Shapes: N series, P paths, L context steps, H horizon steps, Q quantile levels.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import statsforecast.models
from panels import Panel

from forecasting.panel.history import Floats

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
PATHS = 500
CLASSICS = ("SeasonalNaive", "AutoETS", "AutoARIMA", "AutoTheta", "AutoCES")
ENSEMBLE = ("AutoETS", "AutoARIMA", "AutoTheta", "AutoCES")


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a forecaster says of a panel.

    Attributes
    ----------
    quantiles : array [N, H, Q]
        At `LEVELS`.
    paths : array [N, P, H] or None
        Joint paths, where it gives any.
    """

    quantiles: Floats
    paths: Floats | None = None


def workers(jobs: int) -> ProcessPoolExecutor:
    """Processes for `classical`; each computes with one thread."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))


def classical(panel: Panel, name: str, *, pool: ProcessPoolExecutor, seed: int) -> dict[str, Floats]:
    """Quantiles, paths and `gave_up` [N]: 1 where the model failed and SeasonalNaive stands in for it.

    Quantiles are the ends of the model's own intervals, the median its point forecast; paths its `simulate`.
    """
    answer = partial(answer_one, name=name, season=panel.season_length, horizon=panel.horizon, seed=seed)
    answers = list(pool.map(answer, panel.histories, chunksize=5))
    return {
        "quantiles": np.stack([quantiles for quantiles, _, _ in answers]),
        "paths": np.stack([paths for _, paths, _ in answers]),
        "gave_up": np.array([float(gave_up) for _, _, gave_up in answers]),
    }


def answer_one(
    history: Floats, *, name: str, season: int, horizon: int, seed: int
) -> tuple[Floats, Floats, bool]:
    """Quantiles [H, Q] and paths [P, H] of one series, and whether SeasonalNaive stands in."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            found = fitted_answer(history, name=name, season=season, horizon=horizon, seed=seed)
            if all(np.isfinite(part).all() for part in found):
                return *found, False
        except Exception:  # noqa: BLE001, S110 (any failure of a peer means the stand-in)
            pass
        season = season if len(history) > season else 1
        stand_in = fitted_answer(history, name="SeasonalNaive", season=season, horizon=horizon, seed=seed)
        return *stand_in, True


def fitted_answer(
    history: Floats, *, name: str, season: int, horizon: int, seed: int
) -> tuple[Floats, Floats]:
    """Quantiles [H, Q] and paths [P, H] of a model of statsforecast fitted to one series."""
    kind: Any = getattr(statsforecast.models, name)
    model = kind(season_length=season).fit(history)
    predicted = model.predict(horizon, level=interval_levels())
    columns = [interval_column(level) for level in LEVELS]
    quantiles = np.stack([predicted[column] for column in columns], axis=-1)
    return quantiles, model.simulate(horizon, PATHS, seed=seed)


def interval_levels() -> list[int]:
    """Central intervals, in per cent, whose ends are the quantiles of `LEVELS`."""
    return [round(100 * (1 - 2 * level)) for level in LEVELS if level < 0.5]


def interval_column(level: float) -> str:
    """Name that statsforecast gives to the quantile of that level.

    >>> interval_column(0.1), interval_column(0.5), interval_column(0.7)
    ('lo-80', 'mean', 'hi-40')
    """
    if level == 0.5:
        return "mean"
    return f"{'lo' if level < 0.5 else 'hi'}-{round(100 * abs(1 - 2 * level))}"


def median_ensemble(members: Sequence[Forecast]) -> Forecast:
    """The median of the members' quantiles, level by level; it has no paths."""
    return Forecast(quantiles=np.median([member.quantiles for member in members], axis=0))


def mixture(one: Forecast, other: Forecast) -> Forecast:
    """Half of the paths of each; the quantiles are those of all paths of both."""
    if one.paths is None or other.paths is None:
        raise ValueError("only forecasts with paths can be mixed")
    both = np.concatenate([one.paths, other.paths], axis=1)
    quantiles = np.moveaxis(np.quantile(both, LEVELS, axis=1), 0, -1)
    return Forecast(quantiles=quantiles, paths=half_of_each(one.paths, other.paths))


def half_of_each(one: Floats, other: Floats) -> Floats:
    """Paths [N, P, ...] that come in turn from two arrays [N, P, ...]."""
    drawn = one.copy()
    drawn[:, 1::2] = other[:, 1::2]
    return drawn
