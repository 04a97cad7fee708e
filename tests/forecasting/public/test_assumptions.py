"""Assumptions: each within its own range, listed by name."""

import pytest
from flow_tables import DEFAULTS, FEW, assumptions
from hypothesis import assume, given
from hypothesis import strategies as st

from forecasting.errors import InputError
from forecasting.public.assumptions import Assumption


@FEW
@given(points=st.lists(st.floats(0, 100), min_size=3, max_size=3))
def test_an_assumption_lies_within_its_own_range(points):
    value, low, high = points
    terms = {"value": value, "low": low, "high": high, "unit": "weeks", "reason": "because"}
    if low <= value <= high:
        assert Assumption(**terms).value == value
        return
    assume(low <= high)
    sentence = f"must lie within its own range: expected a value from {low:g} to {high:g}, found {value:g}"
    with pytest.raises(InputError) as error:
        Assumption(**terms)
    assert sentence in str(error.value)


def test_assumptions_are_listed_by_name():
    assert [name for name, _ in assumptions().items()] == list(DEFAULTS)
    assert dict(assumptions().items())["capacity_decay"].value == 0.8
