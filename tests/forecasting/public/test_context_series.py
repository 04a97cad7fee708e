"""Context series: sums of whole quarters, the census book without semiconductors, what is reported."""

import datetime as dt
import itertools
from dataclasses import replace

import polars as pl
import pytest
from panel_figures import newest, series

from forecasting.public.census import UNFILLED, without_semiconductors
from forecasting.public.context_series import context_rows


def test_context_series_are_sums_of_whole_quarters(public):
    panel = newest(public)
    macro = public.sources.macro.collect()

    def months(series_id, end):
        first = dt.date(end.year, end.month - 2, 1)
        rows = macro.filter(pl.col("series_id") == series_id, pl.col("month_end").is_between(first, end))
        return rows.sort("month_end")["value"].to_list()

    end = dt.date(2025, 12, 31)
    assert series(panel, "context/census_m3", "orders")[end] == sum(months("A34SNO", end))
    assert series(panel, "context/census_m3_with_semiconductors")[end] == sum(months("A34SVS", end))
    spent = series(panel, "context/data_centre_construction", "spending")
    assert spent[end] == pytest.approx(sum(months("C30_PRIV_OFFICE_DATA_CENTER", end)) / 12)  # annual rates
    assert all(len(months("A34SNO", each)) == 3 for each in series(panel, "context/census_m3", "orders"))


def test_census_orders_less_shipments_are_the_change_of_the_book(public):
    panel = newest(public)
    orders, shipped, book = (
        series(panel, "context/census_m3", variate) for variate in ("orders", "shipments", "backlog")
    )
    ends = sorted(book)
    assert len(ends) > 100
    for before, after in itertools.pairwise(ends):
        assert book[after] - book[before] == pytest.approx(orders[after] - shipped[after], abs=1.0)
    # shipments as published hold semiconductors besides, which no order is reported for
    every = series(panel, "context/census_m3_with_semiconductors")
    assert all(0.75 < shipped[end] / every[end] < 0.95 for end in ends)


def test_the_census_book_does_not_hang_on_what_it_began_with(public):
    macro = public.sources.macro.collect()
    later = macro.filter(pl.col("month_end") >= dt.date(2000, 1, 1))
    whole, part = (
        dict(
            without_semiconductors(table)
            .filter(pl.col("series_id") == UNFILLED)
            .select("month_end", "value")
            .iter_rows()
        )
        for table in (macro, later)
    )
    assert all(part[end] == pytest.approx(whole[end], rel=2e-3) for end in part)


def test_each_context_figure_says_whether_it_was_reported_or_derived(public):
    kinds = newest(public).group_by("item_id", "variate").agg(pl.col("kind").unique())
    found = {(item, variate): set(kind) for item, variate, kind in kinds.iter_rows() if "context/" in item}
    assert found == {
        ("context/census_m3", "orders"): {"reported"},
        ("context/census_m3", "shipments"): {"derived"},  # of orders and a published ratio, as the book is
        ("context/census_m3", "backlog"): {"derived"},
        ("context/census_m3_with_semiconductors", "shipments"): {"reported"},
        ("context/data_centre_construction", "spending"): {"reported"},
        ("context/capital_expenditure", "spending"): {"derived"},  # a sum of four companies
    }


def test_capital_expenditure_counts_quarters_in_which_all_four_buyers_report(public):
    raw = public.sources.capital_expenditure.collect().filter(
        pl.col("basis") == "cash_purchases",
        pl.col("company").is_in(["Alphabet", "Amazon", "Meta", "Microsoft"]),
        pl.col("quarter_end") == dt.date(2025, 12, 31),
    )
    assert raw.height == 4
    spending = series(newest(public), "context/capital_expenditure", "spending")
    assert spending[dt.date(2025, 12, 31)] == raw["capital_expenditure_usd_m"].sum()


def test_a_quarter_with_a_month_missing_is_left_out_of_the_context(public):
    macro = public.sources.macro.filter(pl.col("month_end") != dt.date(2025, 11, 30))
    rows = context_rows(replace(public.sources, macro=macro)).collect(engine="in-memory")
    quarters = rows.filter(pl.col("item_id") == "context/census_m3")["timestamp"]
    assert dt.date(2025, 12, 31) not in quarters
    assert dt.date(2025, 9, 30) in quarters
