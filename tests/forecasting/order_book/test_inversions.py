"""The US-first check, against plain loops over all pairs and a day-by-day walk over single units."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.optimize import linear_sum_assignment

from forecasting.order_book.inversions import CASE, inversion_candidates, priority_inversions

FEW = settings(deadline=None, max_examples=60)
START = dt.date(2024, 1, 1)
OPEN = dt.date.max
DAYS = {
    "ordered": "ordered_at",
    "asked": "requested_at",
    "promised": "promised_at",
    "shipped": "shipped_at",
    "cancelled": "cancelled_at",
}
TEXT, NUMBERS = ("order_id", "sku", "end_use_country"), ("line", "split", "quantity", "shipped_quantity")
SCHEMA = {
    **dict.fromkeys(TEXT, pl.String()),
    **dict.fromkeys(NUMBERS, pl.Int64()),
    **dict.fromkeys(DAYS.values(), pl.Date()),
}


def day(number):
    return None if number is None else START + dt.timedelta(days=number)


def line(order, country, quantity, *, sku="A", sent=None, ordered=0, **days):
    """A line whose days are counted from START."""
    days["ordered"] = ordered
    row = {"order_id": order, "line": 1, "split": 0, "sku": sku, "end_use_country": country}
    row |= {"quantity": quantity, "shipped_quantity": sent}
    return row | {column: day(days.get(name)) for name, column in DAYS.items()}


def frame(lines):
    return pl.DataFrame(lines, schema=SCHEMA, orient="row")


def cases(lines):
    return priority_inversions(frame(lines).lazy())


@st.composite
def books(draw):
    """Few lines on few days, so that they meet often; the two parts of a line close on different days."""
    days, lines = st.integers(0, 12), []
    for number in range(draw(st.integers(0, 12))):
        ordered = draw(days)
        quantity = draw(st.integers(1, 4))
        shipped = draw(st.none() | st.integers(ordered, 16))
        sent = draw(st.none() | st.integers(0, quantity)) if shipped is not None else None
        lines.append(
            line(
                f"o{number}",
                draw(st.sampled_from(["US", "US", "PR", "DE", "JP"])),
                quantity,
                ordered=ordered,
                asked=draw(days),
                promised=draw(st.none() | days),
                shipped=shipped,
                sent=sent,
                cancelled=draw(st.none() | st.integers(max(ordered, (shipped or 0) + 1), 20)),
                sku=draw(st.sampled_from(["A", "A", "B"])),
            )
        )
    return lines


def parts(lines):
    """Delayed parts of US lines: key, SKU, requested, wanted, closed, units."""
    for each in lines:
        if each["end_use_country"] in {"US", "PR"}:
            wanted = max(each["requested_at"], each["ordered_at"])
            sent = sent_of(each)
            rest = each["quantity"] - sent
            for units, closed in ((sent, each["shipped_at"]), (rest, each["cancelled_at"])):
                if units and (closed or OPEN) > wanted:
                    yield (each["order_id"], each["sku"], each["requested_at"], wanted, closed or OPEN, units)


def sent_of(each):
    if each["shipped_at"] is None:
        return 0
    return each["quantity"] if each["shipped_quantity"] is None else each["shipped_quantity"]


def exports(lines):
    """Shipped export lines: key, SKU, requested, shipped, units."""
    for each in lines:
        if each["end_use_country"] not in {"US", "PR"} and sent_of(each):
            yield (each["order_id"], each["sku"], each["requested_at"], each["shipped_at"], sent_of(each))


def overtakes(export, part):
    _, sku, asked, shipped, _ = export
    _, part_sku, part_asked, wanted, closed, _ = part
    return sku == part_sku and asked >= part_asked and wanted < shipped < closed


def greedy(lines):
    """Units per (US order, closed, export order): single units, day by day, the earliest request first."""
    waiting = sorted(parts(lines), key=lambda part: (part[2], part[3], part[0], part[4]))
    left = [part[5] for part in waiting]
    charged = {}
    for export in sorted(exports(lines), key=lambda export: (export[3], export[2], export[0])):
        for _ in range(export[4]):
            for place, part in enumerate(waiting):
                if left[place] and overtakes(export, part):
                    left[place] -= 1
                    key = (part[0], part[4], export[0])
                    charged[key] = charged.get(key, 0) + 1
                    break
    return charged


@FEW
@given(books())
def test_cases_are_those_of_a_walk_over_single_units(lines):
    rows = cases(lines).filter(pl.col("quantity") > 0)
    found = {
        (row["us_order_id"], row["us_closed_at"] or OPEN, row["export_order_id"]): row["quantity"]
        for row in rows.iter_rows(named=True)
    }
    assert found == greedy(lines)
    assert rows.height == len(found)


@FEW
@given(books())
def test_every_pair_listed_is_an_inversion_and_no_unit_is_used_twice(lines):
    rows = cases(lines)
    delayed = {(part[0], part[4]): part for part in parts(lines)}
    shipped = {export[0]: export for export in exports(lines)}
    for row in rows.filter(pl.col("quantity") > 0).iter_rows(named=True):
        part = delayed[row["us_order_id"], row["us_closed_at"] or OPEN]
        export = shipped[row["export_order_id"]]
        assert overtakes(export, part)
        assert row["days"] == (export[3] - part[3]).days > 0
    for side, units in (("us", {key[:1]: 0 for key in delayed}), ("export", {(key,): 0 for key in shipped})):
        for row in rows.filter(pl.col("quantity") > 0).iter_rows(named=True):
            units[row[f"{side}_order_id"],] += row["quantity"]
        for (order,), used in units.items():
            there = (
                shipped[order][4]
                if side == "export"
                else sum(p[5] for p in delayed.values() if p[0] == order)
            )
            assert used <= there


@FEW
@given(books())
def test_every_overtaken_part_is_listed_with_all_units_that_overtook_it(lines):
    wanted = {}
    for part in parts(lines):
        units = sum(export[4] for export in exports(lines) if overtakes(export, part))
        if units:
            wanted[part[0], part[4]] = (part[5], units)
    rows = cases(lines)
    found = {
        (row["us_order_id"], row["us_closed_at"] or OPEN): (row["us_units"], row["us_overtaking_units"])
        for row in rows.iter_rows(named=True)
    }
    assert found == wanted


@FEW
@given(books())
def test_matched_units_are_at_least_half_of_the_most_that_can_be_matched_and_none_is_left_over(lines):
    us = [part for part in parts(lines) for _ in range(part[5])]
    away = [export for export in exports(lines) for _ in range(export[4])]
    fits = np.array([[overtakes(export, part) for export in away] for part in us], dtype=float)
    fits = fits.reshape(len(us), len(away))
    most = fits[linear_sum_assignment(fits, maximize=True)].sum()
    matched = cases(lines)["quantity"].sum()
    assert most / 2 <= matched <= most
    charged = greedy(lines)
    used_us, used_away = {}, {}
    for (order, closed, export), units in charged.items():
        used_us[order, closed] = used_us.get((order, closed), 0) + units
        used_away[export] = used_away.get(export, 0) + units
    for part in parts(lines):
        for export in exports(lines):
            if overtakes(export, part):
                assert (
                    used_us.get((part[0], part[4]), 0) == part[5] or used_away.get(export[0], 0) == export[4]
                )


@FEW
@given(books(), st.randoms(use_true_random=False))
def test_the_order_of_the_lines_does_not_matter(lines, random):
    shuffled = random.sample(lines, len(lines))
    assert_frame_equal(cases(lines), cases(shuffled))


def test_an_export_line_shipped_while_an_earlier_us_line_waits_is_a_case():
    rows = cases(
        [
            line("us", "US", 10, asked=5, promised=7, shipped=30),
            line("away", "DE", 4, asked=6, shipped=20),
        ]
    )
    assert rows.row(0, named=True) == {
        "sku": "A",
        "us_order_id": "us",
        "us_line": 1,
        "us_split": 0,
        "us_requested_at": day(5),
        "us_wanted_at": day(5),
        "us_closed_at": day(30),
        "us_units": 10,
        "us_overtaking_units": 4,
        "export_order_id": "away",
        "export_line": 1,
        "export_split": 0,
        "export_country": "DE",
        "export_requested_at": day(6),
        "export_shipped_at": day(20),
        "days": 15,
        "quantity": 4,
    }
    assert rows.columns == list(CASE)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"asked": 4}, id="requested before the US line"),
        pytest.param({"asked": 5, "shipped": 5}, id="shipped on the day on which the US line was wanted"),
        pytest.param({"shipped": 30}, id="shipped on the day of the US line"),
        pytest.param({"sku": "B"}, id="another SKU"),
        pytest.param({"sent": 0}, id="nothing shipped"),
    ],
)
def test_an_export_line_is_no_case_if(change):
    export = {"asked": 6, "shipped": 20} | change
    us = line("us", "US", 10, asked=5, promised=7, shipped=30)
    assert cases([us, line("away", "DE", 4, **export)]).is_empty()


def test_a_promise_does_not_erase_a_delay():
    us = line("us", "US", 1, asked=31, promised=243, shipped=241)
    rows = cases([us, line("away", "DE", 1, asked=91, shipped=92)])
    assert rows.select("us_wanted_at", "days", "quantity").row(0) == (day(31), 61, 1)
    early = line("us", "US", 1, asked=31, promised=5, shipped=31)  # a promise before the request is no debt
    assert cases([early, line("away", "DE", 1, asked=91, shipped=20)]).is_empty()


@pytest.mark.parametrize("territory", ["PR", "GU", "VI", "AS", "MP", "UM"])
def test_what_goes_to_a_us_territory_is_no_export(territory):
    us = line("us", "US", 1, asked=5, shipped=30)
    assert cases([us, line("there", territory, 1, asked=6, shipped=20)]).is_empty()
    waiting = line("there", territory, 1, asked=5, shipped=30)
    assert cases([waiting, line("away", "DE", 1, asked=6, shipped=20)])["us_order_id"].to_list() == ["there"]


def test_a_us_line_cannot_be_overtaken_before_it_was_ordered():
    us = line("us", "US", 1, ordered=10, asked=0, shipped=30)
    assert cases([us, line("early", "DE", 1, asked=5, shipped=9)]).is_empty()
    assert cases([us, line("late", "DE", 1, asked=5, shipped=11)]).height == 1


def test_a_part_whose_overtaking_units_are_charged_to_others_is_listed_without_an_export_line():
    rows = cases(
        [
            line("first", "US", 2, asked=1),
            line("second", "US", 2, asked=2),
            line("away", "DE", 2, asked=3, shipped=9),
        ]
    )
    assert rows["us_order_id"].to_list() == ["first", "second"]
    assert rows["quantity"].to_list() == [2, 0]
    assert rows["us_overtaking_units"].to_list() == [2, 2]
    assert rows["export_order_id"].to_list() == ["away", None]


def test_requests_years_apart_are_counted_in_blocks_of_days():
    us = [line(f"us{year}", "US", 1, asked=365 * year) for year in range(6)]
    away = [line(f"away{year}", "DE", 10**year, asked=365 * year, shipped=365 * 6) for year in range(6)]
    totals = dict(cases([*us, *away]).select("us_order_id", "us_overtaking_units").iter_rows())
    assert totals == {f"us{year}": sum(10**y for y in range(year, 6)) for year in range(6)}


@FEW
@given(books())
def test_candidates_lose_no_case(lines):
    book = frame(lines).lazy()
    assert_frame_equal(priority_inversions(inversion_candidates(book)), priority_inversions(book))


def test_files_and_rows_of_both_lines_are_carried_along():
    book = frame([line("us", "US", 1, asked=0), line("away", "DE", 1, asked=1, shipped=9)]).with_columns(
        source_file=pl.lit("a.csv"), source_row=pl.Series([7, 8], dtype=pl.UInt32)
    )
    row = priority_inversions(book.lazy()).row(0, named=True)
    assert (row["us_source_file"], row["us_source_row"]) == ("a.csv", 7)
    assert (row["export_source_file"], row["export_source_row"]) == ("a.csv", 8)
