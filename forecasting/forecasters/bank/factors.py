"""Each hypothesis in a form in which histories of every length are read with one matrix product.

The past is put newest first. The inverse of the Cholesky factor of its covariance turns differences from the
last value into independent numbers of variance 1, and as a factor's leading block is the factor of the block,
the first n of them are those of a history that has n differences: one factorisation serves every length.

K hypotheses, L differences of the longest history, H horizon steps, T = L + 1 + H times.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dtrtri

from forecasting.forecasters.bank.catalogue import Hypothesis, Season, catalogue, from_origin
from forecasting.panel.history import Floats

CACHED = 6  # shapes; a shape of 300 hypotheses, 150 differences takes 60 MB


class Factors(NamedTuple):
    """Factors of the hypotheses of a catalogue.

    Attributes
    ----------
    whitener : array [K, L, L]
        Lower triangular; times the differences, newest first, it gives independent numbers of variance 1.
    log_determinant : array [K, L + 1]
        Of the covariance of the n newest differences, n = 0 .. L.
    response : array [K, H, L]
        Weights of those numbers in the mean of each step ahead.
    ahead : array [K, H, H]
        Covariance of the steps ahead before any difference is known.
    drift : array [K]
        Standard deviation of the drift, in one-step moves.
    """

    whitener: Floats
    log_determinant: Floats
    response: Floats
    ahead: Floats
    drift: Floats


@lru_cache(maxsize=CACHED)
def factors(seasons: tuple[int, ...], length: int, horizon: int) -> Factors:
    """Factors of `catalogue(seasons)`."""
    return factorise(catalogue(seasons), length, horizon)


def factorise(hypotheses: tuple[Hypothesis, ...], length: int, horizon: int) -> Factors:
    """Factors of any hypotheses; each structure and each season is worked out once."""
    times = np.arange(-length, horizon + 1)
    structures: dict[tuple[object, ...], Floats] = {}
    seasons: dict[tuple[Season, ...], Floats] = {}
    count = len(hypotheses)
    found = Factors(
        whitener=np.empty((count, length, length)),
        log_determinant=np.zeros((count, length + 1)),
        response=np.empty((count, horizon, length)),
        ahead=np.empty((count, horizon, horizon)),
        drift=np.array([each.drift for each in hypotheses]),
    )
    past, future = slice(length - 1, None, -1) if length else slice(0, 0), slice(length + 1, None)
    for k, each in enumerate(hypotheses):
        shape = each.shape
        if shape not in structures:
            structures[shape] = each.structure(times)
        if each.seasons not in seasons:
            parts = (season.covariance(times) for season in each.seasons)
            seasons[each.seasons] = sum(parts, np.zeros((len(times),) * 2))
        covariance = from_origin(structures[shape] + seasons[each.seasons], times)
        root = np.asarray(np.linalg.cholesky(covariance[past, past]), dtype=np.float64)
        found.whitener[k] = inverse(root)
        found.log_determinant[k, 1:] = 2 * np.cumsum(np.log(np.diag(root)))
        found.response[k] = covariance[future, past] @ found.whitener[k].T
        found.ahead[k] = covariance[future, future]
    return found


def inverse(root: Floats) -> Floats:
    """Inverse [L, L] of a lower triangular matrix."""
    return np.asarray(dtrtri(root, lower=1)[0]) if len(root) else root
