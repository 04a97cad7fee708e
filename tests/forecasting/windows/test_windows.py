"""Export windows: each binding constraint and cap period by hand, and a plain walk as the oracle."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forecasting.errors import InputError
from forecasting.policy.terms import Cap
from forecasting.saturation.chunks import join_paths, map_path_chunks
from forecasting.windows.windows import (
    Binding,
    WindowInputs,
    WindowPaths,
    export_windows,
    first_window,
    runs_at_least,
    summarise,
)

QUARTERS = 4


def inputs(surplus, us_shipments=None, saturated=None, *, first_step=0, **settings_):
    surplus = np.atleast_2d(np.asarray(surplus, dtype=float))
    periods = surplus.shape[1]
    us = np.atleast_2d(0.0 * surplus if us_shipments is None else us_shipments)
    state = np.atleast_2d(np.full(surplus.shape, True) if saturated is None else saturated)
    defaults = {"eligible": True, "in_effect": np.ones(periods, dtype=bool)}
    return WindowInputs(
        surplus=surplus,
        us_shipments=us,
        saturated_confirmed=state,
        first_step=first_step,
        **{**defaults, **settings_},
    )


def cap(period, ratio=0.5):
    return Cap(ratio=ratio, period=period, counts="product")


def export(given_inputs, the_cap=None):
    return export_windows(given_inputs, the_cap, periods_per_year=QUARTERS)


def names(paths):
    return [Binding(code).name for code in paths.binding[0]]


def test_without_cap_or_licence_the_surplus_goes_and_is_not_stored():
    paths = export(inputs([10.0, 0.0, 7.0], saturated=[True, True, False]))
    np.testing.assert_array_equal(paths.open, [[True, False, False]])
    np.testing.assert_array_equal(paths.units, [[10.0, 0.0, 0.0]])
    np.testing.assert_array_equal(paths.headroom, [[10.0, 0.0, 7.0]])
    assert names(paths) == ["SURPLUS", "SURPLUS", "NOT_SATURATED"]


def test_stated_stock_is_kept_until_a_window_and_then_used_up():
    paths = export(inputs([5.0, 5.0, 5.0], saturated=[False, True, True], unsold_stock=100.0))
    np.testing.assert_array_equal(paths.units, [[0.0, 105.0, 5.0]])
    np.testing.assert_array_equal(paths.headroom, [[105.0, 105.0, 5.0]])


def test_units_are_parted_into_stock_on_hand_and_what_is_made_anew():
    paths = export(inputs([5.0, 5.0, 5.0], saturated=[False, True, True], unsold_stock=100.0))
    np.testing.assert_array_equal(paths.from_stock, [[0.0, 100.0, 0.0]])
    np.testing.assert_array_equal(paths.newly_made, [[0.0, 5.0, 5.0]])


@given(seed=st.integers(0, 2**32 - 1), stock=st.sampled_from([0.0, 40.0, 5000.0]), licence=st.booleans())
def test_stock_and_new_production_add_up_and_neither_exceeds_what_there_is(seed, stock, licence):
    rng = np.random.default_rng(seed)
    surplus = rng.gamma(0.5, 200, (6, 8)).round()
    given_inputs = inputs(
        surplus,
        rng.gamma(2, 100, (6, 8)),
        rng.random((6, 8)) < 0.7,
        unsold_stock=stock,
        licence_limit=300.0 if licence else None,
    )
    paths = export(given_inputs, cap("since_launch"))
    np.testing.assert_allclose(paths.from_stock + paths.newly_made, paths.units)
    assert (paths.from_stock >= 0).all()
    assert (paths.newly_made >= -1e-9).all()
    assert (paths.newly_made <= surplus + 1e-9).all()
    assert (paths.from_stock.sum(axis=1) <= stock + 1e-9).all()


def test_a_limit_on_the_stock_abroad_is_used_up_by_the_exports_and_binds_like_a_cap():
    paths = export(inputs([30.0, 30.0, 30.0], stock_room=np.array([[20.0, 25.0, 90.0]])))
    np.testing.assert_array_equal(paths.units, [[20.0, 5.0, 30.0]])
    assert names(paths) == ["CAP", "CAP", "SURPLUS"]
    over = export(inputs([30.0], stock_room=np.array([[-7.0]])))
    assert not over.open.any()


def test_surplus_goes_before_stock_where_a_licence_binds():
    paths = export(inputs([30.0, 30.0, 30.0], unsold_stock=10.0, licence_limit=65.0))
    # 40 leave 25 of the licence; those come out of the second surplus; then the licence is used up
    np.testing.assert_array_equal(paths.units, [[40.0, 25.0, 0.0]])
    assert names(paths) == ["SURPLUS", "LICENCE", "LICENCE"]
    kept = export(inputs([30.0, 0.0], us_shipments=[40.0, 100.0], unsold_stock=10.0), cap("same_period"))
    np.testing.assert_array_equal(
        kept.units, [[20.0, 10.0]]
    )  # the cap took 20 of the surplus, stock is whole


def test_less_than_one_unit_is_no_window():
    paths = export(inputs([0.999, 1.0, 1.5]))
    np.testing.assert_array_equal(paths.open, [[False, True, True]])
    np.testing.assert_array_equal(paths.units, [[0.0, 1.0, 1.5]])


def test_cap_since_launch_counts_all_history_and_all_exports():
    paths = export(
        inputs([500.0] * 4, us_shipments=[60.0, 40.0, 20.0, 0.0], first_step=1, exported_so_far=10.0),
        cap("since_launch"),
    )
    # room: (100 / 2 - 10) = 40, then 20 / 2 = 10 more, then nothing
    np.testing.assert_array_equal(paths.units, [[40.0, 10.0, 0.0]])
    assert names(paths) == ["CAP", "CAP", "CAP"]


def test_cap_of_the_same_period_forgets_everything():
    paths = export(
        inputs([500.0, 500.0, 3.0], us_shipments=[60.0, 40.0, 20.0], first_step=1, exported_so_far=1e6),
        cap("same_period"),
    )
    np.testing.assert_array_equal(paths.units, [[20.0, 3.0]])
    assert names(paths) == ["CAP", "SURPLUS"]


def test_cap_of_the_trailing_year_forgets_what_is_older_than_a_year():
    paths = export(
        inputs(
            [500.0] * 6, us_shipments=[80.0, 0.0, 0.0, 0.0, 0.0, 40.0], first_step=1, exported_so_far=10.0
        ),
        cap("trailing_12m"),
    )
    # column 1: US 80 in the year allow 40, 10 went just before, so 30. Then nothing is left. In column 4 the
    # 80 drop out and the 30 exceed what is allowed. In column 5 the 30 drop out too, and 40 allow 20.
    np.testing.assert_array_equal(paths.units, [[30.0, 0.0, 0.0, 0.0, 20.0]])
    np.testing.assert_array_equal(paths.headroom[0, 1:4], [0.0, 0.0, 0.0])


def test_the_conditions_are_named_in_their_order():
    late = inputs([9.0, 9.0], saturated=[False, False], eligible=False, in_effect=np.array([False, True]))
    assert names(export(late)) == ["NOT_IN_EFFECT", "NOT_ELIGIBLE"]
    assert not export(late).open.any()
    equal_terms = inputs([10.0], us_shipments=[20.0], licence_limit=10.0)
    assert names(export(equal_terms, cap("same_period"))) == ["SURPLUS"]


def plain_walk(one, the_cap, path):
    """One path, step by step, from full lists: the definition in the docstring of `export_windows`."""
    exports = {one.first_step - 1: one.exported_so_far}
    stock, licence, us = one.unsold_stock, one.licence_limit, list(one.us_shipments[path])
    rows = []
    for t in range(one.first_step, one.surplus.shape[1]):
        surplus, room = one.surplus[path, t], math.inf
        if the_cap and the_cap.period == "since_launch":
            room = the_cap.ratio * sum(us[: t + 1]) - sum(exports.values())
        elif the_cap and the_cap.period == "same_period":
            room = the_cap.ratio * us[t]
        elif the_cap:
            a_year_ago = t - QUARTERS
            counted = [units for step, units in exports.items() if step > a_year_ago]
            room = the_cap.ratio * sum(us[max(a_year_ago + 1, 0) : t + 1]) - sum(counted)
        terms = [surplus + stock, room, math.inf if licence is None else licence]
        headroom = max(0.0, min(terms))
        if not one.in_effect[t]:
            binding = Binding.NOT_IN_EFFECT
        elif not one.eligible:
            binding = Binding.NOT_ELIGIBLE
        elif not one.saturated_confirmed[path, t]:
            binding = Binding.NOT_SATURATED
        else:
            binding = [Binding.SURPLUS, Binding.CAP, Binding.LICENCE][terms.index(min(terms))]
        is_open = binding >= Binding.SURPLUS and headroom >= 1.0
        units = headroom if is_open else 0.0
        exports[t] = units
        stock -= max(0.0, units - surplus)
        licence = None if licence is None else licence - units
        rows.append((is_open, units, headroom, binding))
    return [list(column) for column in zip(*rows, strict=True)]


@st.composite
def cases(draw):
    paths, periods = draw(st.integers(1, 3)), draw(st.integers(1, 9))
    units = arrays(np.float64, (paths, periods), elements=st.integers(0, 40).map(lambda n: n / 4))
    small = st.integers(0, 60).map(float)
    one = inputs(
        draw(units),
        4 * draw(units),
        draw(arrays(np.bool_, (paths, periods), elements=st.sampled_from([True, True, False]))),
        first_step=draw(st.integers(0, periods - 1)),
        eligible=draw(st.sampled_from([True, True, True, False])),
        in_effect=np.arange(periods) >= draw(st.integers(0, 3)),
        unsold_stock=draw(small),
        exported_so_far=draw(small),
        licence_limit=draw(st.none() | small),
    )
    periods_of_cap = ["since_launch", "trailing_12m", "same_period"]
    return one, draw(st.none() | st.sampled_from(periods_of_cap).map(cap))


@settings(deadline=None, max_examples=200)
@given(cases())
def test_windows_agree_with_a_plain_walk_along_each_path(case):
    one, the_cap = case
    found = export(one, the_cap)
    for path in range(one.surplus.shape[0]):
        is_open, units, headroom, binding = plain_walk(one, the_cap, path)
        np.testing.assert_array_equal(found.open[path], is_open)
        np.testing.assert_allclose(found.units[path], units, atol=1e-9)
        np.testing.assert_allclose(found.headroom[path], headroom, atol=1e-9)
        np.testing.assert_array_equal(found.binding[path], binding)


@settings(deadline=None, max_examples=50)
@given(cases())
def test_no_limit_is_ever_exceeded(case):
    one, the_cap = case
    found = export(one, the_cap)
    future = slice(one.first_step, None)
    assert (found.units <= one.surplus[:, future].sum(axis=1, keepdims=True) + one.unsold_stock).all()
    assert (found.units[~found.open] == 0).all()
    assert (found.units[found.open] >= 1).all()
    assert not found.open[~one.saturated_confirmed[:, future]].any()
    if one.licence_limit is not None:
        assert (found.units.sum(axis=1) <= one.licence_limit).all()
    if the_cap and the_cap.period == "since_launch":
        exported = one.exported_so_far + found.units.cumsum(axis=1)
        allowed = 0.5 * one.us_shipments.cumsum(axis=1)[:, future]
        assert (exported[found.open] <= allowed[found.open]).all()


@settings(deadline=None, max_examples=50)
@given(arrays(np.bool_, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.booleans()))
def test_first_window_agrees_with_a_plain_search(is_open):
    horizon = is_open.shape[1]
    found = first_window(is_open)
    for path, steps in enumerate(is_open):
        opening = next((t for t in range(horizon) if steps[t]), horizon)
        closing = next((t for t in range(opening, horizon) if not steps[t]), horizon)
        assert (found.opening[path], found.closing[path]) == (opening, closing)
        assert found.duration[path] == closing - opening


@pytest.mark.parametrize(
    ("probability", "runs"),
    [
        ([0.0, 0.0], ()),
        ([0.5, 0.9], ((0, 2),)),
        ([0.5, 0.4, 0.9, 0.9, 0.1, 0.6], ((0, 1), (2, 4), (5, 6))),
    ],
)
def test_windows_over_paths_are_maximal_runs_at_the_confidence(probability, runs):
    assert runs_at_least(np.array(probability), 0.5) == runs


def test_summary_of_four_paths_by_hand():
    is_open = np.array([[0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], dtype=bool)
    units = np.where(is_open, np.array([[1.0, 2.0, 4.0, 8.0]]) * 10, 0.0)
    binding = np.where(is_open, Binding.CAP, Binding.NOT_SATURATED).astype(np.int8)
    summary = summarise(
        WindowPaths(is_open, units, units, binding, units / 4),
        confidence=0.5,
        quantile_levels=(0.25, 0.6, 0.75, 1.0),
    )
    np.testing.assert_array_equal(summary.p_open, [0.25, 0.25, 0.75, 0.25])
    assert summary.windows == ((2, 3),)
    assert summary.p_any == 0.75
    np.testing.assert_array_equal(summary.opening_steps, [0, 2, 2, np.nan])  # openings 1, 2, 0, never
    np.testing.assert_array_equal(summary.closing_steps, [1, 3, np.nan, np.nan])  # closings 3, open, 1
    np.testing.assert_array_equal(summary.total_units, np.quantile([60, 120, 50, 0], [0.25, 0.6, 0.75, 1]))
    np.testing.assert_array_equal(
        summary.first_window_units, np.quantile([60, 120, 10, 0], [0.25, 0.6, 0.75, 1])
    )
    np.testing.assert_array_equal(summary.stock_units, summary.total_units / 4)
    np.testing.assert_array_equal(summary.new_units, summary.total_units * 3 / 4)
    assert summary.new_share == 0.75
    np.testing.assert_array_equal(summary.binding_shares[:, Binding.CAP], summary.p_open)
    np.testing.assert_array_equal(summary.binding_shares.sum(axis=1), np.ones(4))


def test_summary_without_any_window_is_an_answer():
    never = np.zeros((3, 2), dtype=bool)
    zeros = np.zeros((3, 2))
    summary = summarise(
        WindowPaths(never, zeros, zeros, zeros.astype(np.int8), zeros),
        confidence=0.5,
        quantile_levels=(0.1, 0.5),
    )
    assert summary.windows == ()
    assert summary.p_any == 0.0
    assert np.isnan(summary.opening_steps).all()
    assert np.isnan(summary.closing_steps).all()
    np.testing.assert_array_equal(summary.total_units, [0.0, 0.0])
    assert np.isnan(summary.new_share)


def test_chunks_of_paths_on_threads_give_the_same_windows():
    rng = np.random.default_rng(2)
    surplus, us = rng.lognormal(2.0, 1.0, (101, 9)), rng.lognormal(3.0, 1.0, (101, 9))
    state = rng.random((101, 9)) < 0.7

    def windows_of(*slices):
        part = inputs(*slices, first_step=3, unsold_stock=20.0, licence_limit=90.0)
        return export(part, cap("trailing_12m"))

    whole = windows_of(surplus, us, state)
    joined = join_paths(map_path_chunks(windows_of, surplus, us, state, paths_per_chunk=20, workers=2))
    assert isinstance(joined, WindowPaths)
    for found, expected in zip(joined, whole, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


def test_inputs_out_of_range_are_refused_by_name():
    with pytest.raises(InputError, match=r"first_step is out of range: expected 0 to 1, found 2"):
        inputs([1.0, 2.0], first_step=2)
    for name in ("unsold_stock", "exported_so_far", "licence_limit"):
        with pytest.raises(InputError, match=f"{name} is out of range.*found -1"):
            inputs([1.0], **{name: -1.0})
    with pytest.raises(ValueError, match=r"us_shipments: expected shape \(1, 2\), found \(1, 1\)"):
        inputs([1.0, 2.0], us_shipments=[1.0])
    for name in ("surplus", "us_shipments"):
        with pytest.raises(InputError, match=f"{name} must be given in every period"):
            inputs(**{"surplus": [1.0], "us_shipments": [1.0], name: [math.nan]})
    with pytest.raises(InputError, match="periods_per_year"):
        export_windows(inputs([1.0]), None, periods_per_year=0)
    with pytest.raises(InputError, match="confidence"):
        summarise(export(inputs([1.0])), confidence=0.0, quantile_levels=(0.5,))
