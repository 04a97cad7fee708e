"""Verification: every changed byte is found and its file named; figures must follow from the artifacts."""

from __future__ import annotations

import json
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
    assert checked["seal"] == made.seal


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


def a_probability(content):
    row = next(row for row in content["headline"] if row["chip"] == "H200")
    row["p_saturated_now"] = 0.123


def a_date(content):
    row = next(row for row in content["headline"] if row["chip"] == "H200")
    row["saturated"]["q50"] = "2031-03-31"


def a_share_of_open_paths(content):
    next(row for row in content["headline"] if row["steps"])["steps"][0]["p_open"] = 0.999


def some_units(content):
    next(row for row in content["headline"] if row["steps"])["units"]["q90"] = 9e9


def a_verdict(content):
    found = content["conditions"][-1]["findings"][-1]
    found["verdict"] = "not met" if found["verdict"] == "met" else "met"


def some_headroom(content):
    next(row for row in content["headline"] if row["steps"])["headroom_next_period"]["q50"] = 1e9


def a_digest_of_rows(content):
    content["row_sets"][-1]["content_sha256"] = "0" * 64


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (a_probability, r"headline\[\d+\]\.p_saturated_now"),
        (a_date, r"headline\[\d+\]\.saturated\.q50"),
        (a_share_of_open_paths, r"headline\[\d+\]\.steps\[0\]\.p_open"),
        (some_units, r"headline\[\d+\]\.units\.q90"),
        (a_verdict, r"conditions\[\d+\]\.findings\[\d+\]\.verdict"),
        (some_headroom, r"headline\[\d+\]\.headroom_next_period\.q50"),
        (a_digest_of_rows, r"row_sets\[\d+\]\.content_sha256"),
    ],
)
def test_a_figure_that_does_not_follow_is_named_even_under_a_new_manifest(copied, change, place):
    path = copied / "evidence.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    write_manifest(copied)
    with pytest.raises(
        StepError, match=rf"evidence\.json: {place} does not follow from the stored artifacts"
    ):
        verify(copied)


def test_a_document_that_says_something_else_is_named_even_under_a_new_manifest(copied):
    path = copied / "evidence.html"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("no legal advice", "legal advice"), encoding="utf-8")
    write_manifest(copied)
    with pytest.raises(
        StepError, match=r"evidence\.html: the document does not say what evidence\.json holds"
    ):
        verify(copied)


def test_a_document_of_another_template_is_checked_by_its_hash_alone(copied):
    path = copied / "evidence.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["software"]["template_sha256"] = "0" * 64
    path.write_text(json.dumps(content), encoding="utf-8")
    write_manifest(copied)
    assert verify(copied)["document"].startswith("only its hash was checked")


def test_evidence_of_another_version_that_cannot_be_derived_again_says_which_version_wrote_it(copied):
    path = copied / "evidence.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["software"]["overspill"] = "0.0.1"
    content["basis"]["paths"] += 1
    path.write_text(json.dumps(content), encoding="utf-8")
    write_manifest(copied)
    with pytest.raises(StepError, match=r"basis\.paths .*written by version 0\.0\.1"):
        verify(copied)


def test_what_is_no_evidence_folder_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="no evidence folder.*found no folder"):
        verify(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no evidence folder.*found no manifest\.json"):
        verify(tmp_path)


def test_verification_puts_back_what_a_killed_run_had_moved_aside(copied):
    copied.rename(copied.with_name(".overspill-old-evidence"))
    assert verify(copied)["figures"] > 500


def test_a_moved_folder_is_still_verified(copied, tmp_path):
    shutil.move(copied, tmp_path / "elsewhere")
    assert verify(tmp_path / "elsewhere")["files"] > 5


def test_trees_of_unlike_shape_are_told_apart():
    assert list(compare({"a": [1, 2]}, {"a": [1]}, "x")) == [("x.a", [1, 2], [1])]
    assert list(compare({"a": 1}, {"b": 1}, "x")) == [("x", {"a": 1}, {"b": 1})]
    assert list(compare([1.0], [1.0], "x")) == [("x[0]", 1.0, 1.0)]
