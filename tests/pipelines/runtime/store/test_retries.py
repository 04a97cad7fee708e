"""How long a dead server is waited for: the defaults, who may change them, and when they are set."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pipelines.runtime.store import retries

NAMES = sorted(retries.DEFAULTS)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in NAMES:
        monkeypatch.setenv(name, "0")  # restored at the end, whatever a test does
        monkeypatch.delenv(name)


def test_defaults_are_set_where_the_environment_sets_none(monkeypatch):
    monkeypatch.setenv(retries.TIMEOUT, "7")
    retries.set_client_environment()
    assert os.environ[retries.TIMEOUT] == "7"
    assert os.environ[retries.ATTEMPTS] == "5"


def test_a_check_tries_once_and_waits_as_long_as_ever():
    retries.set_client_environment()
    retries.try_once()
    assert (os.environ[retries.ATTEMPTS], os.environ[retries.TIMEOUT]) == ("0", "30")


def test_a_process_that_stops_tries_once_and_briefly():
    retries.set_client_environment()
    retries.try_once_briefly()
    assert (os.environ[retries.ATTEMPTS], os.environ[retries.TIMEOUT]) == ("0", "5")


def test_importing_the_tracking_package_leaves_the_environment_alone_and_opening_a_store_sets_it(tmp_path):
    script = f"""
import os
before = {{name: os.environ.get(name) for name in {NAMES!r}}}
from mlflow.telemetry import get_telemetry_client
from pipelines.runtime.tracking import Store
assert {{name: os.environ.get(name) for name in {NAMES!r}}} == before
Store("sqlite:///{tmp_path}/mlflow.db")
assert all(os.environ[name] for name in {NAMES!r})
assert get_telemetry_client() is None
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
