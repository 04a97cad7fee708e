"""`overspill sensitivity`: which assumptions matter."""

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

Design = Annotated[
    str,
    typer.Option(
        "--design", help="oat (one at a time), or morris or sobol, which also vary all of them together."
    ),
]
Samples = Annotated[
    int | None,
    typer.Option("--samples", help="Morris: trajectories (6). Sobol: a power of two (16)."),
]
Assumptions = Annotated[
    list[str] | None,
    typer.Option("--assumption", help="Vary only this one, by name; repeatable."),
]
Chip = Annotated[str, typer.Option("--chip", help="Chip whose exports are evaluated.")]


def sensitivity(
    *,
    windows_run: WindowsRun = None,
    design: Design = "oat",
    samples: Samples = None,
    assumption: Assumptions = None,
    chip: Chip = "H200",
    scope: Scope = None,
    policy: AskedPolicy = None,
    config: StoreConfig = None,
    override: StoreOverride = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Which assumptions matter: each one is varied through its range, ranked by effect."""
    settings = resolved_settings(config, override)
    with step_context(settings, out) as context:
        from pipelines.cli.terminal.what_if_tables import print_effects, print_indices
        from pipelines.what_if.designs import named_design
        from pipelines.what_if.sensitivity import SensitivityRequest, run_sensitivity

        request = SensitivityRequest(
            windows_run=windows_run,
            chip=chip,
            scope=scope,
            policy=policy,
            names=assumption or [],
            design=named_design(design, samples),
            samples=samples,
        )
        result = run_sensitivity(context, request)
        if as_json:
            tables = {name: table.to_dicts() for name, table in result.tables.items() if name != "design"}
            print_json({"run": result.run_id, "windows_run": result.case.windows_run_id, **tables})
            return
        title = f"{chip} under {result.selection.policy.name}, figures at the low / high end"
        print_effects(stdout(), result.tables["sensitivity"], title=title)
        if "indices" in result.tables:
            print_indices(stdout(), result.tables["indices"], title=design)
        context.console.print(f"sensitivity run {result.run_id}", highlight=False)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sensitivity)
