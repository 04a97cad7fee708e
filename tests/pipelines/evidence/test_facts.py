"""What stands beside the figures: priority inversions, raw files, the backtest's weights, the commit."""

from __future__ import annotations

import json
from types import SimpleNamespace

import polars as pl
import pytest

from pipelines.evidence import facts
from pipelines.runtime.files.artifacts import file_digest


@pytest.mark.parametrize(("units", "verdict"), [([3, 9], "found"), ([], "none found")])
def test_priority_inversions_of_an_order_book_are_counted_and_hashed(tmp_path, units, verdict):
    path = tmp_path / "priority_inversions.parquet"
    pl.DataFrame(
        {"sku": ["A"] * len(units), "quantity": units}, schema={"sku": pl.String, "quantity": pl.Int64}
    ).write_parquet(path)
    found = facts.inversions(path)
    assert (found.verdict, found.cases) == (verdict, len(units))
    assert found.sha256 == file_digest(path)
    assert [row["quantity"] for row in found.largest] == sorted(units, reverse=True)


def test_the_largest_inversions_are_the_same_in_whatever_order_their_table_is(tmp_path):
    path = tmp_path / "priority_inversions.parquet"
    lines = range(30, 0, -1)
    pl.DataFrame({"us_line": lines, "quantity": [1 + line % 2 for line in lines]}).write_parquet(path)
    found = [row["us_line"] for row in facts.inversions(path).largest]
    assert found == [*range(1, 30, 2), *range(2, 11, 2)]


def test_files_of_an_order_book_stand_with_the_digests_that_the_etl_run_read(tmp_path):
    entry = {"path": "book.csv", "bytes": 12, "sha256": "a" * 64, "rows": {"in": 3}, "notes": []}
    (tmp_path / "summary.json").write_text(json.dumps({"files": [entry]}))
    files = facts.raw_files(tmp_path / "summary.json")
    assert files == ({"path": "book.csv", "bytes": 12, "sha256": "a" * 64},)
    assert facts.raw_files(None) == ()


@pytest.mark.parametrize(
    ("weights", "label", "card", "remark"),
    [
        (None, None, {}, "The backtest was run with other weights of the network: none that are recorded."),
        ("b", "B", {}, "other weights of the network: B."),
        ("a", "A", {"trained_until": "2025-01-01"}, "On days before 2025-01-01, which their"),
        ("a", "A", {}, ""),
    ],
)
def test_calibration_says_where_the_weights_in_the_backtest_were_others(weights, label, card, remark):
    drawn = SimpleNamespace(weights_sha256="a")
    backtest = SimpleNamespace(weights_sha256=weights, weights=label)
    said = facts.of_weights(drawn, backtest, SimpleNamespace(card=card))
    assert remark in said
    assert bool(said) == bool(remark)
    assert facts.of_weights(drawn, backtest, None) == ""


def test_the_commit_is_reported_only_for_a_checkout_of_the_project(tmp_path):
    assert facts.git_commit(tmp_path) == {"git_commit": None, "git_differs": None}
