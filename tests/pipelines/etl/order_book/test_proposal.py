"""`overspill init`: what it proposes gives the series of the plain book, and doubts are left open."""

from __future__ import annotations

import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.etl.order_book.proposal import mapping_text, propose
from pipelines.runtime.config.yaml_text import parse

HEAD = (
    "order_id,line,sku,customer_id,customer_country,end_use_country,quantity,ordered_at,requested_at,promised_at,"
    "shipped_at,shipped_quantity,cancelled_at"
)
ROWS = [
    "1001,1,H200-SXM,acme,US,US,40,2025-01-20,2025-03-01,,2025-03-10,,",
    "1002,1,H200-SXM,gulf,AE,AE,10,2025-02-03,2025-03-05,,2025-03-08,,",
    "1003,1,H200-SXM,nord,US,US,1030,2025-07-17,2025-09-01,,2025-09-25,20,2025-10-02",
    "1004,1,H200-SXM,acme,US,US,35,2026-01-19,2026-03-15,,,,",
]
THEIRS = (
    "Sales Order;Pos;Material;Sold-to Party;Bill-to Country;Ship-to Country;Menge;Order Date;Requestd date;"
    "Promise Date;Ship Date;Qty shipped;Cancelled;Plant"
)


def german(row):
    """A row as another system writes it: semicolons, day first, points between thousands."""
    fields = row.split(",")
    for place in (7, 8, 9, 10, 12):
        fields[place] = ".".join(reversed(fields[place].split("-")))
    fields[6] = f"{int(fields[6]):,}".replace(",", ".")
    return ";".join([*fields, "X1"])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def command(*arguments):
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def proposed(folder, header, rows, encoding="utf-8"):
    path = folder / "orders.csv"
    path.write_bytes("\n".join([header, *rows, ""]).encode(encoding))
    return propose(path)


def test_a_book_in_another_form_is_recognised_in_full(folder):
    found = proposed(folder, THEIRS, [german(row) for row in ROWS])
    assert found.left == ()
    assert (found.separator, found.decimal, found.thousands) == (";", ",", ".")
    assert set(found.date_formats.values()) == {"%d.%m.%Y"}
    assert found.skus == {"H200-SXM": "H200"}
    assert found.ignored == ("Plant",)
    assert found.columns["requested_at"] == "Requestd date"
    mapping = parse(mapping_text(found, source="orders.csv"), "mapping.yaml")
    assert set(mapping) == {
        *("separator", "decimal_separator", "thousands_separator", "date_formats", "columns", "skus"),
    }


@pytest.mark.slow
def test_the_proposal_gives_the_series_of_the_plain_book(folder):
    series = {}
    for name, header, rows in (("plain", HEAD, ROWS), ("theirs", THEIRS, [german(row) for row in ROWS])):
        (folder / f"{name}.csv").write_text("\n".join([header, *rows, ""]))
        done = command("init", f"{name}.csv", "--out", f"{name}.yaml")
        assert done.exit_code == 0, done.stderr
        assert "left to fill in: nothing" in done.stdout
        done = command(
            *(
                "etl",
                "--config",
                "order_book",
                "--set",
                f"data.path={name}.csv",
                "--set",
                f"data.mapping={name}.yaml",
            ),
            *("--set", "data.as_of=2026-03-31", "--out", name),
        )
        assert done.exit_code == 0, done.stderr
        series[name] = pl.read_parquet(folder / name / "series.parquet")
    assert series["theirs"].equals(series["plain"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("H200-SXM", "ACM1"), "which chips are these articles, under skus: ACM1"),
        (("AE", "Korea"), "'end_use_country': Korea may be KP or KR: write the code in the file"),
        (("AE", "ZZ"), "no country is called ZZ: such rows go to the quarantine"),
        (("requested_at", "foo"), "no column is recognised as requested_at: name it under columns"),
        (("2025-01-20", "around March"), "are read by no known pattern: state date_formats"),
    ],
)
def test_what_only_the_owner_knows_is_left_to_fill_in(folder, change, sentence):
    found = proposed(folder, HEAD.replace(*change), [row.replace(*change) for row in ROWS])
    assert any(sentence in each for each in found.left), found.left
    text = mapping_text(found, source="orders.csv")
    assert all(f"# TO DO: {each}" in text for each in found.left)
    parse(text, "mapping.yaml")


def test_dates_and_numbers_that_can_be_read_in_two_ways_are_not_guessed(folder):
    rows = [f"{n},1,H200,a,US,US,1.000,0{n}/05/2025,0{n}/06/2025,,,," for n in range(1, 4)]
    found = proposed(folder, HEAD, rows)
    assert found.date_formats == {}
    assert any("can be read in several ways: state %d/%m/%Y or %m/%d/%Y" in each for each in found.left)
    assert any("numbers such as 1.000 can be read in several ways" in each for each in found.left)
    decided = proposed(folder, HEAD, [*rows, "9,1,H200,a,US,US,1.000,25/05/2025,25/06/2025,,,,"])
    assert set(decided.date_formats.values()) == {"%d/%m/%Y"}


def test_another_encoding_is_named_with_the_command_that_converts_it(folder):
    found = proposed(folder, HEAD, [row.replace("nord", "Müller") for row in ROWS], encoding="cp1252")
    assert found.encoding == "cp1252"
    assert "iconv -f cp1252 -t utf-8" in found.left[0]


def test_a_parquet_book_is_read_too(folder):
    frame = pl.DataFrame([row.split(",") for row in ROWS], schema=HEAD.split(","), orient="row")
    frame.write_parquet(folder / "orders.parquet")
    assert propose(folder / "orders.parquet").left == ()


def test_a_mapping_that_is_there_is_kept_and_what_is_no_table_is_refused(folder):
    (folder / "orders.csv").write_text("\n".join([HEAD, *ROWS, ""]))
    (folder / "mapping.yaml").write_text("mine\n")
    done = command("init", "orders.csv")
    assert (done.exit_code, "--out: the file is there already" in done.stderr) == (2, True)
    assert (folder / "mapping.yaml").read_text() == "mine\n"
    (folder / "words.csv").write_text("hello\nworld\n")
    assert "has no header of several columns" in command("init", "words.csv", "--out", "x.yaml").stderr
    assert "does not exist" in command("init", "nowhere.csv", "--out", "x.yaml").stderr
    assert not (folder / "x.yaml").exists()
