"""Whatever is wrong with a file ends in one sentence that names it, and leaves the previous result whole."""

from __future__ import annotations

import datetime as dt
import os
import resource
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from forecasting.errors import InputError, StepError
from pipelines.etl.order_book.files.csv_structure import check_file
from pipelines.etl.order_book.files.sources import list_sources
from pipelines.etl.order_book.incremental import across_files, engines


@pytest.fixture
def refused(bench):
    """Expect the etl step to be refused with a sentence, and the result of the run before it to stand."""
    bench.write(bench.lines(200), 2)
    bench.etl()
    before = bench.files

    def expect(sentence, *overrides, error=InputError):
        with pytest.raises(error, match=sentence) as refusal:
            bench.etl(*overrides)
        assert "\n" not in str(refusal.value)
        assert bench.files == before

    return expect


def rewrite(path, change):
    change(pl.read_parquet(path)).write_parquet(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda lines: lines.rename({"quantity": "quantty"}),
            r"part-1\.parquet: column 'quantity' is missing: found .*; the nearest is 'quantty'",
        ),
        (
            lambda lines: lines.with_columns(pl.col("ordered_at").to_physical().cast(pl.Float64)),
            r"part-1\.parquet: column 'ordered_at' is of a type that cannot be read as dates: .*Float64",
        ),
        (
            lambda lines: lines.drop("shipped_at"),
            r"part-1\.parquet: all files .* same columns: expected shipped_at as in .*dates, found no column",
        ),
        (
            lambda lines: lines.with_columns(pl.col("quantity").cast(pl.String)),
            r"part-1\.parquet: all files .* expected quantity as in .*: whole numbers, found text",
        ),
        (
            lambda lines: lines.with_columns(source_row=pl.lit(1)),
            r"part-1\.parquet: a column has a name that is needed for .*: found source_row",
        ),
    ],
)
def test_wrong_columns_are_refused_with_file_and_column(bench, refused, change, sentence):
    rewrite(bench.orders / "part-1.parquet", change)
    refused(sentence)


def test_column_of_the_mapping_that_no_file_has_is_refused_with_the_nearest(refused):
    refused(
        r"column 'ship_date' \(for shipped_at\) is missing: found .*; the nearest is 'shipped_at'",
        "data.columns={shipped_at: ship_date}",
    )


def test_parquet_file_that_is_cut_short_is_refused(bench, refused):
    path = bench.orders / "part-1.parquet"
    path.write_bytes(path.read_bytes()[:-400])
    refused(r"part-1\.parquet: the file cannot be read to its end: found ")


def test_csv_file_that_is_cut_short_is_refused(bench, refused):
    [path] = bench.write(bench.lines(30, seed=1), folder=bench.folder / "csv", suffix="csv")
    path.write_bytes(path.read_bytes()[:-30])
    refused(r"part-0\.csv, row 30: the file is cut short: its last line is incomplete", f"data.path={path}")


def test_csv_file_with_a_broken_quote_is_refused_with_its_row(bench, refused):
    [path] = bench.write(bench.lines(30, seed=1), folder=bench.folder / "csv", suffix="csv")
    lines = path.read_text().splitlines(keepends=True)
    lines[7] = '"' + lines[7]
    path.write_text("".join(lines))
    refused(r"part-0\.csv, row 7: a quote is opened and not closed on its line", f"data.path={path}")


def test_csv_file_of_which_not_every_line_becomes_a_row_is_refused(bench, refused, monkeypatch):
    [path] = bench.write(bench.lines(30, seed=1), folder=bench.folder / "csv", suffix="csv")
    monkeypatch.setattr(
        engines, "check_file", lambda *given, **options: replace(check_file(*given, **options), rows=31)
    )
    refused(r"part-0\.csv: not as many rows were read .*expected 31, found 30", f"data.path={path}")


def test_csv_file_that_is_not_utf8_is_refused(bench, refused):
    [path] = bench.write(bench.lines(30, seed=1), folder=bench.folder / "csv", suffix="csv")
    path.write_bytes(path.read_bytes().replace(b"SO-1-00007", b"SO-1-\xff0007"))
    refused(r"part-0\.csv: the file cannot be read to its end: found .*utf", f"data.path={path}")


def test_csv_file_with_another_separator_is_refused_with_the_way_to_set_it(bench, refused):
    path = bench.folder / "semicolons.csv"
    bench.table(bench.lines(30)).write_csv(path, separator=";")
    refused(
        r"semicolons\.csv: the header has a single column: .* parted by ';', set data\.separator",
        f"data.path={path}",
    )


