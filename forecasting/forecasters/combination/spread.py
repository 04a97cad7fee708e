"""How wide a mixture should be: one of members that disagree is wider than any of them, and errs less.

I items, M members, P paths, H horizon steps, V variates.
"""

from __future__ import annotations

import numpy as np

from forecasting.forecasters.combination.weights import Distances
from forecasting.panel.history import Floats

LEAST_SPREAD = 0.5


def pool_spread(weights: Floats, distances: Distances) -> float:
    """Factor, at most 1, by which the paths of a mixture are drawn toward its median.

    Members whose errors have variance v, and whose laws say so, and whose means are apart by an ambiguity
    a, err together with variance v - a (Krogh and Vedelsby 1995), while their mixture has variance v + a. To
    first order the ratio of the two is 1 - 2 a / v, and v / (v + a) is 1 - a / v: the mixture's spread is
    right times the square of the members' spread over its own. Spreads are mean distances of two draws,
    E|X - X'|, in past forecasts of the panel; what was observed is not looked at. It is 1 without any.

    Parameters
    ----------
    weights : array [I, M]
        Rows with sum 1.
    distances : Distances
    """
    scored = distances.forecasts > 0
    apart, share = distances.between[scored], weights[scored]
    members = np.einsum("im,imm->i", share, apart)
    mixture = np.einsum("im,imn,in->i", share, apart, share)
    wide = mixture > 0
    if not wide.any():
        return 1.0
    return float(np.clip(np.mean(members[wide] / mixture[wide]) ** 2, LEAST_SPREAD, 1.0))


def drawn_together(paths: Floats, spread: float) -> Floats:
    """Paths [I, P, H, V] drawn toward the median of each step; their order at each step stays.

    Zeros of an item that is never below are demand that did not come, not a small demand: they stay.
    """
    if spread == 1.0:
        return paths
    middle = np.median(paths, axis=1, keepdims=True)
    none = (paths == 0) & (paths.min(axis=(1, 2, 3), keepdims=True) >= 0)
    return np.where(none, 0.0, middle + spread * (paths - middle))
