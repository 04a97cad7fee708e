"""Verification: every changed byte is found and its file named; figures must follow from the artifacts."""

from __future__ import annotations

import shutil

import pytest

from forecasting.errors import InputError, StepError
from pipelines.evidence.manifest import MANIFEST, check_manifest, names_in, write_manifest
from pipelines.evidence.verify import compare, verify


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_evidence_as_written_is_verified_in_full(made):
    checked = verify(made.out)
    assert checked["files"] == len(names_in(made.out)) + 1
    assert checked["figures"] > 500
    assert checked["document"] == "rendered again from evidence.json, the same"
    assert checked["table_values"] > 1000
    assert checked["seal"] == made.seal
    assert checked["signature"] == "none: the folder agrees with itself, which does not show who wrote it"


def test_one_changed_byte_in_any_file_fails_and_names_the_file(copied):
    names = [*names_in(copied), MANIFEST]
    assert {"evidence.html", "evidence.json", "artifacts/paths.parquet"} <= set(names)
    for name in names:
        path = copied / name
        whole = path.read_bytes()
        for place in (0, len(whole) // 2, len(whole) - 1):
            flip(path, place)
            with pytest.raises(StepError, match="the file was changed") as failed:
                verify(copied)
            assert str(failed.value).startswith(f"{path}:")
            path.write_bytes(whole)
    check_manifest(copied)


def test_a_changed_byte_anywhere_in_the_manifest_is_found(copied):
    path = copied / MANIFEST
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        flip(path, place)
        with pytest.raises(StepError, match=f"{MANIFEST}: the file was changed"):
            check_manifest(copied)
        path.write_bytes(whole)


def test_missing_and_added_files_are_named(copied):
    (copied / "artifacts" / "choices.parquet").unlink()
    with pytest.raises(StepError, match=r"choices\.parquet: the file is missing"):
        verify(copied)
    write_manifest(copied)
    (copied / "remark.txt").write_text("well")
    with pytest.raises(StepError, match=r"remark\.txt: the file does not belong"):
        verify(copied)


def test_evidence_of_another_version_that_cannot_be_derived_again_says_which_version_wrote_it(
    copied, rewrite
):
    def change(content):
        content["software"]["overspill"] = "0.0.1"
        content["basis"]["paths"] += 1

    rewrite(copied, change)
    with pytest.raises(StepError, match=r"basis\.paths .*written by version 0\.0\.1"):
        verify(copied)


def test_what_is_no_evidence_folder_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="no evidence folder.*found no folder"):
        verify(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no evidence folder.*found no manifest\.json"):
        verify(tmp_path)


def test_verification_says_that_a_write_was_cut_short_and_changes_nothing(copied):
    aside = copied.rename(copied.with_name(".overspill-old-evidence"))
    with pytest.raises(InputError, match="being written, or its writing was cut short"):
        verify(copied)
    assert aside.is_dir()
    assert not copied.exists()


def test_a_moved_folder_is_still_verified(copied, tmp_path):
    shutil.move(copied, tmp_path / "elsewhere")
    assert verify(tmp_path / "elsewhere")["files"] > 5


def test_trees_of_unlike_shape_are_told_apart():
    assert list(compare({"a": [1, 2]}, {"a": [1]}, "x")) == [("x.a", [1, 2], [1])]
    assert list(compare({"a": 1}, {"b": 1}, "x")) == [("x", {"a": 1}, {"b": 1})]
    assert list(compare([1.0], [1.0], "x")) == [("x[0]", 1.0, 1.0)]
