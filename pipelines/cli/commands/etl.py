"""`overspill etl`: raw sources to the panel."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.terminal.console import (
    check_reference_tables,
    print_result,
    resolved_settings,
    step_context,
)
from pipelines.cli.terminal.options import AsOf, Config, Json, Out, Override


def etl(
    config: Config = None,
    override: Override = None,
    out: Out = None,
    as_of: AsOf = None,
    *,
    check: Annotated[bool, typer.Option("--check", help="Only check the reference tables.")] = False,
    engine: Annotated[
        str | None, typer.Option("--engine", help="Engine that reads an order book: local, ray or gpu.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Raw sources to the canonical panel."""
    if check:
        check_reference_tables(as_json=as_json)
        return
    settings = resolved_settings(config, override, {"data.engine": engine, "data.as_of": as_of})
    with step_context(settings, out) as context:
        from pipelines.etl.step import run_etl

        result = run_etl(context)
        figures = {
            "run": result.run_id,
            "rows": result.panel.height,
            "items": result.panel["item_id"].n_unique(),
            **result.summary,
        }
        print_result(figures, as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(etl)
