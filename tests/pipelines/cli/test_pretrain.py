"""The command that trains without an end: begun from weights, made longer, weights cut from it."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from models.inference.checkpoint import CARD
from pipelines.cli.main import app

TINY = (
    *("pretrain.network.width=32", "pretrain.network.blocks=1", "pretrain.network.heads=2"),
    *("pretrain.network.feedforward=48", "pretrain.network.shared_rank=2", "pretrain.network.own_rank=4"),
    *("pretrain.worlds.series_per_batch=8", "pretrain.worlds.shapes=[[16,8,1]]"),
    *("pretrain.training.warmup_steps=1", "pretrain.training.bfloat16=false"),
)


@pytest.fixture
def pretrain(tmp_path, monkeypatch, laid_out_store):
    """Run `overspill pretrain` on a tiny network; returns exit status, output and error output."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(laid_out_store, tmp_path / "store.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'store.db'}")

    def invoke(*arguments):
        settings = [part for key in TINY for part in ("--set", key)]
        result = CliRunner().invoke(app, ["pretrain", *arguments, "--device", "cpu", *settings])
        return result.exit_code, result.stdout, result.stderr

    return invoke


def card_of(folder):
    return json.loads((folder / CARD).read_text())


def test_a_training_begins_from_weights_is_made_longer_and_weights_are_cut_from_it(
    pretrain, tmp_path, tiny_checkpoint
):
    state = tmp_path / "state"
    begin = ("--state", str(state), "--init", str(tiny_checkpoint))
    assert pretrain(*begin, "--steps", "2")[0] == 0
    assert pretrain(*begin, "--steps", "4")[0] == 0
    assert (card_of(state)["steps"], card_of(state)["begun_from"]["steps"]) == (4, None)
    status, text, _ = pretrain(*begin, "--cut", "2", "--decays", "2")
    assert status == 0
    folder = state / "cuts" / "step-4"
    assert str(folder) in text.replace("\n", "")
    status, text, _ = pretrain(*begin, "--cut", "2", "--decays", "2", "--json")
    assert (status, json.loads(text)) == (0, {"checkpoint": str(folder), "steps": 2, "decays": 2})
    assert card_of(folder)["decay"] == {"from": 4, "steps": 2, "averaged": 2}
    assert card_of(state)["steps"] == 4


def test_weights_are_not_cut_from_a_folder_without_a_training(pretrain, tmp_path):
    status, _, error = pretrain("--state", str(tmp_path / "none"), "--cut", "2")
    assert status == 2
    assert "found no last.ckpt" in " ".join(error.split())
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--decays", "2"), "--decays: only weights that are cut are averaged: expected --cut beside it"),
        (
            ("--cut", "2", "--steps", "4"),
            "--steps: --cut trains no further steps: expected --steps or --cut",
        ),
    ],
)
def test_options_that_would_be_ignored_are_refused(pretrain, tmp_path, options, sentence):
    status, _, error = pretrain("--state", str(tmp_path / "state"), *options)
    assert status == 2
    assert sentence in " ".join(error.split())
    assert not (tmp_path / "state").exists()


def test_weights_to_begin_from_must_be_there(pretrain, tmp_path):
    status, _, error = pretrain("--state", str(tmp_path / "state"), "--init", str(tmp_path / "none"))
    assert status == 2
    assert "no such model card" in " ".join(error.split())
    assert not (tmp_path / "state").exists()
