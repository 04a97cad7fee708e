"""What the tests of the commands share."""

from __future__ import annotations

import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app


@pytest.fixture
def predict(tmp_path, monkeypatch):
    """Forecast a table of text or a frame in an empty folder; returns exit status, error and quantiles."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def ask(table, *options, name="table.csv", model="statistical"):
        if isinstance(table, pl.DataFrame):
            name = "table.parquet"
            table.write_parquet(name)
        else:
            (tmp_path / name).write_bytes(table if isinstance(table, bytes) else table.encode())
        fixed = ["--horizon", "3", "--out", "out", "--model", model, "--quantiles", "0.1,0.5,0.9"]
        result = CliRunner().invoke(app, ["predict", name, *fixed, *map(str, options)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        written = tmp_path / "out" / "quantiles.parquet"
        return result.exit_code, result.stderr, pl.read_parquet(written) if result.exit_code == 0 else None

    return ask
