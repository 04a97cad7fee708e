"""`overspill sync`: what could not be sent while the MLflow server was away is sent now."""

from __future__ import annotations

import typer

from pipelines.cli.terminal.console import fail, print_json, report_errors, resolved_settings
from pipelines.cli.terminal.options import Config, Json, Override


def sync(config: Config = None, override: Override = None, *, as_json: Json = False) -> None:
    """Send the runs that wait in the spool folder to the MLflow server."""
    settings = resolved_settings(config, override)
    with report_errors():
        from rich.console import Console

        from pipelines.runtime.jobs.sync import sync as send

        reports = send(settings, Console(stderr=True))
        waiting = sum(report.waits for report in reports)
        if as_json:
            outboxes = [
                {
                    "folder": str(report.folder),
                    "store": report.store,
                    "left": report.left,
                    "messages": report.messages,
                    "runs": [vars(run) for run in report.runs],
                }
                for report in reports
            ]
            print_json({"outboxes": outboxes, "waiting": waiting})
        for report in [] if as_json else reports:
            for run in report.runs:
                typer.echo(f"{run.local}  {run.run_id}  {run.step:<11} {run.status}")
            for sentence in report.messages:
                typer.echo(sentence)
            if report.left is not None:
                typer.echo(f"{report.folder} for {report.store} is still waiting: {report.left}")
        if not reports and not as_json:
            typer.echo(f"nothing is waiting in {settings.tracking.spool}")
        if waiting:
            what = "outbox could" if waiting == 1 else "outboxes could"
            fail(f"{waiting} {what} not be sent from {settings.tracking.spool}", 1)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sync)
