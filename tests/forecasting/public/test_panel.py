"""The public panel: schema, vintages and nowcasts; built again or from rows in another order, the same."""

import datetime as dt
from dataclasses import replace

import polars as pl
import polars.selectors as cs
import pytest
from panel_figures import LAST_WITH_OWNERS, newest, series
from polars.testing import assert_frame_equal

from forecasting.frequencies import Frequency
from forecasting.panel.schema import (
    COLUMNS,
    KEY,
    NOWCAST,
    PanelSchema,
    as_of,
    check_panel,
    content_digest,
    latest,
)
from forecasting.public.panel import build_panel, drop_unchanged, portfolio_ratios
from forecasting.public.sources import PublicSources

SHIPMENT_LAG = dt.timedelta(days=92)  # sources.yaml, epoch_ai_chip_counts_2026_04
LAST_WHOLE_QUARTER = dt.date(2026, 6, 30)
SEPTEMBER = dt.date(2026, 9, 24)
TABLES = ("cloud", "macro", "capital_expenditure", "vendors")


def built(public, sources=None):
    plan = build_panel(sources or public.sources, public.assumptions, public.books)
    return plan.collect(engine="in-memory")


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
