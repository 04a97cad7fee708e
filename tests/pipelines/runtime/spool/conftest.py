"""A server that may go away and a job on it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from spool_jobs import IMPATIENT, Job


@pytest.fixture
def impatient(monkeypatch):
    """MLflow's client gives up within two seconds."""
    for name, value in IMPATIENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, laid_out_store, server_class):
    """A server that the tests of a file share: each has an experiment of its own, none kills it."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(laid_out_store, folder / "server.db")
    made = server_class(folder)
    try:
        made.start()
        yield made
    finally:
        made.kill()


@pytest.fixture
def job(shared, tmp_path, request):
    return Job(shared.address, tmp_path / "spool", request.node.name)
