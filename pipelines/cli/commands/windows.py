"""`overspill windows`: saturation dates and export windows from paths."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.terminal.console import print_json, print_windows, resolved_settings, stdout, step_context
from pipelines.cli.terminal.options import Config, Json, Out, Override


def windows(
    config: Config = None,
    override: Override = None,
    out: Out = None,
    forecast_run: Annotated[
        str | None,
        typer.Option(
            "--forecast-run",
            help="Run whose paths are used: id, or its first characters (newest with these settings).",
        ),
    ] = None,
    policy: Annotated[
        list[str] | None, typer.Option("--policy", help="Policy to apply (name or path); repeatable.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Saturation dates and export windows from a forecast run's paths."""
    settings = resolved_settings(config, override, {"policies": policy or None})
    with step_context(settings, out) as context:
        from pipelines.windows.recorded_run import readings
        from pipelines.windows.step import run_windows

        result = run_windows(context, forecast_run)
        if as_json:
            rows = {name: table.to_dicts() for name, table in result.tables.items()}
            supported = readings(settings.policies)
            print_json({"run": result.run_id, "now": result.now, "readings": supported, **rows})
            return
        print_windows(stdout(), settings, result.tables)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(windows)
