"""What a forecaster is, and the joint sample paths it gives: drawn history followed by sampled future.

I items, P paths, L context steps, H horizon steps, V variates.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from forecasting.errors import require_at_least
from forecasting.frequencies import Frequency
from forecasting.panel.history import Floats, History
from forecasting.panel.measurement_error import draw_history


class PathForecaster(Protocol):
    """Anything that samples joint futures of the items it was fitted to."""

    @property
    def name(self) -> str:
        """Short name, as shown in score tables."""
        ...

    def fit(self, history: History) -> Self:
        """Learn from the history alone; returns the forecaster itself."""
        ...

    def sample(self, horizon: int, paths: int, seed: int) -> Floats:
        """Sample futures `[I, P, H, V]` of the fitted items; step 0 is the period after the origin."""
        ...


@dataclass(frozen=True, kw_only=True)
class PathSet:
    """Joint sample paths of several items, past and future in one array.

    Attributes
    ----------
    item_ids : tuple of str, length I
    variates : tuple of str, length V
    origins : tuple of date, length I
        Forecast origin (period end of the last history column), per item.
    frequency : Frequency
    context_length : int
        Number L of history columns in `values`.
    values : array [I, P, L + H, V]
        Drawn history (NaN where nothing was observed) followed by the sampled future.
    """

    item_ids: tuple[str, ...]
    variates: tuple[str, ...]
    origins: tuple[dt.date, ...]
    frequency: Frequency
    context_length: int
    values: Floats

    def __post_init__(self) -> None:
        items, _, steps, variates = self.values.shape
        found = (items, len(self.origins), variates)
        expected = (len(self.item_ids), len(self.item_ids), len(self.variates))
        if found != expected or steps <= self.context_length:
            raise ValueError(
                f"PathSet: values {self.values.shape} and {len(self.origins)} origins do not fit "
                f"{expected[0]} items, {expected[2]} variates and {self.context_length} context steps"
            )

    @property
    def horizon(self) -> int:
        """Number of future steps H."""
        return int(self.values.shape[2]) - self.context_length

    @property
    def paths(self) -> int:
        """Number of paths P."""
        return int(self.values.shape[1])

    @property
    def history(self) -> Floats:
        """Drawn history [I, P, L, V], a view."""
        return self.values[:, :, : self.context_length]

    @property
    def future(self) -> Floats:
        """Sampled future [I, P, H, V], a view."""
        return self.values[:, :, self.context_length :]


def forecast_paths(
    forecaster: PathForecaster,
    history: History,
    *,
    horizon: int,
    paths: int,
    seed: int,
    error_correlation: float,
) -> PathSet:
    """Fit a forecaster to the central figures and sample paths that include what is not known about the past.

    The future is sampled once, from the central figures; each path then starts where its own drawn history
    ends: its future is multiplied by drawn / central figure at the origin, per item and variate (1 where the
    figure is exact or not positive). Items whose figures are the same, such as the only product of a vendor
    and its portfolio, have the same paths.

    Parameters
    ----------
    forecaster : PathForecaster
        Is fitted here.
    history : History
    horizon, paths : int
        H and P, each at least 1.
    seed : int
        Base seed, not negative.
    error_correlation : float
        Correlation of measurement errors within an item, see `measurement_error.draw_history`.

    Raises
    ------
    InputError
        If horizon or paths is below 1, the seed is negative, or the history cannot be forecast.
    """
    require_at_least(1, horizon=horizon, paths=paths)
    require_at_least(0, seed=seed)
    drawn = draw_history(history, paths=paths, seed=seed, correlation=error_correlation)
    same = shared_groups(history)
    drawn, future = drawn[same], forecaster.fit(history).sample(horizon, paths, seed)[same]
    central = history.values[:, None, None, :, -1]
    start = np.ones_like(drawn[:, :, -1:])
    np.divide(drawn[:, :, -1:], central, out=start, where=central > 0)
    return PathSet(
        item_ids=history.item_ids,
        variates=history.variates,
        origins=history.origins,
        frequency=history.frequency,
        context_length=history.context_length,
        values=np.concatenate([drawn, future * start], axis=2),
    )


def shared_groups(history: History) -> npt.NDArray[np.intp]:
    """For each item the first one whose figures are all the same [I]."""
    first: dict[bytes, int] = {}
    parts = (history.values, history.value_p05, history.value_p95)
    keys = [b"".join(part[item].tobytes() for part in parts) for item in range(len(history.item_ids))]
    return np.array([first.setdefault(key, item) for item, key in enumerate(keys)], dtype=np.intp)
