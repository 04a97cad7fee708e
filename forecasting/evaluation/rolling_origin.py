"""Arithmetic of a rolling-origin backtest: its origins, and how good the forecast of one item was.

P paths, H horizon steps, K <= H steps whose outcome is known, L history steps, V variates.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from forecasting.errors import InputError, require_at_least
from forecasting.evaluation import scores
from forecasting.frequencies import Frequency, add_periods, period_end
from forecasting.panel.history import Floats

LEVELS = np.arange(0.1, 0.91, 0.1)  # quantile levels of the weighted quantile loss


@dataclass(frozen=True, kw_only=True)
class Split:
    """One forecast of a backtest.

    Attributes
    ----------
    as_of : date
        Only what had been published by this day may be used.
    origin : date
        Period end of the last history column.
    horizon : int
        Number of steps forecast.
    """

    as_of: dt.date
    origin: dt.date
    horizon: int


def rolling_splits(
    *,
    first_origin: dt.date,
    last_origin: dt.date,
    step: int,
    horizon: int,
    frequency: Frequency,
    publication_lag_days: int = 0,
) -> tuple[Split, ...]:
    """Lay origins `step` periods apart, backward from `last_origin` and not before `first_origin`.

    Parameters
    ----------
    first_origin, last_origin : date
        `last_origin` is a period end.
    step, horizon : int
        In periods, at least 1.
    frequency : Frequency
    publication_lag_days : int
        Days after a period's end until its figures are out; `as_of` is that much later than the origin.

    Returns
    -------
    tuple of Split, by rising origin

    Raises
    ------
    InputError
        If no origin fits, `last_origin` is no period end, or a number is out of bounds.

    >>> day = dt.date(2025, 12, 31)
    >>> splits = rolling_splits(
    ...     first_origin=dt.date(2025, 1, 1), last_origin=day, step=2, horizon=4, frequency=Frequency.QUARTER
    ... )
    >>> [split.origin.isoformat() for split in splits]
    ['2025-06-30', '2025-12-31']
    """
    require_at_least(1, step=step, horizon=horizon)
    require_at_least(0, publication_lag_days=publication_lag_days)
    if frequency.months and last_origin != period_end(last_origin, frequency):
        raise InputError(
            "an origin must be the end of a period",
            expected=period_end(last_origin, frequency).isoformat(),
            found=last_origin.isoformat(),
            where="last_origin",
        )
    origins: list[dt.date] = []
    while (origin := add_periods(last_origin, -step * len(origins), frequency)) >= first_origin:
        origins.append(origin)
    if not origins:
        raise InputError(
            "no origin fits the backtest",
            expected=f"a last origin not before the first, {first_origin}",
            found=str(last_origin),
        )
    lag = dt.timedelta(days=publication_lag_days)
    return tuple(Split(as_of=origin + lag, origin=origin, horizon=horizon) for origin in reversed(origins))


def score_item(
    future: Floats, actual: Floats, history: Floats, *, variates: tuple[str, ...], season_length: int
) -> dict[str, float]:
    """Score the paths of one item against the actuals.

    Parameters
    ----------
    future : array [P, H, V]
    actual : array [K, V]
        The first K <= H steps; later ones are not known yet and are not scored.
    history : array [L, V]
        What the forecaster saw; NaN where unobserved. Gives the scale of the scaled scores.
    variates : tuple of str, length V
    season_length : int

    Returns
    -------
    dict of str to float
        `steps` (K); for each variate `crps/<variate>` (its unit), `scaled_crps/<variate>`, `mase/<variate>`,
        `wql/<variate>` (NaN if all actuals are zero) and `coverage_80/<variate>`; for the whole path, with
        each variate divided by `scores.naive_scale` of its history, `energy_score` and `variogram_score`.

    Raises
    ------
    InputError
        If nothing is known yet, more is known than was forecast, or a number is missing.
    """
    known = len(actual)
    if not 1 <= known <= future.shape[1]:
        raise InputError(
            "the outcome must cover some of the forecast steps",
            expected=f"1 to {future.shape[1]} steps",
            found=str(known),
        )
    future = future[:, :known]
    scale = np.array([scores.naive_scale(column, season_length) for column in history.T])
    record = {"steps": float(known)}
    for v, variate in enumerate(variates):
        paths, truth = future[:, :, v], actual[:, v]
        crps = float(scores.crps(paths, truth).mean())
        record[f"crps/{variate}"] = crps
        record[f"scaled_crps/{variate}"] = crps / float(scale[v])
        record[f"mase/{variate}"] = scores.mase(np.median(paths, axis=0), truth, history[:, v], season_length)
        record[f"wql/{variate}"] = (
            scores.wql(np.quantile(paths, LEVELS, axis=0), truth, LEVELS) if truth.any() else np.nan
        )
        record[f"coverage_80/{variate}"] = scores.coverage(paths, truth)
    scaled, truth = (future / scale).reshape(len(future), -1), (actual / scale).ravel()
    record["energy_score"] = scores.energy_score(scaled, truth)
    record["variogram_score"] = scores.variogram_score(scaled, truth)
    return record


def skill(score: float, baseline: float) -> float:
    """Share of the baseline's score that is saved: `1 - score / baseline`; 1 is perfect, 0 no better.

    Where the baseline is perfect: 0 if the score is too, else minus infinity.

    >>> skill(0.75, 1.0)
    0.25
    """
    if baseline == 0:
        return 0.0 if score == 0 else -np.inf
    return 1 - score / baseline
