"""`overspill evidence` on the command line: it writes, verifies and says in one sentence what is wrong."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from pipelines.cli.main import app


def command(*arguments):
    result = CliRunner().invoke(app, ["evidence", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_command_writes_and_verifies_and_exits_1_for_one_changed_byte(
    whole_run, store_uri, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    out = tmp_path / "evidence"
    asked = ["--windows-run", whole_run.run_ids["windows"], "--policy", "scale_act_2026", "--out", str(out)]
    code, printed, error = command(*asked, "--set", "tracking.experiment=tests", "--json")
    assert code == 0
    assert error.startswith(f"input: windows run {whole_run.run_ids['windows']} of ")
    assert json.loads(printed)["policy"] == "scale_act_2026"
    code, printed, _ = command("verify", str(out), "--json")
    assert code == 0
    assert json.loads(printed)["seal"]
    document = out / "evidence.html"
    document.write_bytes(document.read_bytes()[:-1] + b" ")
    code, printed, error = command("verify", str(out))
    assert (code, printed) == (1, "")
    assert error.startswith(f"error: {document}: the file was changed")
    code, _, error = command("verify", str(tmp_path))
    assert code == 2
    assert "this is no evidence folder" in error


def test_command_says_in_one_sentence_that_the_server_is_down(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    code, _, error = command("--out", str(tmp_path / "e"))
    assert code == 1
    assert "does not answer" in error
    assert error.count("\n") == 1
