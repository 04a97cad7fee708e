"""What takes part in a combination, and what is believed of it before any of its forecasts were scored.

I items, M members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forecasting.forecasters.base import PathForecaster
from forecasting.panel.history import Floats, History
from forecasting.panel.schema import FLOWS

LONG_SEASON = 24
YOUNG, FEW = 24, 100  # periods, and items: a panel of young products that no long history describes
SEASONS_SEEN = 2  # observations, in seasons, from which a series counts as one with a season


@dataclass(frozen=True, kw_only=True)
class Prior:
    """Weight of a member before its forecasts are scored, up to a common factor, by the kind of series.

    Attributes
    ----------
    flows : float
        Of orders and capacity.
    young_flows : float, optional
        Of orders and capacity of a small panel in which no item has `YOUNG` periods; by default as `flows`.
    plain : float
        Of series without a season, or with less than two of them observed.
    season, long_season : float
        Of series with a season below `LONG_SEASON` steps, and from there on.
    """

    flows: float
    plain: float
    season: float
    long_season: float
    young_flows: float | None = None

    def weights(self, history: History, season: int) -> Floats:
        """Weight [I] for each item."""
        if history.variates == FLOWS:
            young = self.young_flows is not None and is_young(history)
            return np.full(len(history.item_ids), self.young_flows if young else self.flows)
        seasonal = self.long_season if season >= LONG_SEASON else self.season
        seen = observations(history) >= SEASONS_SEEN * season
        return np.where(seen & (season > 1), seasonal, self.plain)


@dataclass(frozen=True, kw_only=True)
class Member:
    """A forecaster that takes part.

    Attributes
    ----------
    forecaster : PathForecaster
    prior : Prior
    rehearsal : PathForecaster, optional
        Stands for the forecaster where its past forecasts are scored. A forecaster that was trained on real
        series has seen the end of the history and would win there undeservedly; here one that has not stands
        in. By default the forecaster itself.
    longest : int, optional
        Steps beyond which it takes no part.
    """

    forecaster: PathForecaster
    prior: Prior
    rehearsal: PathForecaster | None = None
    longest: int | None = None

    @property
    def name(self) -> str:
        """The forecaster's."""
        return self.forecaster.name

    @property
    def rehearsing(self) -> PathForecaster:
        """The forecaster whose past forecasts are scored."""
        return self.rehearsal or self.forecaster


def is_young(history: History) -> bool:
    """Whether a panel has at most `FEW` items and none of them as many as `YOUNG` observations."""
    return len(history.item_ids) <= FEW and bool((observations(history) < YOUNG).all())


def observations(history: History) -> Floats:
    """Observations [I] of the variate of each item that has fewest."""
    return np.asarray(history.observed_mask.sum(axis=2).min(axis=1), dtype=np.float64)


def prior_weights(members: Sequence[Member], history: History, *, season: int, horizon: int) -> Floats:
    """Prior weights [I, M], each row with sum 1; 0 for members that do not reach the horizon."""
    table = np.stack([member.prior.weights(history, season) for member in members], axis=1)
    reach = [member.longest is None or horizon <= member.longest for member in members]
    table = np.where(reach, table, 0.0)
    return np.asarray(table / table.sum(axis=1, keepdims=True))
