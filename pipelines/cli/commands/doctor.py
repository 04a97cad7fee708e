"""`overspill doctor`: whether this machine can run the main job, and what to do if not."""

from __future__ import annotations

import typer

from pipelines.cli.terminal.console import (
    fail,
    print_json,
    report_errors,
    resolved_settings,
    stdout,
)
from pipelines.cli.terminal.options import Config, Device, Json, Override


def doctor(
    config: Config = None,
    override: Override = None,
    device: Device = None,
    *,
    as_json: Json = False,
) -> None:
    """Whether this machine can run `overspill run`, with which device and store; what to do if not."""
    settings = resolved_settings(config, override, {"forecast.device": device})
    with report_errors():
        from rich.console import Console

        from pipelines.doctor import findings as doctors
        from pipelines.doctor.examination import own_launch, run_checks
        from pipelines.doctor.report import print_findings, probe_progress

        with probe_progress(Console(stderr=True)) as ended:
            found = run_checks(settings, ended=ended)
        summary = doctors.summary(found)
        if own_launch().rank == 0:
            if as_json:
                print_json(doctors.as_json(found))
            else:
                print_findings(stdout(), found)
        if not summary["can_run"]:
            fail(f"overspill run cannot run here: {'; '.join(summary['advice'])}", 1)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)
