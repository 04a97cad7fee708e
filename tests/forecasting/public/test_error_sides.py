"""Sides of an error: log distances from the middle, which add in quadrature where errors are independent."""

import math

import polars as pl
import pytest
from flow_tables import FEW, UNITS, spread_by_hand
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from forecasting.panel.measurement_error import Z_95
from forecasting.public.flows import OWN, Sides, combine_errors, sides, spread_columns


def spread(expressions, **columns):
    return pl.DataFrame(columns).select(spread_columns(expressions)).row(0)


@FEW
@given(points=UNITS)
def test_sides_are_the_log_distances_from_the_middle_in_standard_deviations(points):
    low, middle, high = points
    columns = {"low": [low], "middle": [middle], "high": [high]}
    expected = spread_by_hand(low, middle, high)
    assert spread(sides(pl.col("low"), pl.col("middle"), pl.col("high")), **columns) == pytest.approx(
        expected
    )
    assert spread(sides(pl.col("high"), pl.col("middle"), pl.col("low")), **columns) == pytest.approx(
        expected
    )
    assert norm.ppf(0.95) == pytest.approx(Z_95, rel=1e-12)


@pytest.mark.parametrize("zero", ["low", "middle", "high"])
def test_a_zero_among_the_points_means_no_spread(zero):
    points = {"low": [1.0], "middle": [2.0], "high": [3.0], zero: [0.0]}
    assert spread(sides(pl.col("low"), pl.col("middle"), pl.col("high")), **points) == (0.0, 0.0)


@FEW
@given(errors=st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2)), min_size=1, max_size=4))
def test_independent_errors_add_in_quadrature(errors):
    both = combine_errors(*(Sides(pl.lit(down), pl.lit(up)) for down, up in errors))
    expected = math.hypot(*(down for down, _ in errors)), math.hypot(*(up for _, up in errors))
    assert spread(both, any=[1]) == pytest.approx(expected)
    assert spread(combine_errors(OWN), down=[0.1], up=[0.2]) == pytest.approx((0.1, 0.2))
