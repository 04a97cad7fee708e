"""The public panel: vintages, sums and splits against loops over the raw tables, and reproducibility."""

import datetime as dt
import itertools
import math
from dataclasses import replace

import polars as pl
import polars.selectors as cs
import pytest
from polars.testing import assert_frame_equal

from forecasting.panel.schema import (
    COLUMNS,
    KEY,
    NOWCAST,
    STATE,
    PanelSchema,
    as_of,
    check_panel,
    content_digest,
    latest,
)
from forecasting.periods import Frequency, calendar_quarter
from forecasting.public.census import UNFILLED, without_semiconductors
from forecasting.public.context_series import context_rows
from forecasting.public.panel import build_panel, drop_unchanged, portfolio_ratios
from forecasting.public.sources import PublicSources, calendar_quarter_end, quarter_end
from forecasting.reference.chips import catalogue

SHIPMENT_LAG = dt.timedelta(days=92)  # sources.yaml, epoch_ai_chip_counts_2026_04
LAST_WITH_OWNERS = dt.date(2025, 12, 31)
LAST_WHOLE_QUARTER = dt.date(2026, 6, 30)
SEPTEMBER = dt.date(2026, 9, 24)
TABLES = ("cloud", "macro", "capital_expenditure", "vendors")


def built(public, sources=None):
    plan = build_panel(sources or public.sources, public.assumptions, public.books)
    return plan.collect(engine="in-memory")


def newest(public):
    return latest(public.panel.lazy()).collect()


def estimated(panel):
    return panel.filter(pl.col("kind") != NOWCAST)


def series(panel, item_id, variate="shipments"):
    rows = panel.filter(pl.col("item_id") == item_id, pl.col("variate") == variate).sort("timestamp")
    return dict(rows.select("timestamp", "value").iter_rows())


def whole_quarters(public):
    """Owners that add up to the totals, as the newest edition knows them."""
    rows = public.sources.shipments().collect()
    return rows.filter(pl.col("superseded_at") == pl.col("superseded_at").max())


def edition_with(edition, change):
    owners = None if edition.owners is None else change(edition.owners)
    return replace(edition, totals=change(edition.totals), owners=owners)


def test_the_panel_keeps_its_schema_and_checks(public):
    PanelSchema.validate(public.panel)
    assert tuple(public.panel.columns) == COLUMNS
    assert check_panel(public.panel, frequency=Frequency.QUARTER).equals(public.panel)


def test_building_twice_gives_the_same_digest(public):
    assert content_digest(check_panel(built(public), frequency=Frequency.QUARTER)) == content_digest(
        public.panel
    )


def test_the_order_of_raw_rows_is_irrelevant(public):
    def shuffled_table(table):
        return table.collect().sample(fraction=1.0, shuffle=True, seed=7).lazy()

    shuffled = replace(
        public.sources,
        editions=tuple(edition_with(each, shuffled_table) for each in public.sources.editions),
        **{name: shuffled_table(getattr(public.sources, name)) for name in TABLES},
    )
    panel = check_panel(built(public, shuffled), frequency=Frequency.QUARTER)
    assert content_digest(panel) == content_digest(public.panel)
    ratios = portfolio_ratios(shuffled, public.assumptions, public.books).collect(engine="in-memory")
    assert content_digest(ratios) == content_digest(public.ratios)


@pytest.mark.parametrize("factor", [1 - 1e-15, 1 + 1e-15])
def test_the_last_bits_of_raw_figures_are_irrelevant(public, factor):
    """Parallel sums differ in their last bits from one run to the next; a digest must not."""
    moved = replace(
        public.sources,
        editions=tuple(
            edition_with(each, lambda table: table.with_columns(cs.float() * factor))
            for each in public.sources.editions
        ),
        cloud=public.sources.cloud.with_columns(cs.float() / factor),
    )
    assert_frame_equal(
        check_panel(built(public, moved), frequency=Frequency.QUARTER), public.panel, check_exact=True
    )


@pytest.mark.parametrize("day", [dt.date(2026, 4, 30), dt.date(2026, 8, 1), dt.date(2026, 10, 10)])
def test_what_was_known_on_a_day_is_what_is_built_from_the_rows_published_by_then(public, day):
    """Rows published later are taken away from the raw tables: the view of that day must not notice."""
    lags = public.sources.publication_lag_days

    def known(table, period):
        lag = pl.col("source_id").cast(pl.String).replace_strict(lags, return_dtype=pl.Int64)
        return table.filter(pl.col(period) + pl.duration(days=lag) <= day)

    then = PublicSources(
        editions=tuple(each for each in public.sources.editions if each.published <= day),
        cloud=known(public.sources.cloud, "quarter_end"),
        macro=known(public.sources.macro, "month_end"),
        capital_expenditure=known(public.sources.capital_expenditure, "quarter_end"),
        vendors=known(public.sources.vendors, "period_end"),
        publication_lag_days=lags,
        unreported=public.sources.unreported,
        statements=public.sources.statements.filter(pl.col("stated_on") <= day),
        as_of=day,
    )
    seen = built(public, replace(public.sources, as_of=day))
    made = built(public, then)
    assert seen.height > 1000
    assert (seen["published_at"] <= day).all()
    assert_frame_equal(seen, made, rel_tol=1e-8)


def test_the_past_of_the_default_panel_is_the_panel_of_that_day(public):
    day = dt.date(2025, 7, 1)
    late = built(public, replace(public.sources, as_of=dt.date(2026, 4, 30)))
    seen, then = (as_of(panel.lazy(), day).collect() for panel in (public.panel, late))
    assert seen.height > 300
    assert_frame_equal(seen, check_panel(then, frequency=Frequency.QUARTER), rel_tol=1e-8)


