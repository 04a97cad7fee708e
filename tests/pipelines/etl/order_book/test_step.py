"""The etl step on real files: every row is accounted for, every figure is one that can be counted by hand."""

from __future__ import annotations

import datetime as dt
import hashlib

import numpy as np
import polars as pl
import pytest

from forecasting.errors import InputError
from forecasting.frequencies import Frequency
from forecasting.order_book.rules import RULES
from forecasting.panel.schema import check_panel
from pipelines.runtime.step.inputs import read_panel
from pipelines.runtime.tracking import KNOWN_UNTIL_TAG

DAY = dt.date(2025, 5, 5)


def counted(output):
    """Whether the rows of a part of the summary add up, rule by rule."""
    rows, rules = output["rows"], output["quarantined"]
    assert set(rules) == set(RULES)
    return rows["in"] == rows["accepted"] + rows["superseded"] + rows["quarantined"] and rows[
        "quarantined"
    ] == sum(rules.values())


def flows(series, **keys):
    """Units of one SKU and destination by flow, over all periods."""
    rows = series.filter(*(pl.col(key) == value for key, value in keys.items()))
    return rows.select(pl.col("orders", "shipments", "cancellations", "returns").sum()).row(0, named=True)


@pytest.fixture
def odd_rows(bench):
    """Sixty good lines, and one of every oddity after them (rows 61 onward)."""
    at = {"ordered_at": DAY, "sku": "H200"}
    return [
        *bench.lines(60),
        bench.line(order_id="split", **at, quantity=10, shipped_quantity=4),  # 61: 6 are open
        bench.line(
            order_id="part", **at, quantity=9, shipped_quantity=5, cancelled_at=DAY + dt.timedelta(days=40)
        ),
        bench.line(order_id="back", **at, quantity=-3, return_reason="defective"),
        bench.line(order_id="amended", **at, quantity=7, updated_at=dt.datetime(2025, 5, 6, tzinfo=dt.UTC)),
        bench.line(order_id="amended", **at, quantity=8, updated_at=dt.datetime(2025, 5, 7, tzinfo=dt.UTC)),
        bench.line(order_id="twice", **at),
        bench.line(order_id="twice", **at),  # 67
        bench.line(order_id="torn", **at, quantity=1),
        bench.line(order_id="torn", **at, quantity=2),  # 69
        bench.line(**at | {"sku": "H999"}),  # 70
        bench.line(**at, end_use_country="XX"),
        bench.line(**at, quantity=0),
        bench.line(**at, quantity=-2),
        bench.line(**at, shipped_at=DAY - dt.timedelta(days=1)),
        bench.line(**at, shipped_quantity=9),
        bench.line(ordered_at=bench.as_of + dt.timedelta(days=1), shipped_at=None),  # 76
    ]


ODD = {
    67: "duplicate_line",
    68: "conflicting_versions",
    69: "conflicting_versions",
    70: "unknown_sku",
    71: "unknown_country",
    72: "bad_quantity",
    73: "negative_without_reason",
    74: "shipped_before_ordered",
    75: "shipped_more_than_ordered",
    76: "future_date",
}
LENIENT = "data.quarantine_max_share=1"


def test_quarantine_of_a_csv_file_is_there_as_csv_too(bench):
    bench.write([*bench.lines(60), bench.line(sku="H999")], suffix="csv")
    bench.etl(LENIENT)
    parquet, text = (bench.out / "quarantine" / f"00001-part-0.{suffix}" for suffix in ("parquet", "csv"))
    assert pl.read_csv(text, infer_schema=False).equals(pl.read_parquet(parquet).cast(pl.String))


