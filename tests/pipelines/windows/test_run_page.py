"""The page of a run: answer, where it came from, and what changed since the run before."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from forecasting.errors import InputError
from pipelines.figures.number_format import share_of_paths
from pipelines.runtime.step.inputs import read_input
from pipelines.windows.answer_from_tables import deviating
from pipelines.windows.run_page import last_of_kind, page_head, settings_changed, windows_changed
from pipelines.windows.step import run_windows


def note_of(tracker, run_id):
    return tracker.client.get_run(run_id).data.tags["mlflow.note.content"]


@pytest.fixture(scope="module")
def second(context, whole_run):
    """The same paths once more as they were, then under windows that need less confidence."""
    run_windows(context, whole_run.run_ids["forecast"])
    sure = context.settings.windows.model_copy(update={"confidence": 0.05})
    changed = replace(context, settings=context.settings.model_copy(update={"windows": sure}))
    return run_windows(changed, whole_run.run_ids["forecast"])


def test_page_begins_with_the_answer_in_numbers_and_links_to_the_figures(tracker, whole_run):
    run_id = whole_run.run_ids["windows"]
    note, answer = note_of(tracker, run_id), whole_run.windows.answer
    first = note.split("\n")[0]
    assert answer.sentence in first
    assert re.search(r"\d+ %", first)
    for name in ("figures/figures.html", "answer.html"):
        page = f"#/experiments/{tracker.experiment_id}/runs/{run_id}/artifacts/{name}"
        assert f"({page}?workflowType=machine_learning)" in first
        with tracker.artifact(run_id, name) as path:
            assert path.is_file()


def test_page_names_policies_by_title_and_periods_not_days(tracker, whole_run, small_settings):
    note = note_of(tracker, whole_run.run_ids["windows"]).split("Computed from")[0]
    for policy in small_settings.policies:
        assert policy.title in note
    days = set(re.findall(r"\d{4}-\d{2}-\d{2}", note))
    assert days == {str(whole_run.windows.answer.basis.known_until)}
    assert re.search(r"\| H200&emsp; \| \S+%&emsp; \|", note)


def test_windows_page_links_to_the_runs_it_was_made_from(tracker, whole_run):
    note = note_of(tracker, whole_run.run_ids["windows"])
    for step in ("forecast", "etl"):
        run_id = whole_run.run_ids[step]
        page = f"#/experiments/{tracker.experiment_id}/runs/{run_id}?workflowType=machine_learning"
        assert f"[{step} {run_id[:8]}]({page})" in note


def test_page_says_what_changed_in_the_answer_before_what_changed_in_the_settings(tracker, second):
    note = note_of(tracker, second.run_id)
    since = note.partition("What changed since [windows ")[2]
    assert "`windows.confidence`: 0.5 → 0.05" in since
    answers = [line for line in since.splitlines() if "own orders" in line]
    assert answers, since
    assert since.index(answers[-1]) < since.index("`windows.confidence`")


def test_last_run_of_the_same_kind_is_neither_a_what_if_nor_of_another_first_policy(
    context, whole_run, second
):
    forecast = whole_run.run_ids["forecast"]
    assert last_of_kind(context, forecast) == second.run_id
    other = context.settings.model_copy(update={"policies": context.settings.policies[::-1][:1]})
    turned = replace(context, settings=other)
    run_windows(turned, forecast)
    assert last_of_kind(context, forecast) == second.run_id


def test_what_if_wears_a_badge_and_its_name_says_what_it_changes(tracker, whole_run):
    answer = replace(whole_run.windows.answer, deviating=("capacity_decay = 0.7",))
    note = page_head(tracker, "0" * 32, [answer])
    assert note.startswith("**WHAT-IF**: `capacity_decay = 0.7`. **")
    assert answer.name.endswith(", what-if: capacity_decay = 0.7")
    plain = replace(answer, deviating=())
    assert plain.name.endswith(" vendor, default")
    assert "WHAT-IF" not in page_head(tracker, "0" * 32, [plain])


def test_run_is_called_by_its_answer_and_its_tags_hold_what_matters(tracker, whole_run, small_settings):
    for step in ("windows", "run"):
        run = tracker.client.get_run(whole_run.run_ids[step])
        answer = whole_run.windows.answer
        leader = answer.leader
        assert run.info.run_name == answer.name
        assert run.info.run_name.startswith(f"{leader.chip} {share_of_paths(leader.own.met_now)} own / ")
        assert run.data.tags["units 10-50-90"] == leader.own.units_shown
        assert run.data.tags["data known on"] == str(answer.basis.known_until)
        assert run.data.tags["what-if"] == ", ".join(deviating(small_settings))


def test_tags_that_matter_were_set_first(tracker, whole_run):
    tags = list(tracker.client.get_run(whole_run.run_ids["windows"]).data.tags)
    assert tags.index("own met") < tags.index("overspill.step")
    assert "pending" not in tracker.client.get_run(whole_run.run_ids["windows"]).data.tags.values()


def test_full_digests_are_in_one_artifact_and_a_change_of_it_is_found(tracker, context, whole_run):
    run = tracker.client.get_run(run_windows(context, whole_run.run_ids["forecast"]).run_id)
    hashes = [name for name, value in run.data.tags.items() if re.fullmatch("[0-9a-f]{64}", value)]
    assert hashes == ["overspill.sha256"]
    with tracker.artifact(run.info.run_id, "digests.json") as path:
        digests = json.loads(path.read_text())
    assert {"paths", "windows", "window_steps", "saturation", "headroom"} <= digests.keys()
    file = Path(run.info.artifact_uri.removeprefix("file://")) / "digests.json"
    file.write_text(json.dumps(digests | {"windows": "0" * 64}))
    with pytest.raises(InputError, match=r"digests\.json: the artifact is not what its run wrote"):
        read_input(tracker, run.info.run_id, step="windows", name="windows")


def test_answers_that_moved_are_told_and_others_are_not(whole_run, small_settings):
    before = whole_run.windows.tables["windows"]
    chosen = (pl.col("chip") == "H200") & (pl.col("scope") == "product") & (pl.col("policy") == "bis_2026_01")
    after = before.with_columns(
        p_saturated_now=pl.when(chosen).then(pl.lit(0.25)).otherwise("p_saturated_now"),
        units_q50=pl.when(chosen).then(pl.lit(1_000_000.0)).otherwise("units_q50"),
    )
    changed = partial(windows_changed, settings=small_settings)
    lines = changed(before, after)
    assert len(lines) == 1
    assert lines[0].startswith("H200, own orders: met now ")
    assert "→ 25 %" in lines[0]
    assert "→ 1.0M" in lines[0]
    assert changed(before, before) == []
    assert changed(before.filter(~chosen), before) == ["H200, own orders: new"]


def test_the_answer_says_on_what_share_of_paths_supply_has_ended(whole_run):
    answer, chip = whole_run.windows.answer, whole_run.windows.answer.leader
    for ended, shown in ((0.82, True), (0.05, False)):
        own = replace(chip, own=replace(chip.own, ended=ended), whole=None)
        assert ("(supply has ended on 82 %)" in replace(answer, chips=(own,)).sentence) is shown


def test_settings_that_were_added_or_dropped_are_told():
    changed = settings_changed({"a": "1", "gone": "x", "same": "2"}, {"a": "3", "new": "y", "same": "2"})
    assert changed == ["`a`: 1 → 3", "`gone`: x → not set", "`new`: not set → y"]


def test_answer_without_a_chip_is_a_sentence_too(whole_run):
    nothing = replace(whole_run.windows.answer, chips=())
    assert nothing.sentence == "Under bis_2026_01 no chip can be exported."
    assert nothing.name.startswith("no chip eligible under bis_2026_01, ")


def test_run_has_a_dozen_metrics_with_intervals(tracker, whole_run):
    metrics = tracker.client.get_run(whole_run.run_ids["windows"]).data.metrics
    own = {name for name in metrics if not name.startswith("system/")}
    assert 10 <= len(own) <= 14
    chip = whole_run.windows.answer.leader.chip
    for kind in ("units per period", "weeks of waiting"):
        assert {f"{kind}/{chip} {q}" for q in ("q10", "q50", "q90")} <= own


def test_every_step_says_what_it_took_of_the_machine(tracker, whole_run):
    for step in ("etl", "backtest", "forecast", "windows"):
        metrics = tracker.client.get_run(whole_run.run_ids[step]).data.metrics
        assert metrics["system/system_memory_usage_megabytes"] > 0
        assert "system/cpu_utilization_percentage" in metrics
