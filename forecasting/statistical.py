"""Statistical path forecaster: the best classical model per item, with honest spread. The baseline to beat.

I items, V variates, P paths, H horizon steps, N observations of one series.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, Self

import numpy as np
import scoringrules as sr
from scipy.special import ndtri

from forecasting import linear_models
from forecasting.errors import InputError
from forecasting.forecaster import require_at_least
from forecasting.history import Floats, History
from forecasting.linear_models import LinearModel, random_walk
from forecasting.model_scale import ScaledItem, largest_growth, pooled_volatility, scale_item
from forecasting.seeds import item_generator

Z_90 = float(ndtri(0.9))  # half width of the 80 % interval of a standard normal
NOMINAL = 0.8
DEFAULT_SPREAD = 1.3  # nominal 80 % that cover 67 %, the middle of the 49 to 86 % measured on M3 and tourism
SPREAD_PRIOR = 10  # number of forecasts that weigh as much as the default
NEGLIGIBLE = 1e-3  # a standard deviation below 0.1 % is that of a constant
SHRINKAGE = 10  # observations of independence added to a correlation between variates
GROWTH_MARGIN = 1.5
GROWTH_DEVIATIONS = 3.0
RANDOM_WALK = "RandomWalk"


@dataclass(frozen=True, kw_only=True)
class StatisticalSettings:
    """Settings of the statistical forecaster.

    Attributes
    ----------
    candidates : tuple of str
        Names in `linear_models.CANDIDATES`, in order of preference on equal scores.
    selection_origins, selection_horizon : int
        Number of origins inside the history, and the steps between them and before the end. The forecast from
        each is scored on all steps that follow; the scores choose the model and the spread.
    min_observations : int
        Shorter series are random walks with the volatility of the whole panel.
    season_length : int, optional
        Steps in a season; None takes that of the frequency.
    """

    candidates: tuple[str, ...] = ("AutoETS", "AutoARIMA", "AutoTheta")
    selection_origins: int = 2
    selection_horizon: int = 4
    min_observations: int = 6
    season_length: int | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.candidates) - set(linear_models.CANDIDATES))
        if unknown or not self.candidates:
            raise InputError(
                "unknown candidate model" if unknown else "at least one candidate model is needed",
                expected="some of " + ", ".join(linear_models.CANDIDATES),
                found=", ".join(unknown),
            )
        require_at_least(
            1,
            selection_origins=self.selection_origins,
            selection_horizon=self.selection_horizon,
            min_observations=self.min_observations,
            season_length=1 if self.season_length is None else self.season_length,
        )


class _Fitted(NamedTuple):
    """What sampling needs of one item."""

    scaled: ScaledItem
    models: tuple[LinearModel, ...]
    correlation: Floats  # [V, V]


class _Trial(NamedTuple):
    """Results of one candidate for one item at the inner origins."""

    score: float
    forecasts: int  # number of series times origins
    errors: Floats  # absolute, in standard deviations of the forecast, over all steps of all forecasts


class StatisticalForecaster:
    """Per item the best of AutoETS, AutoARIMA and AutoTheta, chosen and widened on the history alone.

    Every candidate is linear with Gaussian errors, so its paths are one matrix product and its inner scores
    have closed forms. The choice minimises the CRPS on the model scale at the last inner origins. Since
    classical intervals are far too narrow, all paths are then spread about their mean by one factor >= 1,
    such that the 80 % intervals of the candidates at those origins, pooled over items, cover 80 %.

    The one-step errors of an item's variates are correlated as their historic one-step changes are, with
    `SHRINKAGE` observations of independence added. Growth since the origin is kept within `GROWTH_MARGIN`
    times the larger of the largest growth that any item of the panel has shown within as many steps and
    `GROWTH_DEVIATIONS` times the panel's volatility times the root of the steps.

    Parameters
    ----------
    settings : StatisticalSettings, optional

    Attributes
    ----------
    choices : mapping of item_id to model name
        Known after `fit`; "RandomWalk" where a series is short or no candidate can be fitted.
    spread : float
        Factor on the standard deviation of all paths, known after `fit`.
    """

    choices: Mapping[str, str]
    spread: float

    def __init__(self, settings: StatisticalSettings | None = None) -> None:
        self.settings = settings or StatisticalSettings()
        self._fitted: dict[str, _Fitted] = {}

    @property
    def name(self) -> str:
        """`statistical`, or the name of the only candidate."""
        return self.settings.candidates[0] if len(self.settings.candidates) == 1 else "statistical"

    def fit(self, history: History) -> Self:
        """Choose and fit a model for each item.

        Raises
        ------
        InputError
            If a variate of an item has no observation, or orders or capacity are negative.
        """
        season = self.settings.season_length or history.frequency.season_length
        scaled = {item_id: scale_item(history, i) for i, item_id in enumerate(history.item_ids)}
        self._volatility = pooled_volatility(list(scaled.values()))
        self._largest = largest_growth(list(scaled.values()))
        trials = {item_id: self._trials(item, season) for item_id, item in scaled.items()}
        self.spread = _spread(trials.values())
        self.choices, self._fitted = {}, {}
        for item_id, item in scaled.items():
            self.choices[item_id], models = self._models(item, _ranked(trials[item_id]), season)
            self._fitted[item_id] = _Fitted(item, models, _correlation(item.series))
        return self

    def sample(self, horizon: int, paths: int, seed: int) -> Floats:
        """Sample joint futures [I, P, H, V] of the fitted items, in units.

        Raises
        ------
        InputError
            If horizon or paths is below 1 or the seed is negative.
        RuntimeError
            If nothing was fitted yet.
        """
        require_at_least(1, horizon=horizon, paths=paths)
        require_at_least(0, seed=seed)
        if not self._fitted:
            raise RuntimeError("sample() before fit(): there is nothing to sample from")
        limit = self._growth_limit(horizon)
        return np.stack([self._sample_item(item_id, limit, paths, seed) for item_id in self._fitted])

    def _sample_item(self, item_id: str, limit: Floats, paths: int, seed: int) -> Floats:
        """Paths [P, H, V] of one item in units; `limit` [H, V] bounds growth on the model scale."""
        item = self._fitted[item_id]
        horizon, variates = limit.shape
        rng = item_generator(seed, purpose="paths", item_id=item_id)
        root = np.linalg.cholesky(item.correlation)
        z = rng.standard_normal((paths, horizon + 1, variates)) @ root.T
        growth = np.empty((paths, horizon, variates))
        for v, model in enumerate(item.models):
            growth[:, :, v] = model.mean(horizon) + self.spread * z[:, :, v] @ model.shocks(horizon)
        return item.scaled.restore(np.clip(growth, -limit, limit))

    def _trials(self, item: ScaledItem, season: int) -> dict[str, _Trial]:
        """Score the candidates that can be fitted at every inner origin; empty for a short series."""
        settings = self.settings
        length = min(len(series) for series in item.series)
        cuts = [k * settings.selection_horizon for k in range(1, settings.selection_origins + 1)]
        cuts = [cut for cut in cuts if length - cut >= settings.min_observations]
        trials = {}
        for name in settings.candidates if cuts else ():
            results = [
                _inner_forecast(name, series, cut, season) for series, cut in product(item.series, cuts)
            ]
            sound = [result for result in results if result is not None]
            if len(sound) == len(results):
                score = float(np.mean([crps for crps, _ in sound]))
                trials[name] = _Trial(score, len(sound), np.concatenate([errors for _, errors in sound]))
        return trials

    def _models(
        self, item: ScaledItem, ranked: list[str], season: int
    ) -> tuple[str, tuple[LinearModel, ...]]:
        """Fit the first candidate in order of rank that fits all variates; random walks where none does."""
        walks = tuple(
            random_walk(
                series, float(volatility), observations=max(len(series), self.settings.min_observations)
            )
            for series, volatility in zip(item.series, self._volatility, strict=True)
        )
        short = [len(series) < self.settings.min_observations for series in item.series]
        if all(short):
            return RANDOM_WALK, walks
        for name in [*ranked, *(name for name in self.settings.candidates if name not in ranked)]:
            models = [
                walk if is_short else linear_models.fit(name, series, season)
                for walk, is_short, series in zip(walks, short, item.series, strict=True)
            ]
            sound = tuple(model for model in models if model is not None)
            if len(sound) == len(models):
                return name, sound
        return RANDOM_WALK, walks

    def _growth_limit(self, horizon: int) -> Floats:
        """Largest growth [H, V] that paths may show, on the model scale."""
        steps = np.arange(1, horizon + 1)[:, None]
        seen = self._largest[np.minimum(steps[:, 0], len(self._largest)) - 1]
        limit: Floats = GROWTH_MARGIN * np.maximum(
            seen, GROWTH_DEVIATIONS * self._volatility * np.sqrt(steps)
        )
        return limit


class SeasonalNaiveForecaster(StatisticalForecaster):
    """The floor: the value of a season ago with Gaussian errors that add up over seasons, spread alike.

    Parameters
    ----------
    season_length : int, optional
        None takes that of the frequency; 1 is a random walk.
    """

    def __init__(self, season_length: int | None = None) -> None:
        super().__init__(StatisticalSettings(candidates=("SeasonalNaive",), season_length=season_length))


def _ranked(trials: Mapping[str, _Trial]) -> list[str]:
    """Names by rising score; the earlier candidate where scores are equal."""
    return sorted(trials, key=lambda name: trials[name].score)


def _inner_forecast(name: str, series: Floats, cut: int, season: int) -> tuple[float, Floats] | None:
    """Mean CRPS, and absolute errors in standard deviations, of a forecast `cut` steps before the end."""
    start = len(series) - cut
    model = linear_models.fit(name, series[:start], season)
    if model is None:
        return None
    actual = series[start:]
    mean, deviation = model.mean(cut), model.deviation(cut)
    crps = sr.crps_normal(actual, mean, np.maximum(deviation, NEGLIGIBLE))
    uncertain = deviation > NEGLIGIBLE
    return float(np.mean(crps)), np.abs(actual - mean)[uncertain] / deviation[uncertain]


def _spread(trials: Collection[Mapping[str, _Trial]]) -> float:
    """Factor >= 1 on the standard deviation that makes 80 % intervals cover 80 % of the pooled errors.

    Errors of all candidates count, for those of the chosen ones have been picked for being small. Where few
    forecasts were tried the factor stays near `DEFAULT_SPREAD` (weighted geometric mean).
    """
    errors = [trial.errors for of_item in trials for trial in of_item.values()]
    pooled = np.concatenate([np.empty(0), *errors])
    if not len(pooled):
        return DEFAULT_SPREAD
    tried = sum(next(iter(of_item.values())).forecasts for of_item in trials if of_item)
    needed = max(1.0, float(np.quantile(pooled, NOMINAL)) / Z_90)
    weight = tried / (tried + SPREAD_PRIOR)
    return float(needed**weight * DEFAULT_SPREAD ** (1 - weight))


def _correlation(series: tuple[Floats, ...]) -> Floats:
    """Correlation [V, V] of one-step changes over the common periods, shrunk toward independence."""
    common = min(len(each) for each in series) - 1
    identity = np.eye(len(series))
    if common < 2:
        return identity
    changes = np.stack([np.diff(each)[-common:] for each in series])
    moving = changes.std(axis=1) > 0
    correlation = identity.copy()
    if moving.sum() > 1:
        correlation[np.ix_(moving, moving)] = np.corrcoef(changes[moving])
    weight = common / (common + SHRINKAGE)
    return weight * correlation + (1 - weight) * identity
