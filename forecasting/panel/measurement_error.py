"""Measurement error of published figures: a log-normal through three quantiles, and draws from it.

I items, P paths, L context steps, V variates.
"""

from __future__ import annotations

import numpy as np

from forecasting.errors import InputError
from forecasting.frequencies import label, period_ends
from forecasting.panel.history import Bools, Floats, History
from forecasting.seeds import item_generator

Z_95 = 1.6448536269514722  # distance of the 95 % point of a standard normal from its median


def error_scales(p05: Floats, p50: Floats, p95: Floats) -> tuple[Floats, Floats]:
    """Lower and upper scale of the two-piece log-normal through three quantiles.

    `log x = log p50 + z sigma` with standard normal z and `sigma = log(p50 / p05) / 1.645` for z < 0,
    `log(p95 / p50) / 1.645` for z > 0. Each half keeps its probability of 1/2, so all three quantiles are
    met exactly. (The two-piece normal of Wallis 2014, Statistical Science 29:106, has a continuous density
    instead, and its pieces do not meet at the median.)

    Parameters
    ----------
    p05, p50, p95 : array, any common shape, in the unit of the figure
        A missing 5 % or 95 % point means that side is exact. A 5 % point of zero below a positive figure
        cannot be met on the log scale: the upper scale then serves both sides.

    Returns
    -------
    lower, upper : array
        Standard deviations of log x, 0 where the figure is exact, zero, negative or missing.
    """
    lower, upper = np.zeros_like(p50), np.zeros_like(p50)
    has_lower, has_upper = (p50 > 0) & (p05 > 0), (p50 > 0) & (p95 > 0)
    np.divide(p50, p05, out=lower, where=has_lower)
    np.divide(p95, p50, out=upper, where=has_upper)
    np.log(lower, out=lower, where=has_lower)
    np.log(upper, out=upper, where=has_upper)
    lower = np.where((p50 > 0) & (p05 == 0), upper, lower)
    return lower / Z_95, upper / Z_95


def draw_history(history: History, *, paths: int, seed: int, correlation: float) -> Floats:
    """Draw what the past may have been, given how exactly it is known.

    Figures of one item rest on the same method and the same prices in all periods, so their errors are alike:
    `z = sqrt(rho) common + sqrt(1 - rho) own` with one common number for each item and path, and own numbers
    for each period. The variates of a period share them: orders and capacity are read off the same shipments.

    Parameters
    ----------
    history : History
    paths : int
        Number of draws P.
    seed : int
    correlation : float
        rho, correlation of the errors (of z) between the periods of one item, in [0, 1].

    Returns
    -------
    array [I, P, L, V]
        In the unit of the history, NaN where nothing was observed.

    Raises
    ------
    InputError
        If the correlation lies outside [0, 1] or quantiles of a figure are out of order.
    """
    if not 0 <= correlation <= 1:
        raise InputError(
            "the correlation of measurement errors must be a share",
            expected="a number in [0, 1]",
            found=f"{correlation:g}",
        )
    _require_order(history)
    lower, upper = error_scales(history.value_p05, history.values, history.value_p95)
    steps = history.context_length
    drawn = np.empty((len(history.item_ids), paths, steps, len(history.variates)))
    for i, item_id in enumerate(history.item_ids):
        rng = item_generator(seed, purpose="measurement", item_id=item_id)
        common = rng.standard_normal((paths, 1, 1))
        own = rng.standard_normal((paths, steps, 1))
        z = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
        drawn[i] = history.values[i].T * np.exp(z * np.where(z < 0, lower[i].T, upper[i].T))
    return drawn


def _require_order(history: History) -> None:
    """Refuse 5 % points above, or 95 % points below, the figure itself."""
    out_of_order: Bools = (history.value_p05 > history.values) | (history.value_p95 < history.values)
    if not out_of_order.any():
        return
    i, v, step = (int(index[0]) for index in np.nonzero(out_of_order))
    back = step - history.context_length + 1
    period = period_ends(history.origins[i], range(back, back + 1), history.frequency)[0]
    p05, p50, p95 = (a[i, v, step] for a in (history.value_p05, history.values, history.value_p95))
    raise InputError(
        "quantiles of a figure must not fall",
        expected="value_p05 <= value <= value_p95",
        found=f"{p05:g}, {p50:g}, {p95:g}",
        where=f"{history.item_ids[i]}, {history.variates[v]}, {label(period, history.frequency)}",
    )
