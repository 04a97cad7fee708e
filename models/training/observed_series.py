"""Observed series as batches: windows cut at random to learn from, the last steps held out to validate on.

Shapes: I items, V variates, L steps of history, B windows, C context steps, H horizon steps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from models.distributed.ranks import part
from models.errors import SeriesError
from models.inference.inputs import MIN_OBSERVATIONS, Floats, check_values
from models.settings import NetworkSettings
from models.worlds.mixture import Batch

MIN_CONTEXT = 8
# No more than this share of a history is held out: what is left must still be worth learning from.
HELD_OUT_SHARE = 0.25
# Items that are validated together.
ITEMS_PER_BATCH = 256
NEVER = np.iinfo(np.int64).max
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class ObservedSeries(NamedTuple):
    """Series to learn from.

    Attributes
    ----------
    values : array [I, V, L]
        On one calendar, NaN where nothing was observed.
    season_length : int
        Steps per season, 0 or 1 where there is none.
    horizon : int
        H, steps ahead that are wanted.
    statics : array [V, S], optional
        Static covariates of the variates, the same for every item; further ones of the network are 0.
    """

    values: Floats
    season_length: int
    horizon: int
    statics: Floats | None = None


def check_observed(observed: ObservedSeries, *, longest: int) -> None:
    """Refuse what the network cannot learn from.

    Raises
    ------
    SeriesError
        The values are not [I, V, L], one is infinite, or the horizon is not one that the network decodes.
    """
    values = observed.values
    check_values(values)
    if observed.statics is not None and len(observed.statics) != values.shape[1]:
        raise SeriesError(f"statics must be of shape ({values.shape[1]}, S), found {observed.statics.shape}")
    if not 1 <= observed.horizon <= longest:
        raise SeriesError(f"the horizon must be 1 to {longest} steps, found {observed.horizon}")


def held_out_steps(observed: ObservedSeries, *, origins: int) -> int:
    """Number of last steps that are validated on: the horizon, within a quarter of the history.

    At least one step per origin.
    """
    length = observed.values.shape[-1]
    return max(origins, min(observed.horizon, int(HELD_OUT_SHARE * length)))


class TrainingWindows:
    """Training windows by number, all of them before the held-out steps.

    A window's context is 8 columns or more, and as many as the network reads at most; its length is drawn per
    batch, log-uniform. Of a short series the first of these columns are unobserved, as they are when it is
    forecast. Targets beyond the training part are not observed.

    Parameters
    ----------
    observed : ObservedSeries
    held_out : int
        Last steps that are never cut from.
    size : int
        B, windows per batch.
    seed : int
    network : NetworkSettings
    rank, processes : int
        Number of this process, and of all that share each batch.

    Raises
    ------
    SeriesError
        No window has 3 observations of every variate and one step after them.
    """

    def __init__(
        self,
        observed: ObservedSeries,
        *,
        held_out: int,
        size: int,
        seed: int,
        network: NetworkSettings,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self._observed, self._network = observed, network
        self._size = max(1, part(size, rank=rank, processes=processes))
        self._seed, self._rank = seed, rank
        self._end = max(0, observed.values.shape[-1] - held_out)
        need = context_needed(observed.values)
        ahead = _observed_ahead(observed, end=self._end)
        usable = (need <= network.max_context) & ahead
        usable[:, self._end :] = False
        items, origins = np.nonzero(usable)
        if len(items) == 0:
            raise SeriesError(
                f"the history is too short to train on: expected a series with {MIN_OBSERVATIONS} "
                f"observations of each variate and one more before the {held_out} steps of the validation, "
                f"found none among {len(usable)} series of {observed.values.shape[-1]} steps"
            )
        order = np.argsort(need[items, origins], kind="stable")
        self._items, self._origins = items[order], origins[order]
        self._need = need[self._items, self._origins]
        self._longest = max(MIN_CONTEXT, min(self._end, network.max_context))

    def batch(self, number: int, device: torch.device) -> Batch:
        """Batch of the given number, on the device."""
        rng = np.random.default_rng([self._seed, number])
        drawn = math.exp(rng.uniform(math.log(MIN_CONTEXT), math.log(self._longest + 1)))
        context = max(min(int(drawn), self._longest), int(self._need[0]))
        fitting = int(np.searchsorted(self._need, context, side="right"))
        if self._rank:  # the same context in every process, other windows
            rng = np.random.default_rng([self._seed, number, self._rank])
        chosen = rng.integers(fitting, size=self._size)
        window = cut(
            self._observed,
            self._items[chosen],
            self._origins[chosen],
            context=context,
            end=self._end,
            network=self._network,
        )
        return on_device(window, device)


def rolling_validation(
    observed: ObservedSeries, *, held_out: int, origins: int, network: NetworkSettings
) -> list[Batch]:
    """Batches of the held-out steps, seen from several origins one after the other, each with all its past.

    Raises
    ------
    SeriesError
        Nothing can be validated on.
    """
    length = observed.values.shape[-1]
    need, batches = context_needed(observed.values), []
    for back in range(origins):
        origin = length - held_out - 1 + round(back * held_out / origins)
        if origin < 0:
            continue
        context = min(max(origin + 1, MIN_CONTEXT), network.max_context)
        ahead = _observed_ahead(observed, end=length)[:, origin]
        (items,) = np.nonzero((need[:, origin] <= context) & ahead)
        for start in range(0, len(items), ITEMS_PER_BATCH):
            some = items[start : start + ITEMS_PER_BATCH]
            at = np.full(len(some), origin)
            batches.append(cut(observed, some, at, context=context, end=length, network=network))
    if not batches:
        raise SeriesError(
            f"the history is too short to validate on: expected a series with {MIN_OBSERVATIONS} "
            f"observations of each variate before its last {held_out} steps and one among them, "
            f"found none among {len(observed.values)} series of {length} steps"
        )
    return batches


def context_needed(values: Floats) -> Integers:
    """Columns up to each step [I, L] that hold 3 observations of every variate; `NEVER` where none do."""
    items, variates, length = values.shape
    need = np.zeros((items, length), dtype=np.int64)
    steps = np.arange(length)
    for i in range(items):
        for v in range(variates):
            seen = ~np.isnan(values[i, v])
            places = np.flatnonzero(seen)
            third_last = np.cumsum(seen) - MIN_OBSERVATIONS
            enough = third_last >= 0
            columns = np.full(length, NEVER)
            columns[enough] = steps[enough] - places[third_last[enough]] + 1
            need[i] = np.maximum(need[i], columns)
    return need


def cut(
    observed: ObservedSeries,
    items: Integers,
    origins: Integers,
    *,
    context: int,
    end: int,
    network: NetworkSettings,
) -> Batch:
    """Windows [B, V, C+H] of the given items whose contexts end at the given steps; nothing from `end` on."""
    horizon = observed.horizon
    columns = origins[:, None] + np.arange(1 - context, horizon + 1)
    inside = (columns >= 0) & (columns < end)
    picked = observed.values[items[:, None], :, np.clip(columns, 0, observed.values.shape[-1] - 1)]
    values = np.where(inside[:, None], np.moveaxis(picked, -1, 1), np.nan)
    seen = ~np.isnan(values)
    count, variates, steps = values.shape
    statics = torch.zeros(count, variates, network.statics)
    if observed.statics is not None:
        statics[..., : observed.statics.shape[1]] = torch.from_numpy(observed.statics)
    return Batch(
        values=torch.from_numpy(np.where(seen, values, 0.0)),
        observed=torch.from_numpy(seen),
        season=torch.full((count,), observed.season_length),
        covariates=torch.zeros(count, network.covariates, steps),
        statics=statics,
        horizon=horizon,
    )


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The same batch on a device."""
    return Batch(
        values=batch.values.to(device),
        observed=batch.observed.to(device),
        season=batch.season.to(device),
        covariates=batch.covariates.to(device),
        statics=batch.statics.to(device),
        horizon=batch.horizon,
    )


def _observed_ahead(observed: ObservedSeries, *, end: int) -> Bools:
    """Whether any variate is observed in the H steps after each step [I, L] and before `end`."""
    seen: Bools = np.any(~np.isnan(observed.values), axis=1)
    length = seen.shape[1]
    seen[:, end:] = False
    total = np.concatenate([np.zeros((len(seen), 1), dtype=np.int64), np.cumsum(seen, axis=1)], axis=1)
    after = np.arange(1, length + 1)
    return np.asarray(total[:, np.minimum(after + observed.horizon, length)] > total[:, after])
