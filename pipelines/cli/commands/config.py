"""`overspill config`: the resolved settings."""

from __future__ import annotations

import typer

from pipelines.cli.terminal.console import print_json, report_errors, resolved_settings
from pipelines.cli.terminal.options import Config, Json, Override


def show_config(config: Config = None, override: Override = None, *, as_json: Json = False) -> None:
    """Print the resolved configuration, after validation."""
    settings = resolved_settings(config, override)
    with report_errors():
        from pipelines.runtime.config.loader import dump

        if as_json:
            print_json(settings.model_dump(mode="json"))
        else:
            typer.echo(dump(settings), nl=False)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="config")(show_config)
