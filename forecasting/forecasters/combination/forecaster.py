"""Paths of several forecasters, mixed by weights that are learned at the end of the histories.

I items, M members, P paths, H horizon steps, V variates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np

from forecasting.errors import require_at_least
from forecasting.forecasters.combination.members import Member, prior_weights
from forecasting.forecasters.combination.mixing import apportion, mix, needed
from forecasting.forecasters.combination.spread import drawn_together, pool_spread
from forecasting.forecasters.combination.validation_windows import ITEMS, rehearse
from forecasting.forecasters.combination.weights import Distances, pool_weights
from forecasting.panel.history import Floats, History


class Pool(NamedTuple):
    """Weights [I, M] of the members, and the factor by which paths are drawn toward their median."""

    weights: Floats
    spread: float = 1.0


class CombinationForecaster:
    """A mixture of its members' paths.

    The weights of an item are those of the mixture with the least CRPS at origins inside the history, pulled
    toward the mean of the panel and toward prior weights by the kind of series, see `pool_weights`; of short
    histories they are the prior weights. Past forecasts are scored over as many steps as are asked for, so
    the weights are found when the horizon is known. A path belongs to one member as a whole, which keeps its
    dependence over time and between variates; marginals and events follow from the paths. Of lone variates
    the paths are drawn toward their median as far as members disagree on the panel, see `pool_spread`.

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
        self._pools: dict[int, Pool] = {}
        self._learned_before: tuple[int, float, Mapping[str, Floats]] | None = None

    @property
    def name(self) -> str:
        """The name that it was given."""
        return self._name

    def fit(self, history: History) -> Self:
        """Keep the history; the weights depend on the horizon and are learned when that is known."""
        self._history, self._pools = history, {}
        return self

    def learned(self, history: History, horizon: int) -> CombinationForecaster:
        """The same combination with weights learned on a whole panel, to be fitted to parts of it."""
        other = CombinationForecaster(self._name, self.members, season_length=self.season_length)
        pool = self.fit(history).pool(horizon)
        other._learned_before = (
            horizon,
            pool.spread,
            dict(zip(history.item_ids, pool.weights, strict=True)),
        )
        return other

    def weights(self, horizon: int) -> Floats:
        """Weights [I, M] of the members for that horizon; errors as of `pool`."""
        return self.pool(horizon).weights

    def pool(self, horizon: int) -> Pool:
        """Weights of the members for that horizon, and the spread of their mixture.

        Raises
        ------
        InputError
            If a member cannot forecast an item.
        RuntimeError
            If nothing was fitted yet.
        """
        history = self._fitted()
        if horizon not in self._pools:
            before, spread, rows = self._learned_before or (0, 1.0, {})
            if before == horizon:
                weights = np.stack([rows[item_id] for item_id in history.item_ids])
                self._pools[horizon] = Pool(weights, spread)
            else:
                self._pools[horizon] = self._learn(history, horizon)
        return self._pools[horizon]

    def shares(self) -> Mapping[str, float]:
        """Mean weight of each member over the items at the horizon last asked for; empty before."""
        if not self._pools:
            return {}
        means = next(reversed(self._pools.values())).weights.mean(axis=0).tolist()
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
        history, pool = self._fitted(), self.pool(horizon)
        chosen = apportion(pool.weights, paths)
        drawn = [
            member.forecaster.fit(history).sample(horizon, count, seed) if count else None
            for member, count in zip(self.members, needed(chosen, len(self.members)), strict=True)
        ]
        return drawn_together(mix(drawn, chosen, seed), pool.spread)

    def _learn(self, history: History, horizon: int) -> Pool:
        """Weights and spread; that of items of several variates, whose events hang on all of them, stays."""
        season = self.season_length or history.frequency.season_length
        prior = prior_weights(self.members, history, season=season, horizon=horizon)
        used = np.flatnonzero(prior.any(axis=0))
        if len(used) == 1:
            return Pool(prior)
        some = chosen_items(history.item_ids)
        forecasters = [self.members[m].rehearsing for m in used]
        found = rehearse(forecasters, history.select(some), season=season, horizon=horizon)
        placed, weights = _placed(found, some, len(prior)), np.zeros_like(prior)
        weights[:, used] = pool_weights(prior[:, used], placed)
        alone = len(history.variates) == 1
        return Pool(weights, pool_spread(weights[:, used], placed) if alone else 1.0)

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
