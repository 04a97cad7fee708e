"""Due and delivered against a loop over contracts; conservation, calibration, and the embedded figures."""

import datetime as dt
import math
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from forecasting.errors import InputError
from forecasting.frequencies import Frequency, add_periods
from forecasting.public.bookings import (
    CloudSeries,
    DeliveryProfile,
    bookings,
    check_balance,
    cloud_books,
    due_and_delivered,
)
from forecasting.public.panel import portfolio_ratios

Q = Frequency.QUARTER
START = dt.date(2023, 3, 31)
VINTAGE = dt.date(2026, 10, 10)
FEW = settings(deadline=None, max_examples=25)


def quarter(step):
    return add_periods(START, step, Q)


def profile(duration, first=1, last=4):
    return DeliveryProfile(duration_quarters=duration, calm_from=quarter(first), calm_to=quarter(last))


def books(companies):
    """Book table of {company: {step: (revenue, obligations)}}."""
    rows = [
        (VINTAGE, company, quarter(step), step, revenue, obligations, False)
        for company, series in companies.items()
        for step, (revenue, obligations) in series.items()
    ]
    schema = {
        "vintage": pl.Date,
        "company": pl.String,
        "timestamp": pl.Date,
        "step": pl.Int64,
        "revenue": pl.Float64,
        "obligations": pl.Float64,
        "derived": pl.Boolean,
    }
    return pl.LazyFrame(rows, schema=schema, orient="row")


def ratios(companies, of):
    return due_and_delivered(books(companies), of).collect()


def booked_quarters(series):
    """Oracle: {step: (revenue, change in obligations)} and the opening book of the first of them."""
    booked = {}
    opening = None
    for step in sorted(series):
        before = series.get(step - 1, (None, None))
        if None not in (*series[step], before[1]):
            booked[step] = (series[step][0], series[step][1] - before[1])
            opening = before[1] if opening is None else opening
    return booked, opening


def due_by_loop(companies, duration, on_demand, last_calm=4):
    """Oracle: {step: (due, delivered)} for a share sold on demand, contract by contract.

    The book of a company that begins after the calm period is scaled so that it enters in balance.
    """
    due, delivered = {}, {}
    for series in companies.values():
        booked, opening = booked_quarters(series)
        scale = 1.0
        if booked and min(booked) > last_calm:
            scale = (1 - on_demand) * booked[min(booked)][0] / (2 * opening / (duration + 1))
        for t, (revenue, _) in booked.items():
            age = t - min(booked) + 1
            falls_due = on_demand * revenue
            if age <= duration:
                falls_due += scale * 2 * (duration + 1 - age) / (duration * (duration + 1)) * opening
            for signed, (past_revenue, added) in booked.items():
                if 1 <= t - signed <= duration:
                    falls_due += ((1 - on_demand) * past_revenue + scale * added) / duration
            due[t] = due.get(t, 0.0) + falls_due
            delivered[t] = delivered.get(t, 0.0) + revenue
    return {t: (due[t], delivered[t]) for t in sorted(due)}


AMOUNT = st.floats(1.0, 1000.0)
WHOLE_SERIES = st.tuples(st.integers(0, 3), st.lists(st.tuples(AMOUNT, AMOUNT), min_size=6, max_size=12)).map(
    lambda drawn: dict(enumerate(drawn[1], start=drawn[0]))
)
GAPPY_SERIES = st.tuples(
    st.integers(0, 3),
    st.lists(
        st.tuples(st.none() | AMOUNT, AMOUNT) | st.tuples(AMOUNT, st.none() | AMOUNT) | st.none(),
        min_size=4,
        max_size=12,
    ),
).map(lambda drawn: {step: pair for step, pair in enumerate(drawn[1], start=drawn[0]) if pair})


