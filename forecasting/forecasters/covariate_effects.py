"""What covariates that are known ahead do to a series: a regression whose effects are shared among series.

Any forecaster then sees the series without these effects, and its paths get them back.
I items, V variates, K covariates, L context steps, P paths, H horizon steps, N rows of a regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from forecasting.panel.history import Floats, History
from forecasting.seeds import item_generator

PERSISTENCE = (0.0, 0.5, 0.8, 1.0)  # of the noise from step to step: 0 about a level, 1 a random walk
SPREADS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of a series' effects about those of its group
COMMON_SPREADS = (1e-6, 0.3, 1.0, 3.0, 10.0)  # of the group's effects about zero
VAGUE = 3.0  # spread of effects while the persistence is chosen
SEASONS_FOR_DUMMIES = 3  # of history, and no season longer than a year of weeks
LONGEST_SEASON = 53


class Evidence(NamedTuple):
    """A regression's precision [K, K] and its right-hand side [K], and the persistence of its noise."""

    precision: Floats
    target: Floats
    persistence: float


@dataclass(frozen=True, kw_only=True)
class CovariateEffects:
    """Effects of each series, and how sure they are.

    Attributes
    ----------
    past, future : array [I, V, K, L] and [I, V, K, H]
    mean : array [I, V, K]
        In the unit of the series for each unit of the covariate.
    root : array [I, V, K, K]
        Root of the covariance of the effects.
    centre, origin : array [I, V, K]
        Mean of each covariate in the history, and the value from which an error of its effect counts.
    """

    past: Floats
    future: Floats
    mean: Floats
    root: Floats
    centre: Floats
    origin: Floats

    def select(self, items: Sequence[int]) -> CovariateEffects:
        """The effects of some items, in the given order."""
        rows = list(items)
        parts = {name: getattr(self, name)[rows] for name in self.__dataclass_fields__}
        return CovariateEffects(**parts)

    def removed(self, history: History) -> History:
        """The history without the effects."""
        effect = np.einsum("ivk,ivkl->ivl", self.mean, self.past - self.centre[..., None])
        values = history.values - effect
        return replace(history, values=values, value_p05=values, value_p95=values)

    def added(self, paths: Floats, *, item_ids: Sequence[str], seed: int) -> Floats:
        """Paths [I, P, H, V] with the effects of the horizon; each path has effects of its own."""
        effect = np.einsum("ivk,ivkh->ihv", self.mean, self.future - self.centre[..., None])
        found: Floats = paths + effect[:, None]
        moved = np.einsum("ivkj,ivkh->ivjh", self.root, self.future - self.origin[..., None])
        for item, item_id in enumerate(item_ids):
            rng = item_generator(seed, purpose="covariate effects", item_id=item_id)
            drawn = rng.standard_normal((paths.shape[1], *self.mean.shape[1:]))
            found[item] += np.einsum("pvj,vjh->phv", drawn, moved[item])
        return found


def covariate_effects(
    history: History, past: Floats, future: Floats, *, groups: Sequence[str]
) -> CovariateEffects:
    """Estimate the effects of covariates on each series of a history.

    A series is regressed on its covariates beside a level (or drift) and, of three seasons or more, the
    season, with errors that persist from step to step (an autoregression of order 1 whose coefficient is one
    of `PERSISTENCE`, by evidence). Effects in units of a series' moves for one standard deviation of the
    covariate are normal about the mean of the series' group, which is normal about zero; both spreads are
    those with the greatest evidence (empirical Bayes; Efron and Morris 1975, JASA 70:311). So an effect that
    the data do not speak for is close to zero, and a series with few data has those of its group.

    Parameters
    ----------
    history : History
    past : array [I, V, K, L]
    future : array [I, V, K, H]
    groups : sequence of str, length I
        Items of one name share effects.
    """
    items, variates = history.values.shape[:2]
    observed = history.observed_mask
    centre = _observed_mean(past, observed)
    spread = _spreads(past, observed, centre)
    scale = np.array([[_scale(row) for row in rows] for rows in history.values])
    season = history.frequency.season_length
    evidence = {
        (item, v): _evidence(
            history.values[item, v] / scale[item, v],
            (past[item, v] - centre[item, v][:, None]) / spread[:, None],
            season=season,
        )
        for item in range(items)
        for v in range(variates)
    }
    mean, root = np.zeros(centre.shape), np.zeros((*centre.shape, centre.shape[-1]))
    for group in sorted(set(groups)):
        for v in range(variates):
            places = [item for item in range(items) if groups[item] == group]
            found = _shared([evidence[item, v] for item in places])
            for item, (effect, covariance) in zip(places, found, strict=True):
                unit = scale[item, v] / spread
                mean[item, v] = effect * unit
                root[item, v] = unit[:, None] * np.linalg.cholesky(covariance)
    persistence = np.array(
        [[evidence[item, v].persistence for v in range(variates)] for item in range(items)]
    )[..., None]
    origin = persistence * past[..., -1] + (1 - persistence) * centre
    return CovariateEffects(past=past, future=future, mean=mean, root=root, centre=centre, origin=origin)


