"""How well every hypothesis explains every reading, and what it expects: exact, gaps included.

R readings, K hypotheses, L differences of the longest reading, H horizon steps, G missing differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from forecasting.forecasters.bank.factors import Factors
from forecasting.forecasters.bank.transforms import Readings
from forecasting.panel.history import Floats


class MarginalLikelihoods(NamedTuple):
    """What the readings say of the hypotheses, and these of the future.

    Attributes
    ----------
    log_likelihood : array [R, K]
        Log density of the values but the last, given the last; the scale is integrated out.
    spread : array [R, K]
        Posterior scale: what the deviations of a hypothesis are multiplied with.
    freedom : array [R]
        Degrees of freedom of the predictive Student-t distributions.
    location : array [R, K, H]
        Centres of the predictive distributions.
    pattern : array [R] of int
        Which of `patterns` each reading has.
    patterns : tuple of Pattern
    """

    log_likelihood: Floats
    spread: Floats
    freedom: Floats
    location: Floats
    pattern: npt.NDArray[np.intp]
    patterns: tuple[Pattern, ...]


@dataclass(frozen=True)
class Pattern:
    """Which of the newest differences of a reading are missing.

    Attributes
    ----------
    length : int
        Differences back to the first observation.
    missing : array [G] of int
    """

    length: int
    missing: npt.NDArray[np.intp]

    @classmethod
    def of(cls, observed: npt.NDArray[np.bool_]) -> Pattern:
        """Pattern of a row [L]."""
        length = int(np.flatnonzero(observed)[-1]) + 1 if observed.any() else 0
        return cls(length, np.flatnonzero(~observed[:length]))

    def covariance(self, found: Factors, hypotheses: npt.NDArray[np.intp]) -> Floats:
        """Covariance [.., H, H] of the steps ahead given the observed differences, of some hypotheses."""
        response = found.response[hypotheses, :, : self.length]
        total = found.ahead[hypotheses] - response @ response.swapaxes(-1, -2)
        if len(self.missing):
            columns = found.whitener[hypotheses][:, : self.length, self.missing]
            inner = columns.swapaxes(-1, -2) @ columns
            lost = response @ columns
            total += lost @ np.linalg.solve(inner, lost.swapaxes(-1, -2))
        return total


def marginal_likelihoods(
    readings: Readings, found: Factors, *, prior_freedom: float, growth: float = 0.0
) -> MarginalLikelihoods:
    """Weigh every hypothesis against every reading.

    With differences d of covariance s^2 C and s^2 inverse-gamma with shape and scale `prior_freedom / 2` (in
    squared units of the reading), d is Student-t: log density `log G((f + n) / 2) - log G(f / 2)
    - n log(f pi) / 2 - log|C| / 2 - (f + n) log(1 + d' C^-1 d / f) / 2`. The steps ahead are Student-t with
    f + n degrees of freedom and a scale of `(f + d' C^-1 d) / (f + n)` times their conditional covariance
    (Rasmussen and Williams 2006, 2.2 and 9.9).

    Missing differences m are parameters with a flat prior: with C^-1 = W'W, `|C_observed| = |C| |(W'W)_mm|`,
    and the quadratic form is that of W d at its minimum over them.

    The drift of logarithms has a mean of `growth` times its standard deviation: its line is taken off the
    differences and put back ahead.
    """
    keys = [row.tobytes() for row in readings.observed]
    first = {key: at for at, key in reversed(list(enumerate(keys)))}
    order = {key: number for number, key in enumerate(first)}
    pattern = np.array([order[key] for key in keys], dtype=np.intp)
    patterns = tuple(Pattern.of(readings.observed[at]) for at in first.values())
    count = readings.observed.sum(axis=1)
    square, location, log_determinant = _fitted(readings, found, growth, pattern, patterns)
    freedom = prior_freedom + count
    log_likelihood = (
        (gammaln(freedom / 2) - gammaln(prior_freedom / 2) - count * np.log(prior_freedom * np.pi) / 2)[
            :, None
        ]
        - log_determinant / 2
        - freedom[:, None] * np.log1p(square / prior_freedom) / 2
        + readings.log_jacobian[:, None]
    )
    return MarginalLikelihoods(
        log_likelihood=log_likelihood,
        spread=readings.unit[:, None] * np.sqrt((prior_freedom + square) / freedom[:, None]),
        freedom=freedom,
        location=readings.last[:, None, None] + readings.unit[:, None, None] * location,
        pattern=pattern,
        patterns=patterns,
    )


def _fitted(
    readings: Readings,
    found: Factors,
    growth: float,
    pattern: npt.NDArray[np.intp],
    patterns: tuple[Pattern, ...],
) -> tuple[Floats, Floats, Floats]:
    """Quadratic forms [R, K], standard means [R, K, H] and log determinants [R, K]."""
    rows, length = readings.differences.shape
    kinds, horizon = found.response.shape[:2]
    lengths = np.array([each.length for each in patterns], dtype=np.intp)[pattern]
    whole = np.array([not len(each.missing) for each in patterns])[pattern]
    inside = np.arange(length) < lengths[:, None]
    square, location = np.empty((rows, kinds)), np.empty((rows, kinds, horizon))
    log_determinant = np.empty((rows, kinds))
    log_determinant[whole] = found.log_determinant[:, lengths[whole]].T
    expected = growth * readings.logs[:, None] * found.drift  # [R, K], moves per step
    back, ahead = -np.arange(1.0, length + 1), np.arange(1.0, horizon + 1)
    for k in range(kinds):
        whitened = readings.differences[whole] @ found.whitener[k].T
        whitened -= np.multiply.outer(expected[whole, k], found.whitener[k] @ back)
        whitened *= inside[whole]
        square[whole, k] = np.einsum("rl,rl->r", whitened, whitened)
        location[whole, k] = whitened @ found.response[k].T
    for number in np.flatnonzero([len(each.missing) for each in patterns]):
        some = pattern == number
        square[some], location[some], log_determinant[some] = _with_gaps(
            readings.differences[some, :, None] - back[:, None] * expected[some, None],
            found,
            patterns[number],
        )
    return square, location + expected[..., None] * ahead, log_determinant


def _with_gaps(differences: Floats, found: Factors, pattern: Pattern) -> tuple[Floats, Floats, Floats]:
    """As `_fitted`, of readings that share a pattern of gaps, from their differences [R, L, K].

    What stands in the place of a missing difference does not matter.
    """
    n, missing = pattern.length, pattern.missing
    columns = found.whitener[:, :n, missing]
    inner = columns.swapaxes(-1, -2) @ columns
    whitened = found.whitener[:, :n, :n] @ differences[:, :n].transpose(2, 1, 0)
    whitened -= columns @ np.linalg.solve(inner, columns.swapaxes(-1, -2) @ whitened)
    square = np.einsum("knr,knr->rk", whitened, whitened)
    location = (found.response[:, :, :n] @ whitened).transpose(2, 0, 1)
    log_determinant = found.log_determinant[:, n] + np.linalg.slogdet(inner)[1]
    return square, location, np.broadcast_to(log_determinant, square.shape)