@FEW
@given(
    companies=st.dictionaries(st.sampled_from("ABC"), GAPPY_SERIES, min_size=1),
    duration=st.integers(1, 8),
)
def test_due_and_delivered_agree_with_a_loop_over_contracts(companies, duration):
    table = ratios(companies, profile(duration))
    calm_excess = [
        sum(
            due - delivered
            for t, (due, delivered) in due_by_loop(companies, duration, b).items()
            if 1 <= t <= 4
        )
        for b in (0.0, 1.0)
    ]
    scale = sum(
        delivered for t, (_, delivered) in due_by_loop(companies, duration, 0.0).items() if 1 <= t <= 4
    )
    slope = calm_excess[1] - calm_excess[0]
    assume(scale == 0 or abs(slope) > 1e-6 * scale)
    if scale == 0:  # no calm quarter: nothing to calibrate by
        assert table.is_empty()
        return
    on_demand = -calm_excess[0] / slope  # due is linear in the share
    expected = due_by_loop(companies, duration, on_demand)
    assert table["timestamp"].to_list() == [quarter(t) for t in expected]
    for row, (due, delivered) in zip(table.iter_rows(named=True), expected.values(), strict=True):
        assert row["on_demand"] == pytest.approx(on_demand, rel=1e-6, abs=1e-9)
        assert row["due"] == pytest.approx(due, rel=1e-6, abs=1e-6 * scale)
        assert row["delivered"] == pytest.approx(delivered)
        assert row["due_to_delivered"] == pytest.approx(row["due"] / delivered)


@FEW
@given(
    companies=st.dictionaries(st.sampled_from("ABC"), WHOLE_SERIES, min_size=1),
    duration=st.integers(5, 12),
    first=st.integers(1, 3),
)
def test_calibration_brings_the_calm_period_into_balance(companies, duration, first):
    of = profile(duration, first, first + 2)
    calm = ratios(companies, of).filter(pl.col("timestamp").is_between(of.calm_from, of.calm_to))
    assume(calm.height and abs(calm["on_demand"][0]) < 1e3)
    assert calm["due"].sum() == pytest.approx(calm["delivered"].sum(), rel=1e-9)


@FEW
@given(
    companies=st.dictionaries(st.sampled_from("ABC"), WHOLE_SERIES, min_size=1),
    duration=st.integers(5, 12),
)
def test_all_that_was_booked_falls_due_in_the_end(companies, duration):
    owed = 0.0
    for series in companies.values():
        last = max(series)
        owed += series[min(series)][1] + sum(sum(booked) for booked in booked_quarters(series)[0].values())
        series.update({last + k: (0.0, series[last][1]) for k in range(1, duration + 1)})  # nothing new
    table = ratios(companies, profile(duration, 0, 8))
    assume(abs(table["on_demand"][0]) < 1e3)
    assert table["due"].sum() == pytest.approx(owed, rel=1e-9)


@FEW
@given(
    revenue=AMOUNT,
    on_demand=st.floats(0.0, 0.95),
    duration=st.integers(2, 24),
    quarters=st.integers(6, 40),
)
def test_an_even_book_in_balance_stays_in_balance_for_ever(revenue, on_demand, duration, quarters):
    book = (1 - on_demand) * revenue * (duration + 1) / 2  # even bookings, each run off over the duration
    series = dict.fromkeys(range(quarters), (revenue, book))
    table = ratios({"A": series}, profile(duration))
    assert table["on_demand"].to_list() == pytest.approx([on_demand] * (quarters - 1), abs=1e-9)
    assert table["due_to_delivered"].to_list() == pytest.approx([1.0] * (quarters - 1))


@FEW
@given(
    companies=st.dictionaries(st.sampled_from("ABC"), WHOLE_SERIES, min_size=1), factor=st.floats(0.01, 100.0)
)
def test_the_ratio_does_not_depend_on_the_currency(companies, factor):
    scaled = {
        company: {step: (factor * r, factor * o) for step, (r, o) in series.items()}
        for company, series in companies.items()
    }
    before, after = (ratios(each, profile(12)) for each in (companies, scaled))
    assume(abs(before["on_demand"][0]) < 1e3)
    assert after["due_to_delivered"].to_list() == pytest.approx(
        before["due_to_delivered"].to_list(), abs=1e-6
    )


def test_a_contract_signed_at_once_falls_due_evenly_after_it():
    flat = {t: (100.0, 1250.0 if t < 5 else 5250.0) for t in range(12)}  # 4,000 signed in quarter 5
    table = ratios({"A": flat}, profile(24))
    share = table["on_demand"][0]
    assert share == pytest.approx(0.0, abs=1e-12)
    excess = (table["due"] - table["delivered"]).to_list()
    assert excess == pytest.approx([0.0] * 5 + [4000 / 24] * 6, abs=1e-9)
    assert table["bookings"].to_list() == pytest.approx([100.0] * 4 + [4100.0] + [100.0] * 6)


