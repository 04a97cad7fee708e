"""The commands on a CSV of one's own: from one line on the terminal to the files, or to one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app


@pytest.fixture
def cli(bench, monkeypatch):
    """Run a command in a folder that holds `orders.csv`; returns exit status, output and error output."""
    monkeypatch.chdir(bench.folder)
    # A path of its own: MLflow keeps one open store per address, and a relative one is that of all tests.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{bench.folder / 'mlflow.db'}")
    bench.table(bench.lines(600)).write_csv(bench.folder / "orders.csv")

    def invoke(*arguments):
        result = CliRunner().invoke(app, list(arguments))
        return result.exit_code, result.stdout, result.stderr

    return invoke


BOOK = ("--config", "order_book", "--set", "data.path=*.csv", "--set", "data.as_of=2026-03-31")


def test_etl_tells_the_counts_and_writes_the_set_of_files(cli):
    status, text, _ = cli("etl", *BOOK, "--out", "out")
    assert status == 0
    entries = {line[:15].strip(): line[15:].strip() for line in text.splitlines()}
    assert (entries["rows in"], entries["accepted"], entries["quarantined"]) == ("600", "600", "0")
    assert entries["known until"] == "2026-03-31"
    names = {path.name for path in Path("out").iterdir()}
    assert {
        "panel.parquet",
        "series.parquet",
        "series.csv",
        "shipped_by_country.parquet",
        "quarantine",
        "priority_inversions.parquet",
        "priority_inversions.csv",
        "summary.json",
    } <= names
    assert pl.read_csv("out/series.csv").height == pl.read_parquet("out/series.parquet").height
    assert not list(Path("out/quarantine").iterdir())


def test_engine_may_be_named_and_counts_come_as_json(cli):
    status, text, error = cli("etl", *BOOK, "--engine", "gpu", "--json")
    assert status == 0
    assert json.loads(text)["rows in"] == 600
    assert [line for line in error.splitlines() if not line.startswith("not the default: ")] == [
        "no GPU engine (cudf-polars is not installed): reading on the CPU"
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("etl", *BOOK, "--engine", "spark"), "--set data.engine: input should be 'local', 'ray' or 'gpu'"),
        (("etl", "--engine", "ray"), "--set data.engine: unknown key: found 'engine'"),
        (("etl", "--config", "order_book"), "data.path: it must be said where the order lines lie"),
        (("etl", *BOOK, "--set", "data.path=none/*.csv"), "none/*.csv: there is no file of order lines"),
        (("etl", *BOOK, "--set", "data.columns={sku: artcle}"), "column 'artcle' (for sku) is missing"),
    ],
)
def test_mistake_exits_2_with_one_sentence_and_writes_nothing(cli, arguments, sentence):
    status, _, error = cli(*arguments, "--out", "out")
    assert status == 2
    assert error.count("error: ") == 1
    assert error.splitlines()[-1].startswith("error: ")
    assert sentence in error.splitlines()[-1]
    assert not list(Path().glob("out/*"))


def test_too_many_bad_rows_exit_2(cli):
    status, _, error = cli("etl", *BOOK, "--set", "data.skus={H100: H200}", "--set", "data.as_of=2024-01-01")
    assert status == 2
    assert "too many rows are quarantined: expected at most 1.00%" in error
    assert "most often future_date" in error


def test_run_ends_with_the_answer_for_the_chips_of_the_book(cli):
    few = [word for key in ("forecast.paths=30", "backtest.paths=20") for word in ("--set", key)]
    status, text, _ = cli("run", *BOOK, *few, "--set", "statistical.candidates=[AutoTheta]", "--out", "out")
    assert status == 0
    assert "rows accepted" in text
    rows = [line.split() for line in text.splitlines()]
    assert any(row[:1] == ["H200"] and "%" in row for row in rows)
    assert {"windows.parquet", "panel.parquet", "summary.json"} <= {
        path.name for path in Path("out").iterdir()
    }
