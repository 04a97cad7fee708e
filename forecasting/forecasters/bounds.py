"""What forecasts keep to: the zero of a series that was never negative, the value of one that never moved.

I items, V variates, K paths or quantile levels, H horizon steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

import numpy as np

from forecasting.panel.history import Floats, History
from forecasting.panel.schema import FLOWS

Floor: TypeAlias = Literal["auto", "0", "none"]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Bounds of plain series. Orders and capacity have none here: their models keep them above zero.

    Attributes
    ----------
    lowest : array [I, V]
        Least value that a forecast may have; minus infinity where there is none.
    constant : array [I, V]
        The only value that a series of at least two observations had; NaN where it moved.
    """

    lowest: Floats
    constant: Floats

    @classmethod
    def of(cls, history: History, floor: Floor) -> Self:
        """Bounds of a history.

        Parameters
        ----------
        history : History
            Every series with at least one observation.
        floor : Floor
            `auto`: zero for a series that was never negative; `0`: zero for all; `none`: no floor.

        >>> import datetime as dt
        >>> from forecasting.panel.history import exact_history
        >>> from forecasting.frequencies import Frequency
        >>> history = exact_history(
        ...     np.array([[[0.0, 2.0, 1.0]], [[-1.0, 2.0, 1.0]]]), item_ids=("a", "b"), variates=("y",),
        ...     origins=(dt.date(2026, 1, 1),) * 2, frequency=Frequency.DAY,
        ... )
        >>> Bounds.of(history, "auto").keep(np.full((2, 1, 1, 1), -3.0)).ravel().tolist()
        [0.0, -3.0]
        """
        if history.variates == FLOWS:
            shape = history.values.shape[:2]
            return cls(lowest=np.full(shape, -np.inf), constant=np.full(shape, np.nan))
        least, most = np.nanmin(history.values, axis=-1), np.nanmax(history.values, axis=-1)
        still = (least == most) & ((~np.isnan(history.values)).sum(axis=-1) > 1)
        floored = np.zeros_like(least, bool) if floor == "none" else (least >= 0) | (floor == "0")
        return cls(lowest=np.where(floored, 0.0, -np.inf), constant=np.where(still, least, np.nan))

    def keep(self, values: Floats) -> Floats:
        """Paths or quantiles `[I, K, H, V]` within the bounds."""
        constant = self.constant[:, None, None, :]
        moving = np.where(np.isnan(constant), values, constant)
        return np.maximum(moving, self.lowest[:, None, None, :])
