"""The network behind the path forecaster's protocol: histories in, joint paths out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from forecasting.errors import InputError, StepError
from forecasting.forecasters.book_to_bill import book_to_bill, orders_from
from forecasting.forecasters.bounds import Bounds, Floor
from forecasting.forecasters.scaling import kind_of
from forecasting.panel.history import Floats, History
from forecasting.panel.schema import FLOWS
from models.errors import ModelError, SeriesError
from models.inference.forecaster import NetworkForecaster
from models.inference.inputs import MIN_OBSERVATIONS

# Static covariates of book-to-bill and capacity as the model card describes them.
ROLES = np.array([[1.0, 1.0], [-1.0, 0.0]])
# How many of its ranges a series that may lie anywhere is put above zero. With 10 (and with 4) the quantile
# loss on such series of M3 is that of their own levels within 1 %; with the last value at 0 it is 20 % more.
RANGES_ABOVE_ZERO = 10


@dataclass
class NetworkPathForecaster:
    """The pretrained network; `fit` only remembers the context.

    Orders and capacity are handed over as book-to-bill (orders over capacity) and capacity: forecasting the
    two flows as they are gives a better CRPS and twice the error of the date, which hangs on their ratio
    (docs/experiments.md). A plain series for which zero is a number as any is moved to one distance from
    zero: what the network says of it then hangs on its moves alone, not on its level.

    Attributes
    ----------
    network : NetworkForecaster
        By default the weights that ship with the package.
    floor : Floor
        What keeps a plain series from turning negative, see `Bounds.of`.
    """

    network: NetworkForecaster = field(default_factory=NetworkForecaster.load)
    floor: Floor = "auto"
    _history: History | None = None

    @property
    def name(self) -> str:
        """`network`."""
        return "network"

    def fit(self, history: History) -> Self:
        """Remember the context; nothing is learned."""
        self._history = history
        return self

    def sample(self, horizon: int, paths: int, seed: int) -> Floats:
        """Sample joint futures [I, P, H, V] of the items last given to `fit`.

        Raises
        ------
        InputError
            If a series is too short, or has no observation.
        StepError
            If the network cannot be used.
        """
        history = self._fitted()
        flows = history.variates == FLOWS
        level = _level(history)
        with _convert_model_errors():
            drawn = self.network.sample(
                network_view(history) - level[..., None],
                horizon=horizon,
                paths=paths,
                seed=seed,
                season_length=history.frequency.season_length,
                statics=np.broadcast_to(ROLES, (len(history.item_ids), *ROLES.shape)) if flows else None,
            )
        if flows:
            return _orders_and_capacity(drawn)
        return Bounds.of(history, self.floor).keep(drawn + level[:, None, None, :])

    def quantiles(self, horizon: int, levels: Floats) -> Floats | None:
        """Quantiles [I, Q, H, V] without sampling error; None where they can be had from paths alone.

        That is so for orders and capacity, which are a product and a factor of what the network reads, and
        for horizons beyond one pass. Errors as in `sample`.
        """
        history = self._fitted()
        if history.variates == FLOWS or horizon > self.network.network.settings.max_horizon:
            return None
        level = _level(history)
        with _convert_model_errors():
            found = self.network.predict_quantiles(
                network_view(history) - level[..., None],
                horizon=horizon,
                levels=levels.tolist(),
                season_length=history.frequency.season_length,
            )
        wanted = np.ascontiguousarray(found.transpose(0, 3, 2, 1)) + level[:, None, None, :]
        return Bounds.of(history, self.floor).keep(wanted)

    def _fitted(self) -> History:
        if self._history is None:
            raise RuntimeError("a forecast before fit(): there is nothing to forecast from")
        return self._history


@contextmanager
def _convert_model_errors() -> Iterator[None]:
    """Errors of the network as those of the pipeline."""
    try:
        yield
    except SeriesError as error:
        raise InputError(str(error)) from error
    except ModelError as error:
        raise StepError(str(error)) from error


def network_view(history: History) -> Floats:
    """Values [I, V, L] as the network reads them: book-to-bill and capacity in place of the two flows."""
    return _ratio_and_capacity(history.values) if history.variates == FLOWS else history.values


def _level(history: History) -> Floats:
    """What each plain series [I, V] that may lie anywhere stands on, 0 of the others.

    Above it the series lies as far from zero as it ranges `RANGES_ABOVE_ZERO` times over, wherever it lay.
    """
    level = np.zeros(history.values.shape[:2])
    if history.variates == FLOWS:
        return level
    for place in np.ndindex(level.shape):
        row = history.values[place]
        seen = row[~np.isnan(row)]
        if len(seen) and kind_of(seen) == "anywhere":
            level[place] = seen.min() - RANGES_ABOVE_ZERO * np.ptp(seen)
    return level


def _ratio_and_capacity(values: Floats) -> Floats:
    """Orders and capacity [I, 2, L] as their ratio and capacity.

    The ratio is unobserved without capacity; of items that would have too few observations left, a period
    without capacity counts as one in which as much was ordered as could be made.
    """
    orders, capacity = values[:, 0], values[:, 1]
    ratio = book_to_bill(orders, capacity, idle=np.nan)
    few = (~np.isnan(ratio)).sum(-1, keepdims=True) < MIN_OBSERVATIONS
    ratio = np.where(few & np.isnan(ratio) & ~np.isnan(orders) & ~np.isnan(capacity), 1.0, ratio)
    return np.stack([ratio, capacity], axis=1)


def _orders_and_capacity(drawn: Floats) -> Floats:
    """Ratio and capacity [I, P, H, 2] back as orders and capacity, neither below 0."""
    ratio, capacity = np.maximum(drawn[..., 0], 0.0), np.maximum(drawn[..., 1], 0.0)
    return np.stack([orders_from(ratio, capacity), capacity], axis=-1)
