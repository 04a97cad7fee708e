"""Shared keys are found whatever the files, the groups, and what was held against what before."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.etl.order_book.incremental import shared_keys as module
from pipelines.etl.order_book.incremental.shared_keys import shared_keys

HASHES = st.integers(0, 12).map(lambda n: n * (2**64 // 12) % 2**64)  # from one end of the range to the other
FILES = st.lists(st.lists(HASHES, max_size=12), min_size=1, max_size=5)


def sorted_runs(hashes, *, length):
    """Hashes of a file as its sorted runs; the row is the place in the file, from 1."""
    runs = []
    for start in range(0, len(hashes), length):
        part = np.array(hashes[start : start + length], dtype=np.uint64)
        order = np.argsort(part, kind="stable")
        runs.append((part[order], (order + start + 1).astype(np.uint32)))
    return runs


def oracle(files):
    counts = Counter(key for keys in files for key in keys)
    rows = {
        place: [row for row, key in enumerate(keys, 1) if counts[key] > 1] for place, keys in enumerate(files)
    }
    return {place: found for place, found in rows.items() if found}


def found(files, new, *, length=4):
    rows = shared_keys([sorted_runs(keys, length=length) for keys in files], new)
    return {place: each.tolist() for place, each in rows.items()}


@settings(deadline=None, max_examples=60)
@given(FILES, st.integers(1, 12), st.integers(1, 64))
def test_all_new_files_share_what_counting_says(files, length, at_once):
    before, module.KEYS_AT_ONCE = module.KEYS_AT_ONCE, at_once
    try:
        assert found(files, [True] * len(files), length=length) == oracle(files)
    finally:
        module.KEYS_AT_ONCE = before


@settings(deadline=None, max_examples=60)
@given(FILES, st.data())
def test_rows_found_before_and_rows_found_with_the_new_files_are_all_there_are(files, data):
    new = data.draw(st.lists(st.booleans(), min_size=len(files), max_size=len(files)))
    old = [[] if fresh else keys for keys, fresh in zip(files, new, strict=True)]
    together = {place: set(rows) for place, rows in oracle(old).items()}
    for place, rows in found(files, new).items():
        together.setdefault(place, set()).update(rows)
    assert {place: sorted(rows) for place, rows in together.items()} == oracle(files)


def test_nothing_new_needs_no_look():
    assert found([[1, 1], [1]], [False, False]) == {}
