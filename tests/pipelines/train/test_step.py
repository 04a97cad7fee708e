"""The train step: what it records, that it never sees what it is tested on, and who becomes champion."""

from __future__ import annotations

import io
import json
import re
import shutil
from dataclasses import replace

import polars as pl
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from forecasting.errors import InputError, StepError
from forecasting.panel.schema import content_digest
from models.inference.checkpoint import read_card, save_checkpoint
from models.network.transformer import Network
from models.settings import PretrainSettings
from pipelines.backtest.step import run_backtest
from pipelines.cli.main import app
from pipelines.etl.step import run_etl
from pipelines.forecast.step import run_forecast
from pipelines.runtime.config.loader import resolve
from pipelines.runtime.files.artifacts import read_table
from pipelines.runtime.registry.promotion import Verdict, promotion_score
from pipelines.runtime.registry.registry import MODEL, Registry
from pipelines.runtime.registry.weights import TRAINED_UNTIL
from pipelines.runtime.step.context import Context
from pipelines.runtime.tracking import Tracker
from pipelines.train.step import run_train


@pytest.fixture(scope="module")
def etl_store(laid_out_store, tmp_path_factory):
    """Folder with a store that holds an etl run, to be copied."""
    folder = tmp_path_factory.mktemp("etl")
    shutil.copy(laid_out_store, folder / "mlflow.db")
    tracker = Tracker(f"sqlite:///{folder / 'mlflow.db'}", "tests")
    run_etl(Context(settings=resolve(), tracker=tracker, console=Console(file=io.StringIO())))
    return folder


@pytest.fixture
def fresh(etl_store, tiny_checkpoint, tmp_path):
    """Context on a store of its own with an etl run, set to train the tiny network in a few steps."""
    shutil.copytree(etl_store, tmp_path / "store")
    settings = resolve(
        overrides=[
            *("forecast.paths=60", "forecast.horizon=6", "backtest.paths=40", "train.test_origins=2"),
            *("train.fine_tuning.steps=8", "train.fine_tuning.check_every=4", "train.windows=16"),
            *(
                "train.scratch.steps=6",
                "train.scratch.check_every=3",
                "train.fine_tuning.learning_rate=0.003",
            ),
            f"forecast.checkpoint={tiny_checkpoint}",
            *("pretrain.worlds.series_per_batch=8", "pretrain.worlds.shapes=[[16, 8, 2]]"),
        ]
    )
    tracker = Tracker(f"sqlite:///{tmp_path / 'store' / 'mlflow.db'}", "tests")
    return Context(settings=settings, tracker=tracker, console=Console(file=io.StringIO()))


def changed(context, section, **changes):
    part = getattr(context.settings, section).model_copy(update=changes)
    return replace(context, settings=context.settings.model_copy(update={section: part}))


def crown(context, network, folder, card):
    """Make a network champion."""
    save_checkpoint(folder, network, card)
    registry = Registry(context.tracker)
    with context.tracker.step("train") as run:
        version = registry.register(run, folder, {})
    registry.settle(version, lambda _: Verdict(incumbent="none", candidate_score=0.1, incumbent_score=1.0))
    return version


@pytest.fixture
def absurd(tiny_network):
    """A network that is sure that all goes up a lot."""
    network = Network(tiny_network.settings).eval()
    network.load_state_dict(tiny_network.state_dict())
    with torch.no_grad():
        network.head.out.bias[0] += 4.0
    return network


def table(tracker, run_id, name):
    with tracker.artifact(run_id, f"{name}.parquet") as path:
        return read_table(path)


