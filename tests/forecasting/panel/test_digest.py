"""The digest of a panel: the same for the same rows in any order, another for any change of a cell."""

import datetime as dt
import math

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from panel_rows import checked, good_rows

from forecasting.panel.schema import COLUMNS, TYPES, content_digest

FEW = settings(deadline=None, max_examples=50)

CELLS = {
    "item_id": "H20",
    "timestamp": dt.date(2030, 3, 31),
    "variate": "backlog",
    "published_at": dt.date(2031, 1, 1),
    "unit": "",
    "kind": "reported",
    "source_id": "some,body",
}


@FEW
@given(order=st.permutations(range(9)))
def test_the_digest_does_not_depend_on_the_order_of_rows_or_columns(order):
    panel = checked(good_rows())
    shuffled = panel[list(order)].select(COLUMNS[::-1])
    assert content_digest(shuffled) == content_digest(panel)


@FEW
@given(
    place=st.integers(0, 8),
    column=st.sampled_from(COLUMNS),
    upwards=st.booleans(),
)
def test_the_digest_is_changed_by_any_change_of_a_cell(place, column, upwards):
    rows = checked(good_rows()).to_dicts()
    before = content_digest(pl.DataFrame(rows, schema=TYPES))
    if column in CELLS:
        rows[place][column] = CELLS[column]
    else:  # the smallest change there is
        rows[place][column] = np.nextafter(rows[place][column], math.inf if upwards else -math.inf)
    assert content_digest(pl.DataFrame(rows, schema=TYPES)) != before


def test_the_digest_tells_types_nulls_and_repeated_rows_apart():
    frames = [
        pl.DataFrame({"a": ["1"]}),
        pl.DataFrame({"a": [1]}),
        pl.DataFrame({"a": [1.0]}),
        pl.DataFrame({"b": [1]}),
        pl.DataFrame({"a": [1, 1]}),
        pl.DataFrame({"a": [""]}),
        pl.DataFrame({"a": [None]}, schema={"a": pl.String}),
    ]
    assert len({content_digest(frame) for frame in frames}) == len(frames)


def test_a_file_holds_the_same_digest_as_the_table(tmp_path):
    panel = checked(good_rows())
    panel.write_parquet(tmp_path / "panel.parquet")
    assert content_digest(pl.read_parquet(tmp_path / "panel.parquet")) == content_digest(panel)
