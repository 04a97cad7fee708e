"""A whole order book, from files to series, against loops over its rows; and the identity it keeps."""

import datetime as dt
import random
from collections import Counter
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from forecasting.frequencies import Frequency
from forecasting.order_book.aggregate import merge_partials, negate, partial_of
from forecasting.order_book.calendar import Calendar
from forecasting.order_book.deduplicate import decide, key_hash
from forecasting.order_book.normalise import normalise
from forecasting.order_book.series import LEAD_TIME_PERCENTS, Series, series, shipped_tpp_by_country
from forecasting.reference.chips import catalogue

FEW = settings(deadline=None, max_examples=30)
SEEDS, COUNTS = st.integers(0, 2**32), st.integers(1, 60)
CALENDARS = st.builds(
    Calendar,
    frequency=st.sampled_from([Frequency.WEEK, Frequency.MONTH, Frequency.QUARTER]),
    fiscal_year_end_month=st.integers(1, 12),
    week_end=st.integers(1, 7),
)


def read(files, calendar, book):
    """Partial and outcome counts of several files: one file at a time, then the keys that they share."""
    partials, kept, counts = [], [], Counter()
    for number, rows in enumerate(files):
        lines = normalise(rows.lazy(), book.intake).collect()
        partials.append(partial_of(lines.lazy(), calendar=calendar, normal_lead_days=book.NORMAL_LEAD_DAYS))
        counts.update(lines["broken_rule"].drop_nulls())
        clean = lines.filter(pl.col("broken_rule").is_null())
        kept.append(clean.with_columns(key_hash(), source_file=pl.lit(number)))
    lines = pl.concat(kept)
    contested = lines.filter(pl.col("key_hash").is_duplicated())
    decided = decide(contested)
    counts.update(decided["outcome"])
    counts["accepted"] += lines.height - contested.height
    out = decided.filter(pl.col("outcome") != "accepted").lazy()
    wrong = partial_of(out, calendar=calendar, normal_lead_days=book.NORMAL_LEAD_DAYS)
    return merge_partials([*partials, negate(wrong)]), counts


