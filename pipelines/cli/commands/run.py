"""`overspill run`: every step, ending with the answer."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.terminal.console import (
    print_answer,
    print_backtest,
    print_json,
    print_result,
    print_ui,
    print_windows,
    resolved_settings,
    stdout,
    step_context,
)
from pipelines.cli.terminal.options import AsOf, Config, Device, Engine, Json, Model, Out, Override, State


def run(
    config: Config = None,
    override: Override = None,
    out: Out = None,
    as_of: AsOf = None,
    model: Model = None,
    device: Device = None,
    state: State = None,
    engine: Engine = None,
    *,
    train: Annotated[
        bool, typer.Option("--train", help="Also fine-tune the network; it is used if it is better.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Print every table, not the answer alone (see overspill show).")
    ] = False,
    as_json: Json = False,
) -> None:
    """All steps: etl, backtest, forecast and export windows, ending with the answer."""
    options = {
        "data.as_of": as_of,
        "forecast.model": model,
        "forecast.device": device,
        "backtest.engine": engine,
    }
    settings = resolved_settings(config, override, options)
    command = f"run, train {train}"
    with step_context(settings, out, state, command=command, brief=not everything) as context:
        from pipelines.backtest.parallel import warm

        warm(context)
        from pipelines.cli.terminal.console import begin_job
        from pipelines.cli.terminal.tables import print_wrapped
        from pipelines.run import run_all
        from pipelines.windows.recorded_run import readings

        begin_job(context)
        result = run_all(context, train=train)
        if as_json:
            tables = result.windows.tables
            print_json(
                {
                    "runs": result.run_ids,
                    **({"etl": result.etl.summary} if result.etl.summary else {}),
                    **({"train": result.train.figures} if result.train else {}),
                    "now": result.windows.now,
                    "readings": readings(context.settings.policies),
                    "windows": tables["windows"].to_dicts(),
                    "cap_readings": tables["cap_readings"].to_dicts(),
                    "statements": [dict(each) for each in result.windows.answer.basis.statements],
                    "leaderboard": result.backtest.leaderboard.to_dicts() if result.backtest else [],
                    "skipped": result.skipped,
                    "weights": result.weights,
                    "store": context.tracker.shown,
                }
            )
            return
        console = stdout()
        for sentence in result.train.messages if result.train else ():
            print_wrapped(console, sentence)
        if everything:
            print_result(result.etl.summary, as_json=False)
            if result.backtest is not None:
                print_backtest(console, result.backtest)
            if result.weights is not None:
                console.print(f"weights of the forecast: {result.weights}\n", highlight=False)
            print_windows(console, context.settings, result.windows.tables)
        windows = result.windows
        print_answer(console, windows.answer, run_id=windows.run_id, out=out, book=result.etl.summary)
        if everything:
            print_ui(console, context)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)
