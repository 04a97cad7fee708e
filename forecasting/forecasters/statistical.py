"""Statistical path forecaster: the best classical model per item, with honest spread. The baseline to beat.

I items, V variates, P paths, H horizon steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np

from forecasting.errors import InputError, require_at_least
from forecasting.forecasters import univariate as linear_models
from forecasting.forecasters.bounds import Bounds, Floor
from forecasting.forecasters.intermittent import BOOTSTRAP, is_intermittent, sample_blocks
from forecasting.forecasters.scaling import Kind, Pool, ScaledItem, scale_item
from forecasting.forecasters.selection import needed_spread, rank_by_wins, try_candidates
from forecasting.forecasters.settings import StatisticalSettings
from forecasting.forecasters.univariate import LinearModel, random_walk
from forecasting.panel.history import Floats, History
from forecasting.seeds import item_generator

RANDOM_WALK = "RandomWalk"
PRIOR = 10  # periods that the panel's volatility weighs as much as
SHRINKAGE = 10  # observations of independence added to a correlation between variates


class _Fitted(NamedTuple):
    """What sampling needs of one item."""

    scaled: ScaledItem
    models: tuple[LinearModel, ...]  # one per variate
    walks: tuple[LinearModel, ...]  # one per variate, with the panel's volatility
    correlation: Floats  # [V, V], of the variates' shocks


class StatisticalForecaster:
    """Per item the best of AutoETS, AutoARIMA and AutoTheta, chosen and widened on the history alone.

    Every candidate is linear with Gaussian errors, so its paths are one matrix product and its inner scores
    have closed forms. The choice minimises the CRPS on the model scale at the last inner origins; a series
    too short for them takes the candidate that wins most often elsewhere. Since classical intervals are far
    too narrow, the candidates' paths are spread about their mean by one factor >= 1, such that 80 % intervals
    at those origins, pooled over items, cover 80 %. Random walks keep the panel's volatility: it was measured
    on the changes themselves, not on the residuals of a fit.

    The shocks of an item's variates are correlated as their historic one-step changes are, with `SHRINKAGE`
    observations of independence added. Growth since the origin, on the model scale, is kept within the larger
    of `GROWTH_MARGIN` times the largest growth that any item of the panel has shown within as many steps, and
    `GROWTH_DEVIATIONS` times the panel's volatility times the root of the steps, and the book-to-bill within
    `RATIO_MARGIN` times the highest in the panel: guards against runaway paths, not shapes.

    Items whose orders or capacity are intermittent have no such scale: their paths are drawn from their own
    past (`intermittent`), whatever the candidates, and other items do not learn from them.

    Parameters
    ----------
    settings : StatisticalSettings, optional
    floor : Floor
        What keeps a plain series from turning negative, see `Bounds.of`.

    Attributes
    ----------
    choices : mapping of item_id to model name
        Known after `fit`; "RandomWalk" where a series is short or no candidate can be fitted, "Bootstrap"
        where it is intermittent.
    spread : float
        Factor on the candidates' standard deviations, known after `fit`.
    """

    choices: Mapping[str, str]
    spread: float

    def __init__(self, settings: StatisticalSettings | None = None, *, floor: Floor = "auto") -> None:
        self.settings = settings or StatisticalSettings()
        self.floor: Floor = floor
        self._fitted: dict[str, _Fitted] = {}
        self._lumpy: dict[str, Floats] = {}

    @property
    def name(self) -> str:
        """`statistical`, or the name of the only candidate."""
        return self.settings.candidates[0] if len(self.settings.candidates) == 1 else "statistical"

    def fit(self, history: History) -> Self:
        """Choose and fit a model for each item.

        Raises
        ------
        InputError
            If a variate has no observation, orders or capacity are negative, or an item comes twice.
        """
        settings = self.settings
        season = settings.season_length or history.frequency.season_length
        if len(set(history.item_ids)) < len(history.item_ids):
            raise InputError("an item must not come twice", found=", ".join(history.item_ids))
        scaled = {item_id: scale_item(history, i) for i, item_id in enumerate(history.item_ids)}
        self._season, self._items = season, history.item_ids
        self._bounds = Bounds.of(history, self.floor)
        self._lumpy = {
            item_id: history.values[i]
            for i, item_id in enumerate(history.item_ids)
            if is_intermittent(history, i)
        }
        scaled = {item_id: item for item_id, item in scaled.items() if item_id not in self._lumpy}
        self._pools: dict[tuple[Kind, ...], Pool] = {
            kinds: Pool.of([item for item in scaled.values() if item.kinds == kinds])
            for kinds in {item.kinds for item in scaled.values()}
        }
        trials = {
            item_id: try_candidates(
                item,
                settings.candidates,
                origins=settings.selection_origins,
                spacing=settings.selection_horizon,
                shortest=settings.min_observations,
                season_length=season,
            )
            for item_id, item in scaled.items()
        }
        self.spread = needed_spread(trials.values())
        elsewhere = rank_by_wins(trials.values(), settings.candidates)
        self.choices, self._fitted = dict.fromkeys(self._lumpy, BOOTSTRAP), {}
        for item_id, item in scaled.items():
            ranked = dict.fromkeys([*trials[item_id], *elsewhere])
            walks = tuple(map(random_walk, item.series, self._pools[item.kinds].volatility.tolist()))
            self.choices[item_id], models = self._models(item, ranked, season, walks)
            self._fitted[item_id] = _Fitted(item, models, walks, shock_correlation(item.series))
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
        if not self._fitted and not self._lumpy:
            raise RuntimeError("sample() before fit(): there is nothing to sample from")
        return self._bounds.keep(
            np.stack([self._sample_item(item_id, horizon, paths, seed) for item_id in self._items])
        )

    def _sample_item(self, item_id: str, horizon: int, paths: int, seed: int) -> Floats:
        """Paths [P, H, V] of one item in units."""
        if item_id in self._lumpy:
            return sample_blocks(
                self._lumpy[item_id],
                season_length=self._season,
                horizon=horizon,
                paths=paths,
                generator=item_generator(seed, purpose="paths", item_id=item_id),
            )
        item = self._fitted[item_id]
        pool = self._pools[item.scaled.kinds]
        variates = len(item.models)
        rng = item_generator(seed, purpose="paths", item_id=item_id)
        root = np.linalg.cholesky(item.correlation)
        z = rng.standard_normal((paths, horizon + 1, variates)) @ root.T
        growth = np.empty((paths, horizon, variates))
        walking = round(self.settings.walk_share * paths) if item.scaled.flows else 0
        for some, models in ((slice(walking), item.walks), (slice(walking, None), item.models)):
            for v, model in enumerate(models):
                growth[some, :, v] = model.mean(horizon) + z[some, :, v] @ model.shocks(horizon)
        return item.scaled.restore(pool.bounded(growth, item.scaled))

    def _models(
        self, item: ScaledItem, ranked: Iterable[str], season: int, walks: tuple[LinearModel, ...]
    ) -> tuple[str, tuple[LinearModel, ...]]:
        """Fit the first of the ranked candidates that fits all variates; random walks where none does."""
        short = [len(series) < self.settings.min_observations for series in item.series]
        if all(short):
            return RANDOM_WALK, walks
        for name in ranked:
            models = [
                walk if is_short else linear_models.fit(name, series, season)
                for walk, is_short, series in zip(walks, short, item.series, strict=True)
            ]
            sound = [model for model in models if model is not None]
            if len(sound) == len(models):
                widths = (1.0 if is_short else self.spread for is_short in short)
                wide = [m._replace(sigma=m.sigma * w) for m, w in zip(sound, widths, strict=True)]
                return name, tuple(self._tempered(wide, item))
        return RANDOM_WALK, walks

    def _tempered(self, models: Sequence[LinearModel], item: ScaledItem) -> Iterator[LinearModel]:
        """Pull the error variance of orders and capacity toward the panel's, as if from `PRIOR` more periods.

        A dozen quarters of one item that have all been good say little about a bad one; the other items of
        the panel are like it and have seen some. Plain series have no such peers and are left alone.
        """
        volatility = self._pools[item.kinds].volatility.tolist()
        for model, series, pooled in zip(models, item.series, volatility, strict=True):
            weight = PRIOR / (len(series) + PRIOR) if item.flows else 0.0
            variance = (1 - weight) * model.sigma**2 + weight * pooled**2
            yield model._replace(sigma=variance**0.5)


class SeasonalNaiveForecaster(StatisticalForecaster):
    """The floor: the value of a season ago with Gaussian errors that add up over seasons, spread alike.

    Parameters
    ----------
    season_length : int, optional
        None takes that of the frequency; 1 is a random walk.
    """

    def __init__(self, season_length: int | None = None) -> None:
        super().__init__(StatisticalSettings(candidates=("SeasonalNaive",), season_length=season_length))


def shock_correlation(series: tuple[Floats, ...]) -> Floats:
    """Correlation [V, V] of one-step changes over the common periods, shrunk toward independence.

    With n changes it is n / (n + SHRINKAGE) times the sample correlation off the diagonal.
    """
    identity = np.eye(len(series))
    common = min(len(each) for each in series) - 1
    if common < 2:
        return identity
    changes = np.stack([np.diff(each)[-common:] for each in series])
    moving = np.ptp(changes, axis=1) > 0
    correlation = identity.copy()
    if moving.any():
        correlation[np.ix_(moving, moving)] = np.corrcoef(changes[moving])
    weight = common / (common + SHRINKAGE)
    return np.asarray(weight * correlation + (1 - weight) * identity)
