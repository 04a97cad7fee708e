"""Past forecasts of the members: from origins inside the histories, scored on what followed.

I items, M members, P paths, H steps, V variates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from forecasting.evaluation.scores import naive_scale
from forecasting.forecasters.base import PathForecaster
from forecasting.forecasters.combination.members import observations
from forecasting.forecasters.combination.weights import Distances
from forecasting.frequencies import add_periods
from forecasting.panel.history import Floats, History

ITEMS = 100  # whose past forecasts are scored; the weights of the others are those of the panel
FORECASTS = 50  # older origins are added until there are so many
ORIGINS = 3  # at most
LONGEST = 48  # steps of a past forecast at most
SHARE = 1 / 3  # of a typical history that follows the newest inner origin, at most
MIN_OBSERVATIONS = 7  # before an origin; with a season also two more than a season
PATHS, SEED = 100, 0
ROTATIONS = 10  # pairings of the paths of two members from which their distance is estimated


def rehearse(
    forecasters: Sequence[PathForecaster], history: History, *, season: int, horizon: int
) -> Distances:
    """Distances of the members' past forecasts of the history's items, over as many steps as the horizon.

    Each item counts in units of the naive error of its past, and each observed value alike.
    """
    items, members = len(history.item_ids), len(forecasters)
    to_actual, between = np.zeros((items, members)), np.zeros((items, members, members))
    forecasts = np.zeros(items)
    for some, past, actual in _origins(history, season=season, horizon=horizon):
        drawn = [each.fit(past).sample(actual.shape[1], PATHS, SEED) for each in forecasters]
        size = naive_scales(past, season)
        known = ~np.isnan(actual)
        share = known / np.maximum(known.sum(axis=(1, 2), keepdims=True), 1) / size[:, None]
        near, apart = _distances(drawn, np.where(known, actual, 0.0), share)
        to_actual[some] += near
        between[some] += apart
        forecasts[some] += 1
    count = np.maximum(forecasts, 1)
    return Distances(
        to_actual=to_actual / count[:, None], between=between / count[:, None, None], forecasts=forecasts
    )


def naive_scales(history: History, season: int) -> Floats:
    """Naive error [I, V] of each series."""
    return np.array([[naive_scale(row, season) for row in item] for item in history.values])


def _origins(history: History, *, season: int, horizon: int) -> Iterator[tuple[list[int], History, Floats]]:
    """Items, their past and their actuals [I', H', V], origin by origin from the newest on."""
    seen = observations(history)
    steps = max(min(horizon, LONGEST, int(SHARE * np.median(seen))), 1)
    done = 0
    for origin in range(1, ORIGINS + 1):
        cut = origin * steps
        if done >= FORECASTS or cut >= history.context_length:
            return
        before = history.observed_mask[..., :-cut].sum(axis=2).min(axis=1)
        after = history.values[..., history.context_length - cut :][..., :steps]
        enough = before >= max(MIN_OBSERVATIONS, season + 2 if season > 1 else 0)
        some = np.flatnonzero(enough & ~np.isnan(after).all(axis=(1, 2))).tolist()
        if not some:
            return
        done += len(some)
        yield some, until(history.select(some), cut), np.moveaxis(after[some], 1, 2)


def _distances(drawn: Sequence[Floats], actual: Floats, share: Floats) -> tuple[Floats, Floats]:
    """Distances [I, M] to the actual [I, H, V] and [I, M, M] between members, weighted by share [I, H, V].

    Those between members pair each path with `ROTATIONS` others, in the order in which they were drawn.
    """
    members = len(drawn)
    near = [np.abs(paths - actual[:, None]).mean(axis=1) for paths in drawn]
    apart = np.zeros((len(actual), members, members))
    for m in range(members):
        for n in range(m + 1):
            gaps = [
                np.abs(drawn[m] - np.roll(drawn[n], turn, axis=1)).mean(axis=1)
                for turn in range(1, ROTATIONS + 1)
            ]
            apart[:, m, n] = apart[:, n, m] = (np.mean(gaps, axis=0) * share).sum(axis=(1, 2))
    return np.stack([(gap * share).sum(axis=(1, 2)) for gap in near], axis=1), apart


def until(history: History, cut: int) -> History:
    """The history as it was `cut` steps before its end."""
    return History(
        item_ids=history.item_ids,
        variates=history.variates,
        values=history.values[..., :-cut],
        value_p05=history.value_p05[..., :-cut],
        value_p95=history.value_p95[..., :-cut],
        origins=tuple(add_periods(origin, -cut, history.frequency) for origin in history.origins),
        frequency=history.frequency,
    )
