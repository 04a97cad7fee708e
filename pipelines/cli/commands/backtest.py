"""`overspill backtest`: every forecaster on the past."""

from __future__ import annotations

import typer

from pipelines.cli.terminal.console import (
    print_backtest,
    print_json,
    resolved_settings,
    stdout,
    step_context,
)
from pipelines.cli.terminal.options import Config, Engine, EtlRun, Json, Out, Override


def backtest(
    config: Config = None,
    override: Override = None,
    out: Out = None,
    etl_run: EtlRun = None,
    engine: Engine = None,
    *,
    as_json: Json = False,
) -> None:
    """Score every forecaster on the past, as it was known then."""
    settings = resolved_settings(config, override, {"backtest.engine": engine})
    with step_context(settings, out) as context:
        from pipelines.backtest.step import run_backtest

        result = run_backtest(context, etl_run)
        if as_json:
            figures = {"run": result.run_id, "weights": result.weights}
            print_json({**figures, "leaderboard": result.leaderboard.to_dicts()})
            return
        print_backtest(stdout(), result)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backtest)
