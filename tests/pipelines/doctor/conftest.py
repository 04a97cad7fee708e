"""Settings on a store of the test's own, and probes that misbehave."""

import sys
import textwrap
from dataclasses import dataclass

import pytest

from pipelines.doctor.probes import Probe
from pipelines.runtime.config.loader import resolve


@pytest.fixture
def settings_on(small_settings, tmp_path, monkeypatch):
    """Settings with a store; the working folder is empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # the check sets it, for its own process

    def make(uri=None, *overrides):
        given = [] if uri is None else [f"tracking.uri={uri}"]
        return resolve(overrides=["tracking.experiment=tests", "forecast.device=cpu", *given, *overrides])

    return make


@dataclass
class Written:
    """Probes whose checks are written into a module of their own."""

    folder: object
    count: int = 0

    def __call__(self, body, *, seconds=20.0, required=("second",), checks=("first", "second")):
        self.count += 1
        name = f"probe_of_test_{self.count}"
        head = "import os, signal, sys, time\nfrom pipelines.doctor.findings import ok\n\n"
        body = textwrap.indent(textwrap.dedent(body), "    ")
        text = f"{head}def check(settings, scratch):\n{body}\n    yield from ()\n"
        (self.folder / f"{name}.py").write_text(text)
        return Probe(
            name=name,
            target=f"{name}:check",
            checks=dict.fromkeys(checks, "mend it"),
            required=frozenset(required),
            seconds=seconds,
        )


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Make a probe from the body of its check."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", ":".join([str(folder), *filter(None, sys.path)]))
    return Written(folder)
