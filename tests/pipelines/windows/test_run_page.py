"""The page of a run: answer, where it came from, and what changed since the run before."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from pipelines.windows.run_page import headline, settings_changed, windows_changed
from pipelines.windows.step import run_windows


def note_of(tracker, run_id):
    return tracker.client.get_run(run_id).data.tags["mlflow.note.content"]


@pytest.fixture(scope="module")
def second(context, whole_run):
    """The same paths once more as they were, then under windows that need more confidence."""
    run_windows(context, whole_run.run_ids["forecast"])
    sure = context.settings.windows.model_copy(update={"confidence": 0.9})
    changed = replace(context, settings=context.settings.model_copy(update={"windows": sure}))
    return run_windows(changed, whole_run.run_ids["forecast"])


def test_windows_page_links_to_the_runs_it_was_made_from(tracker, whole_run):
    note = note_of(tracker, whole_run.run_ids["windows"])
    for step in ("forecast", "etl"):
        run_id = whole_run.run_ids[step]
        page = f"#/experiments/{tracker.experiment_id}/runs/{run_id}?workflowType=machine_learning"
        assert f"[{step} {run_id[:8]}]({page})" in note
    assert "| bis_2026_01 | H200 | product |" in note


def test_windows_page_says_what_changed_since_the_run_before(tracker, whole_run, second):
    note = note_of(tracker, second.run_id)
    assert "`windows.confidence`: 0.5 → 0.9" in note
    assert "Since [windows " in note


def test_answers_that_moved_are_told_and_others_are_not(whole_run):
    before = whole_run.windows.tables["windows"]
    chosen = (pl.col("chip") == "H200") & (pl.col("scope") == "product") & (pl.col("policy") == "bis_2026_01")
    after = before.with_columns(
        p_saturated_now=pl.when(chosen).then(pl.lit(0.25)).otherwise("p_saturated_now"),
        units_q50=pl.when(chosen).then(pl.lit(1_000_000.0)).otherwise("units_q50"),
    )
    lines = windows_changed(before, after)
    assert len(lines) == 1
    assert lines[0].startswith("bis_2026_01 H200 product: P(saturated now) ")
    assert "→ 25 %" in lines[0]
    assert "→ 1.0M" in lines[0]
    assert windows_changed(before, before) == []
    assert windows_changed(before.filter(~chosen), before) == ["bis_2026_01 H200 product: new"]


def test_settings_that_were_added_or_dropped_are_told():
    changed = settings_changed({"a": "1", "gone": "x", "same": "2"}, {"a": "3", "new": "y", "same": "2"})
    assert changed == ["`a`: 1 → 3", "`gone`: x → not set", "`new`: not set → y"]


def test_headline_names_the_chips_with_a_window_in_each_scope(whole_run):
    of_two = pl.col("chip").is_in(["H200", "MI325X"]) & (pl.col("scope") == "product")
    end = pl.when(of_two & (pl.col("policy") == "bis_2026_01")).then(pl.col("now"))
    windows = whole_run.windows.tables["windows"].with_columns(window_opens=end)
    text = headline(windows)
    opened = windows.filter(
        pl.col("policy") == "bis_2026_01", pl.col("scope") == "product", pl.col("window_opens").is_not_null()
    )["chip"]
    assert opened.len() > 0
    assert f"product scope: windows for {', '.join(opened)}" in text
    refused = windows.filter(pl.col("policy") == "presumption_of_denial")
    assert headline(refused) == "Under presumption_of_denial no chip can be exported."


def test_answer_is_logged_as_single_figures(tracker, whole_run):
    metrics = tracker.client.get_run(whole_run.run_ids["windows"]).data.metrics
    row = whole_run.windows.tables["windows"].filter(
        pl.col("policy") == "bis_2026_01", pl.col("chip") == "H200", pl.col("scope") == "product"
    )
    assert metrics["units_q50/H200/product/bis_2026_01"] == row["units_q50"][0]
    assert metrics["p_never/H200/product/bis_2026_01"] == row["p_never"][0]


def test_every_step_says_what_it_took_of_the_machine(tracker, whole_run):
    for step in ("etl", "backtest", "forecast", "windows"):
        metrics = tracker.client.get_run(whole_run.run_ids[step]).data.metrics
        assert metrics["system/system_memory_usage_megabytes"] > 0
        assert "system/cpu_utilization_percentage" in metrics
