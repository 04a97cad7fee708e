"""The mixture of all worlds in equal shares, cut into training batches.

Shapes: B items, V variates, L context steps, H horizon steps, K covariates, S statics.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from models.distributed.ranks import part
from models.settings import NetworkSettings, WorldSettings
from models.worlds.chips import CHIP_WORLDS
from models.worlds.cycles import frozen_shapes
from models.worlds.linear import geometric, sarima, seasonal_walks, walks
from models.worlds.nonlinear import counts, kernels, level_shifts, mean_reverting, trend_season_noise
from models.worlds.rng import RandomSource, WorldSeries, innovations

# Parts the seeds of the processes that share a batch.
RANK_SEEDS = 1_000_000_000_000_037

GENERATORS: dict[str, Callable[[RandomSource, int, int, int], WorldSeries]] = {
    "sarima": sarima,
    "walks": walks,
    "geometric": geometric,
    "seasonal_walks": seasonal_walks,
    "mean_reverting": mean_reverting,
    "kernels": kernels,
    "trend_season_noise": trend_season_noise,
    "counts": counts,
    "level_shifts": level_shifts,
    "frozen_shapes": frozen_shapes,
    **CHIP_WORLDS,
}


class Batch(NamedTuple):
    """Context and future of one training batch.

    Attributes
    ----------
    values, observed : Tensor [B, V, L+H]
        Values (0 where unobserved) and where they are observed.
    season : Tensor [B]
        Steps per season as given to the network; 0 where it is hidden.
    covariates : Tensor [B, K, L+H]
        Known-future covariates, 0 in unused slots.
    statics : Tensor [B, V, S]
        Static covariates, 0 in unused slots.
    horizon : int
        H.
    """

    values: Tensor
    observed: Tensor
    season: Tensor
    covariates: Tensor
    statics: Tensor
    horizon: int

    def part(self, start: int, stop: int) -> Batch:
        """The items from start to stop."""
        return Batch(
            values=self.values[start:stop],
            observed=self.observed[start:stop],
            season=self.season[start:stop],
            covariates=self.covariates[start:stop],
            statics=self.statics[start:stop],
            horizon=self.horizon,
        )


def draw_series(
    rng: RandomSource, names: tuple[str, ...], *, items: int, variates: int, steps: int
) -> tuple[WorldSeries, Tensor]:
    """Series of the named generators in equal shares, and each item's generator [B], shuffled."""
    bounds = [round(k * items / len(names)) for k in range(len(names) + 1)]
    shares = [high - low for low, high in pairwise(bounds)]
    parts = [
        GENERATORS[name](rng, share, variates, steps)
        for name, share in zip(names, shares, strict=True)
        if share
    ]
    origin = torch.repeat_interleave(torch.arange(len(names)), torch.tensor(shares)).to(rng.device)
    order = rng.shuffle(items)
    values = torch.cat([part.values for part in parts])[order]
    season = torch.cat([part.season for part in parts])[order]
    ratio = torch.cat(
        [torch.zeros_like(part.season).bool() if part.ratio is None else part.ratio for part in parts]
    )
    return WorldSeries(values, season, ratio[order]), origin[order]


