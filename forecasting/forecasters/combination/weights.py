"""Weights of a linear pool: least CRPS of the mixture on past forecasts, near to prior weights.

I items, M members.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.panel.history import Bools, Floats

EVIDENCE = 10.0  # weight of the relative CRPS against the divergence from the prior, with much evidence
PANEL_FORECASTS = 10  # forecasts at which the evidence of a panel weighs half of `EVIDENCE`
PANEL_WEIGHT = 5.0  # forecasts of an item's own that the mean of its panel counts as
LEAST_WEIGHT = 0.02  # smaller ones are set to 0
LEAST_LOSS = 1e-3  # in naive errors: nobody is better than another below
ITERATIONS, TOLERANCE = 3000, 1e-7


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Mean absolute distances in the past forecasts of each item, in units of the item.

    Attributes
    ----------
    to_actual : array [I, M]
        E|X_m - y| of each member's draws X_m and what was observed, y.
    between : array [I, M, M]
        E|X_m - X_n| of independent draws of two members, on the diagonal of one.
    forecasts : array [I]
        Number of past forecasts that were scored; where it is 0 the distances are not read.
    """

    to_actual: Floats
    between: Floats
    forecasts: Floats

    def crps(self) -> Floats:
        """CRPS [I, M] of each member by itself (Gneiting and Raftery 2007, eq. 21)."""
        return np.asarray(self.to_actual - np.einsum("imm->im", self.between) / 2)


def pool_weights(prior: Floats, distances: Distances) -> Floats:
    """Weights [I, M] of the members, each row with sum 1.

    The CRPS of a mixture with weights w is `w . a - w . D w / 2`, where a holds the distances of the members
    to the actual value and D those between them: it credits a member for being near to the truth and for
    being unlike the others. An item's weights minimise

        evidence * (w . a - w . D w / 2) + sum of w log(w / prior)

    which is convex, as D is of negative type. For members that are alike in D it is the softmax of their
    losses times the prior. a and D are first divided by the item's mean CRPS over the members, and by what
    the best member of the panel has on average after that: losses are relative to the best member's. Then
    they are averaged with those of the panel, which count as `PANEL_WEIGHT` forecasts; the evidence is
    `EVIDENCE` times n / (n + `PANEL_FORECASTS`) with n past forecasts in the panel. Without any the prior
    stands.

    Parameters
    ----------
    prior : array [I, M]
        Rows with sum 1; a member of weight 0 keeps it.
    distances : Distances
    """
    scored = distances.forecasts > 0
    total = distances.forecasts.sum()
    if not scored.any():
        return prior
    size = np.ones(len(prior))
    size[scored] = np.maximum(distances.crps()[scored].mean(axis=1), LEAST_LOSS)
    size *= max(np.min((distances.crps()[scored] / size[scored, None]).mean(axis=0)), LEAST_LOSS)
    near = _toward_panel(distances.to_actual / size[:, None], distances.forecasts)
    apart = _toward_panel(distances.between / size[:, None, None], distances.forecasts)
    found = _minimise(prior, near, apart, EVIDENCE * total / (total + PANEL_FORECASTS))
    found = np.where(found < LEAST_WEIGHT, 0.0, found)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _toward_panel(values: Floats, forecasts: Floats) -> Floats:
    """Each item's values [I, ...] averaged with the panel's mean, by the number of forecasts."""
    count = forecasts.reshape(-1, *[1] * (values.ndim - 1))
    sums = np.where(count > 0, values, 0.0) * count
    mean = sums.sum(axis=0) / forecasts.sum()
    return np.asarray((sums + PANEL_WEIGHT * mean) / (count + PANEL_WEIGHT))


def _minimise(prior: Floats, near: Floats, apart: Floats, evidence: float) -> Floats:
    """Exponentiated gradient from the prior, each step as long as the curvature of the objective allows.

    The curvature relative to the entropy is at most 1 + evidence * (largest energy distance of two members) /
    2 (Lu, Freund and Nesterov 2018, SIAM Journal on Optimization 28:333).
    """
    own = np.einsum("imm->im", apart)
    energy = apart - (own[:, :, None] + own[:, None, :]) / 2
    step = 1 / (1 + evidence * np.maximum(energy.max(axis=(1, 2), keepdims=True)[..., 0], 0) / 2)
    used: Bools = prior > 0
    start = np.log(np.where(used, prior, 1.0))
    log = np.where(used, start, -np.inf)
    weights = prior
    for _ in range(ITERATIONS):
        slope = near - np.einsum("imn,in->im", apart, weights)
        log = np.where(
            used, (1 - step) * np.where(used, log, 0.0) + step * (start - evidence * slope), -np.inf
        )
        log = log - log.max(axis=1, keepdims=True)
        before, weights = weights, np.exp(log)
        weights = weights / weights.sum(axis=1, keepdims=True)
        if np.abs(weights - before).max() < TOLERANCE:
            break
    return weights
