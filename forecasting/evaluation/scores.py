"""Scores of sample paths, probabilities and first-passage dates. Smaller is better unless said otherwise.

P paths, H horizon steps, V variates, Q quantile levels, D = H V values of one path.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scoringrules as sr
from scipy.spatial.distance import cdist

from forecasting.errors import InputError
from forecasting.panel.history import Floats

BLOCK = 500  # paths compared at a time in the energy score: P x BLOCK distances in memory
INTERVAL = 0.8


def crps(paths: Floats, actual: Floats) -> Floats:
    """Continuous ranked probability score of each value, in its unit.

    `E|X - y| - E|X - X'| / 2` over the empirical distribution of the paths (Gneiting and Raftery 2007,
    Journal of the American Statistical Association 102:359, eq. 21).

    Parameters
    ----------
    paths : array [P, ...]
    actual : array [...]

    Returns
    -------
    array [...]

    >>> crps(np.array([[1.0], [3.0]]), np.array([2.0]))
    array([0.5])

    Raises
    ------
    InputError
        Here and in every score below: if a number is missing or shapes do not fit.
    """
    paths, actual = _complete(paths, actual)
    return np.asarray(sr.crps_ensemble(actual, paths, m_axis=0))


def quantile_loss(quantiles: Floats, actual: Floats, levels: Floats) -> Floats:
    """Quantile (pinball) loss of each quantile, in the unit of the value.

    `(1{y < q} - level) (q - y)` (Koenker and Bassett 1978, Econometrica 46:33).

    Parameters
    ----------
    quantiles : array [Q, ...]
    actual : array [...]
    levels : array [Q], in (0, 1)

    >>> quantile_loss(np.array([[3.0]]), np.array([2.0]), np.array([0.9])).round(3)
    array([[0.1]])
    """
    quantiles, actual = _complete(quantiles, actual)
    shaped = np.asarray(levels, dtype=float).reshape(-1, *[1] * actual.ndim)
    if len(shaped) != len(quantiles) or not ((shaped > 0) & (shaped < 1)).all():
        raise InputError(
            "each quantile needs its level", expected=f"{len(quantiles)} in (0, 1)", found=str(levels)
        )
    return np.asarray(sr.quantile_score(actual, quantiles, shaped))


def wql(quantiles: Floats, actual: Floats, levels: Floats) -> float:
    """Weighted quantile loss, without unit: twice the mean loss over levels, summed, over summed |actual|.

    With many evenly spaced levels it tends to mean CRPS / mean |actual|.

    >>> round(wql(np.array([[3.0], [3.0]]), np.array([2.0]), np.array([0.1, 0.9])), 3)
    0.5
    """
    loss = quantile_loss(quantiles, actual, levels)
    size = float(np.abs(actual).sum())
    if size == 0:
        raise InputError("the weighted quantile loss needs an actual that is not all zero", found="zeros")
    return float(2 * loss.sum() / len(levels) / size)


def naive_scale(history: Floats, season_length: int) -> float:
    """Mean absolute seasonal change of a history [L], in its unit: the error of the seasonal naive forecast.

    Pairs with an unobserved (NaN) member do not count. Without any pair a season apart, the one-step change
    serves; where nothing ever changed, the mean absolute level; where all is zero, 1.

    >>> naive_scale(np.array([np.nan, 1.0, 3.0, 2.0]), 1)
    1.5
    """
    for lag in (season_length, 1):
        changes = np.abs(history[lag:] - history[:-lag])
        changes = changes[~np.isnan(changes)]
        if changes.any():
            return float(changes.mean())
    observed = np.abs(history[~np.isnan(history)])
    return float(observed.mean()) if observed.any() else 1.0


def mase(median: Floats, actual: Floats, history: Floats, season_length: int) -> float:
    """Mean absolute scaled error of the median [H], without unit; 1 is as good as seasonal naive in the past.

    `mean |y - median| / naive_scale` (Hyndman and Koehler 2006, International Journal of Forecasting 22:679).

    >>> mase(np.array([5.0]), np.array([2.0]), np.array([1.0, 3.0, 2.0]), 1)
    2.0
    """
    median, actual = _complete(median[None], actual)
    return float(np.mean(np.abs(median[0] - actual)) / naive_scale(history, season_length))


def coverage(paths: Floats, actual: Floats, level: float = INTERVAL) -> float:
    """Share of values inside the central interval of that level; good is near `level`, not large.

    The interval of `paths` [P, ...] for `actual` [...] lies between the (1 - level) / 2 and (1 + level) / 2
    quantiles.

    >>> coverage(np.arange(101.0)[:, None] * [1, 1], np.array([50.0, 95.0]))
    0.5
    """
    paths, actual = _complete(paths, actual)
    low, high = np.quantile(paths, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return float(np.mean((low <= actual) & (actual <= high)))


def energy_score(paths: Floats, actual: Floats) -> float:
    """Energy score of whole paths, in the unit of the values: the CRPS with Euclidean distances.

    `E||X - y|| - E||X - X'|| / 2` (Gneiting and Raftery 2007, eq. 22). The pairwise distances are taken block
    by block; `scoringrules` would hold P x P x D numbers.

    Parameters
    ----------
    paths : array [P, D]
    actual : array [D]

    >>> energy_score(np.array([[3.0, 4.0], [3.0, 4.0]]), np.array([0.0, 0.0]))
    5.0
    """
    paths, actual = _complete(paths, actual)
    blocks = (cdist(paths[start : start + BLOCK], paths).sum() for start in range(0, len(paths), BLOCK))
    spread = float(sum(blocks)) / len(paths) ** 2
    return float(np.linalg.norm(paths - actual, axis=1).mean()) - spread / 2


def variogram_score(paths: Floats, actual: Floats, order: float = 0.5) -> float:
    """Variogram score of whole paths, in the unit of the values to the power 2 x order: notices dependence.

    `sum over i, j of (|y_i - y_j|^p - E|X_i - X_j|^p)^2` (Scheuerer and Hamill 2015, Monthly Weather Review
    143:1321, eq. 8, equal weights).

    Parameters
    ----------
    paths : array [P, D]
    actual : array [D]
    order : float
        The power p.

    >>> variogram_score(np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([0.0, 4.0]))
    2.0
    """
    paths, actual = _complete(paths, actual)
    return float(sr.vs_ensemble(actual, paths, m_axis=0, v_axis=-1, p=order))


def censored_crps(probability_by_step: Floats, observed_step: int | None, last_observed_step: int) -> float:
    """Score of a first-passage distribution, in steps, when the outcome may not be known yet.

    `sum over t <= last_observed_step of (P(T <= t) - 1{T_observed <= t})^2`: the CRPS of the passage step up
    to the last step whose outcome is known, that is, the Brier scores of "reached by t" added up. Proper, for
    each term is; what lies beyond is not judged. Divided by `last_observed_step + 1` it is the integrated
    Brier score (Graf et al. 1999, Statistics in Medicine 18:2529; their censoring weights are not needed, as
    the last observed step does not depend on the passage).

    Parameters
    ----------
    probability_by_step : array [H]
        P(T <= t) for the steps t = 0 .. H-1, not falling.
    observed_step : int or None
        Step of the first passage; None if it had not come by the last observed step.
    last_observed_step : int
        Last step whose outcome is known, in 0 .. H-1.

    >>> round(censored_crps(np.array([0.1, 0.5, 0.8]), 1, 2), 3)
    0.3
    """
    probability, _ = _complete(probability_by_step[None], probability_by_step)
    steps = len(probability[0])
    if not 0 <= last_observed_step < steps:
        raise InputError(
            "the last observed step must lie within the horizon",
            expected=f"0 to {steps - 1}",
            found=str(last_observed_step),
        )
    if observed_step is not None and not 0 <= observed_step <= last_observed_step:
        raise InputError(
            "a first passage cannot be observed after the last observed step",
            expected=f"0 to {last_observed_step}, or none",
            found=str(observed_step),
        )
    _require_probability(probability)
    if (np.diff(probability[0]) < 0).any():
        raise InputError("the probability of having passed must not fall with time")
    reached = np.zeros(steps) if observed_step is None else (np.arange(steps) >= observed_step).astype(float)
    return float(((probability[0] - reached)[: last_observed_step + 1] ** 2).sum())


def brier(probability: Floats, outcome: Floats) -> Floats:
    """Brier score `(p - o)^2` of each probability [...] of an outcome [...] that is 0 or 1 (Brier 1950).

    >>> brier(np.array([0.8]), np.array([True])).round(3)
    array([0.04])
    """
    probability, outcome = _complete(probability[None], outcome)
    _require_probability(probability)
    _require_binary(outcome)
    return np.asarray(sr.brier_score(outcome, probability[0]))


class Reliability(NamedTuple):
    """Forecast probabilities against how often the event occurred, by bin.

    Attributes
    ----------
    forecast, observed : array [bins]
        Mean stated probability, and share of events; NaN in an empty bin.
    size : int array [bins]
        Number of forecasts in each bin.
    """

    forecast: Floats
    observed: Floats
    size: npt.NDArray[np.int64]


def reliability(probabilities: Floats, outcomes: Floats, bins: int = 10) -> Reliability:
    """Sort probabilities [N] into bins of equal width and compare each with its outcomes [N] (0 or 1).

    >>> reliability(np.array([0.1, 0.2, 0.9]), np.array([0, 1, 1]), bins=2).observed
    array([0.5, 1. ])
    """
    stated, outcomes = _complete(probabilities[None], outcomes)
    _require_probability(stated)
    _require_binary(outcomes)
    index = np.minimum((stated[0] * bins).astype(int), bins - 1)
    size = np.bincount(index, minlength=bins)
    filled = np.where(size > 0, size, np.nan)
    forecast, observed = (np.bincount(index, weights, bins) / filled for weights in (stated[0], outcomes))
    return Reliability(forecast, observed, size)


def pit(paths: Floats, actual: Floats, seed: int) -> Floats:
    """Probability integral transform of each value: uniform on (0, 1) if the paths are calibrated.

    Rank `(#{x < y} + U (#{x = y} + 1)) / (P + 1)`, exactly uniform where the actual is exchangeable with the
    paths (randomised as in Czado, Gneiting and Held 2009, Biometrics 65:1254).

    `paths` are [P, ...], `actual` and the result [...]; the seed is that of the uniform numbers U.

    >>> bool(0.5 < pit(np.arange(9.0)[:, None], np.array([4.5]), seed=1)[0] < 0.6)
    True
    """
    paths, actual = _complete(paths, actual)
    uniform = np.random.default_rng(seed).uniform(size=actual.shape)
    below, equal = (paths < actual).sum(axis=0), (paths == actual).sum(axis=0)
    return np.asarray((below + uniform * (equal + 1)) / (len(paths) + 1))


def _complete(paths: Floats, actual: Floats) -> tuple[Floats, Floats]:
    """Both as float arrays; refuse missing numbers and shapes that do not fit."""
    paths, actual = np.asarray(paths, dtype=float), np.asarray(actual, dtype=float)
    if paths.shape[1:] != actual.shape or len(paths) == 0 or actual.size == 0:
        raise InputError(
            "a forecast must fit what it is scored against",
            expected=f"shape [n, {', '.join(map(str, actual.shape))}], not empty",
            found=str(list(paths.shape)),
        )
    if np.isnan(paths).any() or np.isnan(actual).any():
        raise InputError(
            "nothing can be scored where numbers are missing",
            found=f"{np.isnan(paths).sum()} missing in the forecast, {np.isnan(actual).sum()} in the actual",
        )
    return paths, actual


def _require_probability(values: Floats) -> None:
    if ((values < 0) | (values > 1)).any():
        raise InputError("a probability must lie in [0, 1]", found=f"{values.min():g} to {values.max():g}")


def _require_binary(outcomes: Floats) -> None:
    if not np.isin(outcomes, [0.0, 1.0]).all():
        raise InputError("an outcome must be 0 or 1", found=str(np.unique(outcomes)[:5].tolist()))
