"""`overspill forecast`: joint sample paths from a panel."""

from __future__ import annotations

import typer

from pipelines.cli.terminal.console import print_result, resolved_settings, step_context
from pipelines.cli.terminal.options import Config, Device, EtlRun, Json, Model, Out, Override


def forecast(
    config: Config = None,
    override: Override = None,
    out: Out = None,
    model: Model = None,
    device: Device = None,
    etl_run: EtlRun = None,
    *,
    as_json: Json = False,
) -> None:
    """Joint sample paths of orders and capacity from an etl run's panel."""
    options = {"forecast.model": model, "forecast.device": device}
    settings = resolved_settings(config, override, options)
    with step_context(settings, out) as context:
        from pipelines.cli.terminal.console import begin_job
        from pipelines.forecast.step import run_forecast

        begin_job(context)
        result = run_forecast(context, etl_run)
        figures = {
            "run": result.run_id,
            "items": len(result.paths.item_ids),
            "paths": result.paths.paths,
            "horizon": result.paths.horizon,
            **({} if result.weights is None else {"weights": result.weights}),
            "skipped": dict(result.skipped),
        }
        print_result(figures, as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(forecast)