def test_a_run_records_its_input_its_curves_its_card_and_the_decision(fresh, tmp_path):
    result = run_train(replace(fresh, out=tmp_path / "out"))
    client = fresh.tracker.client
    run = client.get_run(result.run_id)
    etl = fresh.tracker.newest("etl")
    assert run.info.status == "FINISHED"
    assert run.data.tags["overspill.upstream_run_id"] == etl
    assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == ["panel"]
    assert run.data.params["train.fine_tuning.steps"] == "8"
    for name in ("train/loss", "train/windows_per_second"):
        assert [point.step for point in client.get_metric_history(result.run_id, name)] == list(range(1, 9))
    checked = {
        point.step: point.value for point in client.get_metric_history(result.run_id, "validation/loss")
    }
    assert list(checked) == [0, 4, 8]
    assert min(checked.values()) == pytest.approx(result.validation["validation/loss_at_best"])
    curves = table(fresh.tracker, result.run_id, "training")
    assert curves.filter(pl.col("name") == "train/loss").height == 8

    version = client.get_model_version(MODEL, "1")
    assert result.version == "overspill version 1"
    assert version.run_id == result.run_id
    digest = client.get_run(etl).data.tags["overspill.sha256.panel"]
    card = json.loads(version.tags["overspill.card"])
    assert card == json.loads(run.data.tags["overspill.card"])
    assert version.tags["overspill.sha256.panel"] == card["panel_sha256"] == digest
    assert card["scores"]["promotion_score"] == pytest.approx(result.verdict.candidate_score)
    for tags in (run.data.tags, version.tags):
        assert tags["overspill.decision"] == result.verdict.decision
        assert float(tags["overspill.score"]) == pytest.approx(result.verdict.candidate_score, rel=1e-5)
        assert float(tags["overspill.incumbent_score"]) == pytest.approx(
            result.verdict.incumbent_score, rel=1e-5
        )
    assert read_card(tmp_path / "out" / "checkpoint")[TRAINED_UNTIL] == card[TRAINED_UNTIL]
    assert result.verdict.sentence in run.data.tags["mlflow.note.content"]


def test_a_tiny_network_does_not_beat_the_packages_weights_and_is_a_challenger(fresh):
    result = run_train(fresh)
    assert result.verdict.incumbent.startswith("pretrained ")
    assert result.verdict.decision == "challenger"
    assert Registry(fresh.tracker).champion() is None
    assert fresh.tracker.client.get_model_version_by_alias(MODEL, "challenger").version in {1, "1"}
    assert result.messages[1].startswith("overspill version 1 is not promoted, it is the challenger: score ")
    scores = table(fresh.tracker, result.run_id, "scores")
    for name, score in (
        ("candidate", result.verdict.candidate_score),
        (result.verdict.incumbent, result.verdict.incumbent_score),
    ):
        assert promotion_score(scores.filter(pl.col("forecaster") == name)) == pytest.approx(score)
    assert scores.group_by("forecaster").len()["len"].n_unique() == 1


def test_a_better_one_takes_the_champions_place_and_then_forecasts(fresh, absurd, tmp_path):
    crown(fresh, absurd, tmp_path / "absurd", {})
    result = run_train(fresh)
    assert result.verdict.incumbent == "overspill version 1"
    assert result.verdict.decision == "champion"
    assert Registry(fresh.tracker).champion().number == "2"

    asked = changed(fresh, "forecast", model="network", checkpoint=None)
    forecast = run_forecast(asked)
    tags = fresh.tracker.client.get_run(forecast.run_id).data.tags
    assert forecast.weights == tags["overspill.weights"] == "overspill version 2"
    registered = fresh.tracker.client.get_model_version(MODEL, "2").tags
    assert tags["overspill.weights_sha256"] == registered["overspill.weights_sha256"]
    assert set(table(fresh.tracker, forecast.run_id, "choices")["model"].drop_nulls()) == {"network"}

    tested = run_backtest(changed(asked, "backtest", paths=20, case=None))
    assert tested.weights.startswith("overspill version 2 at origins from ")
    assert fresh.tracker.client.get_run(tested.run_id).data.tags["overspill.weights"] == "overspill version 2"


def test_the_combination_forecasts_with_the_champion_and_tells_the_shares(fresh, tiny_network, tmp_path):
    crown(fresh, tiny_network, tmp_path / "tiny", {})
    forecast = run_forecast(changed(fresh, "forecast", model="auto", checkpoint=None))
    note = fresh.tracker.client.get_run(forecast.run_id).data.tags["mlflow.note.content"]
    assert "by the forecaster auto (" in note
    assert re.search(r"\(\d+% network, .*\) with the weights of overspill version 1", note)


