"""Settings that a step took from its input are recorded whole and left out of the comparison."""

from __future__ import annotations

import pytest

from pipelines.runtime.step.derived_settings import derived_keys, derived_tags, without_derived
from pipelines.runtime.store.tags import DERIVED_TAG, TAG_LENGTH

COUNT = "data.exports.H200.exported_so_far"
TAGS = derived_tags([COUNT])


@pytest.mark.parametrize("chips", [0, 1, 1000])
def test_keys_of_a_catalogue_of_any_size_come_back_from_tags_within_the_limit(chips):
    keys = [f"data.exports.chip {place:04d}.exported_so_far" for place in range(chips)]
    tags = derived_tags(reversed(keys))
    assert list(derived_keys({"other": "[1", **tags})) == keys
    assert all(len(text) <= TAG_LENGTH for text in tags.values())


def test_a_tag_that_was_cut_short_holds_no_keys_and_the_others_hold_theirs():
    tags = {DERIVED_TAG: '["data.exports.H2', f"{DERIVED_TAG}.1": f'["{COUNT}"]'}
    assert list(derived_keys(tags)) == [COUNT]


@pytest.mark.parametrize("mine", [{}, {COUNT: "None", "data.exports.H200.unsold_stock": "None"}])
def test_a_count_that_is_not_stated_here_is_left_out_on_both_sides(mine):
    theirs = {f"{COUNT}.value": "7", f"{COUNT}.low": "7", "data.exports.H200.licence_limit": "None"}
    assert without_derived(theirs, mine, TAGS) == ({}, {})


def test_a_count_that_is_stated_here_and_what_lies_beside_it_are_compared():
    theirs = {f"{COUNT}.value": "7", "data.exports.H200.unsold_stock.value": "3", f"{COUNT}_else": "1"}
    assert without_derived(theirs, {f"{COUNT}.value": "9"}, TAGS) == (theirs, {f"{COUNT}.value": "9"})
    assert without_derived(theirs, {}, TAGS)[0] == {
        "data.exports.H200.unsold_stock.value": "3",
        f"{COUNT}_else": "1",
    }
