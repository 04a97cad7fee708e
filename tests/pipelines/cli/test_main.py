"""The command line: whatever is wrong ends in one sentence, the right exit status, nothing half-written."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app

SERIES = pl.DataFrame(
    {
        "unique_id": ["a"] * 12,
        "ds": pl.date_range(pl.date(2023, 1, 31), pl.date(2023, 12, 31), "1mo", eager=True),
        "y": [float(10 + month % 3) for month in range(12)],
    }
)


@pytest.fixture
def cli(tmp_path, monkeypatch):
    """Run a command in an empty folder; returns exit status, output and error output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def invoke(*arguments: str):
        result = CliRunner().invoke(app, list(arguments))
        return result.exit_code, result.stdout, result.stderr

    return invoke


def predict_arguments(panel, **changes):
    options = {"--horizon": "3", "--freq": "M", "--out": "out"} | {
        f"--{k}": str(v) for k, v in changes.items()
    }
    return ["predict", str(panel), *(part for option in options.items() for part in option)]


def test_help_needs_no_heavy_import():
    heavy = {"polars", "numpy", "torch", "mlflow", "statsforecast", "pydantic", "yaml"}
    code = f"import sys, pipelines.cli.main; print(sorted({heavy!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_command_looks_for_cycles_less_often_while_it_imports():
    code = (
        "import gc; from pipelines.cli.entry import main; import sys; sys.argv = ['overspill', '--version']"
    )
    ended = "try:\n    main()\nexcept SystemExit:\n    pass\nprint(gc.get_threshold()[0])"
    found = subprocess.run(
        [sys.executable, "-c", f"{code}\n{ended}"], capture_output=True, text=True, check=True
    )
    assert int(found.stdout.split()[-1]) > 10_000


def test_config_prints_what_resolves_again(cli, tmp_path):
    status, text, _ = cli("config", "--set", "forecast.horizon=5")
    assert status == 0
    (tmp_path / "again.yaml").write_text(text)
    assert cli("config", "--config", "again.yaml")[1] == text


def test_config_as_json_is_json(cli):
    assert json.loads(cli("config", "--json")[1])["forecast"]["model"] == "auto"


def test_checks_of_the_reference_tables_pass_and_are_told(cli):
    status, text, _ = cli("etl", "--check")
    assert status == 0
    assert text.count("ok ") > 20
    assert "FAILED" not in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "--set", "forecast.horizn=3"], "unknown key: found 'horizn'; did you mean 'horizon'?"),
        (["run", "--set", "forecast.horizon=0"], "greater than or equal to 1: found 0"),
        (["run", "--config", "nowhere.yaml"], "no such experiment file"),
        (["windows", "--policy", "nowhere"], "no such policy file"),
        (["windows", "--policy", "bis_2026_01", "--policy", "bis_2026_01"], "each policy may be given once"),
        (
            ["forecast", "--model", "crystal"],
            "--set forecast.model: input should be 'auto', 'network', 'bank', 'statistical' or 'ensemble'",
        ),
        (["forecast"], "there is no finished etl run: expected `overspill etl` first"),
        (
            ["windows", "--forecast-run", "abc"],
            "no such run: expected a run id of the step forecast, found 'abc'",
        ),
    ],
)
def test_bad_configuration_exits_2_with_one_sentence(cli, arguments, sentence):
    status, _, error = cli(*arguments)
    *notes, refusal = error.splitlines()  # such as that the package's weights were registered
    assert status == 2
    assert refusal.startswith("error: ")
    assert sentence in refusal
    assert not any(note.startswith("error") for note in notes)


def test_policy_that_no_chip_meets_is_refused(cli, tmp_path):
    from importlib.resources import files

    text = (
        (files("configs") / "policy" / "bis_2026_01.yaml")
        .read_text()
        .replace("tpp_below: 21000", "tpp_below: 1")
    )
    (tmp_path / "strict.yaml").write_text(text)
    status, _, error = cli("windows", "--policy", "strict.yaml")
    assert status == 2
    assert "a policy that no chip meets: expected at least one eligible chip" in error


def test_server_that_does_not_answer_exits_1(cli, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free.getsockname()[1]}")
    status, _, error = cli("etl")
    assert status == 1
    assert "the MLflow server at http://127.0.0.1" in error
    assert "does not answer" in error


