"""Paths of two forecasters mixed, by how each did at the end of the history.

I items, P paths, H horizon steps, V variates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from forecasting.evaluation.scores import crps, naive_scale
from forecasting.forecasters.base import PathForecaster
from forecasting.panel.history import Floats, History
from forecasting.periods import add_periods

WEIGHTS = (0.5, 0.25, 0.75, 0.0, 1.0)  # of the network; on equal scores the more even one
DEFAULT_WEIGHT = 0.5
CUTS = (4, 8)  # steps before the end from which the next four are forecast
STEPS = 4
MIN_OBSERVATIONS_BEFORE_CUT = 7  # of every variate before a cut, as the statistical forecaster asks
MIN_FORECASTS = 10  # items times cuts; weights estimated from fewer do worse than equal ones
PATHS, SEED = 200, 0


@dataclass
class BlendForecaster:
    """A mixture of the network's paths and the statistical forecaster's.

    The share of the network's paths is the one of `WEIGHTS` with the least CRPS at the last one or two
    origins inside the history, over all items, steps and variates, each scaled by its naive error. Where
    fewer than `MIN_FORECASTS` forecasts can be scored both have half: equal weights are hard to beat where
    there is little to estimate them from (Smith and Wallis 2009, Oxford Bulletin of Economics and Statistics
    71:331).

    Attributes
    ----------
    network, statistical : PathForecaster
    rehearsal : PathForecaster
        Stands for the network in the search: the network itself, or one that was not trained on real series
        where the network was. A network that has seen the end of the history would win there undeservedly.
    weight : float
        Share of the network's paths; known after `fit`.
    """

    network: PathForecaster
    statistical: PathForecaster
    rehearsal: PathForecaster
    weight: float = DEFAULT_WEIGHT

    @property
    def name(self) -> str:
        """`blend`."""
        return "blend"

    def fit(self, history: History) -> Self:
        """Find the weight at the end of the history, and fit both to all of it."""
        self.weight = self._best_weight(history)
        self.network.fit(history)
        self.statistical.fit(history)
        return self

    def sample(self, horizon: int, paths: int, seed: int) -> Floats:
        """Sample joint futures [I, P, H, V]; any number of first paths holds each part's share."""
        parts = [
            forecaster.sample(horizon, paths, seed)
            for forecaster, share in ((self.network, self.weight), (self.statistical, 1 - self.weight))
            if share > 0
        ]
        return parts[0] if len(parts) == 1 else mix(parts[0], parts[1], self.weight)

    def _best_weight(self, history: History) -> float:
        losses: list[Floats] = []
        for cut in CUTS:
            enough = history.observed_mask[..., :-cut].sum(-1).min(-1) >= MIN_OBSERVATIONS_BEFORE_CUT
            items = np.flatnonzero(enough).tolist()
            if items:
                losses += self._losses(history.select(items), cut)
        if len(losses) < MIN_FORECASTS:
            return DEFAULT_WEIGHT
        return WEIGHTS[int(np.argmin(np.mean(losses, axis=0)))]

    def _losses(self, history: History, cut: int) -> list[Floats]:
        """Mean scaled CRPS of each item for every weight, where anything was observed after the cut."""
        past = _until(history, cut)
        one, other = (
            forecaster.fit(past).sample(STEPS, PATHS, SEED)
            for forecaster in (self.rehearsal, self.statistical)
        )
        end, season = history.context_length - cut, history.frequency.season_length
        actual = np.moveaxis(history.values[..., end : end + STEPS], 1, 2)  # [I, H, V]
        scale = np.array([[naive_scale(row, season) for row in item] for item in past.values])[:, None]
        size, known = np.broadcast_to(scale, actual.shape), ~np.isnan(actual)
        mixtures = [mix(one, other, weight) for weight in WEIGHTS]
        return [
            np.array([_scaled_crps(paths[item], actual[item], size[item]) for paths in mixtures])
            for item in range(len(actual))
            if known[item].any()
        ]


def _scaled_crps(paths: Floats, actual: Floats, size: Floats) -> float:
    """Mean CRPS of paths [P, H, V] over the observed values [H, V], each divided by its size."""
    known = ~np.isnan(actual)
    return float((crps(paths[:, known], actual[known]) / size[known]).mean())


def mix(one: Floats, other: Floats, weight: float) -> Floats:
    """Paths [I, P, ...] of which a share comes from `one`, evenly spread, and the others from `other`.

    Path p is the p-th of its own part, so nothing is drawn again.
    """
    count = np.arange(one.shape[1] + 1)
    of_one = np.diff(np.floor(count * weight + 1e-9)) > 0
    chosen = of_one.reshape(1, -1, *(1,) * (one.ndim - 2))
    return np.where(chosen, one, other)


def _until(history: History, cut: int) -> History:
    """The history as it was `cut` steps before its end."""
    return History(
        item_ids=history.item_ids,
        variates=history.variates,
        values=history.values[..., :-cut],
        value_p05=history.value_p05[..., :-cut],
        value_p95=history.value_p95[..., :-cut],
        origins=tuple(add_periods(origin, -cut, history.frequency) for origin in history.origins),
        frequency=history.frequency,
    )
