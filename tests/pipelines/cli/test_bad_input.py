"""Bad input to predict, forecast and train: one sentence, exit status 2, nothing half-written."""

from __future__ import annotations

import datetime as dt
import logging
import re
import shutil

import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from forecasting.panel.schema import content_digest
from models.inference.checkpoint import CARD, WEIGHTS
from pipelines.cli.main import app
from pipelines.etl.step import public_panel
from pipelines.runtime.config.loader import resolve
from pipelines.runtime.registry.promotion import Verdict
from pipelines.runtime.registry.registry import MODEL, SHIPPED_TAG, Registry
from pipelines.runtime.tracking import Tracker

SERIES = pl.DataFrame(
    {
        "unique_id": ["a"] * 12,
        "ds": pl.date_range(pl.date(2023, 1, 31), pl.date(2023, 12, 31), "1mo", eager=True),
        "y": [float(10 + month % 3) for month in range(12)],
    }
)
STEPS = ("forecast", "train")


@pytest.fixture
def cli(tmp_path, monkeypatch):
    """Run a command in an empty folder; returns exit status, output and error output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def invoke(*arguments: object):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        return result.exit_code, result.stdout, result.stderr

    return invoke


@pytest.fixture
def store(cli, laid_out_store, tmp_path, monkeypatch):
    """The commands' store, holding nothing."""
    shutil.copy(laid_out_store, tmp_path / "store.db")
    uri = f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.fixture(scope="module")
def panel():
    return public_panel(resolve().data)[0]


def refused(answer, sentence):
    status, _, said = answer
    assert status == 2, said
    *notes, error = said.splitlines()  # which run is read, and what deviates from the defaults
    assert error.startswith("error: ")
    assert not any(note.startswith("error") for note in notes)
    assert re.search(sentence, error), error


def predict(cli, **options):
    given = {"--horizon": 3, "--freq": "M", "--out": "out", "--model": "network"} | {
        f"--{name}": value for name, value in options.items()
    }
    SERIES.write_csv("panel.csv")
    return cli("predict", "panel.csv", *(part for option in given.items() for part in option))


def etl_run_with(store, panel, folder):
    """A finished etl run whose panel is the one given."""
    with Tracker(store, "overspill").step("etl") as run:
        panel.write_parquet(folder / "panel.parquet")
        run.log_folder(folder)
        run.set_tags({"overspill.sha256.panel": content_digest(panel), "overspill.known_until": "2026-06-30"})
    return run.run_id


BAD_PANELS = {
    "missing column": (lambda p: p.drop("value"), "column 'value' is missing"),
    "dates as text": (
        lambda p: p.with_columns(pl.lit("soon").alias("timestamp")),
        "column 'timestamp' is of the wrong type",
    ),
    "duplicate stamps": (
        lambda p: pl.concat([p, p.head(1)]),
        "one figure per period, variate and publication",
    ),
    "irregular": (
        lambda p: p.filter(~((pl.col("item_id") == "H100") & (pl.col("timestamp") == dt.date(2024, 3, 31)))),
        "a series must not have gaps",
    ),
    "not a period's end": (
        lambda p: p.with_columns(pl.col("timestamp").dt.offset_by("-1d")),
        "a timestamp must be the last day of its period",
    ),
    "nothing observed": (
        lambda p: p.with_columns(pl.lit(None, pl.Float64).alias("value")),
        "column 'value' must not be empty",
    ),
    "infinite": (
        lambda p: p.with_columns(pl.lit(float("inf")).alias("value")),
        "value must be a finite number",
    ),
    "fewer than three observations": (
        lambda p: p.filter(pl.col("timestamp") >= dt.date(2026, 6, 30)),
        "no item can be forecast|no origin of the backtest has both a past",
    ),
}


@pytest.mark.parametrize("command", STEPS)
@pytest.mark.parametrize("name", BAD_PANELS)
def test_forecast_and_train_refuse_a_bad_panel(cli, store, panel, tmp_path, name, command):
    spoil, sentence = BAD_PANELS[name]
    (tmp_path / "panel").mkdir()
    etl_run = etl_run_with(store, spoil(panel), tmp_path / "panel")
    refused(cli(command, "--etl-run", etl_run, "--out", "out"), sentence)
    assert list((tmp_path / "out").iterdir()) == []
    assert Registry(Tracker(store, "overspill")).champion().is_shipped


@pytest.mark.parametrize("command", STEPS)
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--set", "forecast.horizon=65"],
            "--set forecast.horizon: input should be less than or equal to 64",
        ),
        (["--set", "data.frequency=X"], "--set data.frequency: input should be 'Q'"),
        (["--set", "windows.quantile_levels=[0.1,0.5,0.9,1.0]"], "quantile levels lie between 0 and 1"),
        (["--device", "abacus"], "--set forecast.device: input should be 'auto', 'cpu' or 'gpu'"),
    ],
)
def test_forecast_and_train_refuse_bad_settings(cli, tmp_path, command, options, sentence):
    refused(cli(command, *options), sentence)
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--steps", "0"], "train.fine_tuning.steps: input should be greater than or equal to 1: found 0"),
        (["--set", "train.windows=0"], "greater than or equal to 1: found 0"),
        (["--set", "train.fine_tuning.worlds_share=1"], "less than 1: found 1"),
        (["--set", "train.fine_tuning.rate=1"], "unknown key: found 'rate'"),
        ([], "there is no finished etl run: expected `overspill etl` first"),
        (["--etl-run", "abc"], "no such run: expected a run id of the step etl, found 'abc'"),
    ],
)
def test_train_refuses_bad_options(cli, store, options, sentence):
    refused(cli("train", *options), sentence)


