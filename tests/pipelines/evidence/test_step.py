"""Writing the evidence: what stands in it, and which runs, policies and artifacts are refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jsonschema
import polars as pl
import pytest

from forecasting.errors import InputError
from pipelines.etl.step import run_etl
from pipelines.evidence.lineage import lineage
from pipelines.evidence.records import as_json, json_schema
from pipelines.evidence.step import write_evidence
from pipelines.evidence.verify import verify
from pipelines.forecast.step import run_forecast
from pipelines.runtime.files.artifacts import file_digest
from pipelines.runtime.registry.promotion import Verdict
from pipelines.runtime.registry.registry import Registry
from pipelines.runtime.registry.weights import CARD
from pipelines.windows.step import run_windows

POLICIES = [
    "bis_2026_01",
    "gain_ai_no_backlog",
    "scale_act_2026",
    "safe_chips_act_2025",
    "presumption_of_denial",
]
PATHS = 60


def check_schema(content):
    schema = json_schema()
    validator = jsonschema.Draft202012Validator
    validator.check_schema(schema)
    validator(schema, format_checker=validator.FORMAT_CHECKER).validate(content)


@pytest.fixture(scope="module")
def lone(context):
    """An etl, forecast and windows run of a panel without a backtest, with settings of their own."""
    settings = context.settings
    assumed = settings.data.assumptions
    decay = replace(assumed.capacity_decay, value=0.84)
    data = settings.data.model_copy(update={"assumptions": replace(assumed, capacity_decay=decay)})
    settings = settings.model_copy(update={"data": data})
    context = replace(context, settings=settings)
    etl = run_etl(context)
    facts_of = settings.data.exports["H200"]
    stock = facts_of.unsold_stock.__class__(**{**vars(facts_of.unsold_stock), "value": 450_000.0})
    exports = {**settings.data.exports, "H200": facts_of.model_copy(update={"unsold_stock": stock})}
    other = settings.model_copy(
        update={
            "data": settings.data.model_copy(update={"exports": exports}),
            "tracking": settings.tracking.model_copy(update={"uri": "https://ann:hush-hush@mlflow.example"}),
        }
    )
    forecast = run_forecast(context, etl.run_id)
    return run_windows(replace(context, settings=other), forecast.run_id)


@pytest.fixture(scope="module")
def lone_evidence(lone, tracker, tmp_path_factory):
    out = tmp_path_factory.mktemp("lone") / "evidence"
    return write_evidence(tracker, out, windows_run_id=lone.run_id)


@pytest.mark.parametrize("policy", POLICIES)
def test_evidence_of_every_policy_is_valid_against_the_schema_and_verified(
    policy, whole_run, tracker, tmp_path
):
    windows = whole_run.run_ids["windows"]
    made = write_evidence(tracker, tmp_path / "evidence", windows_run_id=windows, policy=policy)
    stored = json.loads((made.out / "evidence.json").read_text(encoding="utf-8"))
    check_schema(stored)
    assert stored["policy"]["name"] == policy
    assert verify(made.out)["seal"] == made.seal


def test_the_schema_refuses_a_verdict_that_there_is_not(made):
    broken = as_json(made.content)
    broken["conditions"][0]["findings"][0]["verdict"] = "surely met"
    with pytest.raises(jsonschema.ValidationError):
        check_schema(broken)


def test_lineage_reaches_from_the_evidence_to_the_raw_tables(made, whole_run, tracker):
    runs = {run["step"]: run for run in as_json(made.content)["lineage"]["runs"]}
    assert {step: run["run_id"] for step, run in runs.items()} == {
        step: whole_run.run_ids[step] for step in ("etl", "backtest", "forecast", "windows")
    }
    assert runs["windows"]["upstream_run_id"] == runs["forecast"]["run_id"]
    assert runs["forecast"]["upstream_run_id"] == runs["etl"]["run_id"]
    assert {"cloud", "chips", "shipments_total", "panel"} <= set(runs["etl"]["content_sha256"])
    recorded = tracker.client.get_run(made.run_id).data.tags
    assert recorded["overspill.upstream_run_id"] == runs["windows"]["run_id"]
    assert recorded["overspill.evidence_seal"] == made.seal


def test_every_artifact_of_every_run_is_listed_with_the_digest_of_its_bytes(made, tracker):
    for run in as_json(made.content)["lineage"]["runs"]:
        with tracker.artifacts(run["run_id"]) as stored:
            there = {str(p.relative_to(stored)): file_digest(p) for p in stored.rglob("*") if p.is_file()}
        assert {each["name"]: each["sha256"] for each in run["artifacts"]} == there


def test_sources_carry_licence_and_vintages_and_count_the_panel_rows(made):
    panel = pl.read_parquet(made.out / "artifacts" / "panel.parquet")
    found = {each["source_id"]: each for each in as_json(made.content)["sources"]}
    epoch = found["epoch_ai_chip_counts_2026_04"]
    assert "MIT" in epoch["described"]["licence"]
    assert epoch["described"]["single_vintage"] == "2026-04-30"
    assert all(each["described"] for each in found.values())
    for name, each in found.items():
        assert each["panel_rows"] == panel["source_id"].str.split("+").list.contains(name).sum()


def test_calibration_is_the_backtest_of_the_forecaster_that_drew_the_paths(made, whole_run):
    shown = as_json(made.content)["calibration"]
    assert shown["run_id"] == whole_run.run_ids["backtest"]
    assert shown["scores"] == whole_run.backtest.leaderboard.to_dicts()
    assert {row["forecaster"] for row in shown["reliability"]} == {
        as_json(made.content)["model"]["forecaster"]
    }
    assert "other settings" not in shown["why"]


def test_without_a_backtest_the_evidence_says_that_calibration_is_not_shown(lone_evidence):
    calibration = lone_evidence.content.calibration
    assert not calibration.shown
    assert calibration.why == "No backtest run of the same panel is recorded, so calibration is not shown."
    assert calibration.run_id is None
    check_schema(as_json(lone_evidence.content))
    verify(lone_evidence.out)


def test_the_backtest_of_an_equal_panel_of_another_etl_run_is_found_by_content(whole_run, tracker, context):
    etl = run_etl(context)
    assert etl.run_id != whole_run.run_ids["etl"]
    forecast = run_forecast(context, etl.run_id)
    windows = run_windows(context, forecast.run_id)
    with lineage(tracker, windows.run_id) as of:
        assert of.backtest.run_id == whole_run.run_ids["backtest"]
        assert of.backtest.tags["overspill.upstream_run_id"] == whole_run.run_ids["etl"]
        assert of.etl.run_id == etl.run_id


def test_assumptions_stand_with_the_value_that_their_own_step_had(made, lone_evidence):
    def value(evidence, name):
        found = [each for each in evidence.content.assumptions if each.name == name]
        assert len(found) == 1
        return found[0].value, found[0].step

    stock = "data.exports.H200.unsold_stock"
    assert value(made, stock) == (500_000, "windows")
    assert value(lone_evidence, stock) == (450_000, "windows")
    assert value(made, "data.assumptions.capacity_decay") == (0.85, "etl")
    assert value(made, "data.error_correlation") == (0.7, "forecast")
    assert all(each.low <= each.value <= each.high for each in made.content.assumptions)


def test_the_store_password_of_the_settings_reaches_no_file(lone_evidence):
    texts = [path.read_bytes() for path in lone_evidence.out.rglob("*") if path.is_file()]
    assert any(b"mlflow.example" in text for text in texts)
    assert not any(b"hush-hush" in text for text in texts)


def test_public_data_cannot_show_priority_inversions(made):
    assert as_json(made.content)["priority_inversions"]["verdict"] == "cannot be shown from data"
    assert as_json(made.content)["priority_inversions"]["cases"] is None


@pytest.fixture
def by_the_champion(context, own_tracker, tiny_checkpoint):
    """A windows run whose paths the champion of a store drew, which another champion has followed."""
    registry = Registry(own_tracker)

    def promote():
        with own_tracker.step("train") as run:
            version = registry.register(run, tiny_checkpoint, {})
        registry.settle(
            version, lambda _: Verdict(incumbent="none", candidate_score=0.5, incumbent_score=1.0)
        )

    settings = context.settings
    asked = settings.model_copy(
        update={"forecast": settings.forecast.model_copy(update={"model": "network"})}
    )
    own = replace(context, settings=asked, tracker=own_tracker)
    promote()
    etl = run_etl(own)
    forecast = run_forecast(own, etl.run_id)
    promote()
    return run_windows(own, forecast.run_id), forecast


def test_paths_of_the_network_come_with_the_card_and_the_digest_of_the_weights_that_drew_them(
    by_the_champion, own_tracker, tiny_checkpoint, tmp_path
):
    windows, forecast = by_the_champion
    made = write_evidence(own_tracker, tmp_path / "evidence", windows_run_id=windows.run_id)
    printed = as_json(made.content)["model"]
    card = json.loads((tiny_checkpoint / "card.json").read_text())
    assert printed["network_card"] == {
        "weights": "overspill version 1",
        "weights_sha256": file_digest(tiny_checkpoint / "weights.safetensors"),
        "card": card,
    }
    assert printed["statistical"] is None
    check_schema(as_json(made.content))
    assert verify(made.out)["seal"] == made.seal
    assert "overspill version 1" in (made.out / "evidence.html").read_text(encoding="utf-8")
    path = Path(own_tracker.client.get_run(forecast.run_id).info.artifact_uri.removeprefix("file://")) / CARD
    path.write_text(path.read_text().replace("{", '{"steps": 999,', 1))
    with pytest.raises(InputError, match=r"network_card\.json: the artifact is not what its run wrote"):
        write_evidence(own_tracker, tmp_path / "again", windows_run_id=windows.run_id)


def test_the_evidence_says_what_it_is_and_that_it_gives_no_legal_advice(made):
    text = (made.out / "evidence.html").read_text(encoding="utf-8")
    for words in ("decision support", "no legal advice", "Check the policy", "What this file does not show"):
        assert words in text


def test_runs_that_are_unknown_of_another_step_or_unfinished_are_refused(whole_run, tracker, tmp_path):
    out = tmp_path / "evidence"
    with pytest.raises(InputError, match="no such run"):
        write_evidence(tracker, out, windows_run_id="0" * 32)
    with pytest.raises(InputError, match="of another step: expected windows, found etl"):
        write_evidence(tracker, out, windows_run_id=whole_run.run_ids["etl"])
    with pytest.raises(RuntimeError), tracker.step("windows") as broken:
        raise RuntimeError
    with pytest.raises(InputError, match="did not finish: expected FINISHED, found FAILED"):
        write_evidence(tracker, out, windows_run_id=broken.run_id)
    with tracker.step("windows") as lost:
        pass
    with pytest.raises(InputError, match="does not name the run before it"):
        write_evidence(tracker, out, windows_run_id=lost.run_id)
    assert not out.exists()


def test_a_policy_that_the_run_did_not_apply_is_refused_with_those_it_did(whole_run, tracker, tmp_path):
    with pytest.raises(
        InputError, match=r"did not apply this policy: expected one of bis_2026_01, .*found 'nope'"
    ):
        write_evidence(tracker, tmp_path / "e", windows_run_id=whole_run.run_ids["windows"], policy="nope")


def stored_folder(tracker, run_id):
    return Path(tracker.client.get_run(run_id).info.artifact_uri.removeprefix("file://"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("windows.parquet", r"windows\.parquet: its content is not what the windows run recorded"),
        ("settings-windows.yaml", r"settings-windows\.yaml: the artifact is not what its run wrote"),
    ],
)
def test_an_altered_artifact_is_refused(name, message, lone, tracker, tmp_path):
    path = stored_folder(tracker, lone.run_id) / name
    whole = path.read_bytes()
    try:
        if name.endswith("parquet"):
            pl.read_parquet(path).with_columns(p_never=(pl.col("p_never") + 1) / 3).write_parquet(path)
        else:
            path.write_text(path.read_text().replace("confidence: 0.5", "confidence: 0.4"))
        with pytest.raises(InputError, match=message):
            write_evidence(tracker, tmp_path / "e", windows_run_id=lone.run_id)
    finally:
        path.write_bytes(whole)
    assert not (tmp_path / "e").exists()


def test_a_missing_artifact_is_named(lone, tracker, tmp_path):
    path = stored_folder(tracker, lone.run_id) / "window_steps.parquet"
    shutil.move(path, tmp_path / "aside")
    try:
        with pytest.raises(InputError, match=r"no such artifact: expected window_steps\.parquet"):
            write_evidence(tracker, tmp_path / "e", windows_run_id=lone.run_id)
    finally:
        shutil.move(tmp_path / "aside", path)
    assert not (tmp_path / "e").exists()


def test_lineage_without_a_backtest_has_three_runs(lone, tracker):
    with lineage(tracker, lone.run_id) as of:
        assert [run.step for run in of.runs()] == ["etl", "forecast", "windows"]
