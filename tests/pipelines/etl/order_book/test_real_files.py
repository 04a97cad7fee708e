"""Exports of real ERP systems go in without hand work; what is not clear is refused, and nothing is lost."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from forecasting.errors import InputError
from pipelines.etl.order_book.files.sources import partition_values
from pipelines.etl.order_book.quarantine import shares, without_formulas


def as_exported(lines):
    """Lines as an ERP system exports them: names, thousands, three ways to write dates, tokens."""
    names = {"US": "United States", "DE": "Germany", "JP": "Japan"}
    country = pl.col("customer_country", "end_use_country").replace(names)
    quantity = pl.Series([f"{row:,}" for row in (lines["quantity"] * 1000 + 7)])
    return lines.with_columns(
        country,
        quantity=quantity,
        ordered_at=pl.col("ordered_at").dt.to_string("%m/%d/%y"),
        requested_at=pl.col("requested_at").dt.to_string("%d-%b-%y"),
        shipped_at=pl.col("shipped_at").dt.to_string("%d.%m.%Y").fill_null("Date Not Captured"),
        promised_at=pl.lit("Pre-PQ Process"),
        unit_price=pl.lit("1.234,50"),
        cancelled_at=pl.lit("N/A"),
        updated_at=pl.lit("NULL"),
    )


def test_export_of_an_erp_system_gives_the_series_of_the_clean_book(bench):
    lines = bench.table(bench.lines(300))
    clean = lines.with_columns(pl.col("quantity") * 1000 + 7)
    clean.write_parquet(bench.orders / "a.parquet")
    bench.etl()
    wanted = bench.read("series"), bench.read("shipped_by_country")
    as_exported(lines).write_csv(bench.folder / "export.csv")
    result = bench.etl(f"data.path={bench.folder / 'export.csv'}")
    assert bench.summary["rows"]["quarantined"] == 0
    assert bench.read("series").equals(wanted[0])
    assert bench.read("shipped_by_country").equals(wanted[1])
    [notes] = result.summary["notes"].values()
    assert "column 'ordered_at': dates are read as %m/%d/%y" in notes
    assert "column 'quantity': numbers are read with decimal '.', thousands ','" in notes
    assert "3 names of countries are read as codes" in notes


def test_a_single_name_of_a_country_is_noted_in_the_singular(bench):
    lines = bench.table(bench.lines(60)).with_columns(end_use_country=pl.lit("United States"))
    lines.write_csv(bench.orders / "a.csv")
    [notes] = bench.etl().summary["notes"].values()
    assert "1 name of a country is read as a code: United States as US" in notes


def test_forms_of_a_file_are_remembered_and_hold_for_lines_that_are_looked_at_again(bench):
    lines = bench.table(bench.lines(60))
    as_exported(lines).write_csv(bench.orders / "a.csv")
    bench.etl()
    first = bench.read("series")
    extra = as_exported(lines).tail(5).with_columns(order_id="new" + pl.col("order_id"))
    extra.write_csv(bench.orders / "b.csv")
    bench.etl("data.date_formats={ordered_at: '%m/%d/%y', requested_at: '%d-%b-%y', shipped_at: '%d.%m.%Y'}")
    assert bench.summary["rows"]["accepted"] == 65
    (bench.orders / "b.csv").unlink()
    as_exported(lines).write_csv(bench.orders / "c.csv")  # every line twice, in two files
    bench.etl("data.quarantine_max_share=0.6")
    assert bench.summary["quarantined"]["duplicate_line"] == 60
    assert bench.read("series").equals(first)


def test_ambiguous_dates_end_the_step_with_both_readings_and_the_earlier_result_whole(bench):
    bench.write(bench.lines(60))
    bench.etl()
    before = bench.files
    lines = bench.table([bench.line(), bench.line(order_id="SO-2")])
    lines.with_columns(requested_at=pl.lit("04/05/2025")).write_csv(bench.folder / "two.csv")
    with pytest.raises(InputError, match=r"two\.csv, row 1: column 'requested_at' can be read in two ways"):
        bench.etl(f"data.path={bench.folder / 'two.csv'}")
    assert bench.files == before


def test_unreadable_optional_column_warns_and_counts_as_absent(bench):
    bench.table(bench.lines(60)).with_columns(unit_price=pl.lit("see contract")).write_csv(
        bench.orders / "a.csv"
    )
    bench.etl()
    assert bench.summary["rows"]["quarantined"] == 0
    assert "warning: the optional column 'unit_price' cannot be read and counts as absent" in bench.said


def test_unreadable_optional_type_warns_and_a_deciding_one_is_refused(bench):
    lines = bench.table(bench.lines(60))
    lines.with_columns(promised_at=pl.lit(3.5)).write_parquet(bench.orders / "a.parquet")
    bench.etl()
    assert "warning: the optional column 'promised_at' cannot be read" in bench.said
    lines.with_columns(shipped_at=pl.lit(3.5)).write_parquet(bench.orders / "a.parquet")
    with pytest.raises(InputError, match=r"column 'shipped_at' is of a type that cannot be read as dates"):
        bench.etl()


def test_quarantine_is_written_although_the_step_fails_and_names_column_value_count_and_rows(bench):
    rows = [*bench.lines(30), *(bench.line(order_id=f"X{n}", end_use_country="Utopia") for n in range(3))]
    bench.write([*rows, bench.line(order_id="X9", end_use_country="Atlantis")], suffix="csv")
    with pytest.raises(InputError) as refusal:
        bench.etl()
    sentence = str(refusal.value)
    assert "part-0.csv, row 31: too many rows are quarantined" in sentence
    assert "most often unknown_country, 4 times" in sentence
    assert "column 'end_use_country' holds 'Utopia' in 3 of them, first in rows 31, 32, 33" in sentence
    assert f"the quarantined rows are in {bench.out / 'quarantine'}" in sentence
    found = pl.read_parquet(bench.out / "quarantine" / "00001-part-0.parquet")
    assert found["broken_value"].to_list() == ["Utopia"] * 3 + ["Atlantis"]
    assert set(found["broken_column"]) == {"end_use_country"}


def test_quarantine_of_a_failed_step_stands_beside_the_earlier_result_and_goes_with_the_next_good_one(bench):
    bench.write(bench.lines(60))
    bench.etl()
    before = bench.files
    bench.write([*bench.lines(60), *[bench.line(sku="H999")] * 5])
    with pytest.raises(InputError, match="quarantine-failed"):
        bench.etl()
    after = bench.files
    left = {name for name in after if name.startswith("quarantine-failed/")}
    assert left == {"quarantine-failed/00001-part-0.parquet"}
    noted = ".overspill-published.json"
    assert {n: c for n, c in after.items() if n not in left | {noted}} == {
        n: c for n, c in before.items() if n != noted
    }
    bench.write(bench.lines(60))
    bench.etl()
    assert not (bench.out / "quarantine-failed").exists()


def test_book_of_bad_rows_alone_is_refused_without_a_limit_and_written_out_even_with_a_share_of_one(bench):
    bench.write([bench.line(sku="H999"), bench.line(sku="H998")])
    with pytest.raises(
        InputError, match=r"no row of the order book can be used: found 2 of 2 rows"
    ) as refusal:
        bench.etl("data.quarantine_max_share=1")
    assert "100.00%" not in str(refusal.value)
    assert len(bench.quarantine) == 2


@pytest.mark.parametrize(("limit", "found"), [(0.01, 0.0100001), (1 - 1e-9, 1.0), (0.05, 0.5)])
def test_limit_and_share_are_never_written_alike(limit, found):
    written = shares(limit, found)
    assert written[0] != written[1]


def test_names_of_partitions_are_decoded(bench):
    assert partition_values("o/end_use_country=Cote%20d%27Ivoire/x=__HIVE_DEFAULT_PARTITION__/a.csv") == {
        "end_use_country": "Cote d'Ivoire",
        "x": None,
    }
    folder = bench.orders / "end_use_country=United%20States"
    folder.mkdir()
    bench.table(bench.lines(60)).drop("end_use_country").write_csv(folder / "a.csv")
    bench.etl()
    assert set(bench.read("shipped_by_country")["country"]) == {"US"}


def test_formulas_in_names_reach_no_spreadsheet_and_numbers_stay_as_they_are():
    table = pl.DataFrame(
        {"a": ["=cmd|' /C calc'!A0", "+1", "-5,5", "-2+cmd", "@x", "plain", None], "n": range(7)}
    )
    assert without_formulas(table)["a"].to_list() == [
        "'=cmd|' /C calc'!A0",
        "+1",
        "-5,5",
        "'-2+cmd",
        "'@x",
        "plain",
        None,
    ]


def test_formulas_in_headers_reach_no_spreadsheet_and_no_column_is_lost():
    table = pl.DataFrame({"=1+1": ["a"], "'=1+1": ["b"], "-2+cmd": [1], "+1": [2], "plain": [3]})
    safe = without_formulas(table)
    assert safe.columns == ["''=1+1", "'=1+1", "'-2+cmd", "+1", "plain"]
    assert safe.row(0) == ("a", "b", 1, 2, 3)


def test_formula_in_an_order_number_stands_in_the_quarantine_as_text(bench):
    bench.write([*bench.lines(60), bench.line(order_id="=1+1", sku="H999")], suffix="csv")
    bench.etl("data.quarantine_max_share=1")
    csv = (bench.out / "quarantine" / "00001-part-0.csv").read_text()
    assert "'=1+1" in csv
    assert pl.read_parquet(bench.out / "quarantine" / "00001-part-0.parquet")["order_id"].to_list() == [
        "=1+1"
    ]


def test_pipe_and_device_are_refused_at_once(bench):
    import os

    os.mkfifo(bench.folder / "pipe.csv")
    (bench.folder / "zero.csv").symlink_to("/dev/zero")
    for name in ("pipe.csv", "zero.csv"):
        with pytest.raises(
            InputError, match=rf"{name}: order lines lie in regular files: found a pipe or a device"
        ):
            bench.etl(f"data.path={bench.folder / name}")


def test_day_of_the_order_is_read_in_every_declared_format(bench):
    lines = bench.table(bench.lines(120))
    mixed = pl.when(pl.int_range(pl.len()) % 2 == 0)
    day = pl.col("ordered_at")
    written = mixed.then(day.dt.to_string("%d.%m.%Y")).otherwise(day.dt.to_string("%Y/%m/%d"))
    lines.with_columns(ordered_at=written).write_csv(bench.orders / "a.csv")
    bench.etl("data.date_formats={ordered_at: ['%d.%m.%Y', '%Y/%m/%d']}")
    assert bench.summary["rows"]["quarantined"] == 0
    assert bench.read("series")["orders"].sum() == lines["quantity"].sum()
    assert bench.summary["known_until"] == str(dt.date(2026, 3, 31))