def test_no_figure_appears_before_its_inputs_were_published(public):
    flows = public.panel.filter(~pl.col("item_id").str.starts_with("context/"), pl.col("kind") != NOWCAST)
    first = flows.filter(pl.col("timestamp") <= LAST_WITH_OWNERS)
    assert (first["published_at"] >= first["timestamp"] + SHIPMENT_LAG).all()
    assert (flows.filter(pl.col("timestamp") > LAST_WITH_OWNERS)["published_at"] >= SEPTEMBER).all()
    months = public.panel.filter(pl.col("item_id").str.starts_with("context/"))
    assert (months["published_at"] >= months["timestamp"] + dt.timedelta(days=35)).all()


def test_what_the_second_edition_repeats_is_no_revision(public):
    chips = public.panel.filter(
        pl.col("variate") == "shipments", pl.col("unit") == "units", pl.col("kind") != NOWCAST
    )
    early = chips.filter(pl.col("timestamp") <= LAST_WITH_OWNERS)
    assert (early["published_at"] == early["timestamp"] + SHIPMENT_LAG).all()
    assert not chips.select(KEY).is_duplicated().any()


def test_portfolio_orders_are_revised_when_the_calm_period_grows(public):
    rows = public.panel.filter(
        pl.col("item_id") == "portfolio/us",
        pl.col("variate") == "orders",
        pl.col("timestamp") == dt.date(2023, 6, 30),
    ).sort("published_at")
    # one figure for each further quarter of the calm period, from 2023Q2 to 2024Q2, and none after it
    assert rows["published_at"].to_list() == [
        dt.date(2023, 9, 30),
        dt.date(2023, 12, 31),
        dt.date(2024, 4, 1),
        dt.date(2024, 7, 1),
        dt.date(2024, 9, 30),
    ]


def test_partial_quarters_are_left_out(public):
    flows = public.panel.filter(~pl.col("item_id").str.starts_with("context/"), pl.col("kind") != NOWCAST)
    assert flows["timestamp"].max() == LAST_WHOLE_QUARTER
    for edition in public.sources.editions:
        partial = edition.totals.filter(pl.col("partial_quarter")).collect()
        assert partial.height
        for pool, end in partial.select("chip_pool", "quarter_end").unique().iter_rows():
            known = flows.filter(pl.col("published_at") < edition.published)
            assert end not in series(known, pool)


def test_a_nowcast_reaches_from_the_last_estimate_to_the_last_ended_quarter(public):
    panel = newest(public).filter(pl.col("variate") == "shipments", ~pl.col("item_id").str.contains("/"))
    added = panel.filter(pl.col("kind") == NOWCAST)
    ahead = dict(added.group_by("item_id").agg(pl.col("timestamp").sort()).iter_rows())
    assert ahead["MI325X"] == [dt.date(2026, 9, 30)]  # its edition ends in 2026Q2
    assert ahead["TPU v7"] == [dt.date(2026, 3, 31), dt.date(2026, 6, 30), dt.date(2026, 9, 30)]
    assert "A100" not in ahead  # ended in 2023


def test_a_nowcast_is_wider_than_the_estimate_it_starts_from(public):
    rows = newest(public).filter(pl.col("variate") == "shipments", pl.col("item_id") == "MI325X")
    width = rows.sort("timestamp").select((pl.col("value_p95") / pl.col("value_p05")).log())["value_p95"]
    assert width[-1] > width[-2]


def test_where_revenue_is_known_the_vendor_grows_as_it_did(public):
    """On that day Nvidia had reported revenue up to April 2026 and the shipments ended in 2025Q4."""
    day = dt.date(2026, 8, 1)
    panel = built(public, replace(public.sources, as_of=day))
    shipped = series(latest(panel.lazy()).collect(), "portfolio/nvidia")
    revenue = public.sources.vendors.filter(
        pl.col("vendor") == "nvidia", pl.col("metric") == "data_center_revenue"
    ).collect()
    by_day = dict(revenue.select("period_end", "value").iter_rows())
    growth = by_day[dt.date(2026, 4, 26)] / by_day[dt.date(2026, 1, 25)]
    found = shipped[dt.date(2026, 3, 31)] / shipped[dt.date(2025, 12, 31)]
    assert found == pytest.approx(growth, rel=1e-6)


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


def test_calendar_quarters_are_those_of_the_calendar_module():
    days = pl.DataFrame({"day": [dt.date(2024, 1, 1) + dt.timedelta(days=n) for n in range(800)]})
    made = days.select("day", fiscal=calendar_quarter_end(pl.col("day")), own=quarter_end(pl.col("day")))
    for day, fiscal, own in made.iter_rows():
        assert fiscal == calendar_quarter(day)
        assert own == calendar_quarter(own)
        assert 0 <= (own - day).days < 92


def test_a_row_is_kept_where_its_figure_is_new_or_was_revised():
    vintages = [dt.date(2025, month, 1) for month in (1, 4, 7, 10)]
    rows = pl.LazyFrame(
        {
            "vintage": vintages,
            "item_id": ["H200"] * 4,
            "timestamp": [dt.date(2024, 12, 31)] * 4,
            "variate": ["orders"] * 4,
            "value": [0.0, 0.0, 5.0, 5.0],
            "value_p05": [0.0, 0.0, 4.0, 4.0],
            "value_p95": [0.0, 0.0, 6.0, 6.5],
            "unit": ["units"] * 4,
            "kind": ["derived"] * 4,
            "source_id": ["somebody"] * 4,
        }
    )
    kept = drop_unchanged(rows).collect().sort("published_at")
    assert kept["published_at"].to_list() == [vintages[0], vintages[2], vintages[3]]


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
