"""Effects of assumptions: laws of a tornado chart, and the order of the bars."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.errors import InputError
from forecasting.public.assumptions import Assumption
from forecasting.what_if.sensitivity import (
    Effect,
    effects,
    first_stage,
    one_at_a_time,
    rank_effects,
    select_assumptions,
)

FIGURES = st.floats(-1e9, 1e9)


def assumption(low=1.0, value=2.0, high=3.0):
    return Assumption(value=value, low=low, high=high, unit="units", reason="for this test")


def effect_of(low, base, high, name="a"):
    return Effect(name=name, at_low=low, base=base, at_high=high)


@settings(deadline=None, max_examples=30)
@given(FIGURES, FIGURES, FIGURES)
def test_swapping_low_and_high_flips_the_sign_and_keeps_the_reach(low, base, high):
    one, other = effect_of(low, base, high), effect_of(high, base, low)
    assert one.swing == -other.swing
    assert one.reach == other.reach


@settings(deadline=None, max_examples=30)
@given(FIGURES, FIGURES, FIGURES)
def test_reach_covers_the_swing_and_both_sides(low, base, high):
    one = effect_of(low, base, high)
    assert one.reach == max(abs(high - low), abs(low - base), abs(high - base))


@given(FIGURES)
def test_assumption_that_enters_nothing_has_an_effect_of_exactly_0(base):
    moved = {("a", "low"): base, ("a", "high"): base}
    (one,) = effects(["a"], base, moved)
    assert (one.swing, one.reach) == (0.0, 0.0)


def test_end_that_is_the_value_itself_is_no_move_and_counts_as_the_base():
    moves = one_at_a_time({"a": assumption(low=2.0), "b": assumption()})
    assert [(move.name, move.side, move.value) for move in moves] == [
        ("a", "high", 3.0),
        ("b", "low", 1.0),
        ("b", "high", 3.0),
    ]
    (one,) = effects(["a"], 5.0, {("a", "high"): 7.0})
    assert one == effect_of(5.0, 5.0, 7.0)


def test_widest_reach_comes_first_and_equals_stand_by_name():
    found = [
        effect_of(0, 0, 1, "c"),
        effect_of(-3, 0, 2, "b"),
        effect_of(1, 0, 0, "a"),
        effect_of(4, 0, 4, "d"),
    ]
    assert [effect.name for effect in rank_effects(found)] == ["b", "d", "a", "c"]


@pytest.mark.parametrize(
    ("stages", "first"),
    [
        (("nothing", "panel"), "panel"),
        (("windows", "paths"), "paths"),
        (("nothing",), "nothing"),
        ((), "nothing"),
    ],
)
def test_assumption_enters_at_the_earliest_stage_that_either_end_changes(stages, first):
    assert first_stage(*stages) == first


def test_unknown_assumption_is_refused_with_the_nearest_name():
    known = {"capacity_decay": assumption(), "tight_tolerance": assumption()}
    with pytest.raises(InputError, match="found 'capacity_decai'; did you mean 'capacity_decay'"):
        select_assumptions(known, ["capacity_decai"])


def test_named_assumptions_keep_the_order_of_the_file_and_none_named_are_all():
    known = {name: assumption() for name in "abc"}
    assert list(select_assumptions(known, ["c", "a"])) == ["a", "c"]
    assert list(select_assumptions(known, [])) == ["a", "b", "c"]
