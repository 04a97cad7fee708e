"""The bank for orders and capacity: on the scale of classical models, beside walks of the panel's volatility.

I items, V variates, L context steps, P paths, H horizon steps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np

from forecasting.errors import require_at_least
from forecasting.forecasters.bank import LONGEST_HORIZON, BankForecaster
from forecasting.forecasters.bank.forecaster import shock_correlation
from forecasting.forecasters.bounds import Bounds, Floor
from forecasting.forecasters.combination.mixing import apportion
from forecasting.forecasters.intermittent import is_intermittent, sample_blocks
from forecasting.forecasters.scaling import Pool, ScaledItem, kind_of, scale_item
from forecasting.panel.history import Floats, History, exact_history
from forecasting.panel.schema import FLOWS
from forecasting.seeds import item_generator

WALK_SHARE = 0.5  # of the paths of orders and capacity (docs/decisions/0005)


class FlowBankForecaster:
    """The bank, which reads orders and capacity as log book-to-bill and log capacity.

    Backlog and saturation hang on the ratio of the two, which two banks, one for each flow, do not keep
    (docs/decisions/0017). A share of the paths of the flows are random walks with the panel's volatility, for
    the reason of decision 5, and all keep within the guards of `Pool`. Intermittent flows have no log scale:
    their paths are drawn from their own past (`intermittent`), and other items do not learn from them. Other
    series are left to the bank as they are.

    Parameters
    ----------
    walk_share : float
        In [0, 1].
    floor : Floor
        Of series other than orders and capacity, see `Bounds`.
    """

    longest_horizon = LONGEST_HORIZON

    def __init__(self, *, walk_share: float = WALK_SHARE, floor: Floor = "auto") -> None:
        self.walk_share = walk_share
        self.floor: Floor = floor
        self._bank = BankForecaster()
        self._history: History | None = None
        self._items: dict[str, ScaledItem] = {}

    @property
    def name(self) -> str:
        """`bank`."""
        return "bank"

    def fit(self, history: History) -> Self:
        """Keep the history.

        Raises
        ------
        InputError
            If a variate has no observation or an infinite one, or orders or capacity are negative.
        """
        self._items, self._history = {}, history
        if history.variates != FLOWS:
            self._level = _levels(history)
            shifted = replace(history, values=history.values - self._level[..., None])
            self._bank = BankForecaster(nonnegative=False).fit(shifted)
            self._bounds = Bounds.of(history, self.floor)
            return self
        scaled = {item_id: scale_item(history, item) for item, item_id in enumerate(history.item_ids)}
        smooth = [item for item in range(len(history.item_ids)) if not is_intermittent(history, item)]
        self._items = {history.item_ids[item]: scaled[history.item_ids[item]] for item in smooth}
        if smooth:
            self._scaled = exact_history(
                _right_aligned(list(self._items.values())),
                item_ids=tuple(self._items),
                variates=history.variates,
                origins=tuple(history.origins[item] for item in smooth),
                frequency=history.frequency,
            )
            self._bank = BankForecaster(season_length=1, nonnegative=False).fit(self._scaled)
        return self

    def sample(self, horizon: int, paths: int, seed: int) -> Floats:
        """Sample joint futures [I, P, H, V] of the fitted items, in units; errors as those of the bank."""
        require_at_least(1, horizon=horizon, paths=paths)
        history = self._history
        if history is None:
            raise RuntimeError("sample() before fit(): there is nothing to sample from")
        if history.variates != FLOWS:
            drawn = self._bank.sample(horizon, paths, seed)
            return self._bounds.keep(drawn + self._level[:, None, None, :])
        smooth = self._smooth(horizon, paths, seed) if self._items else {}
        return np.stack(
            [
                smooth[item_id] if item_id in smooth else self._lumpy(item, horizon, paths, seed)
                for item, item_id in enumerate(history.item_ids)
            ]
        )

    def _lumpy(self, item: int, horizon: int, paths: int, seed: int) -> Floats:
        """Paths [P, H, V] of an intermittent item, out of its own past."""
        history = self._history
        if history is None:
            raise RuntimeError("nothing was fitted")
        generator = item_generator(seed, purpose="blocks", item_id=history.item_ids[item])
        return sample_blocks(
            history.values[item],
            season_length=history.frequency.season_length,
            horizon=horizon,
            paths=paths,
            generator=generator,
        )

    def _smooth(self, horizon: int, paths: int, seed: int) -> dict[str, Floats]:
        """Paths [P, H, V] of the other items, by item."""
        drawn = self._bank.sample(horizon, paths, seed)
        pool = Pool.of(list(self._items.values()))
        walking = apportion(np.array([[self.walk_share, 1 - self.walk_share]]), paths)[0] == 0
        shape = (int(walking.sum()), horizon, len(FLOWS))
        for growth, item_id, values in zip(drawn, self._items, self._scaled.values, strict=True):
            rng = item_generator(seed, purpose="walks", item_id=item_id)
            root = np.linalg.cholesky(shock_correlation(values, season=1))
            growth[walking] = (rng.standard_normal(shape) @ root.T).cumsum(axis=1) * pool.volatility
        return {
            item_id: item.restore(pool.bounded(growth, item))
            for (item_id, item), growth in zip(self._items.items(), drawn, strict=True)
        }


def _levels(history: History) -> Floats:
    """Last value [I, V] of each series that zero says little about, 0 of the others: see `kind_of`."""
    level = np.zeros(history.values.shape[:2])
    for place in np.ndindex(level.shape):
        row = history.values[place]
        seen = row[~np.isnan(row)]
        if len(seen) and kind_of(seen) == "anywhere":
            level[place] = seen[-1]
    return level


def _right_aligned(items: list[ScaledItem]) -> Floats:
    """Series of the items [I, V, L] that end together, after NaN."""
    length = max(len(series) for item in items for series in item.series)
    values = np.full((len(items), len(items[0].series), length), np.nan)
    for rows, item in zip(values, items, strict=True):
        for row, series in zip(rows, item.series, strict=True):
            row[length - len(series) :] = series
    return values