def test_the_test_days_come_after_all_that_the_training_knew(fresh):
    result = run_train(fresh)
    scores = table(fresh.tracker, result.run_id, "scores")
    until = json.loads(fresh.tracker.client.get_model_version(MODEL, "1").tags["overspill.card"])[
        TRAINED_UNTIL
    ]
    assert str(scores["as_of"].min()) == until
    assert scores["as_of"].n_unique() == 2


def test_what_was_published_after_the_first_test_day_does_not_move_the_weights(fresh, tmp_path):
    first = run_train(fresh)
    day = table(fresh.tracker, first.run_id, "scores")["as_of"].min()
    panel = table(fresh.tracker, fresh.tracker.newest("etl"), "panel")
    later, figures = pl.col("published_at") > day, pl.col("value", "value_p05", "value_p95")
    moved = figures * pl.col("timestamp").dt.month()  # a common factor would not change what is learned
    altered = panel.with_columns(pl.when(later).then(moved).otherwise(figures).name.keep())
    assert not altered.equals(panel)
    with fresh.tracker.step("etl") as run:
        altered.write_parquet(tmp_path / "panel.parquet")
        run.client.log_artifact(run.run_id, str(tmp_path / "panel.parquet"))
        run.set_tags({"overspill.sha256.panel": content_digest(altered)})
    second = run_train(fresh, run.run_id)
    assert first.validation["best_step"] > 0
    assert second.validation == first.validation
    assert second.verdict.candidate_score != first.verdict.candidate_score
    one, two = (fresh.tracker.client.get_model_version(MODEL, str(k)).tags for k in (1, 2))
    assert one["overspill.weights_sha256"] == two["overspill.weights_sha256"]


def test_the_same_seed_gives_the_same_weights(fresh):
    for _ in range(2):
        run_train(fresh)
    one, two = (fresh.tracker.client.get_model_version(MODEL, str(k)).tags for k in (1, 2))
    assert one["overspill.weights_sha256"] == two["overspill.weights_sha256"]


def test_from_scratch_starts_from_random_weights_of_the_recipes_shape(fresh, tiny_network):
    recipe = PretrainSettings(worlds=fresh.settings.pretrain.worlds, network=tiny_network.settings)
    scratch = changed(fresh, "train", from_scratch=True)
    settings = scratch.settings.model_copy(update={"pretrain": recipe})
    run_train(replace(scratch, settings=settings))
    card = json.loads(fresh.tracker.client.get_model_version(MODEL, "1").tags["overspill.card"])
    assert card["start"] == "random weights"
    assert card["fine_tuning"]["learning_rate"] == fresh.settings.train.scratch.learning_rate
    assert card["parameters"] == sum(value.numel() for value in tiny_network.parameters())


def test_no_step_that_improves_is_told_and_the_start_is_kept(fresh):
    spoilt = fresh.settings.train.fine_tuning.model_copy(update={"learning_rate": 30.0, "warmup_steps": 0})
    result = run_train(changed(fresh, "train", fine_tuning=spoilt))
    assert result.validation["best_step"] == 0
    assert "no step improved on the start, whose weights are kept" in result.messages[0]


def test_a_champion_is_judged_on_the_days_that_its_training_had_not_seen(fresh, absurd, tmp_path):
    days = sorted(table(fresh.tracker, run_train(fresh).run_id, "scores")["as_of"].unique())
    crown(fresh, absurd, tmp_path / "absurd", {TRAINED_UNTIL: str(days[1])})
    result = run_train(fresh)
    scores = table(fresh.tracker, result.run_id, "scores")
    assert scores.filter(pl.col("forecaster") == "overspill version 2")["as_of"].unique().to_list() == [
        days[1]
    ]
    later = scores.filter(pl.col("forecaster") == "candidate", pl.col("as_of") == days[1])
    assert result.verdict.candidate_score == pytest.approx(promotion_score(later))
    assert result.leaderboard["forecasts"].to_list() == [later.height] * 2


