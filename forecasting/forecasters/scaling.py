"""The scale on which classical models see a series, and the way back to units.

K steps, L context steps, P paths, H horizon steps, V variates.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal, Self, TypeAlias

import numpy as np

from forecasting.errors import InputError
from forecasting.forecasters.book_to_bill import book_to_bill, orders_from
from forecasting.panel.history import Floats, History
from forecasting.panel.schema import FLOWS

DEFAULT_VOLATILITY = 0.2  # per step on the model scale, for a panel of single observations
RATIO_OFFSET = 0.1  # added to orders / capacity before the log
CAPACITY_OFFSET = 0.1  # share of the item's largest capacity, added before the log
# Largest over smallest value from which a positive series is read in logs. Below it logs and values have much
# the same shape, and the distance from zero says little: y plus a constant is forecast like y. The range of a
# walk grows with the root of its length, so a series of fewer than `RATIO_LENGTH` observations needs less.
LOG_RATIO, RATIO_LENGTH = 1.5, 32
Kind: TypeAlias = Literal["log", "from zero", "anywhere"]
GROWTH_MARGIN = 1.25  # over the largest growth that any item of the panel has shown
RATIO_MARGIN = 2.0  # over the highest book-to-bill of the panel
GROWTH_DEVIATIONS = 3.0  # in which a random walk with the panel's volatility stays 99.7 % of the time


@dataclass(frozen=True, kw_only=True)
class ScaledItem:
    """One item's variates without gaps on the model scale, where every series ends at 0 at the origin.

    `orders` and `capacity` become the log of their book-to-bill and log capacity. An offset within these logs
    (`RATIO_OFFSET`, `CAPACITY_OFFSET`) admits zeros and calms the wild percentages of a chip's first and
    last quarters, when little is sold. Other series are logged if all their values are positive and the
    largest is `LOG_RATIO` times the smallest, else divided by their mean absolute one-step change.

    Attributes
    ----------
    series : tuple of V arrays, each of its own length
        From the first observation to the origin; gaps are interpolated linearly, on this scale.
    flows : bool
        True if the variates are orders and capacity.
    kinds : tuple of Kind, length V
        `log`, or not logged: a series that was never negative, or one for which zero is a number as any.
    offset, location, unit : array [V]
        `x = log(value + offset) - location`, or `(value - location) / unit` of a series that is not logged.
    """

    series: tuple[Floats, ...]
    flows: bool
    kinds: tuple[Kind, ...]
    offset: Floats
    location: Floats
    unit: Floats

    @property
    def logs(self) -> tuple[bool, ...]:
        """Which variates are logged, length V."""
        return tuple(kind == "log" for kind in self.kinds)

    def restore(self, growth: Floats) -> Floats:
        """Return paths `[P, H, V]` in units from growth since the origin on the model scale.

        Growth undoes the log and its offset; a fall is a fall in percent, at the rate at which the offset log
        falls at the origin, so that a series shrinks toward zero and never drops to it at a stroke.
        """
        size = np.exp(np.where(self.logs, self.location, 0.0))
        last = np.maximum(size - self.offset, 0.0)
        rate = np.divide(size, last, out=np.ones_like(size), where=last > 0)
        above = size * np.exp(np.maximum(np.where(self.logs, growth, 0.0), 0.0)) - self.offset
        below = last * np.exp(rate * np.minimum(np.where(self.logs, growth, 0.0), 0.0))
        linear = growth * self.unit + self.location
        values = np.where(self.logs, np.where(growth > 0, above, below), linear)
        if self.flows:
            values[..., 0] = orders_from(values[..., 0], values[..., 1])
        return values


@dataclass(frozen=True, kw_only=True)
class Pool:
    """What items of one kind, the same variates logged, have shown on the model scale; one entry per variate.

    Series of different kinds have nothing in common there: one is in logs, the other in typical changes.
    """

    volatility: Floats  # [V]
    largest: Floats  # [K, V], growth within k = 1 .. K steps
    highest: Floats  # [V], book-to-bill

    @classmethod
    def of(cls, items: list[ScaledItem]) -> Self:
        """Measure a pool."""
        return cls(
            volatility=pooled_volatility(items), largest=largest_growth(items), highest=highest_level(items)
        )

    def growth_limit(self, horizon: int) -> Floats:
        """Largest growth [H, V] that paths may show."""
        steps = np.arange(1, horizon + 1)
        seen = self.largest[np.minimum(steps, len(self.largest)) - 1]
        walk = self.volatility * np.sqrt(steps)[:, None]
        return np.asarray(np.maximum(GROWTH_MARGIN * seen, GROWTH_DEVIATIONS * walk))

    def bounded(self, growth: Floats, item: ScaledItem) -> Floats:
        """Growth [P, H, V] of an item's paths, kept within the growth limit and the highest book-to-bill."""
        limit = self.growth_limit(growth.shape[1])
        highest = np.minimum(limit, np.log(RATIO_MARGIN) + self.highest - item.location)
        return np.clip(growth, -limit, np.maximum(highest, 0.0))