def cloud(rows):
    """Raw cloud table of (company, metric, basis, step, value) rows."""
    return pl.LazyFrame(
        [
            (VINTAGE, company, metric, basis, quarter(step), value)
            for company, metric, basis, step, value in rows
        ],
        schema=["vintage", "company", "metric", "basis", "timestamp", "value"],
        orient="row",
    )


def one_cloud(revenue, obligations, **terms):
    raw = cloud(
        [("A", "revenue", "cloud", step, value) for step, value in revenue.items()]
        + [("A", "backlog", "company", step, value) for step, value in obligations.items()]
    )
    series = CloudSeries(revenue={"cloud": 1.0}, obligations="backlog", basis="company", **terms)
    return cloud_books(raw, {"A": series})


def test_gaps_in_a_book_are_filled_on_the_log_scale_and_flagged():
    table = one_cloud(dict.fromkeys(range(5), 10.0), {0: 100.0, 2: 400.0, 3: 500.0, 4: 600.0}).collect()
    assert table["obligations"].to_list() == pytest.approx([100.0, 200.0, 400.0, 500.0, 600.0])
    assert table["derived"].to_list() == [False, True, False, False, False]


@FEW
@given(
    first=AMOUNT,
    growth=st.floats(0.5, 2.0),
    known=st.sets(st.integers(1, 9), max_size=4),
    stated=st.sets(st.integers(1, 9), min_size=1),
)
def test_steady_growth_is_filled_exactly_however_the_gaps_lie(first, growth, known, stated):
    reported = {step: first * growth**step for step in {0, 10} | known}
    table = one_cloud(dict.fromkeys(stated, 5.0), reported).collect()
    steps = sorted(reported.keys() | stated)
    assert table["timestamp"].to_list() == [quarter(step) for step in steps]
    assert table["obligations"].to_list() == pytest.approx([first * growth**step for step in steps])
    assert table["derived"].to_list() == [step not in reported for step in steps]


def test_before_its_first_figure_a_book_is_unknown_and_after_its_last_the_cover_is_carried():
    table = one_cloud({0: 10.0, 1: 10.0, 2: 20.0, 3: 30.0}, {1: 80.0, 2: 100.0}).collect()
    assert table["obligations"].to_list() == [None, 80.0, 100.0, 150.0]  # five quarters of revenue
    assert table["derived"].to_list() == [True, False, False, True]
    assert bookings(table.lazy()).collect()["bookings"].to_list() == [40.0, 80.0]


def test_bookings_that_rest_on_a_filled_book_at_either_end_are_flagged():
    table = one_cloud(dict.fromkeys(range(5), 10.0), {0: 100.0, 2: 400.0, 3: 500.0, 4: 600.0})
    assert bookings(table).collect()["derived"].to_list() == [True, True, False, False]
    totals = due_and_delivered(table, profile(8)).collect()
    assert totals["derived"].to_list() == [True, True, False, False]


def test_bookings_are_revenue_and_the_change_in_the_book_of_successive_quarters():
    table = bookings(
        books({"A": {0: (5.0, 100.0), 1: (7.0, 90.0), 3: (8.0, 300.0), 4: (9.0, 310.0)}})
    ).collect()
    assert table["timestamp"].to_list() == [quarter(1), quarter(4)]
    assert table.select("bookings", "added", "opening").rows() == [(-3.0, -10.0, 100.0), (19.0, 10.0, 300.0)]


def test_only_the_named_rows_count_with_their_factor_and_weight():
    raw = cloud(
        [
            ("A", "revenue", "old", 0, 10.0),
            ("A", "revenue", "new", 1, 20.0),
            ("A", "revenue", "all", 1, 999.0),
            ("A", "backlog", "company", 0, 100.0),
            ("A", "backlog", "company", 1, 110.0),
            ("A", "remaining_performance_obligations", "company", 1, 999.0),
            ("B", "revenue", "new", 1, 999.0),
        ]
    )
    series = CloudSeries(revenue={"old": 0.5, "new": 1.0}, obligations="backlog", basis="company", weight=0.4)
    table = cloud_books(raw, {"A": series}).collect()
    assert table["company"].to_list() == ["A", "A"]
    assert table["revenue"].to_list() == pytest.approx([2.0, 8.0])
    assert table["obligations"].to_list() == pytest.approx([40.0, 44.0])


