"""Which of several rows of one key counts: against plain loops, and case by case."""

import datetime as dt

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.order_book.deduplicate import KEY, decide, key_hash
from forecasting.order_book.normalise import normalise

FEW = settings(deadline=None, max_examples=30)
LINE = {
    "order_id": "o1",
    "line": 1,
    "split": 0,
    "sku": "sku-1",
    "customer_country": "US",
    "end_use_country": "US",
    "quantity": 5,
    "ordered_at": dt.date(2025, 1, 2),
    "requested_at": dt.date(2025, 2, 2),
}
EARLY, LATE = dt.datetime(2025, 1, 5), dt.datetime(2025, 1, 6)  # noqa: DTZ001


def lines_of(book, rows):
    return normalise(book.frame(rows).lazy(), book.intake).collect()


def outcomes(book, *changes):
    """What becomes of versions of one line, each in a file of its own."""
    rows = [dict.fromkeys(book.RAW) | LINE | change for change in changes]
    lines = lines_of(book, rows).with_columns(source_file=pl.int_range(pl.len()))
    return decide(lines)["outcome"].to_list()


@FEW
@given(seed=st.integers(0, 2**32), count=st.integers(1, 60))
def test_rows_become_what_plain_loops_make_of_them_in_whatever_order_they_come(book, seed, count):
    rows = book.rows(seed, count)
    wanted = book.outcomes(rows)
    lines = lines_of(book, rows).with_columns(source_file=pl.lit("a"))
    good = lines.filter(pl.col("broken_rule").is_null())
    shuffled = good.sample(fraction=1.0, shuffle=True, seed=seed % 1000)
    decided = decide(shuffled)
    assert decided.drop("outcome").equals(shuffled)
    found = dict(decided.select("source_row", "outcome").iter_rows())
    assert found == {row: wanted[row - 1] for row in good["source_row"]}


def test_the_latest_update_wins(book):
    assert outcomes(book, {"updated_at": EARLY}, {"updated_at": LATE, "quantity": 3}) == [
        "superseded",
        "accepted",
    ]


def test_a_version_without_an_update_is_the_oldest(book):
    assert outcomes(book, {"updated_at": EARLY}, {"quantity": 3}) == ["accepted", "superseded"]


def test_of_equal_rows_the_first_stands_and_may_be_superseded(book):
    assert outcomes(book, {}, {}, {}) == ["accepted", "duplicate_line", "duplicate_line"]
    assert outcomes(book, {}, {}, {"updated_at": EARLY}) == ["superseded", "duplicate_line", "accepted"]


def test_versions_in_conflict_supersede_nothing(book):
    rows = [{"updated_at": EARLY}, {"updated_at": LATE}, {"updated_at": LATE, "quantity": 3}]
    assert outcomes(book, *rows) == ["accepted", "conflicting_versions", "conflicting_versions"]


def test_any_column_that_differs_is_a_conflict(book):
    for change in ({"unit_price": 1.0}, {"customer_id": "c"}, {"promised_at": dt.date(2025, 3, 1)}):
        assert outcomes(book, {}, change, {}) == ["conflicting_versions"] * 3


def test_a_return_does_not_supersede_the_line_it_returns(book):
    back = {"quantity": -2, "return_reason": "broken", "updated_at": LATE}
    assert outcomes(book, {"updated_at": EARLY}, back) == ["accepted", "accepted"]


def test_returns_of_one_line_on_several_days_all_count_and_each_has_versions_of_its_own(book):
    first = {"quantity": -5, "return_reason": "broken", "updated_at": EARLY}
    other = first | {"quantity": -3, "ordered_at": dt.date(2025, 1, 4)}
    assert outcomes(book, {}, first, other) == ["accepted"] * 3
    later = other | {"updated_at": LATE, "quantity": -4}
    assert outcomes(book, first, other, later) == ["accepted", "superseded", "accepted"]
    assert outcomes(book, other, other) == ["accepted", "duplicate_line"]


def test_lines_and_splits_of_an_order_are_keys_of_their_own(book):
    assert outcomes(book, {}, {"line": 2}, {"split": 1}, {"order_id": "o2"}) == ["accepted"] * 4


@FEW
@given(seed=st.integers(0, 2**32))
def test_equal_keys_and_only_those_share_a_hash(book, seed):
    lines = lines_of(book, book.rows(seed, 60))
    good = lines.filter(pl.col("broken_rule").is_null())
    keyed = good.select(*KEY, key_hash())
    keys = keyed.n_unique(subset=["order_id", "line", "split", "returned_at"])
    assert keyed["key_hash"].n_unique() == keys == keyed.unique().height


def test_neighbouring_numbers_do_not_collide():
    grid = pl.DataFrame({"order_id": [f"{n}" for n in range(50)]})
    for name, values in (("line", range(20)), ("split", range(-3, 20)), ("quantity", (-1, 1))):
        grid = grid.join(pl.DataFrame({name: list(values)}), how="cross")
    days = pl.DataFrame({"ordered_at": [dt.date(1950, 1, 1), dt.date(1970, 1, 1), dt.date(2025, 1, 1)]})
    grid = grid.join(days, how="cross")
    keys = grid.select(*KEY).n_unique()
    assert grid.select(key_hash()).to_series().n_unique() == keys == grid.height * 4 // 6
