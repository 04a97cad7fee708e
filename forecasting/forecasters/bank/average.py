"""From histories to the posterior of the bank: the one entry for plain arrays.

N series, L context steps, K hypotheses, J of them kept, H horizon steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from forecasting.forecasters.bank.catalogue import FAMILIES, Hypothesis, catalogue
from forecasting.forecasters.bank.factors import Factors, factors
from forecasting.forecasters.bank.marginal_likelihood import MarginalLikelihoods, marginal_likelihoods
from forecasting.forecasters.bank.posterior import (
    LOG_DEVIATIONS,
    LOG_MOST,
    LOG_MOVE,
    LOG_RANGE,
    BankPosterior,
    joined,
)
from forecasting.forecasters.bank.settings import BankSettings
from forecasting.forecasters.bank.transforms import Readings, read
from forecasting.panel.history import Floats

CHUNK = 128  # series at a time: bounds the memory of the means of all hypotheses
DAY, WEEK, UNTOLD_WEEKS = 24, 168, 3


def bank_posterior(
    values: Floats,
    *,
    horizon: int,
    seasons: int | Iterable[int] = (),
    floor: Floats | None = None,
    settings: BankSettings | None = None,
) -> BankPosterior:
    """Average the hypotheses of the bank over series.

    Parameters
    ----------
    values : array [N, L]
        NaN where nothing was observed.
    horizon : int
        H, steps after the last column.
    seasons : int or several
        Steps per season; 1 or none where there is none. Hours of a day and of a week come together.
    floor : array [N], optional
        Lowest value of a path; by default 0 where no value was negative.
    settings : BankSettings, optional

    Raises
    ------
    ValueError
        If a series has no observation or an infinite one.
    """
    values = np.asarray(values, dtype=np.float64)
    used = settings or BankSettings()
    if (np.isnan(values).all(axis=1) | np.isinf(values).any(axis=1)).any():
        raise ValueError("bank: a series needs a finite observation and no infinite one")
    lowest = np.nanmin(values, axis=1)
    least = np.where(lowest >= 0, 0.0, -np.inf) if floor is None else np.asarray(floor, dtype=np.float64)
    parts = [
        (some, _posterior(values[some], trailing, usable, horizon=horizon, floor=least[some], settings=used))
        for some, trailing, usable in _groups(values, season_lengths(seasons))
    ]
    return joined(parts)


def season_lengths(seasons: int | Iterable[int]) -> dict[int, int]:
    """Lengths of the seasons, shortest first, and how many steps a series must have for each.

    A season must have been seen once. Hours of a day and hours of a week come together; a week that was not
    given must have been seen three times.

    >>> season_lengths(168), season_lengths(24), season_lengths([1]), season_lengths([12, 4])
    ({24: 25, 168: 169}, {24: 25, 168: 504}, {}, {4: 5, 12: 13})
    """
    given = {seasons} if isinstance(seasons, int) else set(seasons)
    needed = {length: length + 1 for length in given if length > 1}
    if WEEK in needed:
        needed.setdefault(DAY, DAY + 1)
    elif DAY in needed:
        needed[WEEK] = UNTOLD_WEEKS * WEEK
    return dict(sorted(needed.items()))


def _groups(
    values: Floats, seasons: dict[int, int]
) -> Iterator[tuple[npt.NDArray[np.intp], int, tuple[int, ...]]]:
    """Places of series that end with as many gaps and can have the same seasons."""
    seen = ~np.isnan(values)
    trailing = seen[:, ::-1].argmax(axis=1)
    length = values.shape[1] - seen.argmax(axis=1) - trailing
    usable = length[:, None] >= np.array(list(seasons.values()), dtype=np.intp)
    kinds = np.column_stack([trailing, usable])
    for kind in np.unique(kinds, axis=0):
        some = np.flatnonzero((kinds == kind).all(axis=1))
        fulfilled = tuple(season for season, seen in zip(seasons, kind[1:], strict=True) if seen)
        for start in range(0, len(some), CHUNK):
            yield some[start : start + CHUNK], int(kind[0]), fulfilled


def _posterior(
    values: Floats,
    trailing: int,
    seasons: tuple[int, ...],
    *,
    horizon: int,
    floor: Floats,
    settings: BankSettings,
) -> BankPosterior:
    """Posterior of series [N, L] whose last `trailing` columns are gaps: they are steps ahead like others."""
    ended = values[:, : values.shape[1] - trailing]
    window = max(settings.window, int(settings.window_seasons * max(seasons, default=0)))
    readings = read(ended[:, -window - 1 :], season=max(seasons, default=1))
    length = rounded(readings.differences.shape[1])
    readings = _padded(readings, length)
    found = factors(seasons, length, trailing + horizon)
    likelihoods = marginal_likelihoods(
        readings, found, prior_freedom=settings.prior_freedom, growth=settings.growth
    )
    return _kept(
        readings, likelihoods, found, catalogue(seasons), trailing=trailing, floor=floor, settings=settings
    )


def rounded(length: int) -> int:
    """Length of the factors that serve histories of so many differences: few lengths make few factors."""
    return next((size for size in (12, 24, 36, 48, 72, 96, 120, 150) if length <= size), length)


def _padded(readings: Readings, length: int) -> Readings:
    """Readings as if their histories had more steps before, all of them unknown."""
    more = [(0, 0), (0, length - readings.differences.shape[1])]
    return readings._replace(
        differences=np.pad(readings.differences, more), observed=np.pad(readings.observed, more)
    )


def _kept(
    readings: Readings,
    likelihoods: MarginalLikelihoods,
    found: Factors,
    hypotheses: tuple[Hypothesis, ...],
    *,
    trailing: int,
    floor: Floats,
    settings: BankSettings,
) -> BankPosterior:
    """Posterior weights of all, and all else of the likeliest."""
    count, kinds = len(floor), len(hypotheses)
    logged = np.full(count, -1)
    logged[readings.series[readings.logs]] = np.flatnonzero(readings.logs)
    score = np.full((count, 2 * kinds), -np.inf)
    prior = np.log([each.prior for each in hypotheses])
    for half, share in enumerate((1 - settings.logs, settings.logs)):
        moving = (readings.unit > 0) | (half == 0)
        rows = np.flatnonzero((readings.logs == bool(half)) & moving)
        with np.errstate(divide="ignore"):
            score[readings.series[rows], half * kinds : (half + 1) * kinds] = (
                settings.temper * likelihoods.log_likelihood[rows] + prior + np.log(share)
            )
    weight = np.exp(score - score.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    best = np.argsort(-weight, axis=1, kind="stable")[:, : settings.kept]
    kept = np.take_along_axis(weight, best, axis=1)
    logs, hypothesis = (best >= kinds) & (kept > 0), best % kinds
    row = np.where(logs, logged[:, None], np.arange(count)[:, None])
    pairs, root_of = np.unique(likelihoods.pattern[row] * kinds + hypothesis, return_inverse=True)
    return BankPosterior(
        weight=kept / kept.sum(axis=1, keepdims=True),
        hypothesis=hypothesis,
        logs=logs,
        location=likelihoods.location[row, hypothesis, trailing:],
        root=_roots(pairs, likelihoods, found, trailing),
        root_of=root_of.reshape(best.shape),
        spread=likelihoods.spread[row, hypothesis],
        freedom=likelihoods.freedom[:count],
        log_limit=_log_limit(readings, logged, count, found.response.shape[1]),
        floor=floor,
        families=_families(weight, hypotheses),
    )


def _roots(
    pairs: npt.NDArray[np.intp], likelihoods: MarginalLikelihoods, found: Factors, trailing: int
) -> Floats:
    """Cholesky factors [U, H, H] of the distinct pairs of a pattern and a hypothesis, in order."""
    kinds = len(found.whitener)
    edges = np.searchsorted(pairs, kinds * np.arange(len(likelihoods.patterns) + 1))
    return np.concatenate(
        [
            np.linalg.cholesky(pattern.covariance(found, pairs[start:end] % kinds)[:, trailing:, trailing:])
            for pattern, (start, end) in zip(likelihoods.patterns, pairwise(edges), strict=True)
        ]
    )


def _log_limit(readings: Readings, logged: npt.NDArray[np.intp], count: int, horizon: int) -> Floats:
    """Lowest and highest logarithm [N, 2]: a guard against the tails of exponentials, not a shape."""
    limit = np.zeros((count, 2))
    rows = logged[logged >= 0]
    past = readings.differences[rows] * readings.unit[rows, None]
    highest, lowest = np.max(past, axis=1, initial=0.0), np.min(past, axis=1, initial=0.0)
    share = np.minimum(1.0, LOG_RANGE * horizon / np.maximum(readings.observed[rows].sum(axis=1), 1))
    moves = LOG_DEVIATIONS * np.minimum(readings.unit[rows], LOG_MOVE) * np.sqrt(horizon)
    reach = np.minimum(share * (highest - lowest), LOG_MOST) + moves
    limit[logged >= 0] = readings.last[rows, None] + np.stack([lowest - reach, highest + reach], axis=1)
    return limit


def _families(weight: Floats, hypotheses: tuple[Hypothesis, ...]) -> Floats:
    """Posterior [N, F + 1] of each family and of logarithms from the weights [N, 2 K] of all."""
    member = np.array([[each.family == family for family in FAMILIES] for each in hypotheses], dtype=float)
    plain, logs = np.split(weight, 2, axis=1)
    return np.concatenate([(plain + logs) @ member, logs.sum(axis=1, keepdims=True)], axis=1)
