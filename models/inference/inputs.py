"""What is asked of the network, checked and laid out: numpy in, `Inputs` on the CPU out.

Shapes: B items, V variates, L context steps, H horizon steps, K covariates, S statics.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from models.errors import SeriesError
from models.network.features import Inputs
from models.settings import NetworkSettings

Floats = npt.NDArray[np.float64]
MIN_OBSERVATIONS = 3
# Steps of the shortest context in training; a history that is shorter ended there, after a gap.
MIN_PADDED_CONTEXT = 24


def checked_inputs(
    settings: NetworkSettings,
    values: Floats,
    *,
    horizon: int,
    season_length: int | npt.NDArray[np.int64],
    covariates: Floats | None,
    statics: Floats | None,
) -> Inputs:
    """Inputs cut to the longest context, filled up to the shortest, without columns nobody observed.

    Parameters
    ----------
    settings : NetworkSettings
    values : array [B, V, L]
        NaN where nothing was observed.
    horizon : int
    season_length : int or array [B]
    covariates : array [B, K, L + H], optional
    statics : array [B, V, S], optional

    Raises
    ------
    SeriesError
        A shape, a value or a setting that cannot be answered, with its place.
    """
    if horizon < 1:
        raise SeriesError(f"the horizon must be at least 1 step, found {horizon}")
    values = np.asarray(values, dtype=np.float64)
    check_values(values)
    _check_observations(values)
    items, variates, length = values.shape
    known = _slots(covariates, (items, settings.covariates, length + horizon), axis=1, name="covariates")
    features = _slots(statics, (items, variates, settings.statics), axis=2, name="statics")
    lacking = ((0, 0), (0, 0), (max(0, MIN_PADDED_CONTEXT - length), 0))
    values, known = np.pad(values, lacking, constant_values=np.nan), np.pad(known, lacking)
    length = values.shape[-1]
    observed = ~np.isnan(values)
    first = min(int(observed.any((0, 1)).argmax()), length - MIN_PADDED_CONTEXT)
    first = max(first, length - settings.max_context)
    season = np.broadcast_to(np.asarray(season_length, dtype=np.int64), (items,))
    return Inputs(
        values=torch.from_numpy(np.where(observed, values, 0.0)[..., first:]),
        observed=torch.from_numpy(observed[..., first:]),
        season=torch.from_numpy(season.copy()),
        covariates=torch.from_numpy(known[..., first:]),
        statics=torch.from_numpy(features),
    )


def checked_levels(levels: Sequence[float]) -> list[float]:
    """Quantile levels, each inside (0, 1).

    Raises
    ------
    SeriesError
        One is not.
    """
    wanted = [float(level) for level in levels]
    for level in wanted:
        if not 0 < level < 1:
            raise SeriesError(f"quantile levels must lie inside (0, 1), found {level}")
    return wanted


def check_values(values: Floats) -> None:
    """Refuse what is not [items, variates, steps] of finite numbers and NaN.

    Raises
    ------
    SeriesError
        With the place.
    """
    if values.ndim != 3 or 0 in values.shape:
        raise SeriesError(
            f"values must be [items, variates, steps] with none of them 0, found {values.shape}"
        )
    if np.isinf(values).any():
        where = tuple(int(index) for index in np.argwhere(np.isinf(values))[0])
        raise SeriesError(
            f"values must be finite or NaN, found an infinite one at [item, variate, step] {where}"
        )


def _check_observations(values: Floats) -> None:
    seen = (~np.isnan(values)).sum(-1)
    if seen.min() < MIN_OBSERVATIONS:
        where = tuple(int(index) for index in np.argwhere(seen < MIN_OBSERVATIONS)[0])
        raise SeriesError(
            f"a series needs at least {MIN_OBSERVATIONS} observations, "
            f"found {int(seen[where])} at [item, variate] {where}"
        )


def _slots(given: Floats | None, shape: tuple[int, ...], *, axis: int, name: str) -> Floats:
    """Array of the given shape with what was given in its first slots along an axis, and 0 in the others."""
    full = np.zeros(shape)
    if given is None:
        return full
    given = np.asarray(given, dtype=np.float64)
    fits = given.ndim == len(shape) and given.shape[axis] <= shape[axis]
    if not fits or any(given.shape[k] != shape[k] for k in range(len(shape)) if k != axis):
        raise SeriesError(
            f"{name} must be of shape {shape} with at most that many slots, found {given.shape}"
        )
    if not np.isfinite(given).all():
        raise SeriesError(f"{name} must be finite")
    full[(slice(None),) * axis + (slice(given.shape[axis]),)] = given
    return full
