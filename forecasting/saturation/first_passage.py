"""When is US demand met: the condition per period, its confirmation, and its first passage under censoring.

Arrays are [..., T], time last, from numpy or torch alike; P paths are the last axis once time is gone. A
first passage counts steps from the origin (step 0) and equals `steps` where it lies beyond the horizon
(censored). There is deliberately no mean date: under censoring it is not elicitable (arXiv 2603.14835).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from array_api_compat import array_namespace, device

from forecasting.errors import InputError
from forecasting.policy.terms import SupplyRule
from forecasting.saturation.backlog import Array, Flow, fill_rate, stack_steps


def saturated(
    flow: Flow, orders: Array, capacity: Array, *, rule: SupplyRule, weeks_per_period: float
) -> Array:
    """Where US demand is met: backlog <= normal lead time x capacity, and fill rate >= its minimum.

    Parameters
    ----------
    flow : Flow of arrays [..., T]
    orders, capacity : array [..., T]
        Those from which `flow` was computed.
    rule : SupplyRule
    weeks_per_period : float

    Returns
    -------
    bool array [..., T]
    """
    lead_time_periods = rule.normal_lead_time_weeks / weeks_per_period
    short_queue = flow.backlog <= lead_time_periods * capacity
    return short_queue & (fill_rate(orders, flow, lead_time_periods) >= rule.fill_rate_min)


def confirmed(state: Array, hold_periods: int) -> Array:
    """Where a bool state [..., T] has held for `hold_periods` in a row, the present one included.

    The state before the first period is unknown and does not count as held.
    """
    if hold_periods < 1:
        raise InputError(
            "a state must hold for at least one period", expected=">= 1", found=str(hold_periods)
        )
    xp = array_namespace(state)
    steps = [state[..., t] for t in range(state.shape[-1])]
    before = xp.zeros_like(steps[0])
    held = 1
    while held < hold_periods:  # two runs that overlap or touch make a longer one
        shift = min(held, hold_periods - held)
        steps = [now & (steps[t - shift] if t >= shift else before) for t, now in enumerate(steps)]
        held += shift
    return stack_steps(steps)


def first_passage(state: Array, origin_step: int = 0) -> Array:
    """Steps from the origin to the first period in which a bool state [..., T] is true.

    Parameters
    ----------
    state : bool array [..., T]
        Usually `confirmed(saturated(...))`.
    origin_step : int
        Column that counts as step 0; earlier ones are ignored.

    Returns
    -------
    int64 array [...]
        0 if true at the origin itself; T - origin_step where it never becomes true (censored).
    """
    total = state.shape[-1]
    if not 0 <= origin_step < total:
        raise InputError(
            "the origin must lie inside the periods",
            expected=f"0 to {total - 1}",
            found=str(origin_step),
            where="origin_step",
        )
    xp = array_namespace(state)
    passage = xp.full(state.shape[:-1], total - origin_step, dtype=xp.int64, device=device(state))
    for t in reversed(range(origin_step, total)):
        passage = xp.where(state[..., t], t - origin_step, passage)
    return passage


def probability_by_step(passage: Array, steps: int) -> Array:
    """P(T <= t) for t = 0 ... steps - 1.

    Parameters
    ----------
    passage : int array [..., P]
        First passages; `steps` or more means censored.
    steps : int
        Number of steps, the origin included.

    Returns
    -------
    float64 array [..., steps]
        Shares of the paths; never decreasing.
    """
    xp = array_namespace(passage)
    paths = passage.shape[-1]
    counts = [xp.sum(xp.astype(passage <= t, xp.int64), axis=-1) for t in range(steps)]
    return xp.astype(stack_steps(counts), xp.float64) / paths


def never(passage: Array, steps: int) -> Array:
    """P(T > last step): share of the paths [..., P] that are censored; float64 [...]."""
    return 1.0 - probability_by_step(passage, steps)[..., -1]


def quantile_steps(passage: Array, levels: Sequence[float], steps: int) -> Array:
    """Quantiles of the first passage: the smallest t with P(T <= t) >= level.

    Parameters
    ----------
    passage : int array [..., P]
    levels : sequence of Q floats in (0, 1]
    steps : int
        Number of steps looked at, the origin included.

    Returns
    -------
    float64 array [..., Q]
        Steps after the origin; NaN where the probability does not reach the level in time (censored).
    """
    if not all(0 < level <= 1 for level in levels):
        raise InputError(
            "quantile levels must lie in (0, 1]", found=", ".join(f"{x:g}" for x in levels), where="levels"
        )
    probability = probability_by_step(passage, steps)
    xp = array_namespace(probability)
    quantiles = []
    for level in levels:
        quantile = xp.full_like(probability[..., 0], math.nan)
        for t in reversed(range(steps)):
            quantile = xp.where(probability[..., t] >= level, float(t), quantile)
        quantiles.append(quantile)
    return stack_steps(quantiles)
