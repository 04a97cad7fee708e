"""Seasonal naive with resampled errors: a cheap member for a combination.

I items, V variates, L context steps, P paths, H horizon steps, M steps of a season, C cycles of a season.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from forecasting.errors import InputError, require_at_least
from forecasting.forecasters.bounds import Bounds, Floor
from forecasting.panel.history import Floats, History
from forecasting.panel.schema import FLOWS
from forecasting.seeds import item_generator

ALIGNED_CYCLES = 8  # of changes: from so many on, errors are resampled at the phase at which they occurred


class SeasonalBootstrapForecaster:
    """The value of a season ago plus past seasonal changes, resampled in stretches of one season.

    The law of the errors is the empirical one, so a series that repeats to the digit is forecast to repeat,
    and the spread is that of real one-season-ahead errors. All variates of an item are resampled at the same
    steps, which preserves their dependence. Without a season, or where fewer than two were seen, it is a
    random walk with resampled moves about their mean.

    Parameters
    ----------
    season_length : int, optional
        None takes that of the frequency.
    floor : Floor
        Of series other than orders and capacity, which are never negative; see `Bounds`.
    """

    def __init__(self, season_length: int | None = None, *, floor: Floor = "auto") -> None:
        self.season_length = season_length
        self.floor: Floor = floor
        self._history: History | None = None

    @property
    def name(self) -> str:
        """`seasonal bootstrap`."""
        return "seasonal bootstrap"

    def fit(self, history: History) -> Self:
        """Keep the history.

        Raises
        ------
        InputError
            If a variate of an item has no observation, or an infinite one.
        """
        require_observations(history)
        self._history = history
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
        if self._history is None:
            raise RuntimeError("sample() before fit(): there is nothing to sample from")
        season = self.season_length or self._history.frequency.season_length
        sampled = np.stack(
            [
                seasonal_bootstrap(
                    values,
                    season=season,
                    horizon=horizon,
                    paths=paths,
                    rng=item_generator(seed, purpose=self.name, item_id=item_id),
                )
                for item_id, values in zip(self._history.item_ids, self._history.values, strict=True)
            ]
        )
        if self._history.variates == FLOWS:
            return np.maximum(sampled, 0.0)
        return Bounds.of(self._history, self.floor).keep(sampled)


def require_observations(history: History) -> None:
    """Refuse a variate without an observation, or with an infinite one.

    Raises
    ------
    InputError
        With the item and the variate.
    """
    for item_id, rows in zip(history.item_ids, history.values, strict=True):
        for variate, row in zip(history.variates, rows, strict=True):
            if np.isnan(row).all() or np.isinf(row).any():
                raise InputError(
                    "a series needs a finite observation and no infinite one",
                    found="none" if np.isnan(row).all() else "an infinite one",
                    where=f"{item_id}, {variate}",
                )


def filled(values: Floats, season: int) -> Floats:
    """Values [V, L'] from the first step on at which a variate was observed, without gaps.

    A gap takes the last value of its own phase, or for want of one the last value, or the first to come.
    """
    seen = ~np.isnan(values)
    rows = values[:, seen.any(axis=0).argmax() :].copy()
    for row in rows:
        if not np.isnan(row).any():
            continue
        for step in np.flatnonzero(np.isnan(row)):
            if step >= season:
                row[step] = row[step - season]
        at = np.flatnonzero(~np.isnan(row))
        before = np.maximum(np.searchsorted(at, np.arange(len(row)), side="right") - 1, 0)
        row[:] = np.where(np.isnan(row), row[at[before]], row)
    return rows


def seasonal_bootstrap(
    values: Floats, *, season: int, horizon: int, paths: int, rng: np.random.Generator
) -> Floats:
    """Paths [P, H, V] of the seasonal bootstrap from values [V, L] with gaps (NaN)."""
    known = filled(values, season)
    season = season if known.shape[1] >= 2 * season else 1
    observed = ~np.isnan(values[:, values.shape[1] - known.shape[1] :])
    changes = known[:, season:] - known[:, :-season]
    pairs = (observed[:, season:] & observed[:, :-season]).sum(axis=1, keepdims=True)
    changes = changes * np.sqrt(
        changes.shape[1] / np.maximum(pairs, 1)
    )  # changes of filled gaps are too small
    cycles = -(-horizon // season)
    if changes.shape[1] == 0:
        changes = np.zeros((len(known), 1))
    if season == 1:
        changes = changes - changes.mean(axis=1, keepdims=True)
    count = changes.shape[1]
    if count >= ALIGNED_CYCLES * season:
        starts = count - season * rng.integers(1, count // season + 1, size=(paths, cycles, 1))
    else:
        starts = rng.integers(count, size=(paths, cycles, 1))
    steps = (starts + np.arange(season)) % count  # [P, C, M]
    moved = changes[:, steps].cumsum(axis=2)  # [V, P, C, M]
    sampled = known[:, None, None, -season:] + moved
    sampled = sampled.reshape(len(known), paths, -1)[..., :horizon]
    return np.moveaxis(sampled, 0, -1)
