"""Panels by path, and samples of a panel."""

import numpy as np
import polars as pl
import pytest
from panels import file_panel, panel_of

from forecasting.errors import InputError


def test_the_last_steps_of_each_series_are_held_out(tmp_path):
    path = tmp_path / "some.parquet"
    rows = [
        (name, step, float(step))
        for name, size in (("b", 12), ("a", 9), ("short", 3))
        for step in range(size)
    ]
    table = pl.DataFrame(rows, schema=["unique_id", "ds", "y"], orient="row")
    table.sample(fraction=1.0, shuffle=True, seed=1).write_parquet(path)
    panel = file_panel(f"mine={path},Q,4")
    assert (panel.name, panel.season_length, panel.horizon) == ("mine", 4, 4)
    np.testing.assert_array_equal(panel.actual, [[5, 6, 7, 8], [8, 9, 10, 11]])
    np.testing.assert_array_equal(panel.histories[1], np.arange(8.0))


@pytest.mark.parametrize(
    "given", ["mine", "mine=file.csv", "mine=file.csv,Q", "mine=file.csv,Q,x", "=f.csv,Q,4"]
)
def test_a_panel_that_is_not_given_in_full_is_refused(given):
    with pytest.raises(InputError, match="given in full"):
        file_panel(given)


def test_a_sample_keeps_each_history_with_its_own_future():
    series = [np.arange(10.0) + 100 * k for k in range(30)]
    whole = panel_of("p", series, season_length=1, horizon=2)
    some = whole.sample(7, 3)
    assert len(some.histories) == 7
    for history, actual in zip(some.histories, some.actual, strict=True):
        assert actual[0] == history[-1] + 1
    assert whole.sample(0, 3) is whole
    assert whole.sample(31, 3) is whole