@pytest.mark.parametrize(("parts", "suffix"), [(1, "parquet"), (4, "parquet"), (3, "csv")])
def test_every_row_is_accepted_superseded_or_quarantined_once_under_its_rule(bench, odd_rows, parts, suffix):
    bench.write(odd_rows, parts, suffix=suffix)
    bench.etl(LENIENT)
    assert counted(bench.summary)
    assert all(counted(file) for file in bench.summary["files"])
    assert bench.summary["rows"] == {"in": 76, "accepted": 65, "superseded": 1, "quarantined": 10}
    starts = [0, *(bench.summary["files"][n]["rows"]["in"] for n in range(parts))]
    first = {f"part-{n}.{suffix}": sum(starts[: n + 1]) for n in range(parts)}
    assert {first[name] + row: rule for (name, row), rule in bench.quarantine.items()} == ODD


def test_rows_in_quarantine_stand_as_in_their_file_with_the_rule_in_words(bench, odd_rows):
    [path] = bench.write(odd_rows, 1)
    bench.etl(LENIENT)
    [report] = (bench.out / "quarantine").iterdir()
    found = pl.read_parquet(report)
    assert found.columns == [
        "source_file",
        "source_row",
        "broken_rule",
        "rule_says",
        "broken_column",
        "broken_value",
        *bench.table([]).columns,
    ]
    assert set(found["source_file"]) == {str(path)}
    assert found["rule_says"].to_list() == [RULES[rule] for rule in ODD.values()]
    at_fault = found.filter(pl.col("broken_column").is_not_null()).select("broken_column", "broken_value")
    assert at_fault.rows() == [
        ("sku", "H999"),
        ("end_use_country", "XX"),
        ("quantity", "0"),
        ("quantity", "-2"),
        ("shipped_at", str(DAY - dt.timedelta(days=1))),
        ("shipped_quantity", "9"),
        ("ordered_at", str(bench.as_of + dt.timedelta(days=1))),
    ]
    rows = pl.read_parquet(path)[[row - 1 for row in ODD]]
    assert found.select(rows.columns).equals(rows)


def test_series_hold_splits_cancellations_amendments_and_returns_to_the_unit(bench, odd_rows):
    bench.write(odd_rows[60:], 2)
    bench.etl(LENIENT)
    series = bench.read("series")
    # ordered: 10 in part shipped, 9 in part cancelled, 8 as amended, 8 that stand twice
    assert flows(series, sku="H200", destination="us") == {
        "orders": 10 + 9 + 8 + 8,
        "shipments": 4 + 5 + 8 + 8,
        "cancellations": 4,
        "returns": 3,
    }
    balance = pl.col("opening_backlog") + pl.col("orders") - pl.col("shipments") - pl.col("cancellations")
    assert series.select((balance == pl.col("closing_backlog")).all()).item()
    assert series["closing_backlog"][-1] == 6


def test_result_does_not_hang_on_how_lines_are_parted_or_written(bench, odd_rows):
    results = []
    for parts, suffix in ((1, "parquet"), (5, "csv")):
        folder = bench.folder / f"{parts}-{suffix}"
        bench.write(odd_rows, parts, folder=folder, suffix=suffix)
        bench.etl(LENIENT, f"data.path={folder}")
        results.append([bench.read(name) for name in ("panel", "series", "shipped_by_country")])
    assert all(one.equals(other) for one, other in zip(*results, strict=True))


def test_result_does_not_hang_on_the_size_of_the_batches_that_a_file_is_read_in(bench, monkeypatch):
    bench.write(bench.tangle(np.random.default_rng(0), 400), 2)
    results = []
    for rows in (500_000, 30):
        monkeypatch.setattr("pipelines.etl.order_book.incremental.file_summary.ROWS_PER_BATCH", rows)
        cache = bench.folder / f"cache-{rows}"
        bench.etl(LENIENT, f"data.cache={cache}")
        names = ("panel", "series", "shipped_by_country", "priority_inversions")
        results.append([[bench.read(name) for name in names], bench.summary, bench.quarantine])
    assert len(list(cache.rglob("keys-*.hash.npy"))) >= 14
    (tables, *counts), (others, *other_counts) = results
    assert all(one.equals(other) for one, other in zip(tables, others, strict=True))
    assert counts == other_counts