def test_a_duration_too_short_for_the_book_is_refused():
    series = dict.fromkeys(range(6), (10.0, 100.0))  # runs off faster than it is delivered
    of = profile(8)
    sentence = (
        r"^delivery_duration_quarters = 8: no delivery profile of this duration brings the calm period into "
        r"balance: expected a share sold on demand from 0 to 1, found -1\.22$"
    )
    with pytest.raises(InputError, match=sentence):
        check_balance(ratios({"A": series}, of), of)
    check_balance(ratios({"A": series}, profile(24)), profile(24))


def test_a_calm_period_without_quarters_is_refused():
    of = profile(8, 40, 44)
    sentence = "holds no quarter with bookings: expected quarters from 2033-03-31 to 2034-03-31, found none$"
    with pytest.raises(InputError, match=sentence):
        check_balance(ratios({"A": dict.fromkeys(range(6), (10.0, 20.0))}, of), of)


# What follows was measured on the packaged table `cloud` (companies' filings and results releases).


def of_quarters(public, first, last):
    return public.ratios.filter(pl.col("timestamp").is_between(first, last)).sort("timestamp")


CALM = (dt.date(2023, 6, 30), dt.date(2025, 6, 30))
BOOM = (dt.date(2025, 9, 30), dt.date(2026, 6, 30))


def test_raw_book_to_bill_jumped_when_contracts_of_many_years_were_signed(public):
    calm, boom = (of_quarters(public, *span) for span in (CALM, BOOM))
    assert calm.height == 9
    assert (calm["bookings"] / calm["delivered"]).is_between(0.9, 2.2).all()
    raw = (boom["bookings"] / boom["delivered"]).to_list()
    assert raw == pytest.approx([5.7, 5.6, 4.8, 3.7], rel=0.1)


def test_the_cover_was_eight_to_nine_quarters_and_is_twenty_now(public):
    table = public.ratios.with_columns(cover=pl.col("obligations") / pl.col("delivered"))
    # from the quarter on in which Amazon's book is known at both ends
    calm = table.filter(pl.col("timestamp").is_between(dt.date(2023, 9, 30), dt.date(2024, 12, 31)))["cover"]
    assert calm.len() == 6
    assert calm.is_between(8.0, 9.0).all()
    assert table.sort("timestamp")["cover"][-1] == pytest.approx(20.0, rel=0.1)


def test_due_to_delivered_was_balanced_until_mid_2025_and_exceeds_1_1_in_2026(public):
    assert of_quarters(public, *CALM)["due_to_delivered"].is_between(0.95, 1.05).all()
    boom = of_quarters(public, *BOOM)["due_to_delivered"].to_list()
    assert boom == sorted(boom)
    assert min(boom[2:]) > 1.1


def test_the_calm_period_of_the_embedded_figures_balances(public):
    calm = of_quarters(public, public.books.calm_from, public.books.calm_to)
    assert calm["due"].sum() == pytest.approx(calm["delivered"].sum(), rel=1e-6)
    assert 0 < calm["on_demand"][0] < 1


def test_quarters_that_rest_on_a_filled_book_are_flagged(public):
    flagged = public.ratios.filter(pl.col("derived"))["timestamp"].to_list()
    assert dt.date(2024, 3, 31) in flagged  # Amazon's book was not reported for it
    assert not set(flagged) & {dt.date(2025, 9, 30), dt.date(2025, 12, 31), dt.date(2026, 3, 31)}


def test_the_embedded_book_cannot_be_delivered_within_three_years(public):
    duration = replace(public.assumptions.delivery_duration_quarters, value=12, low=12)
    assumptions = replace(public.assumptions, delivery_duration_quarters=duration)
    short = portfolio_ratios(public.sources, assumptions, public.books).collect(engine="in-memory")
    of = DeliveryProfile(duration_quarters=12, calm_from=public.books.calm_from, calm_to=public.books.calm_to)
    assert math.isfinite(short["on_demand"][0])
    with pytest.raises(InputError, match=r"^delivery_duration_quarters = 12: no delivery profile"):
        check_balance(short, of)
