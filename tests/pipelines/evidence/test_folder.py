"""An evidence folder is replaced only where it holds nothing but what its manifest lists, as it lists it."""

from __future__ import annotations

import pytest

from forecasting.errors import InputError
from pipelines.evidence.folder import check_replaceable
from pipelines.evidence.manifest import ARTIFACTS, write_manifest


@pytest.fixture
def evidence(tmp_path):
    out = tmp_path / "evidence"
    (out / ARTIFACTS).mkdir(parents=True)
    (out / "evidence.json").write_text("{}")
    (out / ARTIFACTS / "paths.csv").write_text("a,b\n")
    write_manifest(out)
    return out


def test_evidence_as_it_was_written_may_be_replaced_signed_or_not(evidence):
    check_replaceable(evidence)
    (evidence / "manifest.sig").write_bytes(b"a signature")
    check_replaceable(evidence)


@pytest.mark.parametrize(
    "name", ["notes.txt", f"{ARTIFACTS}/notes.txt", "evidence.json", f"{ARTIFACTS}/paths.csv"]
)
def test_a_file_of_ones_own_or_one_that_was_changed_is_refused_by_name(evidence, name):
    (evidence / name).write_text("my own notes")
    with pytest.raises(InputError, match=f"would be replaced: expected .*, found {name}$"):
        check_replaceable(evidence)
    assert (evidence / name).read_text() == "my own notes"


@pytest.mark.parametrize("manifest", ["", "[]", '{"files": [1]}', '{"files": {"a": 1}}'])
def test_a_folder_whose_manifest_cannot_be_read_is_not_replaced(evidence, manifest):
    (evidence / "manifest.json").write_text(manifest)
    with pytest.raises(InputError, match=f"found {ARTIFACTS}, evidence.json, manifest.json$"):
        check_replaceable(evidence)
