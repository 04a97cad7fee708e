import datetime as dt
import re
from importlib.resources import files
from typing import Any

import polars as pl
import pytest
import yaml

from forecasting import reference
from forecasting.errors import InputError
from forecasting.reference import checks


def known_sources() -> dict[str, dict[str, Any]]:
    text = files("forecasting.reference").joinpath("sources.yaml").read_text(encoding="utf-8")
    sources: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return sources


def spoil(name: str, column: str, value: str | None, row: int = 0) -> pl.DataFrame:
    """Return a table as text with one field replaced."""
    text = reference.read(name).with_row_index("row")
    field = pl.when(pl.col("row") == row).then(pl.lit(value, pl.String)).otherwise(pl.col(column))
    return text.with_columns(field.alias(column)).drop("row")


def table(name: str) -> pl.DataFrame:
    return reference.load(name).collect()


def test_every_check_of_the_packaged_tables_passes() -> None:
    failed = [check for check in checks.run_checks(frozenset(known_sources())) if not check.passed]
    assert failed == []


@pytest.mark.parametrize("name", reference.TABLES)
def test_loaded_table_has_the_dtypes_of_its_schema(name: str) -> None:
    columns = reference.TABLES[name].columns()
    assert dict(reference.load(name).collect_schema()) == {key: spec.dtype for key, spec in columns.items()}


@pytest.mark.parametrize("name", reference.TABLES)
def test_every_column_states_its_meaning_and_unit(name: str) -> None:
    for column, spec in reference.TABLES[name].columns().items():
        assert spec.description, column
        assert spec.metadata is not None, column
        assert spec.metadata["unit"], column


@pytest.mark.parametrize("name", reference.TABLES)
def test_row_order_is_irrelevant(name: str) -> None:
    shuffled = reference.conform(name, reference.read(name).sample(fraction=1, shuffle=True, seed=7))
    keys = reference.TABLES[name].primary_key()
    assert shuffled.sort(keys).equals(table(name).sort(keys))


@pytest.mark.parametrize("name", reference.TABLES)
def test_repeated_row_breaks_the_key(name: str) -> None:
    text = reference.read(name)
    with pytest.raises(InputError, match=f"reference table {name}: rule primary_key must hold: found 2 rows"):
        reference.conform(name, pl.concat([text, text.head(1)]))


@pytest.mark.parametrize("name", reference.TABLES)
def test_no_text_carries_a_foreign_record_number(name: str) -> None:
    text = table(name).select(pl.col(pl.String)).drop("source_url", strict=False)
    for column in text.iter_columns():
        assert column.str.contains(r"\d{7,}|\bids? \d").sum() == 0, column.name


def test_unknown_table_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"unknown reference table: expected one of chips, .*, found 'chip'"):
        reference.load("chip")


def test_table_that_breaks_its_schema_is_refused_on_load(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"prices": spoil("prices", "price_usd_per_gpu_hour", "-1")}
    monkeypatch.setattr(reference, "read", texts.__getitem__)
    reference._packaged.cache_clear()
    with pytest.raises(InputError, match="table prices, column price_usd_per_gpu_hour: rule min_exclusive"):
        reference.load("prices")
    monkeypatch.undo()
    reference._packaged.cache_clear()
    assert table("prices").height > 0


@pytest.mark.parametrize(
    ("name", "column", "value", "sentence"),
    [
        (
            "chips",
            "memory_bandwidth_gb_per_s",
            "fast",
            "memory_bandwidth_gb_per_s: a field must be readable as Float64: found 1 row that is not",
        ),
        (
            "chips",
            "merchant",
            "perhaps",
            "merchant: a field must be readable as Boolean: found 1 row that is not",
        ),
        ("chips", "launch_quarter_end", "2024Q4", "launch_quarter_end: a field must be readable as Date"),
        ("chips", "quality", "certain", "quality: a field must be readable as Enum"),
        ("chips", "tdp_w", "-700", "tdp_w: rule min_exclusive must hold: found 1 row that breaks it"),
        ("chips", "vendor", None, "vendor: rule nullability must hold"),
        ("chips", "successor_chip_id", "Trainium1", "rule chip_is_not_its_own_successor must hold"),
        ("shipments_total", "units_p05", "1e12", "rule units_quantiles_are_ordered must hold"),
        ("shipments_total", "h100e_p95", "0", "rule h100e_quantiles_are_ordered must hold"),
        ("shipments_total", "units_p05", None, "rule interval_is_whole_or_absent must hold"),
        ("shipments_total", "units_p50", "-1", "units_p50: rule min must hold"),
        ("shipments_total", "quarter_end", "2024-04-30", "rule quarter_end_is_a_quarter_end must hold"),
        ("shipments_by_owner", "owner_region", "Mars", "owner_region: a field must be readable as Enum"),
        ("capital_expenditure", "quarter_end", "2024-03-30", "rule quarter_end_is_a_month_end must hold"),
        ("capital_expenditure", "fiscal_period", "Q1", "fiscal_period: rule regex must hold"),
        ("cloud", "metric", "bookings", "metric: a field must be readable as Enum"),
        ("cloud", "quarter_end", "2024-03-30", "rule quarter_end_is_a_month_end must hold"),
        ("vendors", "period_end", "1024-01-28", "period_end: rule min must hold"),
        ("supply_chain", "value_high", "0", "rule low_is_not_above_high must hold"),
        ("prices", "listing", " ", "listing: rule regex must hold"),
        ("macro", "month_end", "2024-06-29", "rule month_end_is_a_month_end must hold"),
        ("macro", "value", "NaN", "value: rule nan must hold"),
        ("published_estimates", "value_low", "99", "rule low_is_not_above_high must hold"),
    ],
)
def test_spoiled_field_is_named_with_table_column_rule_and_count(
    name: str, column: str, value: str | None, sentence: str
) -> None:
    text = spoil(name, column, value)
    with pytest.raises(InputError, match=re.escape(sentence)) as error:
        reference.conform(name, text)
    assert str(error.value).startswith(f"reference table {name}")
    assert not checks.check_schema(name, text).passed


