"""How much a cap still allows as US shipments and exports proceed. P paths, L periods up to the origin."""

from __future__ import annotations

from collections import deque

import numpy as np

from forecasting.panel.history import Floats
from forecasting.policy.terms import Cap


class RollingSum:
    """Sum per path of the last `span` amounts added, or of all of them if `span` is None."""

    def __init__(self, paths: int, span: int | None) -> None:
        self.total = np.zeros(paths)
        self._span = span
        self._amounts: deque[Floats] = deque()

    def add(self, amounts: Floats) -> None:
        """Add the amounts [P] of one more period; the oldest is dropped once the span is full."""
        self.total += amounts
        if self._span is not None:
            self._amounts.append(amounts)
            if len(self._amounts) > self._span:
                self.total -= self._amounts.popleft()


class CapRoom:
    """Units [P] that a cap still allows: ratio x US shipments less exports, both over the cap's period.

    Parameters
    ----------
    cap : Cap
    us_shipments : array [P, L]
        What US customers received in the periods up to the origin, in units of the exported product.
    exported_so_far : float or array [P]
        Units exported up to the origin, counted as exported in the period just before the first step.
    periods_per_year : int
        Periods in the trailing twelve months.
    """

    def __init__(
        self, cap: Cap, us_shipments: Floats, *, exported_so_far: Floats | float, periods_per_year: int
    ) -> None:
        span = {"since_launch": None, "trailing_12m": periods_per_year, "same_period": 1}[cap.period]
        paths, past = us_shipments.shape
        self._ratio = cap.ratio
        self._us_shipments = RollingSum(paths, span)
        self._exports = RollingSum(paths, None if span is None else span - 1)
        for t in range(past):
            self._us_shipments.add(us_shipments[:, t])
        self._exports.add(np.full(paths, exported_so_far, dtype=np.float64))

    def after_us_shipments(self, shipped: Floats) -> Floats:
        """Begin a period with `shipped` [P] going to US customers; room [P] for exports in it, may be < 0."""
        self._us_shipments.add(shipped)
        return self._ratio * self._us_shipments.total - self._exports.total

    def export(self, units: Floats) -> None:
        """End the period with `units` [P] exported."""
        self._exports.add(units)
