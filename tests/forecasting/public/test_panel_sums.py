"""Figures of the public panel against loops over the raw tables: shares, sums, splits and their errors."""

import datetime as dt
import math
from dataclasses import replace

import polars as pl
import pytest
from panel_figures import LAST_WITH_OWNERS, newest, series

from forecasting.frequencies import calendar_quarter
from forecasting.panel.schema import NOWCAST, STATE, latest
from forecasting.public.panel import build_panel, portfolio_ratios
from forecasting.reference.chips import catalogue


def estimated(panel):
    return panel.filter(pl.col("kind") != NOWCAST)


def whole_quarters(public):
    """Owners that add up to the totals, as the newest edition knows them."""
    rows = public.sources.shipments().collect()
    return rows.filter(pl.col("superseded_at") == pl.col("superseded_at").max())


def test_us_shipments_are_the_owners_shares_of_whole_quarters(public):
    a = public.assumptions
    expected = {}
    for row in whole_quarters(public).iter_rows(named=True):
        share = {"US": a.us_end_use_share.value, "unknown": a.unknown_owner_us_share.value}
        if row["owner_region"] in share:
            key = row["chip_pool"], row["quarter_end"]
            expected[key] = expected.get(key, 0.0) + share[row["owner_region"]] * row["units_p50"]
    panel = newest(public)
    found = {
        (pool, end): value
        for pool in {pool for pool, _ in expected} - {"H100/H200"}
        for end, value in series(estimated(panel), pool).items()
    }
    panel = estimated(panel)
    h100, h200 = series(panel, "H100"), series(panel, "H200")
    found |= {("H100/H200", end): value + h200.get(end, 0.0) for end, value in h100.items()}
    assert found == pytest.approx(expected, rel=1e-8)
    assert set(h200) == {end for end in h100 if end >= catalogue()["H200"].launch_quarter_end}


def test_families_and_portfolios_sum_up_in_h100e(public):
    panel = newest(public)
    totals = (
        public.sources.editions[0]
        .totals.collect()
        .group_by("chip_pool")
        .agg(pl.col("h100e_p50", "units_p50").sum())
    )
    per_unit = {row["chip_pool"]: row["h100e_p50"] / row["units_p50"] for row in totals.iter_rows(named=True)}
    sums = {}
    for chip_id, chip in catalogue().items():
        ratio = per_unit.get("H100/H200" if chip_id in {"H100", "H200"} else chip_id)
        for end, units in series(panel, chip_id).items():
            for group in (chip.family, f"portfolio/{chip.vendor}", "portfolio/us"):
                sums.setdefault(group, {}).setdefault(end, 0.0)
                sums[group][end] += units * ratio
    assert {
        "Hopper",
        "Blackwell",
        "CDNA3",
        "portfolio/nvidia",
        "portfolio/amd",
        "portfolio/us",
    } <= sums.keys()
    known_from = public.ratios["timestamp"].min()  # a portfolio's orders need due to delivered
    for group, by_quarter in sums.items():
        expected = {
            end: value
            for end, value in by_quarter.items()
            if end >= known_from or not group.startswith("portfolio/")
        }
        assert series(panel, group) == pytest.approx(expected, rel=1e-7)
        own = panel.filter(pl.col("item_id") == group)
        assert set(own["unit"]) == {"H100e", "probability", "ratio"}
        assert set(own.filter(pl.col("unit") == "probability")["variate"]) == set(STATE)


def test_vendors_make_up_the_us_portfolio(public):
    panel = newest(public)
    vendors = {item for item in panel["item_id"] if item.startswith("portfolio/")} - {"portfolio/us"}
    total = {}
    for item in vendors:
        for end, value in series(panel, item).items():
            total[end] = total.get(end, 0.0) + value
    assert len(vendors) >= 4
    assert series(panel, "portfolio/us") == pytest.approx(total, rel=1e-8)


def test_china_stands_apart_from_us_customers(public):
    panel = newest(public)
    raw = whole_quarters(public).filter(pl.col("owner_region") == "China")
    for pool in raw["chip_pool"].unique():
        rows = raw.filter(pl.col("chip_pool") == pool)
        expected = dict(rows.select("quarter_end", "units_p50").iter_rows())
        assert series(panel, f"china/{pool}") == pytest.approx(expected)
    china = panel.filter(pl.col("item_id").str.starts_with("china/"))
    assert set(china["variate"]) == {"shipments"}
    assert china["item_id"].n_unique() == raw["chip_pool"].n_unique() > 0
    made_for_china = {"H20", "H800", "A800", "MI308X"}
    assert made_for_china <= set(raw["chip_pool"])
    assert not made_for_china & set(panel["item_id"])