def test_unwritable_output_folder_exits_1_before_any_run_is_recorded(cli, tmp_path):
    (tmp_path / "file").write_text("in the way")
    status, _, error = cli("etl", "--out", "file/out")
    assert status == 1
    assert "file/out: the output folder cannot be written" in error
    assert not (tmp_path / "mlruns").exists()


def test_predict_writes_quantiles_and_paths(cli, tmp_path):
    SERIES.write_csv("panel.csv")
    status, _, _ = cli(*predict_arguments("panel.csv", paths=20, quantiles="0.9,0.1"))
    assert status == 0
    quantiles = pl.read_parquet("out/quantiles.parquet")
    assert quantiles.columns == ["unique_id", "ds", "quantile_level", "value"]
    assert quantiles["quantile_level"].unique().sort().to_list() == [0.1, 0.9]
    assert [str(day) for day in quantiles["ds"].dt.date().unique().sort()] == [
        "2024-01-31",
        "2024-02-29",
        "2024-03-31",
    ]
    low, high = (quantiles.filter(pl.col("quantile_level") == level)["value"] for level in (0.1, 0.9))
    assert (low <= high).all()
    paths = pl.read_parquet("out/paths.parquet")
    assert paths.columns == ["unique_id", "ds", "path", "value"]
    assert paths.height == 3 * 20
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == {"quantiles.parquet", "paths.parquet"}


def test_predict_is_repeatable_and_does_not_hang_on_the_order_of_rows(cli):
    SERIES.write_parquet("panel.parquet")
    SERIES.sample(fraction=1, shuffle=True, seed=1).write_parquet("shuffled.parquet")
    cli(*predict_arguments("panel.parquet", out="one"))
    cli(*predict_arguments("shuffled.parquet", out="two"))
    assert pl.read_parquet("one/quantiles.parquet").equals(pl.read_parquet("two/quantiles.parquet"))


def test_predict_takes_away_the_paths_of_an_earlier_forecast(cli, tmp_path):
    SERIES.write_csv("panel.csv")
    cli(*predict_arguments("panel.csv", paths=5))
    cli(*predict_arguments("panel.csv"))
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["quantiles.parquet"]


@pytest.mark.parametrize("model", ["statistical", "network", "bank"])
def test_predict_of_a_series_does_not_hang_on_unlike_neighbours(cli, model):
    short = SERIES.head(5)
    counts = [
        SERIES.with_columns(unique_id=pl.lit(f"count {n}"), y=pl.Series([0.0, 3.0, 1.0] * 4))
        for n in range(5)
    ]
    short.write_csv("alone.csv")
    pl.concat([short, *counts]).write_csv("together.csv")
    for name in ("alone", "together"):
        assert cli(*predict_arguments(f"{name}.csv", out=name, model=model))[0] == 0
    alone, together = (pl.read_parquet(f"{name}/quantiles.parquet") for name in ("alone", "together"))
    own = together.filter(pl.col("unique_id") == "a")
    assert own.drop("value").equals(alone.drop("value"))
    assert own["value"].to_list() == pytest.approx(alone["value"].to_list(), rel=1e-5)


def test_predict_carries_variates_through(cli):
    both = pl.concat(
        [SERIES.with_columns(variate=pl.lit(v), y=pl.col("y") * f) for v, f in (("o", 1.0), ("c", 2.0))]
    )
    both.write_csv("panel.csv")
    assert cli(*predict_arguments("panel.csv", paths=5))[0] == 0
    assert pl.read_parquet("out/paths.parquet").columns == ["unique_id", "ds", "variate", "path", "value"]
    assert set(pl.read_parquet("out/quantiles.parquet")["variate"]) == {"o", "c"}


ANSWERED = [(model, horizon) for model in ("network", "bank", "auto") for horizon in (3, 70)]


@pytest.mark.parametrize(("model", "horizon"), [*ANSWERED, ("auto", 300)])
def test_predict_answers_in_the_same_form_with_every_model(cli, model, horizon):
    SERIES.write_csv("panel.csv")
    assert cli(*predict_arguments("panel.csv", model=model, paths=4, horizon=horizon))[0] == 0
    quantiles = pl.read_parquet("out/quantiles.parquet")
    assert quantiles.height == 9 * horizon
    assert quantiles["value"].is_finite().all()
    assert pl.read_parquet("out/paths.parquet").height == 4 * horizon


