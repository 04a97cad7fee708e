"""The command line. Heavy imports live inside the commands, so that `--help` answers at once."""

from __future__ import annotations

import typer

from pipelines.cli.commands import (
    backtest,
    config,
    doctor,
    etl,
    evidence,
    forecast,
    predict,
    pretrain,
    run,
    scenario,
    schedule,
    sensitivity,
    sync,
    train,
    ui,
    windows,
)
from pipelines.cli.terminal.console import fail
from pipelines.cli.terminal.interruption import ended_at_once

app = typer.Typer(
    name="overspill",
    help="When is US demand for an AI accelerator saturated, and how much may be exported then?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _command in (
    run,
    etl,
    train,
    pretrain,
    backtest,
    forecast,
    windows,
    sensitivity,
    scenario,
    schedule,
    evidence,
    ui,
    sync,
    predict,
    doctor,
    config,
):
    _command.register(app)


def main() -> None:
    """Entry point of the command `overspill`."""
    with ended_at_once():
        try:
            app()
        except KeyboardInterrupt:
            fail("interrupted", 130)


if __name__ == "__main__":
    main()
