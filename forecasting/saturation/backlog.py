"""Orders meet capacity: backlog, shipments, surplus, lead time and fill rate, period by period.

Arrays are [..., T], time last, from numpy or torch alike; every formula steps through T and is a vector
operation over all other axes. Results are stored step-first and seen time-last: each step is contiguous.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from array_api_compat import array_namespace

from forecasting.errors import InputError

Array: TypeAlias = Any  # an array of any array-API library; the standard has no static type


class Flow(NamedTuple):
    """How the orders were served. Units of the orders; each [..., T].

    `backlog` is what is unshipped at the end of the period, `shipments` what was shipped in it, `surplus` the
    capacity left without an order.
    """

    backlog: Array
    shipments: Array
    surplus: Array


def stack_steps(steps: Sequence[Array]) -> Array:
    """Join arrays [...] of successive steps into one [..., T] whose memory is step-first."""
    xp = array_namespace(steps[0])
    return xp.moveaxis(xp.stack(list(steps), axis=0), 0, -1)


def require_amounts(values: Array, *, name: str) -> None:
    """Refuse amounts that are missing, negative or infinite, naming them and how many there are."""
    xp = array_namespace(values)
    if math.prod(values.shape) == 0:
        return
    if not (bool(xp.min(values) >= 0) and bool(xp.max(values) < math.inf)):  # NaN is its array's min and max
        broken = int(xp.sum(xp.astype(~((values >= 0) & (values < math.inf)), xp.int64)))
        raise InputError(
            f"{name} must be given in every period and not be negative",
            expected="finite numbers >= 0",
            found=f"{broken} missing, negative or infinite",
            where=name,
        )


def flow(orders: Array, capacity: Array, opening: Array | float = 0.0) -> Flow:
    """Serve orders from capacity, oldest first, carrying what is not served.

    With demand D[t] = B[t-1] + O[t]: shipments S = min(D, C), backlog B = D - S, surplus C - S. The backlog
    is Lindley's recursion ("The theory of queues with a single server", Proc. Camb. Phil. Soc. 48, 1952).

    Parameters
    ----------
    orders, capacity : array [..., T]
        Units ordered by, and offered to, US customers in each period.
    opening : array [...] or float
        Backlog before the first period.

    Raises
    ------
    InputError
        If an amount is missing, negative or infinite, or there is no period.
    """
    require_amounts(orders, name="orders")
    require_amounts(capacity, name="capacity")
    if orders.shape[-1] != capacity.shape[-1] or orders.shape[-1] == 0:
        raise InputError(
            "orders and capacity must cover the same periods, at least one",
            found=f"{orders.shape[-1]} and {capacity.shape[-1]} periods",
        )
    xp = array_namespace(orders, capacity)
    backlog, shipments, surplus = [], [], []
    waiting = opening
    for t in range(orders.shape[-1]):
        demand, offered = waiting + orders[..., t], capacity[..., t]
        shipped = xp.minimum(demand, offered)
        waiting = demand - shipped
        backlog.append(waiting)
        shipments.append(shipped)
        surplus.append(offered - shipped)
    return Flow(stack_steps(backlog), stack_steps(shipments), stack_steps(surplus))


def lead_time_weeks(backlog: Array, capacity: Array, weeks_per_period: float) -> Array:
    """Weeks until the last order in the queue is served at the present capacity; [..., T].

    Backlog over capacity (Little's law). 0 without backlog, even at no capacity; infinite with backlog and no
    capacity.
    """
    xp = array_namespace(backlog, capacity)
    stopped = capacity == 0
    periods = backlog / xp.where(stopped, xp.ones_like(capacity), capacity)
    never = xp.full_like(periods, math.inf)
    return weeks_per_period * xp.where(stopped & (backlog > 0), never, periods)


def fill_rate(orders: Array, flow: Flow, lead_time_periods: float) -> Array:
    """Share of the orders of one cohort that was shipped within the normal lead time, first in, first out.

    In period t the cohort judged is the youngest whose lead time has run out, that of period c = t - k with k
    = ceil(lead time). What is unshipped of it is at the very end of the backlog B[c]. So what is late is
    B[c] less the shipments since; if the lead time is not a whole number, the last of them counts in part:

        late = clip(B[c] - (S[c+1] + ... + S[t-1] + (lead time - k + 1) S[t]), 0, O[c])
        fill rate = 1 - late / O[c]

    which equals clip(S[c] + ... - B[c-1], 0, O[c]) / O[c]. Only periods up to t are read, so the rate is
    known in t; how much of this period's own orders will be served in time is not. Before the first cohort's
    lead time has run out, that cohort is judged by what has been shipped so far, which can only understate
    it. A cohort without orders counts as served (1).

    A longer lead time judges an older cohort; if that one was unluckier than its successors, the rate is
    lower.

    Parameters
    ----------
    orders : array [..., T]
    flow : Flow of arrays [..., T]
        As `flow` returned it for these orders.
    lead_time_periods : float
        Normal lead time in periods, >= 0.

    Returns
    -------
    array [..., T]
        0 to 1.
    """
    if not lead_time_periods >= 0 or math.isinf(lead_time_periods):
        raise InputError(
            "a lead time must not be negative", expected=">= 0 periods", found=f"{lead_time_periods:g}"
        )
    xp = array_namespace(orders)
    elapsed = math.ceil(lead_time_periods)
    last_share = lead_time_periods - elapsed + 1
    zero, one = xp.zeros_like(orders[..., 0]), xp.ones_like(orders[..., 0])
    rates = []
    for t in range(orders.shape[-1]):
        cohort = max(t - elapsed, 0)
        ordered = orders[..., cohort]
        unshipped = flow.backlog[..., cohort]
        for s in range(cohort + 1, t + 1):
            unshipped = unshipped - (last_share if s == cohort + elapsed else 1.0) * flow.shipments[..., s]
        late = xp.minimum(xp.maximum(unshipped, zero), ordered)
        rates.append(1.0 - late / xp.where(ordered > 0, ordered, one))
    return stack_steps(rates)
