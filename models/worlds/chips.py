"""Worlds of orders, capacity and backlog: chip generations, a growing portfolio, a bunching order book.

Orders come from a demand law, capacity answers demand late and in limited steps, the backlog follows
B[t] = max(0, B[t-1] + O[t] - C[t]), and a long backlog makes customers cancel. Half of the items with several
variates give book-to-bill, orders over capacity, in the place of orders.

Shapes: B items, V variates (orders, capacity, backlog), T steps, G generations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from models.worlds.linear import growth
from models.worlds.rng import RandomSource, WorldSeries, innovations, seasonal_pattern


class Supply(NamedTuple):
    """How capacity answers demand, one number per item [B].

    Attributes
    ----------
    lag : Tensor
        Share of the gap to planned capacity that is closed per step.
    ramp_limit, cut_limit : Tensor
        Largest rise and fall of log capacity per step.
    margin : Tensor
        Planned capacity over expected demand, log.
    lead : Tensor
        Backlog over capacity that customers accept, steps; the plan clears what lies above it.
    shock : Tensor
        Volatility of log capacity per step.
    cancel : Tensor
        Share of the backlog above twice the lead that is cancelled per step.
    """

    lag: Tensor
    ramp_limit: Tensor
    cut_limit: Tensor
    margin: Tensor
    lead: Tensor
    shock: Tensor
    cancel: Tensor


def generations(rng: RandomSource, items: int, variates: int, steps: int) -> WorldSeries:
    """One chip of a line of successive generations that replace each other (Norton and Bass 1987)."""
    demand = norton_bass(rng, items, steps)
    return _world(rng, demand, variates, roughness=(0.03, 0.4))


def portfolio(rng: RandomSource, items: int, variates: int, steps: int) -> WorldSeries:
    """All chips of a vendor: growth that may fade, with cycles and shocks of bookings."""
    pace = rng.uniform(items, 1, low=-0.03, high=0.2) * rng.log_uniform(items, 1, low=0.1, high=1.0)
    fade = rng.log_uniform(items, 1, low=0.002, high=0.15) * rng.chance(items, 1, share=0.7)
    clock = torch.arange(steps, device=rng.device)
    trend = torch.where(fade > 0, pace * (1 - torch.exp(-fade * clock)) / fade.clamp(min=1e-6), pace * clock)
    wander = rng.log_uniform(items, 1, low=0.01, high=0.15) * growth(rng, items, 1, steps)[:, 0].cumsum(-1)
    return _world(rng, (trend + wander).clamp(-15.0, 15.0).exp(), variates, roughness=(0.02, 0.3))


def order_book(rng: RandomSource, items: int, variates: int, steps: int) -> WorldSeries:
    """A book of large lumpy orders around a slowly wandering, sometimes seasonal level."""
    wander = rng.log_uniform(items, 1, low=0.005, high=0.08) * growth(rng, items, 1, steps)[:, 0].cumsum(-1)
    season = rng.season(items, steps)
    swing = rng.uniform(items, 1, high=0.4) * rng.chance(items, 1, share=0.4)
    level = (wander + swing * seasonal_pattern(rng, season, 1, steps)[:, 0]).clamp(-12.0, 12.0).exp()
    lumps = rng.log_uniform(items, 1, low=2.0, high=100.0)
    orders = rng.poisson(lumps * level) / lumps
    return _world(rng, orders + 0.01, variates, roughness=(0.01, 0.2))._replace(
        season=torch.where(swing[:, 0] > 0, season, 1)
    )


def error_correction(rng: RandomSource, items: int, variates: int, steps: int) -> WorldSeries:
    """Log orders and log capacity that share a trend, each drawn to the other, so that their gap closes.

    d log O = g - a (log O - log C - m) + e, d log C = g + b (log O - log C - m) + f (Engle and Granger 1987);
    in some items orders collapse and stay there.
    """
    noise = innovations(rng, items, 2, steps)
    size = rng.log_uniform(items, 2, 1, low=0.01, high=0.25)
    pull = rng.log_uniform(items, 2, low=0.01, high=0.5) * rng.chance(items, 2, share=0.8)
    trend = rng.log_uniform(items, 1, low=0.05, high=1.0) * rng.normal(items, 1) * size[:, 0]
    balance = rng.uniform(items, low=-0.2, high=0.2)
    shocks = trend[..., None] + size * noise.clamp(-6.0, 6.0)
    orders = balance + size[:, 0, 0] * rng.normal(items)
    capacity = torch.zeros(items, device=rng.device)
    flows = []
    for shock in shocks.unbind(-1):
        gap = orders - capacity - balance
        orders = orders - pull[:, 0] * gap + shock[:, 0]
        capacity = capacity + pull[:, 1] * gap + shock[:, 1]
        flows.append(torch.stack([orders, capacity], -1))
    logs = torch.stack(flows, -1).clamp(-20.0, 20.0)
    flow, limit = (logs[:, 0] + collapse(rng, items, steps, share=0.2)).exp(), logs[:, 1].exp()
    waiting = rng.log_uniform(items, low=0.2, high=4.0) * limit[:, 0]
    backlogs = []
    for gross, shipped in zip(flow.unbind(-1), limit.unbind(-1), strict=True):
        waiting = (waiting + gross - shipped).clamp(min=0.0)
        backlogs.append(waiting)
    return measure(rng, torch.stack([flow, limit, torch.stack(backlogs, -1)], dim=1), variates)


def collapse(rng: RandomSource, items: int, steps: int, *, share: float) -> Tensor:
    """Fall of log orders [B, T] in a share of the items, at a random step and for good; 0 before it."""
    clock = torch.arange(steps, device=rng.device)
    begun = clock >= rng.integer(items, 1, low=steps // 8, high=steps)
    depth = rng.uniform(items, 1, low=0.4, high=3.0) * rng.chance(items, 1, share=share)
    return -depth * begun


CHIP_WORLDS: dict[str, Callable[[RandomSource, int, int, int], WorldSeries]] = {
    "generations": generations,
    "portfolio": portfolio,
    "order_book": order_book,
    "error_correction": error_correction,
}


def norton_bass(rng: RandomSource, items: int, steps: int) -> Tensor:
    """Demand [B, T] for one generation, or for all, of a Norton-Bass line with G = 4 generations.

    Generation k takes F(t - launch[k]) of its own potential and of what the one before had won:
    S[k] = F[k] (m[k] + S_before[k-1]) (1 - F[k+1]), with Bass's F(t) = (1 - e^-(p+q)t) / (1 + q/p e^-(p+q)t).
    """
    count = 4
    cadence = rng.log_uniform(items, 1, low=4.0, high=max(5.0, steps / 2))
    gaps = cadence * rng.uniform(items, count, low=0.6, high=1.5)
    launch = gaps.cumsum(1) - gaps[:, :1] - cadence * rng.uniform(items, 1, high=1.5)
    age = (torch.arange(steps, device=rng.device) - launch[:, :, None]).clamp(min=0.0)
    innovate = rng.log_uniform(items, 1, 1, low=0.003, high=0.05)
    imitate = rng.log_uniform(items, 1, 1, low=1.5, high=6.0) / cadence[:, :, None]
    decay = torch.exp(-(innovate + imitate) * age)
    taken = (1 - decay) / (1 + imitate / innovate * decay)
    potential = torch.exp(rng.uniform(items, count, low=0.0, high=1.2).cumsum(1))
    won = torch.zeros(items, steps, device=rng.device)
    sales = []
    for k in range(count):
        won = taken[:, k] * (potential[:, k : k + 1] + won)
        sales.append(won * (1 - taken[:, k + 1]) if k + 1 < count else won)
    lines = torch.stack(sales, dim=1)
    single = lines.gather(1, rng.integer(items, 1, 1, low=0, high=count - 1).expand(-1, -1, steps))[:, 0]
    chosen = torch.where(rng.chance(items, 1, share=0.7), single, lines.sum(1))
    return chosen / chosen.amax(-1, keepdim=True).clamp(min=1e-6) + 0.01


def _world(
    rng: RandomSource, demand: Tensor, variates: int, *, roughness: tuple[float, float]
) -> WorldSeries:
    """Orders, capacity and backlog [B, V, T] that follow from a smooth demand [B, T], as measured."""
    items, steps = demand.shape
    orders = demand * _roughness(rng, items, steps, low=roughness[0], high=roughness[1])
    world = respond(orders, draw_supply(rng, items), innovations(rng, items, 1, steps)[:, 0])
    return measure(rng, world, variates)


def measure(rng: RandomSource, world: Tensor, variates: int) -> WorldSeries:
    """Some variates of orders, capacity and backlog [B, 3, T], with the noise of their measurement."""
    items, _, steps = world.shape
    size = rng.log_uniform(items, 1, 1, low=0.005, high=0.15) * rng.chance(items, 1, 1, share=0.4)
    measured = world * (size * innovations(rng, items, world.shape[1], steps)).exp()
    first = (
        rng.integer(items, low=0, high=2) if variates == 1 else torch.zeros(items, device=rng.device).long()
    )
    chosen = (first[:, None] + torch.arange(variates, device=rng.device)) % world.shape[1]
    ratio = rng.chance(items, share=0.5) & (variates > 1)
    book_to_bill = measured[:, 0] / measured[:, 1].clamp(min=1e-6)
    measured[:, 0] = torch.where(ratio[:, None], book_to_bill.clamp(max=1e3), measured[:, 0])
    values = measured.gather(1, chosen[:, :, None].expand(-1, -1, steps))
    return WorldSeries(values, torch.ones(items, dtype=torch.long, device=rng.device), ratio)


def _roughness(rng: RandomSource, items: int, steps: int, *, low: float, high: float) -> Tensor:
    """Multiplier [B, T] of demand: noise, pulls-forward that are followed by a hole, and booms that last."""
    noise = rng.log_uniform(items, 1, low=low, high=high) * innovations(rng, items, 1, steps)[:, 0]
    pulse = rng.chance(items, steps, share=0.03) * rng.uniform(items, steps, high=1.2)
    pulse = (pulse - 0.6 * pulse.roll(1, -1)) * rng.chance(items, 1, share=0.4)
    boom = (rng.chance(items, steps, share=0.025) * 0.5 * rng.normal(items, steps)).cumsum(-1)
    lasting = boom * rng.chance(items, 1, share=0.4) + collapse(rng, items, steps, share=0.08)
    return (noise + pulse + lasting).clamp(-6.0, 6.0).exp()


def draw_supply(rng: RandomSource, items: int) -> Supply:
    """How capacity answers demand in each of the items."""
    return Supply(
        lag=rng.log_uniform(items, low=0.03, high=0.7),
        ramp_limit=rng.log_uniform(items, low=0.02, high=0.5),
        cut_limit=rng.log_uniform(items, low=0.01, high=0.4),
        margin=rng.uniform(items, low=-0.25, high=0.25),
        lead=rng.log_uniform(items, low=0.3, high=6.0),
        shock=rng.log_uniform(items, low=0.003, high=0.12),
        cancel=rng.uniform(items, high=0.3) * rng.chance(items, share=0.5),
    )


def respond(orders: Tensor, supply: Supply, shocks: Tensor) -> Tensor:
    """Net orders, capacity and backlog [B, 3, T] when capacity chases gross orders [B, T].

    Each step cancels part of an overlong backlog (net orders never fall below zero), ships what capacity
    allows, and moves capacity toward expected demand plus the clearing of the backlog above the lead.
    """
    expected = orders[:, :4].mean(-1)
    capacity = expected * torch.exp(supply.margin)
    backlog = 0.5 * supply.lead * capacity
    net_orders, capacities, backlogs = [], [], []
    for gross, shock in zip(orders.unbind(-1), shocks.unbind(-1), strict=True):
        cancelled = supply.cancel * (backlog - 2 * supply.lead * capacity).clamp(min=0.0)
        net = (gross - cancelled).clamp(min=0.0)
        backlog = (backlog + net - capacity).clamp(min=0.0)
        net_orders.append(net)
        capacities.append(capacity)
        backlogs.append(backlog)
        expected = expected + 0.4 * (net - expected)
        overdue = (backlog - supply.lead * capacity).clamp(min=0.0) / 4
        plan = torch.log((expected + overdue).clamp(min=1e-6)) + supply.margin
        step = (supply.lag * (plan - capacity.log())).clamp(-supply.cut_limit, supply.ramp_limit)
        capacity = capacity * torch.exp(step + supply.shock * shock.clamp(-5.0, 5.0))
    return torch.stack([torch.stack(flow, -1) for flow in (net_orders, capacities, backlogs)], dim=1)
