"""Which classical model suits a series, and how far its intervals fall short: origins inside the history.

V variates, N observations of one series.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from itertools import product
from typing import NamedTuple, TypeAlias

import numpy as np
import scoringrules as sr
from scipy.special import ndtri

from forecasting.forecasters import univariate as linear_models
from forecasting.forecasters.scaling import ScaledItem
from forecasting.panel.history import Floats

NOMINAL = 0.8
Z_90 = float(ndtri(0.9))  # half width of the 80 % interval of a standard normal
NEGLIGIBLE = 1e-3  # a standard deviation below 0.1 % is that of a constant
# Nominal 80 % intervals of classical models cover 49 to 86 % on M3 and tourism: the middle of that range
# gives the spread without evidence, its lower end the most that evidence may ask for.
DEFAULT_SPREAD = Z_90 / float(ndtri((1 + 0.675) / 2))
MAX_SPREAD = Z_90 / float(ndtri((1 + 0.49) / 2))
SPREAD_PRIOR = 10  # number of forecasts that weigh as much as the default


class Trial(NamedTuple):
    """How one candidate did for one item at the inner origins.

    Attributes
    ----------
    score : float
        Mean CRPS on the model scale.
    forecasts : int
        Number of series times origins.
    errors : array
        Absolute errors in standard deviations of the forecast, all steps of all forecasts.
    """

    score: float
    forecasts: int
    errors: Floats


Trials: TypeAlias = Mapping[str, Trial]


def try_candidates(
    item: ScaledItem,
    candidates: tuple[str, ...],
    *,
    origins: int,
    spacing: int,
    shortest: int,
    season_length: int,
) -> Trials:
    """Forecast an item from inside its history with every candidate, and score all steps that follow.

    Parameters
    ----------
    item : ScaledItem
    candidates : tuple of str
        Names in `linear_models.CANDIDATES`.
    origins, spacing : int
        Number of origins, and steps between them and before the end.
    shortest : int
        Observations that an origin needs before it.
    season_length : int

    Returns
    -------
    mapping of name to Trial, best first
        Without the candidates that could not be fitted everywhere; empty for a short series.
    """
    length = min(len(series) for series in item.series)
    cuts = [k * spacing for k in range(1, origins + 1) if length - k * spacing >= shortest]
    trials = {}
    for name in candidates if cuts else ():
        results = [_try(name, series, cut, season_length) for series, cut in product(item.series, cuts)]
        sound = [result for result in results if result is not None]
        if len(sound) == len(results):
            score = float(np.mean([crps for crps, _ in sound]))
            trials[name] = Trial(score, len(sound), np.concatenate([errors for _, errors in sound]))
    return dict(sorted(trials.items(), key=lambda entry: entry[1].score))


def rank_by_wins(trials: Collection[Trials], candidates: tuple[str, ...]) -> list[str]:
    """Order the candidates by the number of items that each suits best, for items that could not try them."""
    wins = Counter(next(iter(of_item)) for of_item in trials if of_item)
    return sorted(candidates, key=lambda name: -wins[name])


def needed_spread(trials: Collection[Trials]) -> float:
    """Factor on standard deviations that makes 80 % intervals cover 80 % of the errors pooled over items.

    At least 1 and at most `MAX_SPREAD`. Errors of all candidates count, for those of the chosen ones have
    been picked for being small. Where few forecasts were tried the factor stays near `DEFAULT_SPREAD`
    (geometric mean, weighted by the number of forecasts and by `SPREAD_PRIOR`).
    """
    errors = [trial.errors for of_item in trials for trial in of_item.values()]
    pooled = np.concatenate([np.empty(0), *errors])
    if len(pooled) == 0:
        return DEFAULT_SPREAD
    tried = sum(next(iter(of_item.values())).forecasts for of_item in trials if of_item)
    needed = float(np.clip(np.quantile(pooled, NOMINAL) / Z_90, 1.0, MAX_SPREAD))
    weight = tried / (tried + SPREAD_PRIOR)
    return float(needed**weight * DEFAULT_SPREAD ** (1 - weight))


def _try(name: str, series: Floats, cut: int, season_length: int) -> tuple[float, Floats] | None:
    """Mean CRPS and scaled absolute errors of a forecast made `cut` steps before the end."""
    start = len(series) - cut
    model = linear_models.fit(name, series[:start], season_length)
    if model is None:
        return None
    mean, deviation = model.mean(cut), model.deviation(cut)
    crps = sr.crps_normal(series[start:], mean, np.maximum(deviation, NEGLIGIBLE))
    uncertain = deviation > NEGLIGIBLE
    return float(np.mean(crps)), np.abs(series[start:] - mean)[uncertain] / deviation[uncertain]