def test_only_operating_income_of_a_vendor_may_be_negative() -> None:
    losses = table("vendors").filter(pl.col("value") < 0)
    assert losses["metric"].to_list() == ["data_center_segment_operating_income"]
    text = reference.read("vendors").with_columns(metric=pl.lit("inventory"))
    with pytest.raises(InputError, match="rule only_income_may_be_negative must hold: found 1 row"):
        reference.conform("vendors", text.filter(pl.col("value").str.starts_with("-")))


def test_missing_and_unknown_columns_are_named() -> None:
    text = reference.read("macro").rename({"value": "figure"})
    with pytest.raises(InputError, match="not those of the schema: expected value, found figure"):
        reference.conform("macro", text)


def test_broken_schema_ends_the_checks_with_the_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {name: reference.read(name) for name in reference.table_names()} | {
        "chips": spoil("chips", "tdp_w", "0")
    }
    monkeypatch.setattr(reference, "read", texts.__getitem__)
    outcome = checks.run_checks(frozenset(known_sources()))
    assert [check.table for check in outcome if not check.passed] == ["chips"]
    assert {check.rule for check in outcome} == {"schema"}


@pytest.mark.parametrize("name", reference.TABLES)
def test_source_that_nobody_describes_is_caught(name: str) -> None:
    frame = table(name)
    sources = frozenset(frame["source_id"])
    assert checks.check_sources(name, frame, sources).passed
    removed = min(sources)
    outcome = checks.check_sources(name, frame, sources - {removed})
    assert not outcome.passed
    assert outcome.detail == f"unknown: {removed}"


def test_tpp_that_departs_by_one_percent_is_caught() -> None:
    chips = table("chips")
    assert checks.check_published_tpp(chips).passed
    h200 = pl.col("chip_id") == "H200"
    wrong = pl.when(h200).then(pl.col("tpp_published") * 1.01).otherwise(pl.col("tpp_published"))
    outcome = checks.check_published_tpp(chips.with_columns(tpp_published=wrong))
    assert not outcome.passed
    assert "(H200)" in outcome.detail


def test_published_tpp_of_a_chip_without_rates_is_caught() -> None:
    chips = table("chips")
    rates = pl.col("^fp.*_dense_tflops$")
    bare = chips.with_columns(pl.when(pl.col("chip_id") == "H20").then(None).otherwise(rates).name.keep())
    outcome = checks.check_published_tpp(bare)
    assert not outcome.passed
    assert "(H20)" in outcome.detail


def test_pool_that_names_an_unknown_chip_is_caught() -> None:
    chips, pools = table("chips"), table("shipments_total")["chip_pool"]
    assert checks.check_chips_known("shipments_total", pools, chips).passed
    outcome = checks.check_chips_known("shipments_total", pools, chips.filter(pl.col("chip_id") != "H200"))
    assert not outcome.passed
    assert outcome.detail == "unknown: H200"


def test_owners_agree_with_a_plain_sum_over_rows() -> None:
    sums: dict[tuple[str, dt.date], float] = {}
    for row in table("shipments_by_owner").iter_rows(named=True):
        key = (row["chip_pool"], row["quarter_end"])
        sums[key] = sums.get(key, 0.0) + row["units_p50"]
    departures = {
        key: sums[key] / row["units_p50"] - 1
        for row in table("shipments_total").iter_rows(named=True)
        for key in [(row["chip_pool"], row["quarter_end"])]
    }
    pool, quarter = max(departures, key=lambda key: abs(departures[key]))
    outcome = checks.check_quarter_sums(table("shipments_by_owner"), table("shipments_total"))
    assert f"worst {departures[pool, quarter]:+.1%} ({pool}, {quarter}: owners " in outcome.detail
    assert sums.keys() == departures.keys()