class WorldStream:
    """Training batches by number: the same seed and number give the same batch, in any order of asking.

    Batches are generated `batches_per_draw` at a time, all of one shape, and handed out one by one. Of
    several processes each draws worlds of its own, of the same shapes, as many as make up the whole batch
    together.

    Parameters
    ----------
    worlds : WorldSettings
    network : NetworkSettings
    seed : int
    rank, processes : int
        Number of this process, and of all that share each batch.

    Raises
    ------
    ValueError
        A generator is unknown.
    """

    def __init__(
        self,
        worlds: WorldSettings,
        network: NetworkSettings,
        *,
        seed: int,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        unknown = set(worlds.generators) - set(GENERATORS)
        if unknown:
            raise ValueError(f"unknown generators {sorted(unknown)}: expected some of {sorted(GENERATORS)}")
        self._worlds, self._network, self._seed = worlds, network, seed
        self._rank, self._processes = rank, processes
        self._held: tuple[int, list[Batch]] | None = None

    def batch(self, number: int, device: torch.device) -> Batch:
        """Batch of the given number, on the device."""
        draw, position = divmod(number, self._worlds.batches_per_draw)
        if self._held is None or self._held[0] != draw:
            self._held = (draw, self._draw(draw, device))
        return self._held[1][position]

    def _draw(self, draw: int, device: torch.device) -> list[Batch]:
        worlds = self._worlds
        rng = RandomSource(self._seed * 1_000_003 + draw + self._rank * RANK_SEEDS, device)
        choice = torch.randint(
            len(worlds.shapes), (), generator=torch.Generator().manual_seed(self._seed + draw)
        )
        context, horizon, variates = worlds.shapes[int(choice)]
        total = max(8, round(worlds.series_per_batch * 128 / ((context + horizon) * variates)))
        items = max(1, part(total, rank=self._rank, processes=self._processes))
        whole = draw_batch(
            rng,
            worlds,
            self._network,
            items=items * worlds.batches_per_draw,
            shape=(context, horizon, variates),
        )
        return [
            whole.part(start, start + items) for start in range(0, items * worlds.batches_per_draw, items)
        ]


def draw_batch(
    rng: RandomSource,
    worlds: WorldSettings,
    network: NetworkSettings,
    *,
    items: int,
    shape: tuple[int, int, int],
) -> Batch:
    """One batch of the mixture of shape (context_length, horizon, variates)."""
    context, horizon, variates = shape
    names = worlds.generators or tuple(GENERATORS)
    series, origin = draw_series(rng, names, items=items, variates=variates, steps=context + horizon)
    chips = torch.tensor([name in CHIP_WORLDS for name in names], device=rng.device)[origin]
    values = _place(rng, series.values)
    covariates, values = _add_covariates(rng, values, slots=network.covariates, share=worlds.covariate_share)
    observed = _observe(rng, chips, shape=shape, gap_share=worlds.gap_share)
    observed = observed & values.isfinite()
    shown = ~rng.chance(items, share=worlds.season_hidden)
    spurious = (series.season <= 1) & rng.chance(items, share=0.35)
    season = torch.where(spurious, rng.season(items, context + horizon), series.season) * shown
    return Batch(
        values=torch.where(observed, values, 0.0),
        observed=observed,
        season=season,
        covariates=covariates,
        statics=_roles(rng, chips & (variates > 1), series.ratio, (variates, network.statics)),
        horizon=horizon,
    )


def _place(rng: RandomSource, values: Tensor) -> Tensor:
    """Place series on the axis: positive ones mostly stay, others may be flipped or lifted above zero."""
    items = values.shape[0]
    low = values.amin(-1, keepdim=True)
    positive = low >= 0
    reach = (values.amax(-1, keepdim=True) - low).clamp(min=1e-6)
    flipped = values * torch.where(rng.chance(items, 1, 1, share=0.5), -1.0, 1.0)
    bottom = flipped.amin(-1, keepdim=True)
    lifted = flipped - bottom + reach * rng.log_uniform(items, 1, 1, low=0.02, high=30.0)
    moved = torch.where(rng.chance(items, 1, 1, share=0.5), lifted, flipped)
    stays = positive & rng.chance(items, 1, 1, share=0.92)
    return torch.where(stays, values, moved) * rng.log_uniform(items, 1, 1, low=1e-2, high=1e4)


def _add_covariates(rng: RandomSource, values: Tensor, *, slots: int, share: float) -> tuple[Tensor, Tensor]:
    """Covariates [B, K, T] (pulses or smooth) and the series with their effect in a share of the items."""
    items, variates, steps = values.shape
    pulses = rng.chance(items, slots, steps, share=0.1).float()
    smooth = innovations(rng, items, slots, steps).cumsum(-1)
    shown = torch.where(rng.chance(items, slots, 1, share=0.5), pulses, smooth) * rng.chance(
        items, 1, 1, share=share
    )
    shown = shown * rng.chance(items, slots, 1, share=0.7)
    spread = shown.std(-1, keepdim=True).clamp(min=1e-6)
    unit = (shown - shown.mean(-1, keepdim=True)) / spread
    move = values.diff(dim=-1).abs().mean(-1, keepdim=True)
    strength = 3.0 * rng.normal(items, variates, slots) * rng.chance(items, 1, 1, share=0.7)
    return shown, values + move * (strength @ unit)


def _observe(rng: RandomSource, chips: Tensor, *, shape: tuple[int, int, int], gap_share: float) -> Tensor:
    """Where series are observed [B, V, L+H]: histories of different lengths, single gaps, dead stretches."""
    context, horizon, variates = shape
    items, steps = chips.shape[0], context + horizon
    short = torch.where(
        chips,
        rng.integer(items, low=8, high=40),
        rng.log_uniform(items, low=5.0, high=float(context)).long(),
    )
    length = torch.where(chips | rng.chance(items, share=0.35), short.clamp(max=context), context)
    clock = torch.arange(steps, device=rng.device)
    observed = (clock >= (context - length)[:, None])[:, None, :].expand(-1, variates, -1)
    gappy = rng.chance(items, 1, 1, share=gap_share)
    holes = rng.uniform(items, variates, steps) < rng.uniform(items, 1, 1, high=0.3)
    start = rng.integer(items, variates, 1, low=0, high=steps)
    block = (clock >= start) & (clock < start + rng.integer(items, 1, 1, low=2, high=max(3, steps // 6)))
    missing = gappy & torch.where(rng.chance(items, 1, 1, share=0.6), holes, block)
    kept = ((clock == context - 1) | (clock == context - 2)) & rng.chance(items, 1, 1, share=0.85)
    kept = kept | (clock == 0) | (clock == (context - length)[:, None, None])
    return observed & (~missing | kept)


def _roles(rng: RandomSource, coupled: Tensor, ratio: Tensor | None, shape: tuple[int, int]) -> Tensor:
    """Static covariates [B, V, S] of most coupled worlds.

    Slot 0 tells orders or book-to-bill (1) from capacity (-1), slot 1 book-to-bill (1) from orders.
    """
    variates, slots = shape
    role = torch.tensor([1.0, -1.0, *(0.0,) * variates], device=rng.device)[:variates]
    shown = coupled & rng.chance(len(coupled), share=0.7)
    statics = torch.zeros(len(coupled), variates, slots, device=rng.device)
    statics[..., 0] = shown[:, None] * role
    if ratio is not None and slots > 1:
        statics[:, 0, 1] = (shown & ratio).float()
    return statics