def parted(rows, parts, frame):
    edges = [len(rows) * part // parts for part in range(parts + 1)]
    return [frame(rows[a:b]) for a, b in pairwise(edges)]


def series_of(partial, calendar, book):
    chips = {sku: catalogue()[chip] for sku, chip in book.SKUS.items()}
    return series(
        partial, calendar=calendar, chips=chips, as_of=book.AS_OF, normal_lead_days=book.NORMAL_LEAD_DAYS
    )


@FEW
@given(seed=SEEDS, count=COUNTS, parts=st.integers(1, 4), calendar=CALENDARS)
def test_every_figure_is_that_of_loops_over_the_rows(book, seed, count, parts, calendar):
    rows = book.rows(seed, count)
    partial, counts = read(parted(rows, parts, book.frame), calendar, book)
    outcomes = book.outcomes(rows)
    assert +counts == Counter(outcomes)
    accepted = [row for row, outcome in zip(rows, outcomes, strict=True) if outcome == "accepted"]
    table = series_of(partial, calendar, book)
    Series.validate(table)
    found = {(r["sku"], r["destination"], r["period"]): r for r in table.iter_rows(named=True)}
    plain = book.Plain(accepted, calendar)
    for market, ends in plain.markets():
        start, backlog = dt.date.min, 0
        for end in ends:
            row = found.pop((*market, end))
            wanted, lead, shares = plain.figures(market, start, end)
            check_row(row, wanted, lead, shares, book)
            assert row["opening_backlog"] == backlog
            start, backlog = end + dt.timedelta(days=1), row["closing_backlog"]
    assert not found


def check_row(row, wanted, lead, shares, book):
    complete = row["period"] <= book.AS_OF
    assert row["complete"] == complete
    columns = ["orders", "shipments", "cancellations", "closing_backlog", "returns"]
    columns += [name for name in row if name.startswith("open_")]
    columns += ["overdue_units"] if complete else []
    assert {name: row[name] for name in columns} == {name: wanted[name] for name in columns}
    due, in_time, normal, shipped_in_time = shares
    decided = row["period"] + dt.timedelta(days=book.NORMAL_LEAD_DAYS) <= book.AS_OF
    assert row["due_units"] == (due if complete else None)
    assert row["fill_rate_promise"] == share(in_time, due if complete else 0)
    assert row["fill_rate_normal_lead"] == share(normal, due if decided else 0)
    assert row["on_time_share"] == share(shipped_in_time, wanted["shipments"])
    for percent in LEAD_TIME_PERCENTS:
        exact = np.quantile(lead, percent / 100, method="inverted_cdf") if lead else None
        assert row[f"lead_days_p{percent}"] == exact
    tpp = catalogue()[row["chip_id"]].required_tpp()
    assert row["shipped_tpp"] == pytest.approx(wanted["shipments"] * tpp)


def share(part, whole):
    return part / whole if whole else None


@FEW
@given(seed=SEEDS, count=COUNTS, parts=st.integers(2, 4), calendar=CALENDARS)
def test_how_lines_are_spread_over_files_and_rows_does_not_matter(book, seed, count, parts, calendar):
    rows = book.rows(seed, count)
    shuffled = random.Random(seed).sample(rows, len(rows))  # noqa: S311
    whole, counts = read([book.frame(rows)], calendar, book)
    spread, spread_counts = read(parted(shuffled, parts, book.frame), calendar, book)
    assert counts == spread_counts
    for name, table in whole.tables().items():
        assert_frame_equal(table, spread.tables()[name])


@FEW
@given(seed=SEEDS, count=COUNTS, calendar=CALENDARS)
def test_opening_and_orders_less_shipments_and_cancellations_is_closing(book, seed, count, calendar):
    partial, _ = read([book.frame(book.rows(seed, count))], calendar, book)
    table = series_of(partial, calendar, book).sort("sku", "destination", "period")
    closing = table["opening_backlog"] + table["orders"] - table["shipments"] - table["cancellations"]
    assert closing.to_list() == table["closing_backlog"].to_list()
    before = table["closing_backlog"].shift(1, fill_value=0)
    first = table.select(pl.struct("sku", "destination").is_first_distinct()).to_series()
    assert (table["opening_backlog"] == before.zip_with(~first, before * 0)).all()
    by_age = table.select(pl.sum_horizontal(pl.col("^open_.*_days$"))).to_series()
    assert by_age.to_list() == table["closing_backlog"].to_list()


def test_tpp_by_country_adds_up_to_tpp_by_destination(book):
    calendar = Calendar(frequency=Frequency.QUARTER)
    partial, _ = read([book.frame(book.rows(7, 200))], calendar, book)
    chips = {sku: catalogue()[chip] for sku, chip in book.SKUS.items()}
    by_country = shipped_tpp_by_country(partial, chips=chips)
    destination = (
        pl.when(pl.col("country").is_in(["US", "PR"])).then(pl.lit("us")).otherwise(pl.lit("export"))
    )
    keys = ["sku", "chip_id", "destination", "period"]
    sums = by_country.group_by(*keys[:2], destination.alias("destination"), "period").agg(
        shipments=pl.col("units").sum(), shipped_tpp=pl.col("tpp").sum()
    )
    table = series_of(partial, calendar, book).with_columns(pl.col("destination").cast(pl.String))
    assert sums.height > 5
    assert_frame_equal(sums.sort(keys), table.filter(pl.col("shipments") > 0).select(sums.columns).sort(keys))


def row_of(book, **fields):
    us = dict.fromkeys(["customer_country", "end_use_country"], "US")
    row = {"order_id": "o1", "line": 1, "sku": "sku-1", "quantity": 10}
    return dict.fromkeys(book.RAW) | us | row | fields


def test_what_goes_to_a_us_territory_is_us_end_use_and_stands_under_its_own_country(book):
    day = dt.date(2024, 1, 2)
    fields = {"ordered_at": day, "requested_at": day, "shipped_at": day}
    rows = [
        row_of(book, **fields, line=number) | {"end_use_country": country, "quantity": number}
        for number, country in enumerate(["US", "PR", "CN"], start=1)
    ]
    calendar = Calendar(frequency=Frequency.QUARTER)
    partial, _ = read([book.frame(rows)], calendar, book)
    table = series_of(partial, calendar, book).filter(pl.col("shipments") > 0)
    assert dict(table.select("destination", "shipments").iter_rows()) == {"us": 3, "export": 3}
    assert dict(partial.shipped_by_country.select("country", "units").iter_rows()) == {
        "US": 1,
        "PR": 2,
        "CN": 3,
    }


def test_a_promise_before_the_request_makes_no_line_late_or_overdue(book):
    row = row_of(
        book,
        ordered_at=dt.date(2024, 1, 2),
        requested_at=dt.date(2024, 10, 1),
        promised_at=dt.date(2024, 1, 15),
        shipped_at=dt.date(2024, 9, 1),
    )
    calendar = Calendar(frequency=Frequency.QUARTER)
    table = series_of(read([book.frame([row])], calendar, book)[0], calendar, book)
    assert table["overdue_units"].drop_nulls().to_list() == [0, 0, 0, 0]
    assert table["on_time_share"].drop_nulls().to_list() == [1.0]
    assert table["due_units"].to_list() == [0, 0, 0, 10, None]
    assert table["fill_rate_promise"].to_list() == [None, None, None, 1.0, None]


def test_fill_rate_within_the_normal_lead_time_is_told_once_it_is_over_for_the_latest_request(book):
    day = dt.date(2024, 1, 15)
    soon = row_of(book, ordered_at=day, requested_at=day, shipped_at=day)
    later = soon | {"line": 2, "requested_at": dt.date(2024, 12, 1), "promised_at": day, "shipped_at": None}
    calendar = Calendar(frequency=Frequency.QUARTER)
    partial, _ = read([book.frame([soon, later])], calendar, book)
    chips = {sku: catalogue()[chip] for sku, chip in book.SKUS.items()}
    rates = {}
    for as_of in (dt.date(2024, 7, 31), book.AS_OF):
        table = series(partial, calendar=calendar, chips=chips, as_of=as_of, normal_lead_days=42)
        rates[as_of] = table.select("period", "fill_rate_normal_lead").drop_nulls().rows()
    assert list(rates.values()) == [
        [(dt.date(2024, 3, 31), 1.0)],
        [(dt.date(2024, 3, 31), 1.0), (dt.date(2024, 12, 31), 0.0)],
    ]


def test_a_chip_without_specs_has_no_tpp(book):
    calendar = Calendar(frequency=Frequency.MONTH)
    partial, _ = read([book.frame(book.rows(7, 50))], calendar, book)
    bare = next(chip for chip in catalogue().values() if chip.tpp is None)
    table = series(
        partial,
        calendar=calendar,
        chips=dict.fromkeys(book.SKUS, bare),
        as_of=book.AS_OF,
        normal_lead_days=book.NORMAL_LEAD_DAYS,
    )
    assert table["shipped_tpp"].null_count() == table.height


def test_a_book_without_lines_has_an_empty_series(book):
    calendar = Calendar(frequency=Frequency.WEEK)
    partial, counts = read([book.frame([])], calendar, book)
    table = series_of(partial, calendar, book)
    assert table.is_empty()
    assert table.columns == Series.column_names()
    assert not +counts
