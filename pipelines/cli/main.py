"""The command line. Heavy imports are inside the commands, so that `--help` is fast."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from pipelines.cli.commands import (
    backtest,
    config,
    doctor,
    etl,
    evidence,
    forecast,
    init,
    plot,
    predict,
    pretrain,
    run,
    scenario,
    schedule,
    sensitivity,
    show,
    sync,
    train,
    ui,
    windows,
)
from pipelines.cli.terminal.console import fail
from pipelines.cli.terminal.interruption import ended_at_once
from pipelines.runtime.store.retries import set_client_environment

app = typer.Typer(
    name="overspill",
    help="When is US demand for an AI accelerator saturated, and how much may be exported then?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:  # noqa: FBT001 - called by typer
    if asked:
        typer.echo(f"overspill {version('overspill')}")
        raise typer.Exit


@app.callback()
def options(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""


for _command in (
    run,
    etl,
    train,
    pretrain,
    backtest,
    forecast,
    init,
    windows,
    show,
    sensitivity,
    scenario,
    schedule,
    evidence,
    ui,
    sync,
    plot,
    predict,
    doctor,
    config,
):
    _command.register(app)


def main() -> None:
    """Entry point of the command `overspill`."""
    with ended_at_once():
        set_client_environment()
        try:
            app()
        except KeyboardInterrupt:
            fail("interrupted", 130)


if __name__ == "__main__":
    main()
