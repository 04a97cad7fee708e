"""`overspill ui`: the MLflow UI on the configured store; `overspill runs`: the runs in the terminal."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from pipelines.cli.terminal.console import print_json, resolved_settings, stdout, step_context
from pipelines.cli.terminal.options import Json

Config = Annotated[
    str | None, typer.Option("--config", help="Experiment that names the store: a packaged name, or a path.")
]
Override = Annotated[
    list[str] | None, typer.Option("--set", help="Override one setting, such as tracking.uri=URI.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(ui)
    app.command()(runs)


def ui(
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port on loopback; default: a free one.")
    ] = None,
    config: Config = None,
    override: Override = None,
) -> None:
    """Open the MLflow UI on the configured store; prints the page of the newest windows run."""
    settings = resolved_settings(config, override)
    with step_context(settings, None) as context:
        from forecasting.errors import StepError
        from pipelines.runtime.store.address import without_password
        from pipelines.runtime.tracking.ui import address_of_newest, address_of_table, free_port, server

        tracker = context.tracker
        if tracker.uri.startswith(("http://", "https://")):  # the store is a server that has a UI
            typer.echo(address_of_newest(tracker, without_password(tracker.uri)))
            return
        for stop in (signal.SIGINT, signal.SIGTERM):  # a shell's background job begins with SIGINT ignored
            signal.signal(stop, signal.default_int_handler)
        try:
            with server(tracker, free_port(port)) as (address, process):
                typer.echo(address_of_newest(tracker, address))
                context.tell(f"All runs: {address_of_table(tracker, address)}")
                context.console.print("Press Ctrl-C to stop.")
                code = process.wait()
        except KeyboardInterrupt:
            return
        raise StepError(f"the MLflow server stopped unexpectedly with exit status {code}")


def runs(
    step: Annotated[str | None, typer.Option("--step", help="Only runs of this step.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Maximum number of runs.")] = 20,
    config: Config = None,
    override: Override = None,
    *,
    nested: Annotated[
        bool,
        typer.Option(
            "--nested", help="Also show nested runs, those of single assumptions in a sensitivity run."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Runs of the configured store, newest first."""
    settings = resolved_settings(config, override)
    with step_context(settings, None) as context:
        import polars as pl

        from pipelines.cli.terminal.tables import print_table
        from pipelines.runtime.tracking.ui import list_runs

        found = [vars(row) for row in list_runs(context.tracker, step=step, limit=limit, nested=nested)]
        if as_json:
            print_json({"store": context.tracker.shown, "runs": found})
        elif not found:
            typer.echo(f"no runs in {context.tracker.shown}, experiment {context.tracker.experiment}")
        else:
            table = pl.DataFrame(found).with_columns(pl.col("started").dt.strftime("%Y-%m-%d %H:%M:%S"))
            print_table(stdout(), table, title=f"runs in {context.tracker.shown} (UTC)", digits=1)