def _observed_mean(past: Floats, observed: np.typing.NDArray[np.bool_]) -> Floats:
    seen = observed[:, :, None]
    return np.asarray((past * seen).sum(axis=-1) / np.maximum(seen.sum(axis=-1), 1))


def _spreads(past: Floats, observed: np.typing.NDArray[np.bool_], centre: Floats) -> Floats:
    """Standard deviation of each covariate [K] within the series of the panel; 1 where it never moves."""
    seen = observed[:, :, None]
    square = ((past - centre[..., None]) ** 2 * seen).sum(axis=(0, 1, 3)) / max(observed.sum(), 1)
    return np.where(square > 0, np.sqrt(square), 1.0)


def _scale(values: Floats) -> float:
    """Root mean square of a series' moves; 1 of one that never moves."""
    seen = values[~np.isnan(values)]
    size = float(np.sqrt(np.mean(np.diff(seen) ** 2))) if len(seen) > 1 else 0.0
    return size or 1.0


def _evidence(values: Floats, covariates: Floats, *, season: int) -> Evidence:
    """The regression of values [L] on covariates [K, L] with the persistence that they speak for most."""
    observed = ~np.isnan(values)
    steps = np.flatnonzero(observed[1:] & observed[:-1]) + 1
    count = len(covariates)
    best = (-np.inf, Evidence(np.zeros((count, count)), np.zeros(count), 1.0))
    for persistence in PERSISTENCE:
        y = values[steps] - persistence * values[steps - 1]
        x = (covariates[:, steps] - persistence * covariates[:, steps - 1]).T
        aside = _nuisance(steps, season)
        free = len(steps) - aside.shape[1] - 1
        if free < 1:
            continue
        y, x = _projected(y, aside), _projected(x, aside)
        inside = x.T @ x
        solved = np.linalg.solve(inside + np.eye(count) / VAGUE**2, x.T @ y)
        variance = max(float(y @ y - (x.T @ y) @ solved) / free, 1e-9)
        _, size = np.linalg.slogdet(np.eye(count) + VAGUE**2 * inside)
        score = -size / 2 - free * np.log(variance) / 2
        if score > best[0]:
            best = (score, Evidence(inside / variance, x.T @ y / variance, persistence))
    return best[1]


def _nuisance(steps: np.typing.NDArray[np.intp], season: int) -> Floats:
    """A column of ones, and of long histories one for each phase of the season but the first."""
    columns = [np.ones(len(steps))]
    if 1 < season <= LONGEST_SEASON and len(steps) >= SEASONS_FOR_DUMMIES * season:
        columns += [(steps % season == phase).astype(float) for phase in range(1, season)]
    return np.stack(columns, axis=1)


def _projected(values: Floats, aside: Floats) -> Floats:
    """What is left of values when what the columns explain is taken away."""
    return np.asarray(values - aside @ np.linalg.lstsq(aside, values, rcond=None)[0])


def _shared(evidence: Sequence[Evidence]) -> list[tuple[Floats, Floats]]:
    """Posterior mean [K] and covariance [K, K] of each series' effects within one group."""
    best, chosen = -np.inf, (SPREADS[0], COMMON_SPREADS[0])
    for spread in SPREADS:
        for common in COMMON_SPREADS:
            score, _, _ = _group(evidence, spread, common)
            if score > best:
                best, chosen = score, (spread, common)
    spread, common = chosen
    _, centre, uncertainty = _group(evidence, spread, common)
    found = []
    for each in evidence:
        covariance = _covariance(each, spread)
        weight = covariance / spread**2
        effect = covariance @ each.target + weight @ centre
        found.append((effect, covariance + weight @ uncertainty @ weight.T))
    return found


def _group(evidence: Sequence[Evidence], spread: float, common: float) -> tuple[float, Floats, Floats]:
    """Log evidence of two spreads, and mean [K] and covariance [K, K] of the group's effects."""
    count = len(evidence[0].target)
    eye = np.eye(count)
    score = 0.0
    precision, target = eye / common**2, np.zeros(count)
    for each in evidence:
        covariance = _covariance(each, spread)
        score += float(each.target @ covariance @ each.target) / 2
        score -= float(np.linalg.slogdet(eye + spread**2 * each.precision)[1]) / 2
        precision = precision + eye / spread**2 - covariance / spread**4
        target = target + covariance @ each.target / spread**2
    uncertainty = np.asarray(np.linalg.inv(precision), dtype=np.float64)
    score += float(target @ uncertainty @ target) / 2
    score -= float(np.linalg.slogdet(common**2 * precision)[1]) / 2
    return score, uncertainty @ target, uncertainty


def _covariance(evidence: Evidence, spread: float) -> Floats:
    return np.asarray(np.linalg.inv(evidence.precision + np.eye(len(evidence.target)) / spread**2))
