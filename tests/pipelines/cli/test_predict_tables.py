"""Tables as they come: `predict` keeps ids to the letter, reads packed text, and replaces no file."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import io
import lzma
import re
import zipfile

import polars as pl
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.runtime.files.artifacts import check_own, write_marked

VALUES = [100.0, 107.0, 103.0, 110.0, 106.0, 113.0, 109.0, 116.0, 112.0, 104.0, 101.0, 108.0]


def lines(rows, header="unique_id,ds,y"):
    return "\n".join([header, *rows]) + "\n"


def months(name, *, first=1, values=VALUES):
    return [f"{name},2023-{first + k:02d}-01,{value:g}" for k, value in enumerate(values)]


def refused(answer, *parts):
    status, error, _ = answer
    assert status == 2, error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    for part in parts:
        assert re.search(part, error), error


@pytest.mark.parametrize("name", ["0870", '"007"', "4711.50", "true", "1e3", "NA", "null", " a "])
def test_an_id_of_text_survives_to_the_letter(predict, name):
    status, _, found = predict(lines(months(name)), "--freq", "M")
    assert status == 0
    assert found["unique_id"].unique().to_list() == [name.strip('"')]


def test_ids_that_differ_as_text_alone_are_two_series(predict):
    _, _, found = predict(lines([*months("007"), *months("7"), *months("7.0")]), "--freq", "M")
    assert found["unique_id"].unique(maintain_order=True).to_list() == ["007", "7", "7.0"]


def test_a_variate_is_text_as_well(predict):
    rows = [f"a,{row.partition(',')[2]},0{variate}" for variate in (1, 2) for row in months("a")]
    _, _, found = predict(lines(rows, "unique_id,ds,y,variate"), "--freq", "M")
    assert found["variate"].unique().sort().to_list() == ["01", "02"]


def test_an_id_of_parquet_keeps_its_type(predict):
    frame = pl.DataFrame(
        {
            "unique_id": 870,
            "ds": pl.date_range(dt.date(2023, 1, 1), dt.date(2023, 12, 1), "1mo", eager=True),
            "y": VALUES,
        }
    )
    _, _, found = predict(frame, "--freq", "M")
    assert found.schema["unique_id"] == pl.Int32
    assert found["unique_id"].unique().to_list() == [870]


def arrow_packed(content, codec):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def zipped(content):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("table.csv", content)
    return sink.getvalue()


PACKERS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda content: arrow_packed(content, "zstd"),
    "lz4": lambda content: arrow_packed(content, "lz4"),
    "zip": zipped,
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_file_is_read_as_the_plain_one(predict, suffix):
    table = lines(months("0870"))
    expected = predict(table, "--freq", "M")[2]
    packed = PACKERS[suffix](table.encode())
    for name in (f"table.csv.{suffix}", "table.csv"):
        assert predict(packed, "--freq", "M", name=name)[2].equals(expected)
    if suffix != "zip":
        refused(
            predict(packed[: len(packed) // 2], "--freq", "M", name=f"table.csv.{suffix}"), "cut short or no"
        )


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-le", "latin-1", "utf-8-sig"])
def test_text_of_another_encoding_is_read_where_it_is_named(predict, encoding):
    content = lines(months("Müller")).encode(encoding)
    _, _, found = predict(content, "--freq", "M", "--encoding", encoding)
    assert found["unique_id"].unique().to_list() == ["Müller"]


@pytest.mark.parametrize(
    ("encoding", "sentence"),
    [
        ("cp1252", r"line 14: the file is not UTF-8 text: expected UTF-8, or .*--encoding.*found byte 0xfc"),
        ("utf-16", r"line 1: the file is not UTF-8 text: .*--encoding utf-16, found a mark of utf-16$"),
        (
            "utf-16-le",
            r"line 1: the file is not UTF-8 text: .*--encoding utf-16-le or another, found a zero byte",
        ),
    ],
)
def test_text_of_another_encoding_is_explained_with_its_line(predict, encoding, sentence):
    content = lines([*months("a"), *months("Müller")]).encode(encoding)
    refused(predict(content, "--freq", "M"), sentence)


def test_an_encoding_that_is_unknown_or_wrong_is_refused(predict):
    content = lines(months("Müller")).encode("cp1252")
    refused(predict(content, "--encoding", "klingon"), "--encoding: unknown encoding: .*found 'klingon'")
    refused(predict(content, "--encoding", "ascii"), "line 2: the file is not ASCII text")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([*months("a"), "unique_id,ds,y"], r"row 13 \(line 14\): the header is repeated"),
        (["a,2023-01-01,1", "a,2023-02-01", "a,2023-03-01,3"], r"row 2 \(line 3\): every line must have"),
        (["a,2023-01-01,1", "a,2023-02-01,1,5"], r"row 2 \(line 3\): every line .*expected 3, found 4"),
        (['a,2023-01-01,"1', "a,2023-02-01,1"], r"row 1 \(line 2\): a quote is opened and not closed"),
        ([*months("a"), "a,2024-01-01,twelve"], r"row 13 \(line 14\): column 'y' .*found 'twelve'"),
        ([*months("a"), 'a,2024-01-01,"1,5"'], r"row 13 \(line 14\): column 'y' .*found '1,5'"),
        ([*months("a"), ",2024-01-01,1"], r"column 'unique_id' must not be empty: .*row 13 \(line 14\)"),
    ],
)  # fmt: skip
def test_a_malformed_line_is_refused_with_its_number(predict, rows, sentence):
    refused(predict(lines(rows), "--freq", "M"), sentence)


def test_blank_lines_are_passed_over_and_counted(predict):
    rows = months("a")
    expected = predict(lines(rows), "--freq", "M")[2]
    assert predict(lines([rows[0], "", *rows[1:], ""]), "--freq", "M")[2].equals(expected)
    refused(predict(lines([rows[0], "", "a,2023-02-01,x"]), "--freq", "M"), r"row 3 \(line 4\): .*found 'x'")


def test_columns_of_other_names_are_read_and_kept_and_what_is_not_read_is_told(predict):
    rows = [f"{row},9" for row in months("0870")]
    status, error, found = predict(
        lines(rows, "sku,month,sold,promo"), "--id-col", "sku", "--time-col", "month", "--target-col", "sold"
    )
    assert status == 0
    assert error == "warning: columns that were not read: promo (--covariates or --statics reads them)\n"
    assert found.columns == ["sku", "month", "quantile_level", "value"]
    refused(predict(lines(rows, "sku,month,sold,promo")), "column 'unique_id' is missing")


def test_another_separator_is_asked_for_and_read(predict):
    text = lines(months("a")).replace(",", ";")
    refused(
        predict(text, "--freq", "M"), r"found 'unique_id;ds;y'; if they are parted by ';', set --separator"
    )
    expected = predict(lines(months("a")), "--freq", "M")[2]
    assert predict(text, "--freq", "M", "--separator", ";")[2].equals(expected)


@pytest.mark.parametrize("name", ["paths.parquet", "quantiles.parquet"])
def test_a_file_that_the_command_did_not_write_is_neither_replaced_nor_removed(predict, tmp_path, name):
    mine = pl.DataFrame({"mine": [1, 2, 3]})
    mine.write_parquet(tmp_path / name)
    kept = (tmp_path / name).read_bytes()
    for options in ((), ("--paths", "5")):
        refused(
            predict(lines(months("a")), "--freq", "M", "--out", ".", *options),
            rf"did not write.*found {name}$",
        )
    assert (tmp_path / name).read_bytes() == kept
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", name}


def test_the_table_itself_is_never_replaced_by_its_forecast(predict, tmp_path):
    source = tmp_path / "quantiles.parquet"
    days = pl.date_range(dt.date(2023, 1, 1), dt.date(2023, 12, 1), "1mo", eager=True)
    write_marked(source, pl.DataFrame({"unique_id": "a", "ds": days, "y": VALUES}), command="predict")
    check_own(source, command="predict")
    kept = source.read_bytes()
    result = CliRunner().invoke(app, ["predict", str(source), "--horizon", "3", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "the table would be replaced by its own forecast" in result.stderr
    assert source.read_bytes() == kept


def test_a_second_forecast_replaces_the_first_unless_that_was_changed(predict, tmp_path):
    first = predict(lines(months("a")), "--freq", "M", "--paths", "4")
    assert predict(lines(months("b")), "--freq", "M", "--paths", "4")[2]["unique_id"][0] == "b"
    assert predict(lines(months("b")), "--freq", "M")[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["quantiles.parquet"]
    import pyarrow.parquet as pq

    path = tmp_path / "out" / "quantiles.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 2), path)  # keeps the marks of the file
    assert first[0] == 0
    refused(predict(lines(months("a")), "--freq", "M"), "was changed since.*found quantiles.parquet")


@pytest.mark.parametrize("suffix", ["bz2", "xz", "gz"])
def test_what_is_behind_the_packed_text_is_not_ignored(predict, suffix):
    packed = PACKERS[suffix](lines(months("a")).encode())
    refused(
        predict(packed + b"more", "--freq", "M", name=f"t.csv.{suffix}"), "cut short or no (bzip2|xz|gzip)"
    )
    status, _, found = predict(
        packed + PACKERS[suffix](lines(months("b"), "b,2022-12-01,1").encode()), "--freq", "M"
    )
    assert (status, found["unique_id"].unique().sort().to_list()) == (0, ["a", "b"])


def test_a_horizon_beyond_the_dates_of_the_column_is_refused(predict):
    dates = pl.Series([dt.datetime(2020 + n, 1, 1) for n in range(12)]).cast(pl.Datetime("ns"))  # noqa: DTZ001
    frame = pl.DataFrame({"unique_id": "a", "ds": dates, "y": VALUES})
    refused(predict(frame, "--freq", "Y", "--horizon", "300"), "--horizon: the horizon leaves the dates")


def test_values_whose_point_may_separate_thousands_are_read_as_decimals_with_a_note(predict):
    values = ["1.000", "1.250", "-2.500"]
    _, error, found = predict(lines([f"a,2023-{n + 1:02d}-01,{v}" for n, v in enumerate(values)]))
    assert found is not None
    assert "note: every value of 'y' has a point before three digits" in error
    assert "(1.000 is 1): remove it first if it separates thousands" in error
    _, error, _ = predict(lines([f"a,2023-{n + 1:02d}-01,{v}" for n, v in enumerate([*values, "3.5"])]))
    assert "note" not in error
