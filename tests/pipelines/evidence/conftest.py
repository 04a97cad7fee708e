"""Evidence of one small run, written once; tests that change it work on a copy."""

from __future__ import annotations

import json
import shutil

import pytest

from pipelines.evidence import verify as verification
from pipelines.evidence.derive import derive
from pipelines.evidence.document import render
from pipelines.evidence.manifest import DOCUMENT, EVIDENCE, json_text, write_manifest
from pipelines.evidence.records import as_json
from pipelines.evidence.signature import generate_key, read_private_key
from pipelines.evidence.step import write_evidence
from pipelines.runtime.config.loader import dump


@pytest.fixture(scope="session")
def made(whole_run, tracker, tmp_path_factory):
    """Evidence for the first policy of the small run."""
    out = tmp_path_factory.mktemp("made") / "evidence"
    return write_evidence(tracker, out, windows_run_id=whole_run.run_ids["windows"])


@pytest.fixture(scope="session")
def content(made):
    """What its `evidence.json` holds."""
    return as_json(made.content)


@pytest.fixture
def copied(made, tmp_path):
    """A copy of the evidence folder that a test may change."""
    return shutil.copytree(made.out, tmp_path / "evidence")


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory):
    """Path of a private key; the public key is beside it."""
    path = tmp_path_factory.mktemp("keys") / "signer"
    generate_key(path)
    return path


@pytest.fixture(scope="session")
def signed(whole_run, tracker, tmp_path_factory, signing_key):
    """The same evidence, signed."""
    out = tmp_path_factory.mktemp("signed") / "evidence"
    key = read_private_key(signing_key)
    return write_evidence(tracker, out, windows_run_id=whole_run.run_ids["windows"], key=key)


@pytest.fixture(scope="session")
def derived_once():
    """The derivation, which is the slow part, done once for the same inputs."""
    known = {}

    def derive_once(inputs):
        tables = (inputs.paths, inputs.choices, inputs.panel)
        key = (
            dump(inputs.settings),
            inputs.policy,
            inputs.known_until,
            inputs.threshold,
            inputs.attestations,
        )
        key += tuple(table.hash_rows().sum() for table in tables)
        if key not in known:
            known[key] = derive(inputs)
        return known[key]

    return derive_once


@pytest.fixture
def quick_verify(derived_once, monkeypatch):
    """Verification with `derived_once`."""
    monkeypatch.setattr(verification, "derive", derived_once)
    return verification.verify


@pytest.fixture(scope="session")
def rewrite():
    """What a forger does: change `evidence.json`, render the document and compute every hash again."""

    def change_content(folder, change):
        stated = json.loads((folder / EVIDENCE).read_text(encoding="utf-8"))
        change(stated)
        (folder / EVIDENCE).write_text(json_text(stated), encoding="utf-8")
        (folder / DOCUMENT).write_text(render(stated), encoding="utf-8")
        write_manifest(folder)

    return change_content
