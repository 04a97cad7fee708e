"""Paths of several forecasters, mixed by weights that are learned at the end of the histories.

I items, M members, P paths, H horizon steps, V variates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from forecasting.errors import require_at_least
from forecasting.forecasters.combination.members import Member, prior_weights
from forecasting.forecasters.combination.mixing import apportion, mix, needed
from forecasting.forecasters.combination.rehearsal import ITEMS, rehearse
from forecasting.forecasters.combination.weights import Distances, pool_weights
from forecasting.panel.history import Floats, History


class CombinationForecaster:
    """A mixture of its members' paths.

    The weights of an item are those of the mixture with the least CRPS at origins inside the history, pulled
    toward the mean of the panel and toward prior weights by the kind of series, see `pool_weights`; of short
    histories they are the prior weights. Past forecasts are scored over as many steps as are asked for, so
    the weights are found when the horizon is known. A path belongs to one member as a whole, which keeps its
    dependence over time and between variates; marginals and events follow from the paths.

    Parameters
    ----------
    name : str
        As shown in score tables.
    members : sequence of Member
    season_length : int, optional
        None takes that of the frequency.
    """

    def __init__(self, name: str, members: Sequence[Member], *, season_length: int | None = None) -> None:
        self._name, self.members, self.season_length = name, tuple(members), season_length
        self._history: History | None = None
        self._weights: dict[int, Floats] = {}
        self._learned_before: tuple[int, Mapping[str, Floats]] | None = None

    @property
    def name(self) -> str:
        """The name that it was given."""
        return self._name

    def fit(self, history: History) -> Self:
        """Keep the history; the weights depend on the horizon and are learned when that is known."""
        self._history, self._weights = history, {}
        return self

    def learned(self, history: History, horizon: int) -> CombinationForecaster:
        """The same combination with weights learned on a whole panel, to be fitted to parts of it."""
        other = CombinationForecaster(self._name, self.members, season_length=self.season_length)
        rows = self.fit(history).weights(horizon)
        other._learned_before = (horizon, dict(zip(history.item_ids, rows, strict=True)))
        return other

    def weights(self, horizon: int) -> Floats:
        """Weights [I, M] of the members for that horizon.

        Raises
        ------
        InputError
            If a member cannot forecast an item.
        RuntimeError
            If nothing was fitted yet.
        """
        history = self._fitted()
        if horizon not in self._weights:
            before, rows = self._learned_before or (0, {})
            if before == horizon:
                self._weights[horizon] = np.stack([rows[item_id] for item_id in history.item_ids])
            else:
                self._weights[horizon] = self._learn(history, horizon)
        return self._weights[horizon]

    def shares(self) -> Mapping[str, float]:
        """Mean weight of each member over the items at the horizon last asked for; empty before."""
        if not self._weights:
            return {}
        means = next(reversed(self._weights.values())).mean(axis=0).tolist()
        return dict(zip((member.name for member in self.members), means, strict=True))

    def sample(self, horizon: int, paths: int, seed: int) -> Floats:
        """Sample joint futures [I, P, H, V]; any first paths hold each member's share.

        Raises
        ------
        InputError
            If horizon or paths is below 1, the seed is negative, or a member cannot forecast an item.
        RuntimeError
            If nothing was fitted yet.
        """
        require_at_least(1, horizon=horizon, paths=paths)
        require_at_least(0, seed=seed)
        history, weights = self._fitted(), self.weights(horizon)
        chosen = apportion(weights, paths)
        drawn = [
            member.forecaster.fit(history).sample(horizon, count, seed) if count else None
            for member, count in zip(self.members, needed(chosen, len(self.members)), strict=True)
        ]
        return mix(drawn, chosen, seed)

    def _learn(self, history: History, horizon: int) -> Floats:
        """Weights [I, M]."""
        season = self.season_length or history.frequency.season_length
        prior = prior_weights(self.members, history, season=season, horizon=horizon)
        used = np.flatnonzero(prior.any(axis=0))
        if len(used) == 1:
            return prior
        some = chosen_items(history.item_ids)
        forecasters = [self.members[m].rehearsing for m in used]
        found = rehearse(forecasters, history.select(some), season=season, horizon=horizon)
        weights = np.zeros_like(prior)
        weights[:, used] = pool_weights(prior[:, used], _placed(found, some, len(prior)))
        return weights

    def _fitted(self) -> History:
        if self._history is None:
            raise RuntimeError("a forecast before fit(): there is nothing to forecast from")
        return self._history


def chosen_items(item_ids: Sequence[str]) -> list[int]:
    """Places of at most `ITEMS` items, which hang on nothing but their names."""
    if len(item_ids) <= ITEMS:
        return list(range(len(item_ids)))
    digest = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in item_ids]
    return sorted(sorted(range(len(item_ids)), key=digest.__getitem__)[:ITEMS])


def _placed(found: Distances, places: list[int], count: int) -> Distances:
    """Distances of some items as those of all, the others without past forecasts."""
    members = found.to_actual.shape[1]
    placed = Distances(
        to_actual=np.zeros((count, members)),
        between=np.zeros((count, members, members)),
        forecasts=np.zeros(count),
    )
    placed.to_actual[places], placed.between[places] = found.to_actual, found.between
    placed.forecasts[places] = found.forecasts
    return placed