def test_a_champion_that_has_seen_every_day_of_the_test_is_refused_before_the_training(
    fresh, absurd, tmp_path
):
    crown(fresh, absurd, tmp_path / "absurd", {TRAINED_UNTIL: "2031-01-01"})
    with pytest.raises(InputError, match="overspill version 1: the champion's training has seen every day"):
        run_train(fresh)
    assert len(fresh.tracker.client.search_model_versions(f"name='{MODEL}'")) == 1


def test_a_champion_that_does_not_fit_the_code_gives_way_to_the_packages_weights(
    fresh, tiny_network, tmp_path
):
    crown(fresh, tiny_network, tmp_path / "other", {"architecture": "somebody else's"})
    result = run_train(fresh)
    assert result.verdict.incumbent.startswith("pretrained ")
    output = fresh.console.file.getvalue()
    assert "overspill version 1 cannot be used" in output
    assert "another architecture" in output
    asked = changed(fresh, "forecast", model="network", checkpoint=None)
    with pytest.raises(
        InputError, match="overspill version 1 cannot be used .*: train another, or give --checkpoint"
    ):
        run_forecast(asked)
    tested = run_backtest(changed(asked, "backtest", paths=20, case=None))
    assert tested.weights.startswith("pretrained ")


def test_weights_to_start_from_that_have_seen_the_test_are_refused(fresh, tiny_network, tmp_path):
    save_checkpoint(tmp_path / "seen", tiny_network, {TRAINED_UNTIL: "2026-01-01"})
    with pytest.raises(
        InputError, match="the weights to start from have seen days of the test: expected trained on"
    ):
        run_train(changed(fresh, "forecast", checkpoint=tmp_path / "seen"))


def test_a_history_that_is_too_short_is_refused_in_one_sentence_and_nothing_is_registered(fresh):
    with pytest.raises(
        InputError, match="the history is too short to train on: expected a series with 3"
    ) as no:
        run_train(changed(fresh, "train", validation_origins=40))
    assert "\n" not in str(no.value)
    assert fresh.tracker.client.search_model_versions(f"name='{MODEL}'") == []


def test_a_device_without_room_for_one_window_is_one_sentence(fresh, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr("models.training.finetune.TrainingWindows.batch", full)
    with pytest.raises(StepError, match="runs out of memory with a single window per batch"):
        run_train(changed(fresh, "train", windows=2))


@pytest.fixture
def command(fresh, monkeypatch):
    """Run a command on the store of `fresh` with its settings; returns what it prints."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", fresh.tracker.uri)
    shared = ["tracking.experiment=tests", "forecast.paths=60", "forecast.horizon=6", "backtest.paths=40"]
    shared += [
        "train.windows=16",
        "train.test_origins=2",
        f"forecast.checkpoint={fresh.settings.forecast.checkpoint}",
    ]

    def invoke(*arguments):
        options = [part for setting in shared for part in ("--set", setting)]
        result = CliRunner().invoke(app, [*arguments, *options])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    return invoke


def test_the_command_tells_the_scores_and_the_decision(command):
    output = command("train", "--steps", "2")
    assert "candidate" in output
    assert "promotion score" in output
    assert "Training: 2 steps" in output
    assert "overspill version 2 is not promoted, it is the challenger: score " in output
    figures = json.loads(command("train", "--steps", "2", "--json"))
    assert figures["version"] == "overspill version 3"
    assert figures["decision"] == "challenger"
    assert figures["skill"] == pytest.approx(1 - figures["score"] / figures["incumbent_score"])
    assert figures["validation"]["steps"] == 2


def test_the_forecast_command_tells_the_weights_that_answered(command, tiny_checkpoint):
    assert f"weights        checkpoint {tiny_checkpoint}" in command("forecast", "--model", "network")
    assert "weights" not in command("forecast", "--model", "statistical")
