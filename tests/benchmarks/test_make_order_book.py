"""The generator of order books: every count of `truth.json`, recounted row by row in plain Python."""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections import Counter, defaultdict
from pathlib import Path

import polars as pl
import pytest

from forecasting.frequencies import Frequency
from forecasting.order_book.aggregate import partial_of
from forecasting.order_book.calendar import Calendar
from forecasting.order_book.deduplicate import decide
from forecasting.order_book.inversions import priority_inversions
from forecasting.order_book.normalise import Intake, normalise

CANONICAL = [
    "order_id",
    "line",
    "split",
    "sku",
    "customer_id",
    "customer_country",
    "end_use_country",
    "quantity",
    "ordered_at",
    "requested_at",
    "promised_at",
    "shipped_at",
    "shipped_quantity",
    "cancelled_at",
    "unit_price",
    "updated_at",
    "return_reason",
]
DESTINATIONS = ("us", "export")


@pytest.fixture
def maker(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import make_order_book

    return make_order_book


def rows_of(folder):
    """Rows of the Parquet files as dictionaries, with file and row number."""
    rows = []
    for path in sorted(folder.glob("*.parquet")):
        for number, row in enumerate(pl.read_parquet(path).iter_rows(named=True), 1):
            rows.append(row | {"file": path.name, "row": number})
    return rows


def broken_rule(row, skus, countries, as_of):
    """Name of the first rule that a row breaks by itself, or None."""
    quantity, ordered, shipped, cancelled = (
        row[name] for name in ("quantity", "ordered_at", "shipped_at", "cancelled_at")
    )
    checks = {
        "unknown_sku": row["sku"] not in skus,
        "unknown_country": row["end_use_country"] not in countries
        or row["customer_country"] not in countries,
        "bad_quantity": not quantity,
        "negative_without_reason": (quantity or 0) < 0 and row["return_reason"] is None,
        "missing_order_id": row["order_id"] is None,
        "missing_ordered_at": ordered is None,
        "missing_requested_at": row["requested_at"] is None,
        "missing_shipped_at": shipped is None and row["shipped_quantity"] is not None,
        "future_date": any(day is not None and day > as_of for day in (ordered, shipped, cancelled)),
        "shipped_before_ordered": shipped is not None and shipped < (ordered or dt.date.min),
        "shipped_more_than_ordered": (row["shipped_quantity"] or 0) > max(quantity or 0, 0),
        "cancelled_before_ordered": cancelled is not None and cancelled < (ordered or dt.date.min),
    }
    broken = [rule for rule, breaks in checks.items() if breaks]
    assert len(broken) <= 1, f"a row breaks one rule at most: {broken}, {row}"
    return broken[0] if broken else None


def fates(rows, skus, countries, as_of):
    """What becomes of each row, one by one."""
    fate, by_key = {}, defaultdict(list)
    for row in rows:
        at = row["file"], row["row"]
        fate[at] = broken_rule(row, skus, countries, as_of)
        if fate[at] is None:
            by_key[row["order_id"], row["line"], row["split"]].append(row)
    for versions in by_key.values():
        standing = {}
        for row in versions:
            standing.setdefault(row["updated_at"], []).append(row)
        good = []
        for same in standing.values():
            contents = {tuple(row[name] for name in CANONICAL) for row in same}
            for position, row in enumerate(same):
                at = row["file"], row["row"]
                if len(contents) > 1:
                    fate[at] = "conflicting_versions"
                elif position:
                    fate[at] = "duplicate_line"
                else:
                    good.append(row)
        for row in good:
            newest = row["updated_at"] == max(other["updated_at"] for other in good)
            fate[row["file"], row["row"]] = "accepted" if newest else "superseded"
    return fate


def units_by_destination(accepted):
    units = {there: Counter() for there in DESTINATIONS}
    for row in accepted:
        flows = units["us" if row["end_use_country"] == "US" else "export"]
        quantity, shipped = row["quantity"], row["shipped_quantity"] or 0
        if quantity < 0:
            flows["returns"] -= quantity
            continue
        flows["orders"] += quantity
        flows["shipments"] += shipped
        if row["cancelled_at"] is not None:
            flows["cancellations"] += quantity - shipped
        else:
            flows["backlog"] += quantity - shipped
    return {there: dict(flows) for there, flows in units.items()}


def overtaken(accepted):
    """Pairs of a delayed US line and an export of its SKU, asked for no earlier, that shipped meanwhile."""
    by_sku = defaultdict(list)
    for row in accepted:
        if row["quantity"] > 0:
            by_sku[row["sku"]].append(row)
    pairs = []
    for lines in by_sku.values():
        exports = [row for row in lines if row["end_use_country"] != "US" and row["shipped_at"] is not None]
        for us in (row for row in lines if row["end_use_country"] == "US"):
            whole = us["shipped_quantity"] == us["quantity"]
            waits_until = us["shipped_at"] if whole else us["cancelled_at"]
            pairs += [
                (us, export)
                for export in exports
                if export["requested_at"] >= us["requested_at"]
                and us["requested_at"] < export["shipped_at"]
                and (waits_until is None or export["shipped_at"] < waits_until)
            ]
    return pairs


@pytest.mark.parametrize(("lines", "files", "seed"), [(6_000, 7, 0), (4_001, 1, 5)])
def test_every_count_of_the_truth_is_what_a_plain_loop_finds(
    maker, tmp_path, monkeypatch, lines, files, seed
):
    import order_book_oddities

    monkeypatch.setattr(order_book_oddities, "OVERTAKEN", 0.01)
    book = maker.Book(lines=lines, files=files, seed=seed)
    truth = maker.write_order_book(tmp_path, book)
    rows = rows_of(tmp_path)
    fate = fates(rows, maker.SKUS, maker.COUNTRIES, book.as_of)
    accepted = [row for row in rows if fate[row["file"], row["row"]] == "accepted"]
    shipped_in_part = [row for row in accepted if 0 < (row["shipped_quantity"] or 0) < row["quantity"]]
    cancelled = [row for row in accepted if row["cancelled_at"] is not None]

    total = Counter(fate.values())
    assert truth["rows"]["in"] == len(rows) == lines
    assert truth["rows"]["accepted"] == total.pop("accepted")
    assert truth["rows"]["superseded"] == total.pop("superseded")
    assert truth["quarantined"] == total
    assert truth["rows"]["quarantined"] == total.total()
    by_file = defaultdict(Counter)
    for (file, _), name in fate.items():
        by_file[file][name] += 1
    assert truth["files"] == [by_file[file] for file in sorted(by_file)]
    assert truth["accepted"] == {
        "splits": sum(row["split"] > 0 for row in accepted),
        "partial_shipments": len(shipped_in_part),
        "cancelled_whole": sum(row["shipped_at"] is None for row in cancelled),
        "cancelled_after_partial_shipment": sum(row["shipped_at"] is not None for row in cancelled),
        "returns": sum(row["quantity"] < 0 for row in accepted),
    }
    assert truth["units"] == units_by_destination(accepted)
    pairs = overtaken(accepted)
    assert len(pairs) > 20
    assert truth["overtaken_us_lines"] == {
        "lines": len(pairs),
        "units": sum(min(us["quantity"], export["quantity"]) for us, export in pairs),
    }
    assert truth == json.loads((tmp_path / "truth.json").read_text())


@pytest.mark.parametrize("stamps", ["date", "datetime", "zoned"])
@pytest.mark.parametrize("csv", [False, True])
def test_the_domain_finds_the_truth_whatever_the_stamps_and_the_format(
    maker, tmp_path, monkeypatch, stamps, csv
):
    import order_book_oddities

    monkeypatch.setattr(order_book_oddities, "OVERTAKEN", 0.005)
    truth = maker.write_order_book(tmp_path, maker.Book(lines=4_000, files=4, stamps=stamps, csv=csv))
    mapping = json.loads((tmp_path / "mapping.yaml").read_text())
    intake = Intake(
        skus=mapping["skus"], as_of=dt.date.fromisoformat(mapping["as_of"]), zone=mapping["time_zone"]
    )
    scan = (lambda path: pl.scan_csv(path, infer_schema=False)) if csv else pl.scan_parquet
    lines = pl.concat(
        normalise(scan(path), intake).with_columns(source_file=pl.lit(path.name)).collect()
        for path in sorted(tmp_path.glob("orders-*"))
    )
    outcome = decide(lines.filter(pl.col("broken_rule").is_null()))
    accepted = outcome.filter(pl.col("outcome") == "accepted").lazy()
    cases = priority_inversions(accepted)
    partial = partial_of(accepted, calendar=Calendar(frequency=Frequency.QUARTER), normal_lead_days=70)

    found = Counter(lines["broken_rule"].drop_nulls().to_list()) + Counter(outcome["outcome"].to_list())
    assert found.pop("accepted") == truth["rows"]["accepted"]
    assert found.pop("superseded") == truth["rows"]["superseded"]
    assert found == truth["quarantined"]
    overtaken = {"lines": cases.height, "units": cases["quantity"].sum()}
    assert overtaken == truth["overtaken_us_lines"]
    assert overtaken["lines"] > 10
    sums = Counter()
    for there, fate, units in partial.ageing.select("destination", "fate", "units").iter_rows():
        sums[there, fate] += units
    for there, flows in truth["units"].items():
        assert sums[there, "shipped"] == flows["shipments"]
        assert sums[there, "cancelled"] == flows["cancellations"]
        assert sums[there, "open"] == flows["backlog"]
        assert sums[there, "returned"] == flows["returns"]


def test_every_oddity_is_there_from_a_hundred_lines_on(maker, tmp_path):
    truth = maker.write_order_book(tmp_path, maker.Book(lines=200, files=2))
    rules = {*maker.FATES[:-2]} - {"bad_date"}
    assert truth["quarantined"].keys() == rules
    assert all(truth["accepted"].values()), truth["accepted"]
    assert truth["overtaken_us_lines"]["lines"] == 1
    assert truth["rows"]["superseded"] >= 2


def test_amendments_copies_and_contradictions_reach_into_the_next_file(maker, tmp_path):
    maker.write_order_book(tmp_path, maker.Book(lines=6_000, files=3))
    files = defaultdict(set)
    for row in rows_of(tmp_path):
        files[row["order_id"], row["line"], row["split"]].add(row["file"])
    across = Counter(len(found) for found in files.values())
    assert across[2] >= 60 + 1 + 1
    assert across[3] == 0


def test_more_than_one_batch_in_a_file_gives_the_rows_asked_for(maker, tmp_path, monkeypatch):
    import order_book_oddities

    monkeypatch.setattr(order_book_oddities, "BATCH", 700)
    truth = maker.write_order_book(tmp_path, maker.Book(lines=5_000, files=2))
    heights = [pl.read_parquet(path).height for path in sorted(tmp_path.glob("*.parquet"))]
    assert heights == [2_500, 2_500]
    assert sum(truth["rows"][fate] for fate in ("accepted", "superseded", "quarantined")) == 5_000
    keys = pl.read_parquet(tmp_path / "*.parquet").filter(pl.col("order_id").is_not_null())
    assert keys.select("order_id", "line", "split").unique().height < keys.height


def test_a_seed_is_a_book(maker, tmp_path):
    books = [("a", 1), ("b", 1), ("c", 2)]
    tables = []
    for name, seed in books:
        maker.write_order_book(tmp_path / name, maker.Book(lines=2_000, files=2, seed=seed))
        tables.append(pl.read_parquet(tmp_path / name / "*.parquet"))
    assert tables[0].equals(tables[1])
    assert not tables[0].equals(tables[2])


def test_zoned_stamps_fall_on_the_local_days_of_the_plain_book(maker, tmp_path):
    plain = maker.write_order_book(tmp_path / "plain", maker.Book(lines=1_000))
    zoned = maker.write_order_book(tmp_path / "zoned", maker.Book(lines=1_000, stamps="zoned"))
    days = pl.read_parquet(tmp_path / "plain/*.parquet")
    stamps = pl.read_parquet(tmp_path / "zoned/*.parquet")
    local = pl.selectors.datetime().dt.convert_time_zone("America/Los_Angeles").dt.date()
    assert stamps.schema["shipped_at"] == pl.Datetime("ms", "UTC")
    assert stamps.with_columns(local).equals(days)
    shifted = (stamps["ordered_at"].dt.date() != days["ordered_at"]).sum()
    assert shifted > 200, "many UTC days differ from the local day, or the test shows nothing"
    assert plain["units"] == zoned["units"]


def test_csv_says_the_same_with_dates_that_cannot_be_read(maker, tmp_path):
    truth = maker.write_order_book(tmp_path, maker.Book(lines=2_000, files=2, csv=True, stamps="zoned"))
    rows = []
    for path in sorted(tmp_path.glob("*.csv")):
        with path.open(newline="") as file:
            rows += list(csv.DictReader(file))
    assert len(rows) == 2_000
    assert list(rows[0]) == CANONICAL
    assert sum(row["requested_at"] == "2023-02-30" for row in rows) == truth["quarantined"]["bad_date"] > 0
    offsets = {row["ordered_at"][-6:] for row in rows if row["ordered_at"]}
    assert offsets == {"-07:00", "-08:00"}


def test_most_end_use_is_in_the_united_states(maker, tmp_path):
    maker.write_order_book(tmp_path, maker.Book(lines=20_000))
    table = pl.read_parquet(tmp_path / "*.parquet")
    assert abs((table["end_use_country"] == "US").mean() - 0.6) < 0.02
    by_year = (
        table.filter(pl.col("ordered_at").dt.year() < 2026).group_by(pl.col("ordered_at").dt.year()).len()
    )
    assert by_year.sort("ordered_at")["len"].is_sorted()


def test_files_too_small_for_the_oddities_are_refused(maker):
    with pytest.raises(ValueError, match="at least 100 lines"):
        maker.Book(lines=500, files=6)
