"""The tables of the windows step agree with each other."""

from __future__ import annotations

import pytest


def test_table_agrees_with_the_answer(whole_run):
    tables = whole_run.windows.tables
    keys = ["policy", "chip", "scope"]
    joined = tables["headroom"].join(tables["windows"], on=keys, suffix="_answer")
    assert joined.height == tables["headroom"].height >= 8
    assert joined["units_q90"].to_list() == pytest.approx(joined["units_q90_answer"].to_list())
