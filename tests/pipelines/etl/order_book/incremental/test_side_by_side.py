"""Files side by side: every result once; after an error nothing more is begun."""

from __future__ import annotations

import pytest

from pipelines.etl.order_book.incremental.engines import WORKERS, side_by_side


def test_every_item_has_its_result():
    assert sorted(side_by_side(lambda n: n * n, range(20))) == [n * n for n in range(20)]
    assert list(side_by_side(str, [])) == []


def test_error_comes_through_and_stops_the_rest():
    begun = []

    def third_fails(n):
        begun.append(n)
        if n == 3:
            raise ValueError("third")
        return n

    with pytest.raises(ValueError, match="third"):
        list(side_by_side(third_fails, range(100)))
    assert len(begun) <= 4 + 2 * WORKERS
