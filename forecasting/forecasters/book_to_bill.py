"""Book-to-bill (orders over capacity), which forecasters see in place of orders, and the way back to orders.

Saturation hangs on the ratio of the two flows, which is far more stationary than either.
"""

from __future__ import annotations

import numpy as np

from forecasting.panel.history import Floats


def book_to_bill(orders: Floats, capacity: Floats, *, idle: float) -> Floats:
    """Orders over capacity, of the shape of both; NaN where either is unobserved.

    Parameters
    ----------
    orders, capacity : array
        Of one shape, in the same units.
    idle : float
        The ratio of a period in which nothing can be made (capacity 0) and whose orders are observed.
    """
    ratio = np.full(orders.shape, np.nan)
    np.divide(orders, capacity, out=ratio, where=capacity > 0)
    return np.where((capacity == 0) & ~np.isnan(orders), idle, ratio)


def orders_from(ratio: Floats, capacity: Floats) -> Floats:
    """Orders of a book-to-bill and a capacity, of the shape of both."""
    return ratio * capacity
