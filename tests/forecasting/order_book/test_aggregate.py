"""Partials add up: in any order, in any grouping, and back again; and say what a line's parts are."""

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from forecasting.frequencies import Frequency
from forecasting.order_book.aggregate import (
    KEYS,
    SUMS,
    Axis,
    Partial,
    grouped,
    merge_partials,
    negate,
    partial_from,
    partial_of,
    partial_plans,
    sum_parts,
)
from forecasting.order_book.calendar import Calendar
from forecasting.order_book.normalise import normalise

FEW = settings(deadline=None, max_examples=25)
SEEDS, COUNTS = st.integers(0, 2**32), st.integers(0, 40)
MONTHS = Calendar(frequency=Frequency.MONTH)


def part(book, seed, count):
    lines = normalise(book.frame(book.rows(seed, count)).lazy(), book.intake)
    return partial_of(lines, calendar=MONTHS, normal_lead_days=42)


def assert_equal(one, other):
    for name, table in one.tables().items():
        assert_frame_equal(table, other.tables()[name])


@FEW
@given(seeds=st.tuples(SEEDS, SEEDS, SEEDS), count=COUNTS)
def test_merging_does_not_depend_on_grouping_or_order(book, seeds, count):
    a, b, c = (part(book, seed, count) for seed in seeds)
    assert_equal(merge_partials([merge_partials([a, b]), c]), merge_partials([a, merge_partials([b, c])]))
    assert_equal(merge_partials([a, b, c]), merge_partials([c, a, b]))


@FEW
@given(seeds=st.tuples(SEEDS, SEEDS), count=COUNTS)
def test_what_was_added_can_be_taken_back(book, seeds, count):
    a, b = (part(book, seed, count) for seed in seeds)
    assert_equal(merge_partials([a, b, negate(b)]), merge_partials([a]))
    assert all(table.is_empty() for table in merge_partials([a, negate(a)]).tables().values())


def test_lines_read_in_batches_add_up_to_the_partial_of_all(book, monkeypatch):
    monkeypatch.setattr("forecasting.order_book.aggregate.ADDED_AT_ONCE", 2)
    lines = normalise(book.frame(book.rows(0, 60)).lazy(), book.intake).collect()

    def sums():
        for batch in lines.iter_slices(13):
            plans = partial_plans(batch.lazy(), calendar=MONTHS, normal_lead_days=42)
            yield dict(zip(plans, pl.collect_all(plans.values()), strict=True))

    found = merge_partials([partial_from(sum_parts(sums()), MONTHS)]).tables()
    wanted = merge_partials([partial_of(lines.lazy(), calendar=MONTHS, normal_lead_days=42)]).tables()
    assert wanted["ageing"].height > 10
    assert all(found[name].equals(wanted[name]) for name in wanted)


def test_nothing_is_the_empty_partial(book):
    nothing = merge_partials([])
    for name, table in nothing.tables().items():
        assert table.schema == {**KEYS[name], **dict.fromkeys(SUMS[name], pl.Int64)}
        assert table.is_empty()
    some = merge_partials([part(book, 3, 40)])
    assert_equal(merge_partials([nothing, some]), some)
    assert {name: table.schema for name, table in some.tables().items()} == {
        name: table.schema for name, table in nothing.tables().items()
    }


def test_tables_stored_in_files_come_back(book, tmp_path):
    one = part(book, 3, 40)
    for name, table in one.tables().items():
        table.write_parquet(tmp_path / f"{name}.parquet")
    assert_equal(one, Partial(**{name: pl.read_parquet(tmp_path / f"{name}.parquet") for name in KEYS}))


def test_a_line_partly_shipped_and_partly_cancelled_has_two_parts(book):
    row = dict.fromkeys(book.RAW) | {
        "order_id": "o1",
        "line": 1,
        "sku": "sku-1",
        "customer_country": "US",
        "end_use_country": "CN",
        "quantity": 10,
        "ordered_at": dt.date(2024, 1, 10),
        "requested_at": dt.date(2024, 2, 10),
        "promised_at": dt.date(2024, 3, 10),
        "shipped_at": dt.date(2024, 3, 5),
        "shipped_quantity": 7,
        "cancelled_at": dt.date(2024, 4, 5),
    }
    one = partial_of(normalise(book.frame([row]).lazy(), book.intake), calendar=MONTHS, normal_lead_days=20)
    market = {"sku": "sku-1", "destination": "export"}
    jan, march, april = dt.date(2024, 1, 31), dt.date(2024, 3, 31), dt.date(2024, 4, 30)
    assert one.ageing.sort("units").to_dicts() == [
        {**market, "fate": "cancelled", "ordered_period": jan, "closed_period": april, "units": 3},
        {**market, "fate": "shipped", "ordered_period": jan, "closed_period": march, "units": 7},
    ]
    due = {**market, "due_period": march}
    on_time, none = {"on_time_units": 7, "normal_lead_units": 0}, {"on_time_units": 0, "normal_lead_units": 0}
    assert one.dues.sort("units").select(*due, "fate", "closed_period", "units", *on_time).to_dicts() == [
        {**due, "fate": "cancelled", "closed_period": april, "units": 3, **none},
        {**due, "fate": "shipped", "closed_period": march, "units": 7, **on_time},
    ]
    assert one.lead_days.to_dicts() == [{**market, "period": march, "days": 24, "units": 7}]
    assert one.shipped_by_country.to_dicts() == [
        {"sku": "sku-1", "country": "CN", "period": march, "units": 7}
    ]


def test_lines_whose_skus_are_no_enumeration_are_refused(book):
    lines = normalise(book.frame([]).lazy(), book.intake).with_columns(pl.col("sku").cast(pl.String))
    with pytest.raises(TypeError, match="enumeration"):
        partial_of(lines, calendar=MONTHS, normal_lead_days=42)


@FEW
@given(
    rows=st.lists(
        st.tuples(st.none() | st.integers(0, 3), st.integers(0, 300), st.integers(-5, 5)), max_size=40
    )
)
def test_grouping_by_one_packed_number_is_grouping_by_its_axes(rows):
    frame = pl.DataFrame(rows, schema={"a": pl.UInt8, "b": pl.Int32, "units": pl.Int64}, orient="row")
    found = grouped(
        frame.lazy(), [Axis("a", 4), Axis("b", 301)], units=pl.col("units"), twice=pl.col("units") * 2
    )
    wanted = (
        frame.drop_nulls("a")
        .group_by(pl.col("a", "b").cast(pl.Int64))
        .agg(pl.col("units").sum(), twice=pl.col("units").sum() * 2)
        .filter(pl.col("units") != 0)
    )
    assert_frame_equal(found.collect(), wanted, check_row_order=False)


def test_axes_that_do_not_fit_into_64_bits_are_refused():
    with pytest.raises(OverflowError, match="do not fit"):
        grouped(pl.LazyFrame({"a": [1]}), [Axis("a", 2**32), Axis("a", 2**32)], units=pl.col("a"))
