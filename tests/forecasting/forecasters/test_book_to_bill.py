"""Orders over capacity, and back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from forecasting.forecasters.book_to_bill import book_to_bill, orders_from

UNSEEN = math.nan
CASES = [
    (6.0, 3.0, 2.0),
    (0.0, 3.0, 0.0),
    (UNSEEN, 3.0, UNSEEN),
    (6.0, UNSEEN, UNSEEN),
    (UNSEEN, UNSEEN, UNSEEN),
    (UNSEEN, 0.0, UNSEEN),
]


@pytest.mark.parametrize(("orders", "capacity", "ratio"), CASES)
@pytest.mark.parametrize("idle", [0.0, UNSEEN])
def test_a_ratio_is_unobserved_where_either_flow_is(orders, capacity, ratio, idle):
    found = book_to_bill(np.array([orders]), np.array([capacity]), idle=idle)
    np.testing.assert_equal(found, [ratio])


@pytest.mark.parametrize("orders", [0.0, 6.0])
@pytest.mark.parametrize("idle", [0.0, 1.0, UNSEEN])
def test_a_period_without_capacity_has_the_ratio_that_the_caller_names(orders, idle):
    np.testing.assert_equal(book_to_bill(np.array([orders]), np.zeros(1), idle=idle), [idle])


def test_orders_come_back_from_their_ratio():
    rng = np.random.default_rng(0)
    orders, capacity = rng.gamma(2, 100, (2, 3, 7, 4))
    back = orders_from(book_to_bill(orders, capacity, idle=0.0), capacity)
    np.testing.assert_allclose(back, orders)