def test_predict_refuses_a_horizon_that_the_bank_does_not_reach(cli, tmp_path):
    SERIES.write_csv("panel.csv")
    status, _, error = cli(*predict_arguments("panel.csv", model="bank", horizon=300))
    assert status == 2
    assert "the horizon is too long for the bank: expected 1 to 256 steps, found 300" in error
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("model", ["auto", "bank"])
def test_quantiles_are_those_of_the_paths(cli, model):
    SERIES.write_csv("panel.csv")
    assert cli(*predict_arguments("panel.csv", model=model, paths=1000, quantiles="0.1,0.5,0.9"))[0] == 0
    quantiles = pl.read_parquet("out/quantiles.parquet").sort("ds", "quantile_level")["value"].to_numpy()
    paths = pl.read_parquet("out/paths.parquet").sort("ds", "path")["value"].to_numpy().reshape(3, 1000)
    assert quantiles.reshape(3, 3) == pytest.approx(np.quantile(paths, [0.1, 0.5, 0.9], axis=1).T)


BAD_TABLES = {
    "missing column": (SERIES.rename({"y": "value"}), "column 'y' is missing"),
    "unreadable date": (
        SERIES.with_columns(ds=pl.lit("soon")),
        "a date cannot be read: expected .*found 'soon'",
    ),
    "number as text": (SERIES.with_columns(y=pl.lit("many")), "column 'y' must hold numbers"),
    "date twice": (pl.concat([SERIES, SERIES.head(1)]), "a series may have one row per date"),
    "infinite": (SERIES.with_columns(y=pl.lit(float("inf"))), "a value must be finite"),
    "nothing observed": (
        SERIES.with_columns(y=pl.lit(None, pl.Float64)),
        "needs observations.*at least 3, found 0",
    ),
    "too short": (SERIES.head(2), "needs observations to be forecast from: expected at least 3, found 2"),
    "finer frequency": (
        SERIES.filter(pl.col("ds").dt.month() % 2 == 0),
        "no two dates are one step of the frequency apart: .*found at least 2 steps",
    ),
    "irregular": (
        SERIES.with_columns(
            ds=pl.when(pl.int_range(pl.len()) == 5).then(pl.date(2023, 6, 15)).otherwise(pl.col("ds"))
        ),
        "dates must be spaced by whole steps of the frequency",
    ),
}


@pytest.mark.parametrize("model", ["auto", "network", "bank"])
@pytest.mark.parametrize("name", BAD_TABLES)
def test_predict_refuses_a_bad_table(cli, tmp_path, name, model):
    table, sentence = BAD_TABLES[name]
    table.write_parquet("panel.parquet")
    status, _, error = cli(*predict_arguments("panel.parquet", model=model))
    assert status == 2
    assert re.search(sentence, error), error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"horizon": 0}, "--horizon: the horizon is out of range: expected 1 to 4096 steps, found 0"),
        ({"freq": "X"}, "--freq: unknown frequency: expected min, h, D, B, W, M, Q, Y, a multiple"),
        ({"quantiles": "0.5,1"}, "--quantiles: a quantile level must lie between 0 and 1: found 1"),
        ({"quantiles": "half"}, "--quantiles: quantile levels are numbers: found 'half'"),
        ({"quantiles": "0.5,0.5"}, "--quantiles: quantile levels must be given, each once"),
        ({"paths": -1}, "--paths: the number of paths must not be negative: found -1"),
        (
            {"model": "crystal"},
            "--model: unknown model: expected auto, network, bank, statistical or ensemble, found",
        ),
        ({"seed": -1}, "--seed: the seed must not be negative: found -1"),
    ],
)
def test_predict_refuses_a_bad_request(cli, changes, sentence):
    SERIES.write_csv("panel.csv")
    status, _, error = cli(*predict_arguments("panel.csv", **changes))
    assert status == 2
    assert sentence in error


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.csv", None, "the file does not exist"),
        ("none.parquet", None, "the file does not exist"),
        ("empty.parquet", b"", "the file is empty"),
        ("cut.parquet", b"PAR1 and no more", "the file is cut short or no Parquet file"),
        ("empty.csv", b"", "no CSV file that can be read"),
    ],
)
def test_predict_refuses_a_bad_file(cli, tmp_path, name, content, sentence):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    status, _, error = cli(*predict_arguments(name))
    assert status == 2
    assert f"{name}: " in error
    assert sentence in error
