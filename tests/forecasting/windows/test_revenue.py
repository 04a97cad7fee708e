"""Prices that fade, generations that replace each other, and revenue net of the duty."""

import datetime as dt
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.errors import InputError
from forecasting.reference.chips import catalogue, chip
from forecasting.windows.revenue import price_per_unit, revenue_at_stake, successors_launched


def price(age, *, successors=0, half_life=8.0, factor=0.8, launch_price=1000.0):
    ages = np.atleast_1d(np.asarray(age, dtype=float))
    return price_per_unit(
        launch_price,
        age_periods=ages,
        half_life_periods=half_life,
        successors=np.full(ages.shape, successors),
        successor_price_factor=factor,
    )


def test_price_halves_with_every_half_life_and_holds_before_launch():
    np.testing.assert_array_equal(price([-3, 0, 8, 16, 24]), [1000, 1000, 500, 250, 125])
    np.testing.assert_array_equal(price([5, 50], half_life=math.inf), [1000, 1000])


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 60), st.floats(0, 60), st.integers(0, 4), st.floats(0.1, 1), st.floats(0.5, 40))
def test_price_never_rises_with_age_or_with_a_new_generation(age, more, successors, factor, half_life):
    now = price(age, successors=successors, factor=factor, half_life=half_life)
    assert price(age + more, successors=successors, factor=factor, half_life=half_life) <= now
    replaced = price(age, successors=successors + 1, factor=factor, half_life=half_life)
    np.testing.assert_allclose(replaced, factor * now, rtol=1e-12)
    assert now > 0


def test_successors_count_from_the_quarter_in_which_they_launch():
    first = replace(chip("H200"), chip_id="a", successor_chip_id="b")
    second = replace(first, chip_id="b", successor_chip_id="c", launch_quarter_end=dt.date(2025, 3, 31))
    third = replace(first, chip_id="c", successor_chip_id=None, launch_quarter_end=dt.date(2026, 3, 31))
    chips = {each.chip_id: each for each in (first, second, third)}
    ends = [dt.date(2024, 12, 31), dt.date(2025, 3, 31), dt.date(2025, 12, 31), dt.date(2026, 3, 31)]
    np.testing.assert_array_equal(successors_launched(first, ends, chips), [0, 1, 1, 2])
    np.testing.assert_array_equal(successors_launched(third, ends, chips), [0, 0, 0, 0])


def test_every_line_of_successors_in_the_catalogue_ends():
    for each in catalogue().values():
        successors_launched(each, [dt.date(2026, 12, 31)], catalogue())
    assert successors_launched(chip("H200"), [dt.date(2026, 12, 31)], catalogue())[0] >= 2


def test_a_circle_or_a_gap_in_the_line_is_refused():
    loop = replace(chip("H200"), chip_id="a", successor_chip_id="a")
    with pytest.raises(InputError, match=r"chip a, successor_chip_id: the line of successors.*found a"):
        successors_launched(loop, [], {"a": loop})
    gap = replace(loop, successor_chip_id="b")
    with pytest.raises(InputError, match="found b"):
        successors_launched(gap, [], {"a": gap})


def test_duty_falls_on_the_import_value_and_not_on_the_price():
    units, prices = np.array([[10.0, 5.0]]), np.array([100.0, 80.0])
    on_half = revenue_at_stake(units, prices, duty_rate=0.25, import_value_share=0.5)
    np.testing.assert_array_equal(on_half, [1400.0 * (1 - 0.25 * 0.5)])
    for share in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(InputError, match="import_value_share: a duty is a share of the import value"):
            revenue_at_stake(units, prices, duty_rate=0.25, import_value_share=share)


def test_revenue_is_units_times_price_less_the_duty():
    units = np.array([[10.0, 0.0, 5.0], [0.0, 0.0, 0.0]])
    prices = np.array([100.0, 90.0, 80.0])
    np.testing.assert_array_equal(revenue_at_stake(units, prices, duty_rate=0.0), [1400.0, 0.0])
    np.testing.assert_array_equal(revenue_at_stake(units, prices, duty_rate=0.25), [1050.0, 0.0])


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ({"launch_price": 0.0}, "launch_price"),
        ({"launch_price": math.nan}, "launch_price"),
        ({"half_life": 0.0}, "half_life_periods"),
        ({"factor": 1.1}, "successor_price_factor"),
        ({"factor": 0.0}, "successor_price_factor"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(setting, name):
    with pytest.raises(InputError, match=f"{name} is out of range"):
        price(1.0, **setting)


def test_a_duty_beyond_the_value_is_refused():
    with pytest.raises(InputError, match="duty_rate: a duty is a share of the import value"):
        revenue_at_stake(np.ones((1, 1)), np.ones(1), duty_rate=25.0)


def test_prices_drawn_for_each_path_are_those_of_each_number_alone():
    launch, half_life = np.array([[30_000.0], [20_000.0]]), np.array([[4.0], [8.0]])
    ages, generations = np.array([0.0, 4.0, 8.0]), np.array([0, 0, 1])
    units = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    both = price_per_unit(
        launch,
        age_periods=ages,
        half_life_periods=half_life,
        successors=generations,
        successor_price_factor=0.5,
    )
    for path in range(2):
        alone = price_per_unit(
            float(launch[path, 0]),
            age_periods=ages,
            half_life_periods=float(half_life[path, 0]),
            successors=generations,
            successor_price_factor=0.5,
        )
        np.testing.assert_allclose(both[path], alone)
        revenue = revenue_at_stake(units, both, duty_rate=0.25)[path]
        assert revenue == pytest.approx((units[path] * alone).sum() * 0.75)
