"""The past as arrays: what a forecaster is fitted to. The seam to any network is this numpy view.

I items, V variates, L context steps (right-aligned: column L-1 is the forecast origin of its item).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from forecasting.frequencies import Frequency

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class History:
    """Observed series of several items, aligned at their forecast origins.

    Attributes
    ----------
    item_ids : tuple of str, length I
    variates : tuple of str, length V
        `("orders", "capacity")` for the product; `("y",)` for a plain series.
    values : array [I, V, L]
        NaN where nothing was observed (gaps, and padding on the left of short series).
    value_p05, value_p95 : array [I, V, L]
        5 % and 95 % points of the measurement error; equal to `values` where a figure is exact.
    origins : tuple of date, length I
        Period end of the last column, per item.
    frequency : Frequency
    """

    item_ids: tuple[str, ...]
    variates: tuple[str, ...]
    values: Floats
    value_p05: Floats
    value_p95: Floats
    origins: tuple[dt.date, ...]
    frequency: Frequency

    def __post_init__(self) -> None:
        shape = (len(self.item_ids), len(self.variates), self.values.shape[-1])
        for name in ("values", "value_p05", "value_p95"):
            if getattr(self, name).shape != shape:
                raise ValueError(f"History.{name}: expected shape {shape}, found {getattr(self, name).shape}")
        if len(self.origins) != shape[0]:
            raise ValueError(f"History.origins: expected {shape[0]} dates, found {len(self.origins)}")

    @property
    def observed_mask(self) -> Bools:
        """[I, V, L]: True where a value was observed."""
        return ~np.isnan(self.values)

    @property
    def context_length(self) -> int:
        """Number of columns L; single items may have fewer observations."""
        return int(self.values.shape[-1])

    def select(self, items: list[int]) -> History:
        """Return the same history for some items, in the given order."""
        values = self.values[items]
        return History(
            item_ids=tuple(self.item_ids[i] for i in items),
            variates=self.variates,
            values=values,
            value_p05=values if self.value_p05 is self.values else self.value_p05[items],
            value_p95=values if self.value_p95 is self.values else self.value_p95[items],
            origins=tuple(self.origins[i] for i in items),
            frequency=self.frequency,
        )

    def only(self, *variates: str) -> History:
        """Return the same history for some variates, in the given order."""
        places = [self.variates.index(name) for name in variates]
        return History(
            item_ids=self.item_ids,
            variates=variates,
            values=self.values[:, places],
            value_p05=self.value_p05[:, places],
            value_p95=self.value_p95[:, places],
            origins=self.origins,
            frequency=self.frequency,
        )


def exact_history(
    values: Floats,
    *,
    item_ids: tuple[str, ...],
    variates: tuple[str, ...],
    origins: tuple[dt.date, ...],
    frequency: Frequency,
) -> History:
    """Build a history whose figures carry no measurement error; `values` is [I, V, L]."""
    return History(
        item_ids=item_ids,
        variates=variates,
        values=values,
        value_p05=values,
        value_p95=values,
        origins=origins,
        frequency=frequency,
    )
