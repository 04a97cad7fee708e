"""Seasonal naive with resampled errors, and level times shape: cheap members for a combination.

I items, V variates, L context steps, P paths, H horizon steps, M steps of a season, C cycles of a season.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from forecasting.errors import InputError, require_at_least
from forecasting.panel.history import Floats, History
from forecasting.seeds import item_generator

ALIGNED_CYCLES = 8  # of changes: from so many on, errors are resampled at the phase at which they occurred
SHAPE_CYCLES = 4  # complete cycles that level times shape needs: fewer give no errors to resample
AVERAGED_SHAPES = 4  # newest cycles whose mean shape is used
LARGEST_CHANGE = 3.0  # of the level within one cycle, as a factor


class SeasonalBootstrapForecaster:
    """The value of a season ago plus past seasonal changes, resampled in stretches of one season.

    The law of the errors is the empirical one, so a series that repeats to the digit is forecast to repeat, and
    the spread is that of real one-season-ahead errors. All variates of an item are resampled at the same
    steps, which preserves their dependence. Without a season, or where fewer than two were seen, it is a random
    walk with resampled moves about their mean.

    Parameters
    ----------
    season_length : int, optional
        None takes that of the frequency.
    """

    def __init__(self, season_length: int | None = None) -> None:
        self.season_length = season_length
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
        return np.stack(
            [
                self._item(
                    values,
                    season,
                    horizon,
                    paths,
                    item_generator(seed, purpose=self.name, item_id=item_id),
                )
                for item_id, values in zip(self._history.item_ids, self._history.values, strict=True)
            ]
        )

    def _item(
        self, values: Floats, season: int, horizon: int, paths: int, rng: np.random.Generator
    ) -> Floats:
        """Paths [P, H, V] of one item from its values [V, L]."""
        return seasonal_bootstrap(values, season=season, horizon=horizon, paths=paths, rng=rng)


class LevelShapeForecaster(SeasonalBootstrapForecaster):
    """The newest cycle's level times the mean shape of the last cycles, with resampled errors of whole cycles.

    The level of a cycle is its mean; a shape is a cycle over its level, or less its level where a value is not
    positive. An error is what a cycle was beyond the level before it and the mean of the shapes before it. On
    a path each cycle draws the error of a past cycle, and its mean moves the level of the cycles that follow.
    Where fewer than `SHAPE_CYCLES` cycles were seen it is the seasonal bootstrap. After arXiv 2605.07222.
    """

    @property
    def name(self) -> str:
        """`level x shape`."""
        return "level x shape"

    def _item(
        self, values: Floats, season: int, horizon: int, paths: int, rng: np.random.Generator
    ) -> Floats:
        """Paths [P, H, V] of one item from its values [V, L]."""
        known = filled(values, season)
        if season == 1 or known.shape[1] < SHAPE_CYCLES * season:
            return seasonal_bootstrap(values, season=season, horizon=horizon, paths=paths, rng=rng)
        cycles = known.shape[1] // season
        drawn = rng.integers(1, cycles, size=(paths, -(-horizon // season)))  # of the errors, alike in all variates
        newest = known[:, -cycles * season :].reshape(len(known), cycles, season)
        floor = np.where(np.nanmin(values, axis=1) >= 0, 0.0, -np.inf)
        sampled = [level_shape(rows, drawn, least) for rows, least in zip(newest, floor, strict=True)]
        return np.stack(sampled, axis=-1)[:, :horizon]


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
    changes = changes * np.sqrt(changes.shape[1] / np.maximum(pairs, 1))  # changes of filled gaps are too small
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
    floor = np.where(np.nanmin(values, axis=1) >= 0, 0.0, -np.inf)
    return np.moveaxis(np.maximum(sampled, floor[:, None, None]), 0, -1)


def level_shape(cycles: Floats, drawn: np.typing.NDArray[np.intp], floor: float) -> Floats:
    """Paths [P, C' M] of one variate from its past cycles [C, M]; path p errs as the cycles drawn[p] did."""
    level = cycles.mean(axis=1)
    product = bool((cycles > 0).all())
    unit = level if product else np.ones_like(level)
    offset = np.zeros_like(level) if product else level
    shapes = (cycles - offset[:, None]) / unit[:, None]
    errors = np.zeros_like(cycles)
    for cycle in range(1, len(cycles)):
        shape = shapes[max(cycle - AVERAGED_SHAPES, 0) : cycle].mean(axis=0)
        errors[cycle] = (cycles[cycle] - offset[cycle - 1]) / unit[cycle - 1] - shape
    shape = shapes[-AVERAGED_SHAPES:].mean(axis=0)
    at = np.full(len(drawn), level[-1])
    parts = []
    for chosen in drawn.T:
        size, shift = (at, 0.0) if product else (1.0, at)
        moved = shape + errors[chosen]
        parts.append(np.asarray(size)[..., None] * moved + np.asarray(shift)[..., None])
        mean = errors[chosen].mean(axis=1)
        at = at * np.clip(1 + mean, 1 / LARGEST_CHANGE, LARGEST_CHANGE) if product else at + mean
    return np.maximum(np.concatenate(parts, axis=1), floor)
