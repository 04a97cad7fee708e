"""Classical models as what they all are: a mean path and a linear response to Gaussian shocks.

`y[h] = mean[h] + sum over j of z[j] shocks[j, h]` with independent standard normal z.
N observations, H horizon steps.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.signal import lfilter
from statsforecast.models import AutoARIMA, AutoETS, AutoTheta

from forecasting.forecasters import settings as statistical_settings
from forecasting.panel.history import Floats

ETS_MAX_SEASON = 24  # more seasonal states than observations can settle; also the limit of R's forecast::ets
ARIMA_MAX_SEASON = 12  # beyond, seasonal orders take minutes per series
ARIMA_MIN_SEASONS = 5  # with fewer, seasonal orders look like noise and take most of the time
ARIMA_MAX_LENGTH = 200  # of a longer series only the last part is used: fitting time grows with the length
THETA_MAX_LENGTH = 2_000  # the same: 0.65 s at 2,000 values, 16 s at 10,000
LONGEST = 10_000  # observations that any model reads, the last ones: fitting a million takes an hour
DAMPING = (
    0.9  # share of a trend that lives on from step to step; usual are 0.8 to 0.98 (Hyndman, op. cit., 8.2)
)
LONG_RUN_SEASONS = 8  # after so many seasons a shock is taken to have its lasting effect
REMEMBERED = 2_048  # fits, of some 10 kB each: a rolling-origin evaluation asks for each one several times
THETA_BURN_IN = 3  # first residuals depend on the initial level, statsforecast leaves them out as well


class LinearModel(NamedTuple):
    """A fitted model.

    Attributes
    ----------
    mean : function of H
        Mean path [H].
    response : function of H
        Effect [H, H] of a unit error in step j on step h; upper triangular with ones on the diagonal.
    sigma : float
        Standard deviation of the one-step error.
    drift_error : float
        Standard deviation of the drift per step, in units of sigma: no model of N observations knows the mean
        of the coming changes better than from N past ones. With the model's long-run response r it is
        r / sqrt(N); for a random walk the variance becomes sigma^2 h (1 + h / N), the known formula for an
        estimated drift (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 5.5).
    """

    mean: Callable[[int], Floats]
    response: Callable[[int], Floats]
    sigma: float
    drift_error: float = 0.0

    def shocks(self, horizon: int) -> Floats:
        """Effect [H + 1, H] of standard normal shocks: the H one-step errors, then the error of the drift."""
        drift = self.drift_error * np.arange(1, horizon + 1)
        return self.sigma * np.vstack([self.response(horizon), drift])

    def deviation(self, horizon: int) -> Floats:
        """Standard deviation [H] of each step."""
        return np.asarray(np.sqrt((self.shocks(horizon) ** 2).sum(axis=0)))


Fitter = Callable[[Floats, int], LinearModel]


def fit(name: str, series: Floats, season_length: int) -> LinearModel | None:
    """Fit one of `CANDIDATES` to a series [N]; None where it cannot be fitted (too short, no convergence).

    A constant series stays constant under every model; of a long one the last `LONGEST` values are read. The
    last `REMEMBERED` fits of the process are kept: single models, the choice among them and a rehearsal ask
    for the same ones.
    """
    return _fit(name, np.asarray(series[-LONGEST:], dtype=np.float64).tobytes(), season_length)


@functools.lru_cache(maxsize=REMEMBERED)
def _fit(name: str, content: bytes, season_length: int) -> LinearModel | None:
    """What `fit` says of a series, given as the bytes of its values."""
    series = np.frombuffer(content).copy()  # a writeable one: compiled code of statsforecast asks for it
    if np.ptp(series) == 0:
        return random_walk(series, 0.0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("ignore", RuntimeWarning)
            model = CANDIDATES[name](series, season_length)
            sound = np.isfinite(model.mean(season_length)).all() and np.isfinite(model.sigma)
    except Exception:  # noqa: BLE001 (statsforecast raises a bare Exception where no model can be fitted)
        return None
    if not sound:
        return None
    long_run = model.response(LONG_RUN_SEASONS * season_length)[0, -season_length:].mean()
    return model._replace(drift_error=float(long_run) / len(series) ** 0.5)


def random_walk(series: Floats, sigma: float) -> LinearModel:
    """Last value carried forward, with errors that add up; sigma holds the drift if measured about zero."""
    last = float(series[-1])
    return LinearModel(
        lambda horizon: np.full(horizon, last), lambda horizon: np.triu(np.ones((horizon, horizon))), sigma
    )


def _toeplitz(weights: Floats) -> Floats:
    """Response matrix of a model whose response [H] depends on the distance h - j alone."""
    steps = np.arange(len(weights))
    distance = steps[None, :] - steps[:, None]
    return np.where(distance >= 0, weights[np.abs(distance)], 0.0)


def _damped(mean: Callable[[int], Floats], season_length: int) -> Callable[[int], Floats]:
    """Mean path whose lasting slope b fades: `b h` becomes `b (DAMPING + DAMPING^2 + ... + DAMPING^h)`.

    Trends that are carried on for ever, on a log scale above all, are what makes long forecasts absurd.
    """
    far = mean(LONG_RUN_SEASONS * season_length + 1)
    slope = (far[-1] - far[-1 - season_length]) / season_length

    def damped(horizon: int) -> Floats:
        steps = np.arange(1, horizon + 1)
        return np.asarray(mean(horizon) - slope * (steps - np.cumsum(DAMPING**steps)))

    return damped


def _seasonal_naive(series: Floats, season_length: int) -> LinearModel:
    """Value of a season ago; the error is the root mean square of seasonal differences.

    `y[h] = y[h - m] + e[h]` (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 5.5).
    """
    season = series[-season_length:]
    changes = series[season_length:] - series[:-season_length]
    if len(changes) < 2:
        raise ValueError("a season and two more observations are needed")
    return LinearModel(
        lambda horizon: season[np.arange(horizon) % season_length],
        lambda horizon: _toeplitz((np.arange(horizon) % season_length == 0).astype(float)),
        float(np.sqrt(np.mean(changes**2))),
    )


def _auto_ets(series: Floats, season_length: int) -> LinearModel:
    """Additive-error exponential smoothing without trend or with a damped one, by corrected AIC.

    The mean is `level + slope (phi + ... + phi^h) + season`; a unit error moves the step j later by
    `alpha + beta (phi + ... + phi^j) + gamma [m divides j]` (Hyndman, Koehler, Ord and Snyder 2008, ch. 6,
    with the trend's smoothing written as beta). `predict` of statsforecast 2.1 takes `2 phi + phi^2 + ...`
    for a damped slope, at odds with its own `simulate`, hence the states are read here.
    """
    m = season_length if season_length <= ETS_MAX_SEASON else 1
    fitted = [
        AutoETS(season_length=m, model="ANZ", damped=False).fit(series),
        *([AutoETS(season_length=m, model="AAZ", damped=True).fit(series)] if len(series) > 9 else []),
    ]
    best = min(fitted, key=lambda model: float(np.nan_to_num(model.model_["aicc"], nan=np.inf)))
    alpha, beta, gamma, phi = np.nan_to_num(best.model_["par"][:4])
    level, *states = best.model_["states"][-1]
    slope = states.pop(0) if phi else 0.0
    seasons = np.array(states[::-1]) if states else np.zeros(1)

    def mean(horizon: int) -> Floats:
        steps = np.arange(horizon)
        return np.asarray(level + slope * np.cumsum(phi ** (steps + 1)) + seasons[steps % len(seasons)])

    def weights(horizon: int) -> Floats:
        lag = np.arange(horizon)
        trend = beta * np.cumsum(np.where(lag > 0, phi**lag, 0.0))
        return np.where(lag == 0, 1.0, alpha + trend + gamma * (lag % m == 0))

    return LinearModel(
        mean, lambda horizon: _toeplitz(weights(horizon)), float(np.sqrt(best.model_["sigma2"]))
    )


def _auto_arima(series: Floats, season_length: int) -> LinearModel:
    """ARIMA by corrected AIC, at most one difference, drift damped; the response is its psi weights.

    `psi(B) = theta(B) / (phi(B) delta(B))` (Box and Jenkins); seasonal factors are multiplied out. Without
    seasons exact likelihood alone finds the same models in half the time; with them it needs the start that
    conditional least squares gives.
    """
    series = series[-ARIMA_MAX_LENGTH:]
    seasonal = 1 < season_length <= ARIMA_MAX_SEASON and len(series) >= ARIMA_MIN_SEASONS * season_length
    search: dict[str, Any] = {
        "max_d": 1,
        "max_p": 2,
        "max_q": 2,
        "start_p": 1,
        "start_q": 1,
        "max_P": 1,
        "max_Q": 1,
    }
    search |= {"season_length": season_length, "approximation": True} if seasonal else {"method": "ML"}
    model = AutoARIMA(**search).fit(series)
    system = model.model_["model"]
    ar = np.convolve(np.r_[1.0, -system["phi"]], np.r_[1.0, -system["delta"]])
    ma = np.r_[1.0, system["theta"]]
    return LinearModel(
        _damped(lambda horizon: _mean(model, horizon), season_length),
        lambda horizon: _toeplitz(np.asarray(lfilter(ma, ar, np.eye(1, horizon)[0]))),
        float(np.sqrt(model.model_["sigma2"])),
    )


def _auto_theta(series: Floats, season_length: int) -> LinearModel:
    """Best of the four theta models by squared error, additive seasons, slope damped."""
    series = series[-THETA_MAX_LENGTH:]
    model = AutoTheta(season_length=season_length, decomposition_type="additive").fit(series)
    fitted = model.model_
    residuals = fitted["residuals"]
    if fitted.get("decompose", False):  # statsforecast leaves the seasons in the residuals
        season = fitted["seas_forecast"]["mean"]
        residuals = residuals - season[(np.arange(len(series)) - len(series)) % len(season)]
    dynamic = fitted["modeltype"] in {"DSTM", "DOTM"}
    parameters = fitted["par"]["alpha"], fitted["par"]["theta"]
    return LinearModel(
        _damped(lambda horizon: _mean(model, horizon), season_length),
        lambda horizon: _theta_response(horizon, len(series), *parameters, dynamic=dynamic),
        float(np.std(residuals[THETA_BURN_IN:], ddof=1)),
    )


def _theta_response(horizon: int, observations: int, alpha: float, theta: float, *, dynamic: bool) -> Floats:
    """Response [H, H] of a theta model.

    Static: an error moves the level by alpha. Dynamic: also the regression line through all values so far
    (Fiorucci et al. 2016, International Journal of Forecasting 32:1151; `simulate` of statsforecast 2.1
    updates the slope with the new mean where they, and its own `predict`, use the old one).
    """
    if not dynamic:
        return _toeplitz(np.where(np.arange(horizon) == 0, 1.0, alpha))
    level, mean, intercept, slope = np.zeros((4, horizon))
    response = np.empty((horizon, horizon))
    for h, errors in enumerate(np.eye(horizon)):
        i = observations + h
        line = intercept * (1 - alpha) ** i + slope * (1 - (1 - alpha) ** (i + 1)) / alpha
        response[:, h] = y = level + (1 - 1 / theta) * line + errors
        level = alpha * y + (1 - alpha) * level
        slope = ((i - 1) * slope + 6 * (y - mean) / (i + 1)) / (i + 2)
        mean = (i * mean + y) / (i + 1)
        intercept = mean - slope * (i + 2) / 2
    return response


def _mean(model: Any, horizon: int) -> Floats:  # noqa: ANN401 (statsforecast is untyped)
    return np.asarray(model.predict(h=horizon)["mean"], dtype=np.float64)


CANDIDATES: Mapping[str, Fitter] = dict(
    zip(statistical_settings.CANDIDATES, (_auto_ets, _auto_arima, _auto_theta, _seasonal_naive), strict=True)
)
