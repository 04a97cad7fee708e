"""The registered model as MLflow serves it: the same answers as `predict`, on its own code and files."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from forecasting.frequencies import Frequency
from pipelines.forecast.long_table import ForecastOptions
from pipelines.forecast.predict import PredictRequest, predict
from pipelines.runtime.registry.promotion import Verdict
from pipelines.runtime.registry.registry import Registry
from pipelines.runtime.registry.shipped import register_shipped
from pipelines.runtime.tracking.model_package import EXAMPLE

PARAMETERS = {"horizon": 3, "freq": "Q", "quantile_levels": [0.1, 0.9], "paths": 2, "seed": 7}
TABLE = pl.concat([EXAMPLE, EXAMPLE.with_columns(unique_id=pl.lit("b"), y=pl.col("y") * 3)])


@pytest.fixture
def version(own_tracker, tiny_checkpoint):
    registry = Registry(own_tracker)
    with own_tracker.step("train") as run:
        made = registry.register(run, tiny_checkpoint, {})
    registry.settle(made, lambda _: Verdict(incumbent="none", candidate_score=0.1, incumbent_score=1.0))
    return made


@pytest.fixture
def folder(own_tracker, version):
    return (
        Path(own_tracker.client.get_run(version.run_id).info.artifact_uri.removeprefix("file://")) / "model"
    )


@pytest.fixture
def loaded(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.pyfunc import load_model

        return load_model(str(folder))


def test_it_answers_as_predict_does(loaded, tiny_checkpoint, tmp_path):
    from rich.console import Console

    TABLE.write_csv(tmp_path / "table.csv")
    options = ForecastOptions(horizon=3, quantile_levels=[0.1, 0.9], paths=2, seed=7)
    request = PredictRequest(
        source=tmp_path / "table.csv",
        out=tmp_path / "out",
        frequency=Frequency.QUARTER,
        options=options,
        model="network",
        checkpoint=tiny_checkpoint,
    )
    predict(request, Console(quiet=True))
    answer = loaded.predict(TABLE.to_pandas(), params=PARAMETERS)
    assert str(answer["ds"].dtype).startswith("datetime64")
    rows = pl.DataFrame({name: answer[name].tolist() for name in answer.columns})
    for name, label, count in (("quantiles", "quantile_level", 12), ("paths", "path", 12)):
        expected = pl.read_parquet(tmp_path / "out" / f"{name}.parquet").with_columns(
            pl.col("ds").cast(pl.Datetime("us"))
        )
        found = rows.filter(pl.col(label).is_not_null()).select("unique_id", "ds", label, "value")
        assert found.height == count
        assert found.sort("unique_id", "ds", label).equals(
            expected.with_columns(pl.col(label).cast(found.schema[label])).sort("unique_id", "ds", label)
        )


def test_variates_are_forecast_jointly_and_carried_through(loaded):
    both = pl.concat([EXAMPLE.with_columns(variate=pl.lit(name)) for name in ("orders", "capacity")])
    rows = loaded.predict(both.to_pandas(), params={**PARAMETERS, "paths": 0})
    assert set(rows["variate"]) == {"orders", "capacity"}
    assert rows["path"].isna().all()


@pytest.mark.parametrize("unit", ["ns", "us", "s"])
def test_timestamps_of_pandas_are_taken_and_merge_with_the_answer(loaded, unit):
    frame = TABLE.to_pandas()
    text = loaded.predict(frame, params=PARAMETERS)
    frame["ds"] = pd.to_datetime(frame["ds"]).astype(f"datetime64[{unit}]")
    answer = loaded.predict(frame, params=PARAMETERS)
    assert isinstance(answer, pd.DataFrame)
    assert answer["value"].tolist() == text["value"].tolist()
    came = pd.DataFrame({"unique_id": "a", "ds": pd.to_datetime(["2026-03-31", "2026-06-30"]), "y": 1.0})
    assert len(came.merge(answer[answer["quantile_level"] == 0.9], on=["unique_id", "ds"])) == 2


def test_the_model_carries_its_code_and_asks_no_index_for_it(folder):
    assert (folder / "code" / "pipelines" / "forecast" / "long_table.py").is_file()
    assert (folder / "code" / "models" / "network" / "transformer.py").is_file()
    assert not list(folder.rglob("pretrained"))
    assert not list(folder.rglob("__pycache__"))
    required = (folder / "requirements.txt").read_text().splitlines()
    assert {line.partition("==")[0] for line in required} == {
        *("mlflow", "numpy", "polars", "safetensors", "scipy", "torch"),
    }
    assert not any("+" in line for line in required)


ELSEWHERE = """
import sys, warnings
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()
                    and "Redirect" not in type(finder).__name__]
warnings.simplefilter("ignore")
from mlflow.pyfunc import load_model
model, folder = load_model(sys.argv[1]), sys.argv[1]
rows = model.predict(model.input_example)
import pipelines, models, forecasting
assert all(package.__file__.startswith(folder) for package in (pipelines, models, forecasting))
print(len(rows))
"""


@pytest.mark.slow
def test_it_answers_where_the_package_is_not_installed(folder, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(folder)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "12"


def ask(address, content):
    body = json.dumps(content).encode()
    request = urllib.request.Request(  # noqa: S310
        f"{address}/invocations", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        return json.loads(response.read())["predictions"]


@pytest.mark.slow
def test_mlflow_serves_the_champion_of_a_fresh_store(own_tracker, tmp_path):
    register_shipped(own_tracker)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["-m", "models:/overspill@champion", "--port", str(port), "--workers", "1"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow calls uvicorn by name
    environment = {**os.environ, "MLFLOW_TRACKING_URI": own_tracker.uri, "PATH": path}
    address = f"http://127.0.0.1:{port}"
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=tmp_path, env=environment, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 180
        while True:
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            assert time.monotonic() < deadline, "the server did not answer in time"
            try:
                urllib.request.urlopen(f"{address}/ping", timeout=2).close()  # noqa: S310
                break
            except OSError:
                time.sleep(0.5)
        content = {"dataframe_split": TABLE.to_pandas().to_dict(orient="split"), "params": PARAMETERS}
        rows = ask(address, content)
        assert len(rows) == 2 * 3 * (2 + 2)
        assert {row["quantile_level"] for row in rows} == {0.1, 0.9, None}
        assert {row["ds"] for row in rows} == {f"2026-{end}T00:00:00" for end in ("03-31", "06-30", "09-30")}
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(address, {"dataframe_records": [{"unique_id": "a", "ds": "soon", "y": 1.0}]})
        assert refused.value.code == 400
        assert "a date cannot be read" in refused.value.read().decode()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
