"""A real MLflow server that keeps the artifacts: the steps work on it, and its death is one sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forecasting.errors import StepError
from pipelines.etl.step import run_etl
from pipelines.forecast.step import run_forecast
from pipelines.runtime.registry.promotion import Verdict
from pipelines.runtime.registry.registry import Registry
from pipelines.runtime.tracking import Tracker
from pipelines.windows.step import run_windows


def test_steps_run_on_a_server_that_keeps_the_artifacts_until_it_dies(
    server, context, tiny_checkpoint, tmp_path, capfd, monkeypatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    address = server.address
    remote = replace(context, tracker=Tracker(address, "tests"))
    etl = run_etl(remote)
    forecast = run_forecast(remote, etl.run_id)
    windows = run_windows(remote)
    assert windows.tables["windows"].height > 0
    assert list((server.folder / "artifacts").rglob("windows.parquet"))
    assert remote.tracker.newest("forecast") == forecast.run_id
    registry = Registry(remote.tracker)
    with remote.tracker.step("train") as run:
        version = registry.register(run, tiny_checkpoint, {})
    registry.settle(version, lambda _: Verdict(incumbent="none", candidate_score=0.5, incumbent_score=1.0))
    assert registry.weights(registry.champion(), "cpu").label == "overspill version 1"
    assert capfd.readouterr().out == ""  # MLflow would print the address of each run where `--json` is
    server.kill()
    with pytest.raises(StepError, match=f"MLflow at {address} failed") as failed:
        run_windows(remote)
    assert "\n" not in str(failed.value)
