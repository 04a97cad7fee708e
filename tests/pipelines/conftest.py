"""Shared by the pipeline tests: a small resolved configuration, a store of its own, one whole run."""

from __future__ import annotations

import io
import shutil

import pytest
import torch
from rich.console import Console

from models.checkpoint import save_checkpoint
from models.network import Network
from models.settings import NetworkSettings
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
def laid_out_store(tmp_path_factory):
    """File of a store that holds nothing yet; laying one out takes seconds, a copy does not."""
    file = tmp_path_factory.mktemp("laid_out") / "mlflow.db"
    Tracker(f"sqlite:///{file}", "laid out")
    return file


@pytest.fixture
def own_tracker(laid_out_store, tmp_path):
    """Tracker on a store that no other test sees."""
    folder = tmp_path / "store"
    folder.mkdir()
    shutil.copy(laid_out_store, folder / "mlflow.db")
    return Tracker(f"sqlite:///{folder / 'mlflow.db'}", "tests")


@pytest.fixture(scope="session")
def tiny_network():
    """A network that is quick to train and knows nothing."""
    torch.manual_seed(3)
    shape = NetworkSettings(width=32, blocks=1, heads=2, feedforward=48, shared_rank=2, own_rank=4)
    return Network(shape).eval()


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_network, tmp_path_factory):
    """Folder with the weights of the tiny network."""
    folder = tmp_path_factory.mktemp("tiny")
    save_checkpoint(folder, tiny_network, {"commit": None, "scores": {}})
    return folder


@pytest.fixture(scope="session")
def whole_run(context):
    """One `overspill run` with small settings."""
    from pipelines.run import run_all

    return run_all(context)