@pytest.mark.parametrize("command", [*STEPS, "run"])
def test_a_gpu_asked_for_where_there_is_none_is_refused_before_anything_is_recorded(
    cli, tmp_path, monkeypatch, command
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(cli(command, "--device", "gpu"), "device gpu was requested but torch .* sees no GPU")
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize("model", ["auto", "network", "bank", "statistical", "ensemble"])
def test_predict_refuses_a_gpu_where_there_is_none(cli, tmp_path, monkeypatch, model):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(predict(cli, device="gpu", model=model), "sees no GPU")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("horizon", [0, 4097])
def test_predict_refuses_a_horizon_beyond_the_limit(cli, horizon):
    refused(predict(cli, horizon=horizon), f"expected 1 to 4096 steps, found {horizon}")


def truncated(folder):
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])


def of_another_architecture(folder):
    (folder / CARD).write_text((folder / CARD).read_text().replace("overspill-patch", "somebody-elses"))


def of_another_shape(folder):
    (folder / CARD).write_text((folder / CARD).read_text().replace('"width": 32', '"width": 64'))


BAD_CHECKPOINTS = [
    (truncated, "the file may be truncated"),
    (of_another_architecture, "another architecture: expected overspill-patch.*, found somebody-elses"),
    (of_another_shape, "do not fit the network of their card"),
    (shutil.rmtree, "no such model card"),
]


@pytest.fixture
def folder(tiny_checkpoint, tmp_path):
    return shutil.copytree(tiny_checkpoint, tmp_path / "net")


@pytest.mark.parametrize(("spoil", "sentence"), BAD_CHECKPOINTS)
def test_predict_refuses_a_checkpoint_that_cannot_be_used(cli, folder, tmp_path, spoil, sentence):
    spoil(folder)
    refused(predict(cli, checkpoint=folder), sentence)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", STEPS)
@pytest.mark.parametrize(("spoil", "sentence"), BAD_CHECKPOINTS)
def test_forecast_and_train_refuse_a_checkpoint_that_cannot_be_used(
    cli, store, panel, folder, tmp_path, spoil, sentence, command
):
    (tmp_path / "panel").mkdir()
    etl_run = etl_run_with(store, panel, tmp_path / "panel")
    spoil(folder)
    model = ["--model", "network"] if command == "forecast" else []
    asked = [*model, "--etl-run", etl_run, "--set", f"forecast.checkpoint={folder}"]
    refused(cli(command, *asked), sentence)
    versions = Tracker(store, "overspill").client.search_model_versions(f"name='{MODEL}'")
    assert all(SHIPPED_TAG in version.tags for version in versions)


@pytest.mark.parametrize("model", ["statistical", "bank"])
def test_predict_refuses_a_checkpoint_without_the_network(cli, folder, model):
    refused(
        predict(cli, checkpoint=folder, model=model),
        "--checkpoint: a checkpoint holds weights of the network, which this model does not use: "
        "expected --model auto, network or ensemble beside it",
    )


def test_predict_answers_with_a_folders_weights(cli, folder):
    status, text, _ = predict(cli, checkpoint=folder)
    assert status == 0
    assert f"weights        checkpoint {folder}" in text
    assert pl.read_parquet("out/quantiles.parquet").height == 3 * 9


def test_predict_lays_out_no_store_to_look_for_a_champion(cli, tmp_path):
    status, text, _ = predict(cli)
    assert status == 0
    assert "weights        pretrained " in text
    assert not (tmp_path / "mlruns").exists()


def test_predict_answers_with_the_champion_of_the_store(cli, store, tiny_checkpoint):
    tracker = Tracker(store, "overspill")
    registry = Registry(tracker)
    with tracker.step("train") as run:
        version = registry.register(run, tiny_checkpoint, {})
    registry.settle(version, lambda _: Verdict(incumbent="none", candidate_score=0.5, incumbent_score=1.0))
    status, text, _ = predict(cli, model="auto")
    assert status == 0
    assert "weights        overspill version 1" in text


def test_predict_goes_on_with_fewer_paths_where_memory_runs_out_and_says_so(cli, folder, monkeypatch, caplog):
    from models.network import sampling

    real, sizes = sampling.draw, []

    def greedy(distribution, levels, *, paths, generator):
        sizes.append(paths)
        if paths > 300:
            raise torch.OutOfMemoryError("no room")
        return real(distribution, levels, paths=paths, generator=generator)

    monkeypatch.setattr("models.network.sampling.draw", greedy)
    with caplog.at_level(logging.WARNING):
        status, _, _ = predict(cli, checkpoint=folder, paths=1000)
    assert status == 0
    assert sizes == [1000, 500, 250, 250, 250, 250]
    assert caplog.messages[-1] == "out of memory while sampling: going on with 250 paths at a time"
    assert pl.read_parquet("out/paths.parquet").height == 3 * 1000


def test_predict_ends_with_one_sentence_where_memory_has_run_out(cli, folder, monkeypatch, tmp_path):
    def full(*_, **__):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr("models.network.sampling.draw", full)
    status, _, error = predict(cli, checkpoint=folder)
    assert status == 1
    assert error == "error: the device runs out of memory with a single item: use cpu, or a shorter horizon\n"
    assert list((tmp_path / "out").iterdir()) == []
