"""docs/order-book.md says what the code does: every column and every rule, in the code's own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from forecasting.order_book.rules import RULES
from forecasting.order_book.schema import COLUMNS, OPTIONAL
from forecasting.order_book.series import Series

TEXT = (Path(__file__).parents[3] / "docs" / "order-book.md").read_text(encoding="utf-8")


def test_rules_stand_there_in_their_order_with_their_sentences():
    rows = [f"| `{rule}` | {sentence} |" for rule, sentence in RULES.items()]
    assert "\n".join(rows) in TEXT


@pytest.mark.parametrize("column", COLUMNS)
def test_column_of_the_input_has_its_row_that_says_whether_it_may_be_missing(column):
    [row] = [line for line in TEXT.splitlines() if line.startswith(f"| `{column}` |")]
    assert ("may be missing" in row) == (column in OPTIONAL)


@pytest.mark.parametrize("column", Series.column_names())
def test_column_of_the_series_is_explained(column):
    assert f"`{column}`" in TEXT.partition("## `series`")[2].partition("\n## ")[0]
