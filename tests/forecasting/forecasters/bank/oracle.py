"""Slow answers by other ways, for the tests of the bank: dense covariances, quadrature, simulation."""

import numpy as np
from scipy import stats
from scipy.integrate import quad

from forecasting.forecasters.bank.catalogue import Hypothesis


def dense(hypothesis: Hypothesis, times: np.ndarray) -> np.ndarray:
    """Covariance of the differences from the value at the origin, entry by entry through the definition."""
    everything = np.arange(times.min(), max(times.max(), 0) + 1)
    covariance = hypothesis.covariance(everything)
    places = times - everything[0]
    return covariance[np.ix_(places, places)]


def log_density(differences: np.ndarray, covariance: np.ndarray, freedom: float) -> float:
    """Log density of differences in units under a scale whose square is inverse-gamma, by scipy."""
    return float(stats.multivariate_t.logpdf(differences, shape=covariance, df=freedom))


def log_density_by_quadrature(differences: np.ndarray, covariance: np.ndarray, freedom: float) -> float:
    """The same by integrating the Gaussian density over the logarithm of the scale's square."""
    prior = stats.invgamma(freedom / 2, scale=freedom / 2)

    def integrand(log_square: float) -> float:
        square = np.exp(log_square)
        gauss = stats.multivariate_normal.pdf(differences, cov=square * covariance)
        return float(gauss * prior.pdf(square) * square)

    return float(np.log(quad(integrand, -12, 12, limit=200)[0]))


def conditional(
    differences: np.ndarray, past: np.ndarray, future: np.ndarray, hypothesis: Hypothesis, freedom: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Location, scale matrix and degrees of freedom of the steps ahead, by dense linear algebra."""
    covariance = dense(hypothesis, np.concatenate([past, future]))
    n = len(past)
    inside, across, ahead = covariance[:n, :n], covariance[n:, :n], covariance[n:, n:]
    weights = across @ np.linalg.inv(inside)
    square = differences @ np.linalg.solve(inside, differences)
    scale = (freedom + square) / (freedom + n)
    return weights @ differences, scale * (ahead - weights @ across.T), freedom + n
