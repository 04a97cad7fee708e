"""`overspill scenario`: named what-ifs compared with the base case."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.terminal.console import print_json, resolved_settings, stdout, step_context
from pipelines.cli.terminal.options import (
    AskedPolicy,
    Json,
    Out,
    Scope,
    StoreConfig,
    StoreOverride,
    WindowsRun,
)

Names = Annotated[
    list[str] | None,
    typer.Argument(help="Scenarios by name or path; default: all packaged ones.", metavar="[FILE|NAME]..."),
]
Chips = Annotated[list[str] | None, typer.Option("--chip", help="Chip to evaluate (H200); repeatable.")]


def scenario(
    names: Names = None,
    windows_run: WindowsRun = None,
    chip: Chips = None,
    scope: Scope = None,
    policy: AskedPolicy = None,
    config: StoreConfig = None,
    override: StoreOverride = None,
    out: Out = None,
    *,
    as_json: Json = False,
) -> None:
    """Named what-ifs side by side with the base case, on the same paths."""
    settings = resolved_settings(config, override)
    with step_context(settings, out) as context:
        from pipelines.cli.terminal.what_if_tables import print_scenarios
        from pipelines.what_if.scenario import ScenarioRequest, run_scenarios

        request = ScenarioRequest(
            names=names or [],
            windows_run=windows_run,
            chips=chip or ["H200"],
            scope=scope,
            policy=policy,
        )
        result = run_scenarios(context, request)
        if as_json:
            print_json(
                {
                    "run": result.run_id,
                    "windows_run": result.case.windows_run_id,
                    "scenarios": result.table.to_dicts(),
                }
            )
            return
        print_scenarios(stdout(), result.table, frequency=result.case.paths.frequency, end=result.end)
        context.console.print(f"scenario run {result.run_id}", highlight=False)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(scenario)
