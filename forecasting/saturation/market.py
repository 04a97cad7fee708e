"""One item's market on every path: orders against capacity, whether demand is met, what counts for a cap.

P paths, T periods of an item from its own start to the horizon, of which the last H lie after the origin.
"""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from forecasting.errors import InputError
from forecasting.forecasters.base import PathSet
from forecasting.frequencies import Frequency, period_ends
from forecasting.panel.history import Bools, Floats
from forecasting.policy.terms import CapCounts, SupplyRule
from forecasting.reference.chips import Chip, chip
from forecasting.saturation.backlog import Flow, flow, lead_time_weeks
from forecasting.saturation.chunks import join_paths, map_path_chunks
from forecasting.saturation.first_passage import confirmed, saturated

PORTFOLIO = "portfolio/"
WORKERS = os.cpu_count() or 1  # threads over slices of the paths
US_PORTFOLIO = "portfolio/us"
BACKLOG = "backlog"  # variate of paths whose history holds a drawn queue
ENDED = "ended"  # variate of paths that says where supply has ended: 0 or 1
H100E_CHIP = "H100"  # one H100-equivalent has the TPP of this chip


@dataclass(frozen=True, kw_only=True)
class Market:
    """Orders, capacity and what follows from them for one item.

    Attributes
    ----------
    item_id : str
    orders, capacity : array [P, T]
        Units or H100e per period.
    observed_shipments : array [P, T]
        Drawn history of shipments; NaN after the origin.
    standing : array [P, T], optional
        Queue of the history, where the state of the market is inferred; NaN after it.
    ended : array [P, T], optional
        1 where the supply of the path has ended, 0 where it has not; not known where no state is inferred.
    horizon : int
        H.
    origin : date
        Period end of the last column of the history.
    frequency : Frequency
    """

    item_id: str
    orders: Floats
    capacity: Floats
    observed_shipments: Floats
    horizon: int
    origin: dt.date
    frequency: Frequency
    standing: Floats | None = None
    ended: Floats | None = None

    @cached_property
    def flow(self) -> Flow:
        """Backlog, shipments and surplus [P, T].

        Where a standing queue is drawn, the history shows it, and the future starts from it; else both follow
        from an empty backlog at the item's start.
        """
        if self.standing is None:
            return join_paths(map_path_chunks(flow, self.orders, self.capacity, workers=WORKERS))
        first = int(np.argmin(~np.isnan(self.standing[0]))) or self.periods
        waiting, shipped = self.standing[:, :first], self.observed_shipments[:, :first]
        left = np.where(waiting > 0, 0.0, np.maximum(self.capacity[:, :first] - shipped, 0.0))
        past = Flow(waiting, shipped, left)
        if first == self.periods:
            return past
        parts = map_path_chunks(
            lambda orders, capacity, opening: flow(orders, capacity, opening[..., -1]),
            self.orders[:, first:],
            self.capacity[:, first:],
            waiting,
            workers=WORKERS,
        )
        return Flow(*(np.concatenate(pair, axis=1) for pair in zip(past, join_paths(parts), strict=True)))

    @cached_property
    def shipments(self) -> Floats:
        """Units shipped [P, T]: as observed up to the origin, as orders and capacity allow after it."""
        return np.where(np.isnan(self.observed_shipments), self.flow.shipments, self.observed_shipments)

    @property
    def periods(self) -> int:
        """Number of columns T."""
        return int(self.orders.shape[1])

    @property
    def origin_column(self) -> int:
        """Column of the forecast origin, step 0."""
        return self.periods - self.horizon - 1

    def timestamps(self, first_step: int) -> list[dt.date]:
        """Period ends from a step on; step 0 is the origin, negative steps lie in the history."""
        return period_ends(self.origin, range(first_step, self.horizon + 1), self.frequency)

    @property
    def all_timestamps(self) -> list[dt.date]:
        """Period ends of all T columns."""
        return self.timestamps(-self.origin_column)

    def demand_met(self, rule: SupplyRule) -> Bools:
        """Whether demand is saturated, and has been for as long as the rule requires [P, T]."""

        def held(orders: Floats, capacity: Floats, *flows: Floats) -> Bools:
            state = saturated(
                Flow(*flows), orders, capacity, rule=rule, weeks_per_period=self.frequency.weeks
            )
            return np.asarray(confirmed(state, rule.hold_periods))

        parts = map_path_chunks(held, self.orders, self.capacity, *self.flow, workers=WORKERS)
        return np.concatenate(parts)

    def supply_ended(self, step: int) -> float:
        """Share of paths on which supply has ended by a step after the origin; 0 if not inferred."""
        return 0.0 if self.ended is None else float(self.ended[:, self.origin_column + step].mean())

    @property
    def lead_time(self) -> Floats:
        """Weeks until the last order in the queue is served [P, H + 1], from the origin on."""
        weeks: Floats = lead_time_weeks(self.flow.backlog, self.capacity, self.frequency.weeks)
        return weeks[:, self.origin_column :]


