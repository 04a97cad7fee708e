"""Paths as a table and back: nothing is lost in any order of rows, and a broken grid is refused."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forecasting.errors import InputError
from forecasting.forecasters.base import PathSet
from forecasting.forecasters.path_table import from_table, to_table
from forecasting.frequencies import Frequency, add_periods

Q = Frequency.QUARTER
ORIGIN = dt.date(2025, 12, 31)
VARIATES = ("orders", "capacity", "shipments")
FEW = settings(deadline=None, max_examples=50)


@st.composite
def path_sets(draw):
    items = sorted(draw(st.sets(st.sampled_from(["B200", "H100", "H200", "portfolio/us"]), min_size=1)))
    paths, context, horizon = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    variates = VARIATES[: draw(st.integers(1, 3))]
    shape = (len(items), paths, context + horizon, len(variates))
    values = draw(arrays(np.float64, shape, elements=st.floats(0, 1e6, width=32)))
    if len(variates) == 3:
        values[:, :, context:, 2] = np.nan  # shipments have no future
    starts = [0, *(draw(st.integers(0, context - 1)) for _ in items[1:])]
    for item, start in enumerate(starts):
        values[item, :, :start] = np.nan
    return PathSet(
        item_ids=tuple(items),
        variates=variates,
        origins=tuple(add_periods(ORIGIN, draw(st.integers(-2, 2)), Q) for _ in items),
        frequency=Q,
        context_length=context,
        values=values,
    )


@FEW
@given(paths=path_sets(), order=st.randoms(use_true_random=False))
def test_paths_come_back_from_their_table_in_any_order_of_rows(paths, order):
    table = to_table(paths)
    places = list(range(table.height))
    order.shuffle(places)
    back = from_table(table[places], frequency=Q)
    for name in ("item_ids", "variates", "origins", "frequency", "context_length"):
        assert getattr(back, name) == getattr(paths, name)
    np.testing.assert_array_equal(back.values, paths.values)


@FEW
@given(paths=path_sets())
def test_each_row_holds_the_figures_of_its_item_path_and_step(paths):
    table = to_table(paths)
    assert table.equals(table.sort("item_id", "path", "step"))
    assert table.schema["orders"] == pl.Float32
    for row in table.iter_rows(named=True):
        item = paths.item_ids.index(row["item_id"])
        assert row["timestamp"] == add_periods(paths.origins[item], row["step"], Q)
        figures = paths.values[item, row["path"], row["step"] + paths.context_length - 1]
        assert [row[name] for name in paths.variates] == [None if np.isnan(x) else x for x in figures]
    observed = ~np.isnan(paths.values).all(axis=(1, 3))
    assert table.height == paths.paths * sum(len(row) - np.argmax(row) for row in observed)


def small():
    """Two items of two paths: steps -1 to 2, and 0 to 2."""
    values = np.arange(32.0).reshape(2, 2, 4, 2)
    values[1, :, 0] = np.nan
    return to_table(
        PathSet(
            item_ids=("H100", "H200"),
            variates=("orders", "capacity"),
            origins=(ORIGIN, ORIGIN),
            frequency=Q,
            context_length=2,
            values=values,
        )
    )


def refused(table, sentence):
    with pytest.raises(InputError, match=f"^run 7{sentence}$"):
        from_table(table, frequency=Q, where="run 7")


@pytest.mark.parametrize("column", ["item_id", "path", "step", "timestamp"])
def test_a_missing_or_empty_column_is_named(column):
    refused(small().drop(column), f": column '{column}' is missing: found .*orders, capacity")
    holed = small().with_columns(pl.when(pl.col("orders") > 3).then(pl.col(column)))
    refused(holed, f": column '{column}' must not be empty: found 2 nulls")


def test_a_table_without_paths_is_refused():
    refused(small().drop("orders", "capacity"), ": the table holds no paths: found 14 rows")
    refused(small().clear(), ": the table holds no paths: found 0 rows")


@pytest.mark.parametrize(
    ("kept", "found"),
    [(pl.col("step") <= 0, "-1 to 0"), (pl.col("step") >= 1, "1 to 2"), (pl.col("step") == 0, "0 to 0")],
)
def test_paths_reach_from_the_origin_into_the_future(kept, found):
    refused(
        small().filter(kept),
        ": paths must reach from the forecast origin into the future: "
        f"expected step 0 or earlier, and step 1 or later, found steps {found}",
    )


H200 = pl.col("item_id") == "H200"


@pytest.mark.parametrize(
    "broken",
    [
        small().filter(~(H200 & (pl.col("path") == 1) & (pl.col("step") == 1))),
        small().filter(~(H200 & (pl.col("path") == 1))),
        small().filter(~(H200 & (pl.col("step") == 1))),
        small().filter(~(H200 & (pl.col("step") == 2))),
        small().filter(~(H200 & (pl.col("step") == 0))),
        small().filter(~(H200 & (pl.col("step") <= 0))),
        pl.concat([small(), small().filter(H200 & (pl.col("step") == 1))]),
        pl.concat([small(), small().filter(H200)]),
        small().with_columns(path=pl.when(H200).then(pl.col("path") * 2).otherwise("path")),
    ],
    ids=[
        "a row is missing",
        "a path is missing",
        "a step is missing",
        "the last step is missing",
        "the origin is missing",
        "the history is missing",
        "a step stands twice",
        "every row stands twice",
        "a path has another number",
    ],
)
def test_a_broken_grid_is_refused_with_its_item(broken):
    refused(
        broken.sample(fraction=1.0, shuffle=True, seed=3),
        ", H(100|200): every path must have the same steps, from the origin or before it to the horizon: "
        r"expected \d paths with steps up to 2, 0 among them, found \d+ rows of \d paths",
    )


def test_paths_of_unequal_number_are_not_read_as_steps():
    """Six rows are three steps of two paths as well as two steps of three: they must not be mixed up."""
    values = np.arange(18.0).reshape(1, 3, 3, 2)
    three = to_table(
        PathSet(
            item_ids=("B200",),
            variates=("orders", "capacity"),
            origins=(ORIGIN,),
            frequency=Q,
            context_length=1,
            values=values,
        )
    )
    refused(
        pl.concat([three, small().filter(H200)]),
        ", H200: every path must have the same steps.*6 rows of 2 paths",
    )
