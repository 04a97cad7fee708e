"""The balance of a chip's surplus: nothing appears and nothing vanishes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.policy.terms import Cap
from forecasting.windows.headroom import balance
from forecasting.windows.schema import LOSSES, SUPPLY
from forecasting.windows.windows import Binding, WindowInputs, export_windows


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), stock=st.sampled_from([0.0, 50.0, 5000.0]), licence=st.booleans())
def test_surplus_and_stock_are_what_is_exported_lost_or_left(seed, stock, licence):
    rng = np.random.default_rng(seed)
    surplus = rng.gamma(0.5, 200, (7, 9)).round()
    inputs = WindowInputs(
        surplus=surplus,
        us_shipments=rng.gamma(2, 100, (7, 9)),
        saturated_confirmed=rng.random((7, 9)) < 0.7,
        eligible=True,
        in_effect=rng.random(9) < 0.9,
        unsold_stock=stock,
        licence_limit=300.0 if licence else None,
        first_step=3,
    )
    cap = Cap(ratio=0.5, counts="product", period="since_launch")
    paths = export_windows(inputs, cap, periods_per_year=4)
    found = balance(paths, surplus[:, 3:], unsold_stock=stock)
    assert found[SUPPLY] == pytest.approx(found["units_mean"] + sum(found[name] for name in LOSSES))
    assert found["units_mean"] == pytest.approx(paths.units.sum(axis=1).mean())
    assert all(found[name] >= -1e-9 for name in LOSSES)


def test_loss_is_put_down_to_the_condition_that_binds():
    surplus = np.array([[100.0, 100.0, 100.0]])
    inputs = WindowInputs(
        surplus=np.pad(surplus, ((0, 0), (1, 0))),
        us_shipments=np.array([[60.0, 0.0, 0.0, 0.0]]),
        saturated_confirmed=np.array([[True, False, True, True]]),
        eligible=True,
        in_effect=np.ones(4, dtype=bool),
        first_step=1,
    )
    cap = Cap(ratio=0.5, counts="product", period="since_launch")
    found = balance(export_windows(inputs, cap, periods_per_year=4), surplus, unsold_stock=0.0)
    assert found[f"lost_{Binding.NOT_SATURATED.name.lower()}"] == 100
    assert found[f"lost_{Binding.CAP.name.lower()}"] == 170
    assert found["units_mean"] == 30