def test_portfolio_orders_are_multiplied_by_due_to_delivered_and_products_are_not(public):
    panel = newest(public)
    ratio = dict(public.ratios.select("timestamp", "due_to_delivered").iter_rows())
    orders, shipped = series(panel, "portfolio/us", "orders"), series(panel, "portfolio/us")
    for end in sorted(ratio):
        assert orders[end] == pytest.approx(ratio[end] * shipped[end], rel=1e-7)
    newest_ratio = ratio[max(ratio)]  # the quarter of the nowcast takes the last one that is known
    assert orders[dt.date(2026, 9, 30)] == pytest.approx(newest_ratio * shipped[dt.date(2026, 9, 30)])
    assert series(panel, "H100", "orders") == series(panel, "H100")


def test_hopper_has_slack_and_the_portfolio_has_none_at_the_end_of_2025(public):
    panel = newest(public)
    for item, slack in (("Hopper", True), ("H200", True), ("Blackwell", False), ("portfolio/us", False)):
        capacity = series(panel, item, "capacity")[LAST_WITH_OWNERS]
        assert (capacity > series(panel, item)[LAST_WITH_OWNERS]) is slack


def test_points_hold_the_estimates_own_error_and_that_of_the_share_installed_at_home(public):
    raw = whole_quarters(public).filter(
        pl.col("chip_pool") == "Trainium2", pl.col("quarter_end") == LAST_WITH_OWNERS
    )
    assert raw.height == 1
    low, middle, high = raw.select("units_p05", "units_p50", "units_p95").row(0)
    share = public.assumptions.us_end_use_share
    row = (
        newest(public)
        .filter(
            pl.col("item_id") == "Trainium2",
            pl.col("variate") == "shipments",
            pl.col("timestamp") == LAST_WITH_OWNERS,
        )
        .row(0, named=True)
    )
    down = math.hypot(math.log(middle / low), math.log(share.value / share.low))
    up = math.hypot(math.log(high / middle), math.log(share.high / share.value))
    assert row["value"] == pytest.approx(share.value * middle)
    assert row["value_p05"] == pytest.approx(row["value"] * math.exp(-down))
    assert row["value_p95"] == pytest.approx(row["value"] * math.exp(up))


def test_quarters_with_interpolated_cloud_figures_are_flagged(public):
    cloud = public.sources.cloud.collect()
    series_of = public.books.clouds["Amazon"]
    reported = {
        calendar_quarter(end)
        for end in cloud.filter(
            pl.col("company") == "Amazon",
            pl.col("metric") == series_of.obligations,
            pl.col("basis") == series_of.basis,
        )["quarter_end"]
    }
    first = min(end for end in reported if end >= public.books.books_from)
    for end, derived in public.ratios.select("timestamp", "derived").iter_rows():
        if end > first and end not in reported:
            assert derived
    assert public.ratios["derived"].any()
    assert not public.ratios["derived"].all()


def test_us_shipments_rise_with_the_us_share_of_unknown_owners(public):
    def shipped(share):
        given = replace(public.assumptions.unknown_owner_us_share, value=share, low=share, high=share)
        assumed = replace(public.assumptions, unknown_owner_us_share=given)
        plan = build_panel(public.sources, assumed, public.books)
        known = latest(plan).filter(pl.col("variate") == "shipments").collect(engine="in-memory")
        ours = known.filter(~pl.col("item_id").str.contains("^(china|context)/"))
        return dict(ours.group_by("item_id").agg(pl.col("value").sum()).iter_rows())

    low, middle, high = (shipped(share) for share in (0.2, 0.4, 0.6))
    assert all(low[item] <= middle[item] <= high[item] for item in low)
    for item in ("H200", "MI300X", "Hopper", "portfolio/nvidia"):
        assert low[item] < middle[item] < high[item]


@pytest.mark.parametrize(
    "name", ["coreweave_double_counted_share", "microsoft_basis_ratio", "delivery_duration_quarters"]
)
def test_due_to_delivered_is_as_wide_as_what_it_rests_on(public, name):
    def widths(assumptions):
        found = portfolio_ratios(public.sources, assumptions, public.books).collect()
        return found.sort("timestamp").select(pl.col("ratio_down") + pl.col("ratio_up")).to_series()

    given = getattr(public.assumptions, name)
    exact = replace(public.assumptions, **{name: replace(given, low=given.value, high=given.value)})
    wide, narrow = widths(public.assumptions), widths(exact)
    assert (wide >= narrow - 1e-12).all()
    assert wide[-1] > narrow[-1]