def test_owner_who_is_left_out_is_caught_by_both_sums() -> None:
    by_owner, total = table("shipments_by_owner"), table("shipments_total")
    for check in (checks.check_quarter_sums, checks.check_run_sums):
        assert check(by_owner, total).passed
        outcome = check(by_owner.filter(pl.col("owner") != "Microsoft"), total)
        assert not outcome.passed
        assert outcome.table == "shipments_by_owner"


def test_quarter_that_has_a_total_and_no_owners_is_caught() -> None:
    by_owner, total = table("shipments_by_owner"), table("shipments_total")
    absent = (pl.col("chip_pool") == "B300") & (pl.col("quarter_end") == dt.date(2025, 9, 30))
    outcome = checks.check_quarter_sums(by_owner.filter(~absent), total)
    assert not outcome.passed
    assert "(B300, 2025-09-30: owners 0, total 541,775)" in outcome.detail


def test_public_counts_are_counted_once() -> None:
    by_owner, total = table("shipments_by_owner"), table("shipments_total")
    assert checks.check_counted_once(by_owner, total).passed
    counted = (pl.col("owner") == "xAI") & (pl.col("quarter_end") == dt.date(2025, 9, 30))
    doubled = by_owner.with_columns(
        units_p50=pl.when(counted).then(3 * pl.col("units_p50")).otherwise("units_p50")
    )
    outcome = checks.check_counted_once(doubled, total)
    assert not outcome.passed
    assert "(B200, 2025-09-30: owners 420,000, total 346,088)" in outcome.detail


def test_quarter_missing_inside_a_run_is_caught() -> None:
    total = table("shipments_total")
    assert checks.check_no_gaps(total).passed
    absent = (pl.col("chip_pool") == "H20") & (pl.col("quarter_end") == dt.date(2024, 12, 31))
    outcome = checks.check_no_gaps(total.filter(~absent))
    assert not outcome.passed
    assert outcome.detail == "H20 lacks 1"


@pytest.mark.parametrize("tail", ["p05", "p50", "p95"])
def test_unit_that_counts_for_another_ratio_is_caught(tail: str) -> None:
    by_owner, total = table("shipments_by_owner"), table("shipments_total")
    assert checks.check_h100e_ratio("shipments_by_owner", by_owner, total).passed
    one = (pl.col("chip_pool") == "MI300X") & (pl.col("quarter_end") == dt.date(2024, 9, 30))
    column = pl.col(f"h100e_{tail}")
    spoiled = by_owner.with_columns(pl.when(one).then(column * 1.02).otherwise(column).alias(f"h100e_{tail}"))
    outcome = checks.check_h100e_ratio("shipments_by_owner", spoiled, total)
    assert not outcome.passed
    assert "(MI300X, 2024-09-30)" in outcome.detail


def test_pool_without_a_total_has_no_ratio_and_is_caught() -> None:
    by_owner, total = table("shipments_by_owner"), table("shipments_total")
    outcome = checks.check_h100e_ratio(
        "shipments_by_owner", by_owner, total.filter(pl.col("chip_pool") != "H20")
    )
    assert not outcome.passed
    assert "(H20, " in outcome.detail


def test_tables_name_no_source_that_is_not_described_and_no_source_is_idle() -> None:
    used = {source for name in reference.table_names() for source in table(name)["source_id"]}
    assert used == set(known_sources())


@pytest.mark.parametrize("source_id", known_sources())
def test_source_states_publisher_licence_lag_and_cautions(source_id: str) -> None:
    source = known_sources()[source_id]
    for field in ("title", "publisher", "licence", "url"):
        assert isinstance(source[field], str), field
    assert source["retrieved"] == "2026-11"
    assert source["publication_lag_days"] >= 0
    assert source["cautions"]
    assert len(source) == 7 + ("single_vintage" in source)


def test_shipment_estimates_are_known_as_a_single_vintage() -> None:
    epoch = known_sources()["epoch_ai_chip_counts_2026_04"]
    assert epoch["single_vintage"] == dt.date(2026, 4, 30)
    assert epoch["publication_lag_days"] == 92


def test_derived_unfilled_orders_are_ratio_times_shipments() -> None:
    macro = table("macro").pivot("series_id", index="month_end", values="value").drop_nulls("A34SVS")
    product = macro["A34SUS"] * macro["A34SVS"]
    assert ((macro["A34SUO_DERIVED"] - product).abs() <= 0.5 + 1e-6).all()


def test_nvidia_data_center_revenue_of_a_fiscal_year_is_the_sum_of_its_quarters() -> None:
    vendors = table("vendors").filter(pl.col("vendor") == "nvidia")
    quarters = vendors.filter(pl.col("metric") == "data_center_revenue").sort("period_end")
    for end in (dt.date(2024, 1, 28), dt.date(2025, 1, 26), dt.date(2026, 1, 25)):
        year = vendors.filter(
            (pl.col("metric") == "data_center_revenue_fiscal_year") & (pl.col("period_end") == end)
        )
        last_four = quarters.filter(pl.col("period_end") <= end).tail(4)
        assert last_four["value"].sum() == pytest.approx(year["value"].item(), rel=1e-4)
