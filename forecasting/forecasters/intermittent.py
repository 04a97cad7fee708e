"""Orders and capacity that come in lumps: futures drawn from the item's own past, in blocks.

A log scale makes a ratio of a thousand out of an order that meets no capacity, and linear models with
Gaussian errors know no zeros. P paths, H horizon steps, V variates, L context steps.
"""

from __future__ import annotations

import numpy as np

from forecasting.panel.history import Floats, History
from forecasting.panel.schema import FLOWS

BOOTSTRAP = "Bootstrap"
# Demand is intermittent where it comes on average less often than every 1.32 periods: A. Syntetos, J. Boylan
# and J. Croston, "On the categorization of demand patterns" (2005), Journal of the Operational Research
# Society 56(5).
INTERVAL = 1.32
FEWEST = 3  # periods with demand below which nothing can be said of how it comes
BLOCK = 4  # mean length of a block of periods: orders are shipped some periods later
HALF_LIFE_SEASONS = 2  # after so many seasons a period is drawn half as often
JITTER = 0.2  # standard deviation of the log of a factor on each lump: the next one has a size of its own


def is_intermittent(history: History, item: int) -> bool:
    """Whether an item's orders or its capacity stop and come again, often enough to count."""
    return history.variates == FLOWS and any(_interval(row) >= INTERVAL for row in history.values[item])


def _interval(row: Floats) -> float:
    """Mean periods from one with demand to the next, from the first to the last; 1 where there are few."""
    seen = row[~np.isnan(row)]
    there = np.flatnonzero(seen > 0)
    if len(there) < FEWEST:
        return 1.0
    return float((there[-1] - there[0]) / (len(there) - 1))


def sample_blocks(
    past: Floats, *, season_length: int, horizon: int, paths: int, generator: np.random.Generator
) -> Floats:
    """Futures [P, H, V] out of blocks of an item's past, as in the stationary bootstrap.

    Blocks begin anywhere, recent periods more often, and end after each period with probability 1 / BLOCK, or
    at the end of the past: D. Politis and J. Romano, "The stationary bootstrap" (1994), Journal of the
    American Statistical Association 89(428). Orders and capacity of a period stay together.

    Parameters
    ----------
    past : array [V, L]
        In units; periods in which a variate was not observed are left out.
    season_length : int
        Periods of a season.
    horizon, paths : int
    generator : Generator
    """
    rows = past[:, ~np.isnan(past).any(axis=0)].T
    age = np.arange(len(rows))[::-1]
    weights = 0.5 ** (age / (HALF_LIFE_SEASONS * season_length))
    starts = generator.choice(len(rows), size=(paths, horizon), p=weights / weights.sum())
    ends = generator.random((paths, horizon)) < 1 / BLOCK
    place = starts.copy()
    for step in range(1, horizon):
        following = place[:, step - 1] + 1
        fresh = ends[:, step] | (following >= len(rows))
        place[:, step] = np.where(fresh, starts[:, step], following)
    factors = np.exp(JITTER * generator.standard_normal((paths, horizon, 1)))
    return np.asarray(rows[place] * factors)
