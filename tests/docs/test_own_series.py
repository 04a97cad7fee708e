"""The notebook prints what it says, and the commands of docs/predict.md run as printed."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def runner():
    spec = importlib.util.spec_from_file_location("run_notebook", DOCS / "run_notebook.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_notebook_prints_what_it_says():
    notebook = json.loads((DOCS / "own-series.ipynb").read_text(encoding="utf-8"))
    module = runner()
    printed, stored = module.outputs_of(notebook), module.stored_outputs(notebook)
    assert len(printed) == 4
    assert printed == stored


def test_the_commands_of_the_page_run_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    ran = 0
    for info, text in FENCE.findall((DOCS / "predict.md").read_text(encoding="utf-8")):
        language, _, name = info.partition(" ")
        if language == "csv":
            Path(name).write_text(text)
        elif language == "sh":
            for line in text.splitlines():
                program, *arguments = shlex.split(line)
                assert program == "overspill"
                done = CliRunner().invoke(app, arguments)
                assert done.exit_code == 0, (line, done.stderr)
                ran += 1
        elif language == "python":
            exec(compile(text, "predict.md", "exec"), {})  # noqa: S102
    assert ran == 3
    assert Path("fiscal/quantiles.parquet").is_file()
    assert Path("backtest/figures/figures.html").is_file()


@pytest.mark.parametrize("name", ["predict.md"])
def test_every_option_that_the_page_names_exists(name):
    text = (DOCS / name).read_text(encoding="utf-8")
    named = set(re.findall(r"`?(--[a-z][a-z-]+)", text))
    known = set()
    for command in ("predict", "backtest", "plot"):
        known |= set(re.findall(r"--[a-z][a-z-]+", CliRunner().invoke(app, [command, "--help"]).output))
    assert named <= known
