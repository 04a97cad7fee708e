"""The order book's peer does the same work, and the scaling script's books are as they were asked for."""

from __future__ import annotations

import order_book_scaling
import pytest
from make_order_book import write_order_book
from order_book import Measured, units
from order_book_lines import Book as MadeBook
from order_book_scaling import Book, Kept, books, growth, rows


def test_duckdb_finds_every_planted_oddity(tmp_path):
    pytest.importorskip("duckdb")
    from order_book_duckdb import SUMS, aggregated, checked

    truth = write_order_book(tmp_path / "book", MadeBook(lines=4_000, files=4))
    connection = aggregated(tmp_path / "book")
    found = checked(connection, tmp_path / "out")
    superseded = {"superseded": truth["rows"]["superseded"]}
    assert units(connection.execute(SUMS).fetchall()) == truth["units"]
    assert found["outcomes"] == truth["quarantined"] | superseded
    assert found["overtaken_us_lines"] == truth["overtaken_us_lines"]["lines"]
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 8


@pytest.mark.parametrize("amended", [0.0, 0.25, 1.0])
def test_a_scaled_book_has_as_many_versions_as_it_says(amended):
    book = Book(lines=5_000, amended=amended)
    keys = rows(book)["order_id"]
    assert keys.len() == 5_000
    assert keys.n_unique() == 5_000 - book.superseded
    assert book.superseded == pytest.approx(keys.n_unique() * amended, abs=1)


def test_all_us_lines_of_a_late_book_are_late_and_every_sku_has_exports():
    table = rows(Book(lines=5_000, late=1.0))
    us = table["end_use_country"] == "US"
    assert (table.filter(us)["shipped_at"] > table.filter(us)["requested_at"]).all()
    assert table.filter(~us)["sku"].n_unique() == 24


def test_growth_is_told_for_twice_the_size_whatever_the_step():
    assert growth(3.0, 6.0, 2) == pytest.approx(2)
    assert growth(1.0, 10.0, 10) == pytest.approx(2)
    assert growth(1.0, 1.0, 10) == pytest.approx(1)


def test_only_books_with_files_of_a_hundred_lines_are_drawn():
    assert max(books(100_000, ["files"])["files"]) == 1_000


def test_figures_that_were_kept_are_not_measured_again(tmp_path, monkeypatch):
    asked = []

    def run(_, book):
        asked.append(book.lines)
        return Measured(seconds=1.0, cpu_seconds=2.0, peak_mib=3.0, output="")

    monkeypatch.setattr(order_book_scaling, "run", run)
    for lines in (10, 20, 10):
        found = Kept.read(tmp_path / "kept.json").measured(tmp_path, Book(lines=lines))
        assert found.cpu_seconds == 2.0
    assert asked == [10, 20]
