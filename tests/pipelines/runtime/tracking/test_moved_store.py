"""A store that is copied or moved as a folder reads and writes its artifacts where it is now."""

from __future__ import annotations

import io
import shutil
import sqlite3
import urllib.request

import pytest
from rich.console import Console

from forecasting.errors import StepError
from pipelines.etl.step import run_etl
from pipelines.forecast.step import run_forecast
from pipelines.runtime.step.context import Context
from pipelines.runtime.store import artifact_root
from pipelines.runtime.tracking import Tracker
from pipelines.runtime.tracking.ui import free_port, server


def opened(folder, experiment="tests"):
    return Tracker(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}", experiment)


@pytest.fixture
def project(laid_out_store, tmp_path):
    """A project's folder with an empty store; its name holds what URIs and SQL treat in their own way."""
    folder = tmp_path / "my project_100%"
    (folder / "mlruns").mkdir(parents=True)
    shutil.copy(laid_out_store, folder / "mlruns" / "mlflow.db")
    return folder


def noted(tracker, text, tmp_path):
    """A finished run with one artifact."""
    note = tmp_path / "note.txt"
    note.write_text(text)
    with tracker.step("etl") as run:
        run.log_file(note)
    return run.run_id


def everything(folder):
    """Content of every file of a folder."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def places(folder):
    """Every place that the store's file records, in any text column of any table."""
    with sqlite3.connect(folder / "mlruns" / "mlflow.db") as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        return [
            (table, value)
            for table in tables
            if table != "experiment_tags"
            for row in connection.execute(f'SELECT * FROM "{table}"')  # noqa: S608
            for value in row
            if isinstance(value, str) and "/mlruns/artifacts" in value
        ]


def test_steps_go_on_in_a_moved_project_and_its_server_hands_out_what_they_wrote(
    project, small_settings, tmp_path
):
    chosen = small_settings.forecast.model_copy(update={"model": "statistical"})
    settings = small_settings.model_copy(update={"forecast": chosen})

    def context(tracker):
        return Context(settings=settings, tracker=tracker, console=Console(file=io.StringIO()))

    before = opened(project)
    etl = run_etl(context(before))
    client = before.client
    client.create_registered_model("net")
    source = f"{client.get_run(etl.run_id).info.artifact_uri}/model"
    client.create_model_version("net", source, etl.run_id)
    moved = tmp_path / "elsewhere"
    shutil.copytree(project, moved)
    shutil.rmtree(project)

    after = opened(moved)
    forecast = run_forecast(context(after))
    assert not project.exists()
    root = (moved / "mlruns" / "artifacts").as_uri()
    assert (moved / "mlruns" / "artifacts" / forecast.run_id / "artifacts" / "paths.parquet").is_file()
    version = after.client.get_model_version("net", "1")
    assert version.source == f"{root}/{etl.run_id}/artifacts/model"
    assert after.client.get_experiment(after.experiment_id).artifact_location == root
    assert all(value.startswith((root, str(moved))) for _, value in places(moved))
    with server(after, free_port(None)) as (address, _):
        asked = f"{address}/get-artifact?path=settings-etl.yaml&run_uuid={etl.run_id}"
        with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
            assert answer.read().startswith(b"# overspill etl")


def test_a_copy_leaves_the_original_as_it_was_and_both_go_on(project, tmp_path):
    first = noted(opened(project), "of the original", tmp_path)
    copy = shutil.copytree(project, tmp_path / "copy")
    before = everything(project)
    tracker = opened(copy)
    second = noted(tracker, "of the copy", tmp_path)
    with tracker.artifact(first, "note.txt") as path:
        assert path.read_text() == "of the original"
    assert everything(project) == before
    assert (copy / "mlruns" / "artifacts" / second / "artifacts" / "note.txt").read_text() == "of the copy"
    again = opened(project)
    assert noted(again, "later", tmp_path) not in {first, second}
    assert again.client.get_run(first).info.artifact_uri.startswith(project.as_uri())


