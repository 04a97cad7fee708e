"""Shared by the pipeline tests: a small resolved configuration, a store of its own, one whole run."""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
import torch
from rich.console import Console

from models.inference.checkpoint import save_checkpoint
from models.network.transformer import Network
from models.settings import NetworkSettings
from pipelines.runtime.config.loader import resolve
from pipelines.runtime.step.context import Context
from pipelines.runtime.tracking import Tracker

SMALL = [
    *("forecast.paths=60", "forecast.horizon=6", "backtest.paths=40", "backtest.first_origin=2025-03-31"),
    "statistical.candidates=[AutoETS,AutoTheta]",
]


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


class Server:
    """An `mlflow server` on a loopback port of its own that keeps the artifacts; it may die and come back."""

    def __init__(self, folder):
        self.folder, self.process = folder, None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"

    def answers(self):
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=2) as response:  # noqa: S310
                return response.status == 200
        except OSError:
            return False

    def start(self):
        from pipelines.runtime.tracking.ui import NO_JOBS

        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/server.db", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                command, env=os.environ | NO_JOBS, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 120
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < deadline, "the server did not answer in time"
            time.sleep(0.2)

    def signal(self, number):
        """Send a signal to the server's processes."""
        os.killpg(self.process.pid, number)

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="session")
def server_class():
    return Server


@pytest.fixture
def unused_address():
    """Address on loopback where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def server(tmp_path, laid_out_store):
    """A running `mlflow server`."""
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(laid_out_store, folder / "server.db")
    made = Server(folder)
    try:
        made.start()
        yield made
    finally:
        made.kill()
