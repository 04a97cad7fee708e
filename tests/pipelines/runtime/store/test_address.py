"""Where a store is: its address as it is used, shown and recorded, and that no password is ever written."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from forecasting.errors import InputError, StepError
from pipelines.cli.main import app
from pipelines.etl.step import run_etl
from pipelines.runtime.config.loader import dump, flatten, resolve
from pipelines.runtime.step.context import Context
from pipelines.runtime.store.address import masked, resolve_uri, ui_command, without_password, without_secrets
from pipelines.runtime.tracking import Store

SECRET = "hush-hush"  # noqa: S105


def test_uri_comes_from_the_settings_then_the_environment_then_the_default(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://from.environment")
    assert resolve_uri("sqlite:///own.db") == "sqlite:///own.db"
    assert resolve_uri(None) == "http://from.environment"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert resolve_uri(None) == "sqlite:///mlruns/mlflow.db"


@pytest.mark.parametrize(
    ("uri", "recorded", "shown"),
    [
        ("sqlite:///mlruns/mlflow.db", "sqlite:///mlruns/mlflow.db", "sqlite:///mlruns/mlflow.db"),
        ("sqlite:////a@b/c:d@e.db", "sqlite:////a@b/c:d@e.db", "sqlite:////a@b/c:d@e.db"),
        ("http://me:secret@host:5000/x", "http://me:***@host:5000/x", "http://host:5000/x"),
        ("http://host:5000/a:b@c", "http://host:5000/a:b@c", "http://host:5000/a:b@c"),
        ("https://me@host", "https://me@host", "https://host"),
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db", "postgresql://host/db"),
        (
            "postgresql+psycopg://me:p/w:r@d[@host:5432/db?sslmode=require",
            "postgresql+psycopg://me:***@host:5432/db?sslmode=require",
            "postgresql+psycopg://host:5432/db?sslmode=require",
        ),
        (
            "postgresql://host/db?user=me&password=secret&sslmode=require",
            "postgresql://host/db?user=me&password=***&sslmode=require",
            "postgresql://host/db?user=me&password=***&sslmode=require",
        ),
    ],
)
def test_a_password_is_masked_where_a_uri_is_recorded_and_left_out_where_it_is_shown(uri, recorded, shown):
    assert masked(uri) == recorded
    assert without_password(uri) == shown
    assert masked(recorded) == recorded


def test_a_password_is_taken_out_of_the_errors_of_others():
    message = without_secrets(
        "cannot reach postgresql://me:hu%40sh@host (hu@sh)", "postgresql://me:hu%40sh@host"
    )
    assert message == "cannot reach postgresql://me:***@host (***)"
    assert without_secrets("as it is", "sqlite:///x.db") == "as it is"


def test_the_command_that_opens_the_ui_never_holds_a_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://me:{SECRET}@host/db")
    assert ui_command(resolve_uri(None)).endswith("overspill ui")
    other = ui_command(f"postgresql://me:{SECRET}@other/db")
    assert other.endswith("overspill ui --set tracking.uri=postgresql://me:***@other/db")
    assert ui_command(f"https://me:{SECRET}@host") == "https://host"


def test_settings_that_are_printed_or_recorded_hold_no_password():
    settings = resolve(overrides=[f"tracking.uri=postgresql://me:{SECRET}@host/db"])
    assert SECRET in settings.tracking.uri
    assert flatten(settings)["tracking.uri"] == "postgresql://me:***@host/db"
    for text in (dump(settings), json.dumps(settings.model_dump(mode="json"))):
        assert "postgresql://me:***@host/db" in text
        assert SECRET not in text


def test_no_file_of_the_store_holds_the_password_of_its_uri(own_tracker, small_settings, tmp_path):
    tracking = small_settings.tracking.model_copy(update={"uri": f"postgresql://me:{SECRET}@host/db"})
    settings = small_settings.model_copy(update={"tracking": tracking})
    console, out = Console(file=io.StringIO()), tmp_path / "out"
    context = Context(settings=settings, tracker=own_tracker, console=console, out=out)
    run_etl(context)

    def fails():
        with replace(context, out=None).step("etl"):
            own_tracker.uri = tracking.uri
            raise StepError(f"cannot reach {tracking.uri}")

    with pytest.raises(StepError, match=SECRET):
        fails()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"me:***@host" in path.read_bytes() for path in files if path.name == "mlflow.db")
    assert any(b"me:***@host" in path.read_bytes() for path in files if path.name == "settings-etl.yaml")
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_a_store_that_cannot_be_opened_is_named_without_its_password():
    with pytest.raises(StepError, match="MLflow at") as failed:
        Store(f"nosuchstore://me:{SECRET}@host/db")
    assert SECRET not in str(failed.value)


def test_a_uri_that_was_recorded_without_its_password_is_refused():
    with pytest.raises(InputError, match=re.escape("found postgresql://me:***@host/db")):
        resolve_uri("postgresql://me:***@host/db")
    ended = CliRunner().invoke(app, ["runs", "--set", "tracking.uri=postgresql://me:***@host/db"])
    assert ended.exit_code == 2
    assert ended.stderr.startswith("error: tracking.uri: the password is left out where")
    assert ended.stderr.count("\n") == 1
