"""The base case of a sensitivity or a scenario: what is missing or altered in its runs is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from forecasting.errors import InputError
from pipelines.what_if.base_case import read_case
from pipelines.what_if.scenario import ScenarioRequest, run_scenarios
from pipelines.what_if.sensitivity import SensitivityRequest, run_sensitivity


@pytest.fixture
def stored(tracker, whole_run, tmp_path):
    """Path of an artifact of the whole run; what a test does to it is undone."""
    touched = []

    def find(step, name):
        folder = tracker.client.get_run(whole_run.run_ids[step]).info.artifact_uri.removeprefix("file://")
        path, aside = Path(folder) / name, tmp_path / f"{step}-{name}"
        shutil.copy(path, aside)
        touched.append((path, aside))
        return path

    yield find
    for path, aside in touched:
        shutil.copy(aside, path)


@pytest.mark.parametrize(
    ("step", "name"),
    [
        ("windows", "settings-windows.yaml"),
        ("forecast", "settings-forecast.yaml"),
        ("forecast", "paths.parquet"),
        ("etl", "panel.parquet"),
    ],
)
def test_a_missing_artifact_is_named(tracker, whole_run, stored, step, name):
    stored(step, name).unlink()
    run = whole_run.run_ids[step]
    with pytest.raises(InputError, match=f"run {run}: the run has no such artifact: expected {name}"):
        read_case(tracker, whole_run.run_ids["windows"])


@pytest.mark.parametrize(("step", "name"), [("forecast", "paths"), ("etl", "panel")])
def test_an_altered_table_is_refused(tracker, whole_run, stored, step, name):
    path = stored(step, f"{name}.parquet")
    table = pl.read_parquet(path)
    table.with_columns(table.to_series(-1).reverse()).write_parquet(path)
    with pytest.raises(InputError, match=rf"{name}\.parquet: the artifact is not what its run wrote"):
        read_case(tracker, whole_run.run_ids["windows"])


@pytest.mark.parametrize("run", [run_sensitivity, run_scenarios])
def test_altered_settings_are_refused_and_no_run_is_left(context, tracker, whole_run, stored, run):
    path = stored("windows", "settings-windows.yaml")
    path.write_text(path.read_text().replace("confidence: 0.5", "confidence: 0.4"))
    before = len(tracker.client.search_runs([tracker.experiment_id]))
    request = SensitivityRequest if run is run_sensitivity else ScenarioRequest
    with pytest.raises(InputError, match=r"settings-windows\.yaml: the artifact is not what its run wrote"):
        run(context, request(windows_run=whole_run.run_ids["windows"]))
    assert len(tracker.client.search_runs([tracker.experiment_id])) == before
