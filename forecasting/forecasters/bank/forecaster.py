"""The bank as a forecaster of the product: items of one or several variates, joint paths in units.

I items, V variates, L context steps, P paths, H horizon steps.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from forecasting.errors import InputError, require_at_least
from forecasting.forecasters.bank.average import bank_posterior
from forecasting.forecasters.bank.posterior import BankPosterior
from forecasting.forecasters.bank.settings import BankSettings
from forecasting.panel.history import Floats, History
from forecasting.seeds import item_generator

LONGEST_HORIZON = 256  # steps: memory grows with the square, half a gigabyte here
SHRINKAGE = 10  # moves of independence added to a correlation between variates


class BankForecaster:
    """Exact Bayesian average of structural hypotheses, each variate by its own posterior.

    The variates of an item are joined by their one-step shocks, which are correlated as their past moves are,
    with `SHRINKAGE` moves of independence added. Items do not hang on one another.

    Parameters
    ----------
    season_length : int, optional
        None takes that of the frequency.
    settings : BankSettings, optional
    nonnegative : bool
        Whether paths of a series that never was negative stay so.
    """

    def __init__(
        self,
        *,
        season_length: int | None = None,
        settings: BankSettings | None = None,
        nonnegative: bool = True,
    ) -> None:
        self.season_length, self.nonnegative = season_length, nonnegative
        self.settings = settings or BankSettings()
        self._history: History | None = None

    @property
    def name(self) -> str:
        """`bank`."""
        return "bank"

    def fit(self, history: History) -> Self:
        """Keep the history; what it says depends on the horizon and is worked out when that is known.

        Raises
        ------
        InputError
            If a variate of an item has no observation, or an infinite one.
        """
        for item_id, rows in zip(history.item_ids, history.values, strict=True):
            for variate, row in zip(history.variates, rows, strict=True):
                if np.isnan(row).all() or np.isinf(row).any():
                    raise InputError(
                        "a series needs a finite observation and no infinite one",
                        found="none" if np.isnan(row).all() else "an infinite one",
                        where=f"{item_id}, {variate}",
                    )
        self._history = history
        return self

    def posterior(self, variate: int, horizon: int) -> BankPosterior:
        """Posterior of one variate of all items.

        Raises
        ------
        RuntimeError
            If nothing was fitted yet.
        """
        history = self._fitted()
        return bank_posterior(
            history.values[:, variate],
            horizon=horizon,
            seasons=self.season_length or history.frequency.season_length,
            floor=None if self.nonnegative else np.full(len(history.item_ids), -np.inf),
            settings=self.settings,
        )

    def sample(self, horizon: int, paths: int, seed: int) -> Floats:
        """Sample joint futures [I, P, H, V] of the fitted items, in units.

        Raises
        ------
        InputError
            If horizon or paths is below 1, the horizon above `LONGEST_HORIZON`, or the seed negative.
        RuntimeError
            If nothing was fitted yet.
        """
        require_at_least(1, horizon=horizon, paths=paths)
        require_at_least(0, seed=seed)
        if horizon > LONGEST_HORIZON:
            raise InputError(
                "the horizon is too long for the bank",
                expected=f"1 to {LONGEST_HORIZON} steps",
                found=str(horizon),
            )
        history = self._fitted()
        count = len(history.variates)
        season = self.season_length or history.frequency.season_length
        shocks = np.stack(
            [
                item_generator(seed, purpose="bank shocks", item_id=item_id).standard_normal(
                    (paths, horizon, count)
                )
                @ np.linalg.cholesky(shock_correlation(values, season=season)).T
                for item_id, values in zip(history.item_ids, history.values, strict=True)
            ]
        )
        return np.stack(
            [
                self.posterior(v, horizon).paths(
                    paths,
                    [
                        item_generator(seed, purpose=f"bank {variate}", item_id=item_id)
                        for item_id in history.item_ids
                    ],
                    shocks=shocks[..., v],
                )
                for v, variate in enumerate(history.variates)
            ],
            axis=-1,
        )

    def _fitted(self) -> History:
        if self._history is None:
            raise RuntimeError("sample() before fit(): there is nothing to sample from")
        return self._history


def shock_correlation(values: Floats, *, season: int) -> Floats:
    """Correlation [V, V] of the variates' moves [V, L], shrunk toward independence.

    Moves of logarithms where a variate is positive; the mean move of each phase of the season is taken off
    where two seasons were seen. With n common moves it is n / (n + SHRINKAGE) times the sample correlation.
    """
    count, length = values.shape
    identity = np.eye(count)
    if count == 1:
        return identity
    positive = np.all(np.isnan(values) | (values > 0), axis=1, keepdims=True)
    moves = np.diff(np.log(values, where=positive, out=values.copy()), axis=1)
    common = np.flatnonzero(~np.isnan(moves).any(axis=0))
    if len(common) < 3:
        return identity
    moves = moves[:, common]
    phase = common % season if length > 2 * season else np.zeros(len(common), dtype=int)
    means = np.stack([np.bincount(phase, row) for row in moves]) / np.maximum(np.bincount(phase), 1)
    rest = moves - means[:, phase]
    moving = np.ptp(rest, axis=1) > 1e-9 * np.abs(moves).max(axis=1)
    found = identity.copy()
    if moving.any():
        found[np.ix_(moving, moving)] = np.corrcoef(rest[moving])
    weight = len(common) / (len(common) + SHRINKAGE)
    return np.asarray(weight * found + (1 - weight) * identity)
