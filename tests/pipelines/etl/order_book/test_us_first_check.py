"""What pruning leaves holds every case that all lines together hold."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.order_book.inversions import priority_inversions
from pipelines.etl.order_book.us_first_check import NEVER, DerivedTables, Spans, overtakings, span_maximum


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 3), st.integers(1, 20), st.data())
def test_maximum_over_a_span_is_that_of_looking_at_every_day(skus, days, data):
    entries = st.lists(st.integers(-9, 9), min_size=days, max_size=days)
    table = np.array(data.draw(st.lists(entries, min_size=skus, max_size=skus)), np.int32)
    day = st.integers(0, days - 1)
    spans = data.draw(st.lists(st.tuples(st.integers(0, skus - 1), day, day), max_size=12))
    sku, first, last = np.array(spans, np.int32).reshape(-1, 3).T
    found = span_maximum(table, Spans(sku=sku, requested=sku, first=first, last=last))
    assert found.tolist() == [max(table[k, a : b + 1].tolist(), default=NEVER) for k, a, b in spans]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("at_once", [1, 4_000_000])
def test_cases_are_those_of_all_lines_together(bench, monkeypatch, seed, at_once):
    monkeypatch.setattr("pipelines.etl.order_book.us_first_check.ROWS_AT_ONCE", at_once)
    bench.write(bench.tangle(np.random.default_rng(seed), 400), 4)
    with bench.reading("data.quarantine_max_share=1") as book:
        read = book()
    losers = read.settlement.losers
    candidates = [pl.read_parquet(folder / "candidates-*.parquet") for folder in read.folders]
    lines = pl.concat(
        frame.with_columns(source_file=pl.lit(place, pl.Int32)) for place, frame in enumerate(candidates)
    ).join(losers, on=["source_file", "source_row"], how="anti")
    expected = priority_inversions(lines.lazy())
    assert expected.height > 10
    assert losers.height > 10
    assert pl.concat(overtakings(DerivedTables(read.folders, losers))).equals(expected)


def test_book_without_any_export_or_delay_has_no_case(bench):
    bench.write([bench.line(order_id=f"SO-{n}") for n in range(3)], 2)
    with bench.reading() as book:
        read = book()
    cases = pl.concat(overtakings(DerivedTables(read.folders, read.settlement.losers)))
    assert cases.is_empty()
    assert {"us_order_id", "export_order_id", "us_source_file"} <= set(cases.columns)
