"""Evidence of one small run, written once; tests that change it work on a copy."""

from __future__ import annotations

import shutil

import pytest

from pipelines.evidence.step import write_evidence


@pytest.fixture(scope="session")
def made(whole_run, tracker, tmp_path_factory):
    """Evidence for the first policy of the small run."""
    out = tmp_path_factory.mktemp("made") / "evidence"
    return write_evidence(tracker, out, windows_run_id=whole_run.run_ids["windows"])


@pytest.fixture
def copied(made, tmp_path):
    """A copy of the evidence folder that a test may change."""
    return shutil.copytree(made.out, tmp_path / "evidence")
