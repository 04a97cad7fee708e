"""`overspill evidence`: write the evidence of a windows run; `overspill evidence verify DIR`: check it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.terminal.console import (
    print_json,
    print_result,
    report_errors,
    resolved_settings,
    step_context,
)
from pipelines.cli.terminal.options import Json

evidence_app = typer.Typer(invoke_without_command=True, no_args_is_help=False)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(evidence_app, name="evidence")


@evidence_app.callback()
def evidence(
    call: typer.Context,
    windows_run: Annotated[
        str | None, typer.Option("--windows-run", help="Run to document; default: the newest.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", help="Policy of that run; default: its first.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the evidence; replaced as a whole.")] = Path(
        "evidence"
    ),
    config: Annotated[
        str | None, typer.Option("--config", help="Experiment that names the store: a name, or a path.")
    ] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="Override one setting, such as tracking.uri=URI.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Write the evidence for one policy of a windows run: HTML, JSON, artifacts and a manifest of hashes."""
    if call.invoked_subcommand is not None:
        return
    settings = resolved_settings(config, override)
    with step_context(settings, None) as context:
        from pipelines.evidence.manifest import DOCUMENT
        from pipelines.evidence.step import write_evidence

        made = write_evidence(context.tracker, out, windows_run_id=windows_run, policy=policy)
        print_result(
            {
                "run": made.run_id,
                "policy": made.content["policy"]["name"],
                "document": str(made.out / DOCUMENT),
                "seal": made.seal,
            },
            as_json=as_json,
        )


@evidence_app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `overspill evidence` wrote.")],
    *,
    as_json: Json = False,
) -> None:
    """Recompute every hash of an evidence folder and derive its figures again; exit 1 if anything differs."""
    with report_errors():
        from pipelines.evidence.verify import verify as check

        checked = check(folder)
        if as_json:
            print_json(checked)
        else:
            print_result(checked, as_json=False)