def test_dates_in_several_formats_are_quarantined_where_they_cannot_be_read(bench):
    [path] = bench.write(bench.lines(30), folder=bench.folder / "csv", suffix="csv")
    lines = path.read_text().splitlines(keepends=True)
    lines[3] = lines[3].replace("2023-", "05/06/2023 or ", 1)
    lines[9] = lines[9].replace("2023-", "31.12.2023 or ", 1)
    path.write_text("".join(lines))
    bench.etl(f"data.path={path}", "data.quarantine_max_share=0.5")
    assert bench.quarantine == {("part-0.csv", 3): "bad_date", ("part-0.csv", 9): "bad_date"}


def test_dates_in_the_format_that_is_stated_are_read(bench):
    [path] = bench.write(bench.lines(200), folder=bench.folder / "csv", suffix="csv")
    bench.etl(f"data.path={path}")
    expected = bench.read("series")
    dates = pl.col("ordered_at", "requested_at", "shipped_at")
    bench.table(bench.lines(200)).with_columns(dates.dt.to_string("%d.%m.%Y")).write_csv(path)
    bench.etl(f"data.path={path}", "data.date_format=%d.%m.%Y")
    assert bench.summary["rows"]["quarantined"] == 0
    assert bench.read("series").equals(expected)


def test_blank_line_is_a_row_in_quarantine(bench):
    [path] = bench.write(bench.lines(60), folder=bench.folder / "csv", suffix="csv")
    path.write_text(path.read_text() + "\n")
    bench.etl(f"data.path={path}", "data.quarantine_max_share=0.5")
    assert bench.summary["rows"] == {"in": 61, "accepted": 60, "superseded": 0, "quarantined": 1}


def test_book_without_rows_is_refused(bench, refused):
    bench.table([]).write_parquet(bench.folder / "none.parquet")
    refused("the order book has no rows", f"data.path={bench.folder / 'none.parquet'}")


def test_book_that_covers_no_whole_period_is_refused(bench, refused):
    path = bench.folder / "new.parquet"
    bench.table([bench.line(ordered_at=dt.date(2026, 3, 1), shipped_at=None)]).write_parquet(path)
    refused("the order book covers no whole period", f"data.path={path}", "data.as_of=2026-03-15")


def test_path_must_be_given(refused):
    refused(
        r"data\.path: it must be said where the order lines lie: expected .*--set data\.path=",
        "data.path=null",
    )


def test_file_that_changes_while_it_is_read_is_refused(bench, refused, monkeypatch):
    path = bench.orders / "part-1.parquet"
    rewrite(path, lambda lines: lines.head(50))

    def changing(source, **options):
        proof = check_file(source, **options)
        rewrite(path, lambda lines: lines.head(40))
        return proof

    monkeypatch.setattr(engines, "check_file", changing)
    refused(r"part-1\.parquet: the file changed while it was read")


def test_file_that_changes_before_its_shared_lines_are_looked_at_is_refused(bench, refused, monkeypatch):
    [path] = bench.write([bench.line(), bench.line()], folder=bench.folder / "twice")
    found = across_files.shared_keys

    def changing(*arguments):
        rewrite(path, lambda lines: lines.with_columns(pl.col("quantity") + 1))
        return found(*arguments)

    monkeypatch.setattr(across_files, "shared_keys", changing)
    refused(r"part-0\.parquet: the file changed while it was read", f"data.path={path}", "data.as_of=null")


def test_file_without_read_permission_is_refused(bench, open_folder, not_root):
    path = open_folder / "orders.parquet"
    with root_again():
        bench.table([bench.line()]).write_parquet(path)
        path.chmod(0)
    source = list_sources([str(path)], {}).files[0]
    with pytest.raises(
        InputError, match=r"orders\.parquet: the file cannot be read: found Permission denied"
    ):
        check_file(source, separator=",", storage_options={})


def test_folder_that_cannot_be_looked_into_is_refused_rather_than_taken_for_empty(open_folder, not_root):
    inner = open_folder / "2025"
    with root_again():
        inner.mkdir()
        (inner / "orders.csv").write_text("order_id\n")
        (open_folder / "orders.csv").write_text("order_id\n")
        inner.chmod(0)
    with pytest.raises(InputError, match=r"2025: the folder cannot be read: found Permission denied"):
        list_sources([str(open_folder)], {})
    with root_again():
        inner.chmod(0o755)


@contextmanager
def root_again():
    mine = os.geteuid()
    if os.getuid() == 0:
        os.seteuid(0)
    yield
    os.seteuid(mine)


@contextmanager
def files_at_most(size):
    """The system refuses to write beyond a size, as it does when a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [2_000, 20_000])
def test_disk_that_is_full_ends_in_one_sentence_and_the_next_run_goes_on(bench, size):
    bench.write(bench.lines(4_000), 2)
    with bench.reading() as book, files_at_most(size):
        with pytest.raises(StepError, match=f"{bench.folder}.* cannot be written: File too large") as refusal:
            book()
        assert "\n" not in str(refusal.value)
    with bench.reading() as book:
        assert [each.rows for each in book().parts] == [2_000, 2_000]
    assert not list(Path(bench.folder / "cache").rglob(".part-*"))