def scale_item(history: History, item: int) -> ScaledItem:
    """Put the variates of one item on the model scale.

    Raises
    ------
    InputError
        If a variate has no observation, or orders or capacity are negative.
    """
    values = history.values[item].copy()
    for variate, row in zip(history.variates, values, strict=True):
        if np.isnan(row).all():
            raise InputError(
                "a series needs at least one observation",
                found="none",
                where=f"{history.item_ids[item]}, {variate}",
            )
    flows = history.variates == FLOWS
    offset = np.zeros(len(values))
    if flows:
        values, offset = _ratio_and_capacity(values, history.item_ids[item])
    kinds: tuple[Kind, ...] = ("log", "log") if flows else tuple(map(kind_of, values))
    logs = [kind == "log" for kind in kinds]
    levels = [
        _without_gaps(np.log(row + shift) if log else row)
        for row, shift, log in zip(values, offset, logs, strict=True)
    ]
    unit = np.array([1.0 if log else _typical_change(level) for level, log in zip(levels, logs, strict=True)])
    location = np.array([level[-1] for level in levels])
    return ScaledItem(
        series=tuple((level - last) / step for level, last, step in zip(levels, location, unit, strict=True)),
        flows=flows,
        kinds=kinds,
        offset=offset,
        location=location,
        unit=unit,
    )


def kind_of(row: Floats) -> Kind:
    """How a plain series [L] with at least one observation is read.

    >>> kind_of(np.array([1.0, 8.0])), kind_of(np.array([0.0, 8.0])), kind_of(np.array([1e6, 1e6 + 8]))
    ('log', 'from zero', 'anywhere')
    """
    least, most = float(np.nanmin(row)), float(np.nanmax(row))
    count = min(int(np.count_nonzero(~np.isnan(row))), RATIO_LENGTH)
    if least < 0 or most < LOG_RATIO ** np.sqrt(count / RATIO_LENGTH) * least:
        return "anywhere"
    return "log" if least > 0 else "from zero"


def pooled_volatility(items: list[ScaledItem]) -> Floats:
    """Median over items of the root mean square one-step change [V] on the model scale; constants aside."""
    pooled = []
    for v in range(len(items[0].series)):
        changes = [np.diff(item.series[v]) for item in items]
        sizes = [float(np.sqrt(np.mean(change**2))) for change in changes if change.any()]
        pooled.append(float(np.median(sizes)) if sizes else DEFAULT_VOLATILITY)
    return np.array(pooled)


def largest_growth(items: list[ScaledItem]) -> Floats:
    """Largest absolute growth [K, V] of any item within k = 1 .. K steps on the model scale."""
    longest = max(len(series) for item in items for series in item.series)
    largest = np.zeros((max(longest - 1, 1), len(items[0].series)))
    for item, v in product(items, range(largest.shape[1])):
        series = item.series[v]
        for k in range(1, len(series)):
            largest[k - 1, v] = max(largest[k - 1, v], float(np.abs(series[k:] - series[:-k]).max()))
    return np.maximum.accumulate(largest)


def highest_level(items: list[ScaledItem]) -> Floats:
    """Highest book-to-bill [V] in the panel, on the model scale; infinite for every other variate."""
    highest = np.full(len(items[0].series), np.inf)
    if items[0].flows:
        highest[0] = max(float(item.series[0].max() + item.location[0]) for item in items)
    return highest


def _ratio_and_capacity(values: Floats, item_id: str) -> tuple[Floats, Floats]:
    """Turn rows orders, capacity `[2, L]` into orders / capacity, capacity, and the offsets of their logs.

    Periods before the first capacity count as unobserved: the item was not on sale yet.
    """
    for variate, row in zip(FLOWS, values, strict=True):
        if np.nanmin(row) < 0:
            raise InputError(
                f"{variate} must not be negative", found=f"{np.nanmin(row):g}", where=f"{item_id}, {variate}"
            )
    orders, capacity = values
    largest = float(np.nanmax(capacity))
    if largest > 0:
        orders, capacity = (np.where(np.cumsum(np.nan_to_num(capacity)) > 0, row, np.nan) for row in values)
    offset = CAPACITY_OFFSET * largest or 1.0
    ratio = book_to_bill(orders, capacity, idle=0.0)
    if np.isnan(ratio).all():
        raise InputError(
            "orders and capacity need a period in which both are observed",
            found="none",
            where=f"{item_id}, orders",
        )
    return np.stack([ratio, capacity]), np.array([RATIO_OFFSET, offset])


def _without_gaps(row: Floats) -> Floats:
    """Drop what precedes the first observation and interpolate the rest linearly; the last value is held."""
    seen = np.flatnonzero(~np.isnan(row))
    return np.interp(np.arange(seen[0], len(row)), seen, row[seen])


def _typical_change(row: Floats) -> float:
    """Mean absolute one-step change, or for want of one the size of the last value, or 1."""
    change = float(np.mean(np.abs(np.diff(row)))) if len(row) > 1 else 0.0
    return change or abs(float(row[-1])) or 1.0