def test_panel_is_canonical_and_read_by_the_steps_after_it(bench, tracker):
    bench.write(bench.lines(400), 3)
    context = bench.context("data.frequency=M")
    result = bench.etl("data.frequency=M")
    panel = read_panel(tracker, result.run_id, context.settings).table
    assert panel.equals(check_panel(bench.read("panel"), frequency=Frequency.MONTH))
    assert {"H100", "H200", "Hopper", "portfolio/nvidia", "portfolio/us"} == set(panel["item_id"])
    assert panel["timestamp"].max() == bench.as_of
    run = tracker.client.get_run(result.run_id)
    assert run.data.tags[KNOWN_UNTIL_TAG] == str(bench.as_of)


def test_run_holds_counts_as_metrics_and_the_files_as_artifacts(bench, tracker, odd_rows):
    late = bench.line(order_id="late", ordered_at=DAY, quantity=5, shipped_at=DAY + dt.timedelta(days=60))
    ahead = bench.line(
        order_id="ahead",
        ordered_at=DAY,
        quantity=2,
        end_use_country="CN",
        shipped_at=DAY + dt.timedelta(days=45),
    )
    [path] = bench.write([*odd_rows[:60], late, ahead], 1)
    run_id = bench.etl().run_id
    cases = bench.read("priority_inversions").filter(pl.col("us_order_id") == "late")
    assert {"ahead"} <= set(cases["export_order_id"])
    assert set(cases["us_source_file"]) == {str(path)}
    metrics = tracker.client.get_run(run_id).data.metrics
    assert (
        metrics["priority_inversions"]
        == bench.summary["priority_inversions"]
        == bench.read("priority_inversions").height
    )
    assert metrics["rows_in"] == 62
    names = {entry.path for entry in tracker.client.list_artifacts(run_id)}
    assert {"panel.parquet", "series.parquet", "priority_inversions.parquet", "summary.json"} <= names


def test_own_columns_skus_and_chip_lead_to_the_same_series(bench):
    rows = bench.lines(200)
    bench.write(rows, 1)
    bench.etl()
    plain = bench.read("series").filter(pl.col("chip_id") == "H200").drop("sku", "chip_id", "shipped_tpp")
    own = bench.table(rows).rename({"order_id": "Auftrag", "quantity": "Menge"})
    own = own.with_columns(pl.col("sku").replace({"H200": "ACM-1-SXM"}), noise=pl.lit("x"))
    own.write_csv(bench.folder / "own.csv", separator=";")
    mapping = """
    separator: ;
    columns: {order_id: Auftrag, quantity: Menge}
    skus: {ACM-1-SXM: ACME-1}
    chips:
      ACME-1:
        vendor: acme
        family: Acme 1 line
        launched: 2023-01-05
        fp8_dense_tflops: 1200
        memory_bandwidth_gb_per_s: 4800
    """
    bench.etl(f"data.path={bench.folder / 'own.csv'}", mapping=mapping)
    acme = bench.read("series").filter(pl.col("chip_id") == "ACME-1")
    assert acme.drop("sku", "chip_id", "shipped_tpp").equals(plain)
    assert (acme["shipped_tpp"] == acme["shipments"] * 9600.0).all()
    assert {"ACME-1", "Acme 1 line", "portfolio/acme"} <= set(bench.read("panel")["item_id"])


def test_day_of_a_zoned_time_stamp_is_that_of_the_reporting_zone(bench):
    rows = bench.table(
        [
            bench.line(ordered_at=dt.date(2025, 3, 1)),
            bench.line(order_id="SO-2", ordered_at=dt.date(2025, 7, 1)),
        ]
    )
    stamps = pl.Series([dt.datetime(2025, month, 1, 2, tzinfo=dt.UTC) for month in (4, 7)])
    rows.with_columns(ordered_at=stamps, shipped_at=None).write_parquet(bench.orders / "a.parquet")
    bench.etl("data.time_zone=America/New_York")
    orders = bench.read("series").filter(pl.col("orders") > 0)
    assert orders["period"].to_list() == [dt.date(2025, 3, 31), dt.date(2025, 6, 30)]


