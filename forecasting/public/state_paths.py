"""A state of the market on each path, and with it capacity, queue and the end of supply.

The panel says how probable it is that an item is short of supply, has its orders met or has lost its supply.
A path takes one of them in each quarter, by one number u for all of them (ended below P(ended), short above
1 - P(short), met between): so it changes its state only as the probabilities pass u, and shares of paths are
the probabilities. On a path

    met     capacity is the recent peak of shipments, decaying
    short   capacity is shipments, and a queue of the lead time waits
    ended   as short up to now; from then on capacity runs down by the decay in each quarter from what is
            ordered or made, whichever is less: orders go on, are not met, and nothing is left over

and in all of them what orders exceeded capacity by waits too.
Paths that have not ended end in each later quarter with the hazard of the last one. Lead time and decay are
drawn for each path from their ranges, and so is due to delivered, with which orders exceed shipments: each is
one number for all items of a path. I items, P paths, L context steps, H horizon steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from forecasting.forecasters.base import PathSet
from forecasting.panel.history import Floats, History
from forecasting.panel.measurement_error import error_scales
from forecasting.panel.schema import RATIO, STATE
from forecasting.public.assumptions import Assumption, drawn, standard_draws
from forecasting.saturation.market import BACKLOG, ENDED
from forecasting.seeds import item_generator

SHORTEST_QUEUE_WEEKS = 12.0  # 8 to 12 weeks were quoted once supply had eased; less is no shortage


@dataclass(frozen=True, kw_only=True)
class StateTerms:
    """Lead time of a product short of supply, in weeks, and share of capacity left after a period."""

    lead_time_weeks: Assumption
    capacity_decay: Assumption


def with_states(paths: PathSet, states: History, terms: StateTerms, *, seed: int) -> PathSet:
    """Paths whose capacity follows a drawn state, with the queue of the history and the end of supply.

    Parameters
    ----------
    paths : PathSet
        Variates orders, capacity and shipments; the last is known for the history alone.
    states : History
        The same items with the variates of `panel.schema.STATE`, and `RATIO` where orders are not shipments.
    terms : StateTerms
    seed : int
    """
    names = (*paths.variates, BACKLOG, ENDED)
    queue = np.full((*paths.values.shape[:3], 2), np.nan)
    values = np.concatenate([paths.values, queue], axis=3)
    if RATIO in states.variates:
        _set_orders(values, names, states.only(RATIO), standard_draws(RATIO, paths=paths.paths, seed=seed))
    chances = states.only(*STATE).values
    for i, item_id in enumerate(paths.item_ids):
        draw = _Draw.of(terms, paths, item_id, seed)
        _set_item(values[i], names, chances[i], draw, paths.context_length)
    return replace(paths, variates=names, values=values)


def _set_orders(values: Floats, names: Sequence[str], ratios: History, z: Floats) -> None:
    """Set orders [I, P, L + H] in place: shipments times the ratio of the path; the future in proportion.

    Its error is not that of the shipments, with which orders would else rise and fall.
    """
    orders, shipments = (values[..., names.index(name)] for name in ("orders", "shipments"))
    lower, upper = error_scales(ratios.value_p05[:, 0], ratios.values[:, 0], ratios.value_p95[:, 0])
    scale = np.where(z[:, None] < 0, lower[:, None], upper[:, None])  # [I, P, L]
    context = ratios.context_length
    before = orders[:, :, context - 1].copy()
    drawn_orders = shipments[:, :, :context] * ratios.values[:, 0][:, None] * np.exp(z[:, None] * scale)
    orders[:, :, :context] = np.where(np.isnan(drawn_orders), orders[:, :, :context], drawn_orders)
    last = orders[:, :, context - 1]
    orders[:, :, context:] *= np.divide(last, before, out=np.ones_like(before), where=before > 0)[..., None]


@dataclass(frozen=True, kw_only=True)
class _Draw:
    """What is drawn once for each path [P]: the state's u, when supply ends, queue in periods, decay."""

    state: Floats
    end: Floats
    queue_periods: Floats
    decay: Floats

    @classmethod
    def of(cls, terms: StateTerms, paths: PathSet, item_id: str, seed: int) -> _Draw:
        rng = item_generator(seed, purpose="market state", item_id=item_id)
        state, end = rng.uniform(size=(2, paths.paths))
        lead, decay = (
            standard_draws(name, paths=paths.paths, seed=seed)
            for name in ("tight_lead_time_weeks", "capacity_decay")
        )
        weeks = np.maximum(drawn(terms.lead_time_weeks, lead), SHORTEST_QUEUE_WEEKS)
        return cls(
            state=state,
            end=end,
            queue_periods=weeks / paths.frequency.weeks,
            decay=np.clip(drawn(terms.capacity_decay, decay), 0.0, 1.0),
        )


def _set_item(values: Floats, names: Sequence[str], states: Floats, draw: _Draw, context: int) -> None:
    """Set capacity and queue of one item [P, L + H, V] in place."""
    orders, capacity, shipments, backlog, is_over = (
        values[:, :, names.index(name)] for name in ("orders", "capacity", "shipments", BACKLOG, ENDED)
    )
    short_share, ended_share, hazard = (states[STATE.index(name)] for name in STATE)
    peak, excess = np.zeros(len(values)), np.zeros(len(values))
    before = capacity[:, context - 1].copy()
    ended = np.zeros(len(values), dtype=np.bool_)
    for t in range(context):
        if np.isnan(short_share[t]):
            continue
        shipped = shipments[:, t]
        ended = draw.state < ended_share[t]
        short = ~ended & (draw.state > 1 - short_share[t])
        peak = np.maximum(shipped, draw.decay * peak)
        capacity[:, t] = np.where(short | ended, shipped, peak)
        excess = np.maximum(excess + orders[:, t] - capacity[:, t], 0.0)
        backlog[:, t] = np.where(short | ended, draw.queue_periods * shipped, 0.0) + excess
        is_over[:, t] = ended
    moved = np.divide(capacity[:, context - 1], before, out=np.ones_like(before), where=before > 0)
    capacity[:, context:] *= moved[:, None]
    ahead = np.arange(1, capacity.shape[1] - context + 1)
    is_over[:, context:] = (draw.end[:, None] >= (1 - hazard[-1]) ** ahead) | ended[:, None]
    since = is_over[:, context:].cumsum(axis=1)
    left = np.minimum(capacity[:, context:], orders[:, context:]) * draw.decay[:, None] ** since
    capacity[:, context:] = np.where(since > 0, left, capacity[:, context:])
