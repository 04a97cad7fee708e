"""Shared by the pipeline tests: a small resolved configuration, a store of its own, one whole run."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipelines.config import resolve
from pipelines.context import Context
from pipelines.tracking import Tracker

SMALL = ["forecast.paths=60", "forecast.horizon=6", "backtest.paths=40", "backtest.first_origin=2025-03-31"]


@pytest.fixture(scope="session")
def small_settings():
    """The packaged defaults with few paths and a short horizon."""
    return resolve(overrides=SMALL)


@pytest.fixture(scope="session")
def store_uri(tmp_path_factory):
    """SQLite store in a folder of its own."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture(scope="session")
def tracker(store_uri):
    return Tracker(store_uri, "tests")


@pytest.fixture(scope="session")
def context(small_settings, tracker):
    return Context(settings=small_settings, tracker=tracker, console=Console(file=io.StringIO()))


@pytest.fixture(scope="session")
def whole_run(context):
    """One `overspill run` with small settings."""
    from pipelines.run import run_all

    return run_all(context)