def market(paths: PathSet, item_id: str) -> Market:
    """Market of one item of a path set with the variates orders, capacity and shipments.

    Raises
    ------
    InputError
        If the item has no paths.
    """
    if item_id not in paths.item_ids:
        raise InputError(
            "the item has no paths", expected=", ".join(paths.item_ids), found=item_id, where="paths"
        )
    item = paths.item_ids.index(item_id)
    orders, capacity, shipments = (
        paths.values[item, :, :, paths.variates.index(name)] for name in ("orders", "capacity", "shipments")
    )
    standing, ended = (
        paths.values[item, :, :, paths.variates.index(name)] if name in paths.variates else None
        for name in (BACKLOG, ENDED)
    )
    known = ~np.isnan(orders).any(axis=0) & ~np.isnan(capacity).any(axis=0)
    start = int(np.argmax(known))
    return Market(
        item_id=item_id,
        standing=None if standing is None else standing[:, start:],
        ended=None if ended is None else ended[:, start:],
        orders=orders[:, start:],
        capacity=capacity[:, start:],
        observed_shipments=shipments[:, start:],
        horizon=paths.horizon,
        origin=paths.origins[item],
        frequency=paths.frequency,
    )


def scope_item(exported: Chip, scope: str) -> str:
    """Item whose demand a scope refers to: the chip itself, or its vendor's portfolio."""
    return exported.chip_id if scope == "product" else PORTFOLIO + exported.vendor


def cap_item(exported: Chip, counts: CapCounts) -> str:
    """Item whose US shipments a cap counts."""
    return {"product": exported.chip_id, "family": exported.family, "us_hardware": US_PORTFOLIO}[counts]


def right_aligned(values: Floats | Bools, periods: int) -> Floats:
    """Cut or pad with zeros on the left, so that an array [P, T'] covers the last `periods` periods."""
    short = periods - values.shape[1]
    if short <= 0:
        return np.asarray(values[:, -short:], dtype=np.float64)
    return np.pad(np.asarray(values, dtype=np.float64), ((0, 0), (short, 0)))


def counted_shipments(exported: Chip, counts: CapCounts, counted: Market, product: Market) -> Floats:
    """US shipments that a cap counts, in units of the exported chip by TPP, on the product's columns [P, T].

    Families and portfolios are in H100e, each with the TPP of an H100. Of a family only the quarters after
    the chip's launch quarter count, and before them the chip itself: what its predecessors shipped is
    not "the same product".
    """
    shipped = right_aligned(counted.shipments, product.periods)
    if counts == "product":
        return shipped
    per_unit = chip(H100E_CHIP).required_tpp() / exported.required_tpp()
    after_launch = np.array([end > exported.launch_quarter_end for end in product.all_timestamps])
    return np.where(after_launch, shipped * per_unit, right_aligned(product.shipments, product.periods))
