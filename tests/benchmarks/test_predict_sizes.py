"""The tables whose sizes are measured are as large as they say, and refusals keep their size."""

from __future__ import annotations

import sys

import polars as pl
from predict_sizes import Case, attempt, sized


def test_a_table_holds_its_series_and_the_longest_by_the_minute():
    table = Case(series=3, steps=4, longest=9).table()
    assert table.columns == ["unique_id", "ds", "y"]
    assert table["unique_id"].value_counts().sort("unique_id")["count"].to_list() == [4, 4, 4, 9]
    assert table.filter(pl.col("unique_id") == 3)[
        "ds"
    ].diff().drop_nulls().dt.total_minutes().unique().to_list() == [1]


def test_a_share_is_one_of_many_series_that_are_forecast():
    assert sized(Case(series=100, steps=4), 0.1).series == 10
    assert sized(Case(series=1, steps=4), 0.1).series == 1
    assert sized(Case(series=100, steps=4, refused="too many"), 0.1).series == 100


def test_how_a_process_ended_is_told(tmp_path):
    say = "import sys; sys.exit('error: no')"
    assert attempt([sys.executable, "-c", "pass"], tmp_path).ended == "done"
    assert attempt([sys.executable, "-c", say], tmp_path).ended == "error: no"
    late = attempt([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, limit=0.2)
    assert late.ended.startswith("not within")