def test_a_project_may_be_moved_again_and_back_and_the_former_place_is_recorded(project, tmp_path):
    run = noted(opened(project), "text", tmp_path)
    first = (project / "mlruns" / "artifacts").as_uri()
    for name in ("second", "third"):
        folder = shutil.move(project, tmp_path / name)
        project = tmp_path / name
        tracker = opened(project)
        with tracker.artifact(run, "note.txt") as path:
            assert path.read_text() == "text"
        tags = tracker.client.get_experiment(tracker.experiment_id).tags
        assert tags["overspill.artifact_root"] == (project / "mlruns" / "artifacts").as_uri()
        assert tags["overspill.artifact_root_before"] == first
        first = tags["overspill.artifact_root"]
        assert folder


def test_a_store_from_before_roots_were_recorded_follows_if_its_artifacts_lie_beside_it(project, tmp_path):
    tracker = opened(project)
    run = noted(tracker, "text", tmp_path)
    with sqlite3.connect(project / "mlruns" / "mlflow.db") as connection:
        connection.execute("DELETE FROM experiment_tags WHERE key = 'overspill.artifact_root'")
    moved = tmp_path / "moved"
    shutil.move(project, moved)
    with opened(moved).artifact(run, "note.txt") as path:
        assert path.read_text() == "text"
    noted(opened(moved), "more", tmp_path)
    assert not project.exists()


def test_artifacts_that_were_put_elsewhere_on_purpose_stay_there(project, tmp_path):
    tracker = opened(project)
    noted(tracker, "text", tmp_path)
    elsewhere = (tmp_path / "large disk" / "artifacts").as_uri()
    tracker.client.create_experiment("large", artifact_location=elsewhere)
    tracker.client.create_experiment("bucket", artifact_location="s3://bucket/artifacts")
    copy = shutil.copytree(project, tmp_path / "copy")
    after = opened(copy)
    found = {each.name: each.artifact_location for each in after.client.search_experiments()}
    assert found["large"] == elsewhere
    assert found["bucket"] == "s3://bucket/artifacts"
    assert found["tests"] == (copy / "mlruns" / "artifacts").as_uri()


def test_another_path_to_the_same_folder_is_no_move(project, tmp_path, monkeypatch):
    noted(opened(project), "text", tmp_path)
    before = places(project)
    other = tmp_path / "other"
    other.mkdir()
    shutil.move(project / "mlruns", other / "mlruns")
    (project / "mlruns").symlink_to(other / "mlruns")
    opened(other)  # the old path leads to the same folder
    assert places(other) == before


def test_what_cannot_be_rewritten_is_one_sentence_and_changes_nothing(project, tmp_path, monkeypatch):
    noted(opened(project), "text", tmp_path)
    copy = shutil.copytree(project, tmp_path / "copy")
    before = places(copy)
    monkeypatch.setattr(artifact_root, "BUSY_SECONDS", 0.1)
    with sqlite3.connect(copy / "mlruns" / "mlflow.db") as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StepError, match="where the artifacts of the store are cannot be .*locked"):
            opened(copy)
        other.execute("ROLLBACK")
    assert places(copy) == before


def test_a_rewrite_that_fails_half_way_is_undone(project, tmp_path, monkeypatch):
    noted(opened(project), "text", tmp_path)
    copy = shutil.copytree(project, tmp_path / "copy")
    before = places(copy)
    whole, calls = artifact_root._rewrite_column, []

    def fails_late(*arguments):
        calls.append(arguments)
        if len(calls) > 3:
            raise sqlite3.OperationalError("disk full")
        whole(*arguments)

    monkeypatch.setattr(artifact_root, "_rewrite_column", fails_late)
    with pytest.raises(StepError, match="disk full"):
        opened(copy)
    assert places(copy) == before