def test_fiscal_quarters_end_in_the_vendors_month_and_the_panel_lies_on_calendar_quarters(bench):
    bench.write(bench.lines(200), 1)
    bench.etl("data.fiscal_year_end_month=1")
    ends = bench.read("series")["period"].unique()
    assert {end.month for end in ends} == {1, 4, 7, 10}
    assert {end.month for end in bench.read("panel")["timestamp"].unique()} == {3, 6, 9, 12}


def test_book_is_known_until_its_newest_day_unless_said(bench):
    rows = [row for row in bench.lines(300) if row["ordered_at"] < dt.date(2025, 9, 1)]
    newest = max(day for row in rows for day in (row["ordered_at"], row["shipped_at"]) if day is not None)
    bench.write(rows, 2)
    bench.etl("data.as_of=null")
    assert bench.summary["known_until"] == str(newest)
    assert bench.read("panel")["timestamp"].max() <= newest


def test_too_many_bad_rows_are_refused_with_the_rule_and_written_all_the_same(bench, odd_rows):
    bench.write(odd_rows, 2)
    with pytest.raises(
        InputError,
        match=r"part-1\.parquet, row 30: too many rows are quarantined: expected at most 5\.00% .*"
        r", found 13\.16% \(10 of 76 rows\); most often conflicting_versions, 2 times: two rows of one line",
    ):
        bench.etl("data.quarantine_max_share=0.05")
    assert set(bench.files) == {
        "quarantine/00002-part-1.parquet",
        ".overspill-publish.lock",
        ".overspill-published.json",
    }
    assert len(bench.quarantine) == 10


def test_share_of_bad_rows_at_the_limit_passes(bench, odd_rows):
    bench.write(odd_rows, 2)
    bench.etl(f"data.quarantine_max_share={10 / 76}")
    assert bench.summary["rows"]["quarantined"] == 10


def test_notes_on_files_and_names_of_other_files_are_told(bench):
    [path] = bench.write(bench.lines(50), 1, suffix="csv")
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    (bench.orders / "readme.txt").write_text("hello")
    result = bench.etl()
    assert "its last line has no line end" in result.summary["notes"][str(path)]
    assert bench.summary["ignored"] == [str(bench.orders / "readme.txt")]


def test_summary_names_every_file_with_its_hash(bench):
    paths = bench.write(bench.lines(50), 3)
    bench.etl()
    hashes = {file["path"]: file["sha256"] for file in bench.summary["files"]}
    assert hashes == {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_summary_lists_columns_that_are_used_absent_and_ignored_also_when_nothing_is_read_anew(bench):
    rows = bench.table(bench.lines(60)).drop("promised_at").with_columns(remark=pl.lit("x"))
    rows.write_parquet(bench.orders / "a.parquet")
    for _ in range(2):
        bench.etl()
        columns = bench.summary["columns"]
        assert columns["absent"] == ["split", "promised_at", "unit_price"]
        assert columns["ignored"] == ["remark"]
        assert set(columns["used"]) == set(rows.columns) - {"remark"}


def test_only_the_order_day_of_a_return_says_how_new_a_book_is(bench):
    day = dt.date(2025, 7, 7)
    back = bench.line(order_id="back", quantity=-1, return_reason="dead", shipped_at=day, cancelled_at=day)
    bench.write([*bench.lines(60)[:40], back])
    bench.etl("data.as_of=null")
    assert bench.summary["known_until"] == str(back["ordered_at"]) < str(day)


def test_a_book_cannot_be_drawn_up_after_today(bench):
    bench.write(bench.lines(60))
    with pytest.raises(InputError, match=r"data\.as_of: an order book cannot .*found 2099-01-01"):
        bench.etl("data.as_of=2099-01-01")


def test_sums_of_large_quantities_do_not_overflow(bench):
    large = [bench.line(order_id=f"L{n}", quantity=5 * 10**18) for n in range(2)]
    bench.write([*bench.lines(60), *large])
    bench.etl("data.quarantine_max_share=0.5")
    assert bench.summary["quarantined"]["bad_quantity"] == 2
    assert bench.read("series")["orders"].min() >= 0
