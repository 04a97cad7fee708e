"""`overspill evidence`: write the evidence of a windows run; beside it `verify`, `template` and `keygen`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.terminal.console import (
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
        str | None,
        typer.Option(
            "--windows-run",
            help="Run whose figures are shown: id, or its first characters (newest with these settings).",
        ),
    ] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", help="Policy of that run; default: its first.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the evidence; replaced as a whole.")] = Path(
        "evidence"
    ),
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            help="Experiment of the run, which names the store: a name, or a path.",
        ),
    ] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="Override one setting, such as tracking.uri=URI.")
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option("--sign", help="Private key (Ed25519, PEM) that signs it; see evidence keygen."),
    ] = None,
    *,
    applicant: Annotated[
        str | None, typer.Option("--applicant", help="Who applies, on the cover page.")
    ] = None,
    preparer: Annotated[
        str | None, typer.Option("--preparer", help="Who prepared it, on the cover page.")
    ] = None,
    licence_number: Annotated[
        str | None, typer.Option("--licence-number", help="Of the application, on the cover page.")
    ] = None,
    date: Annotated[
        str | None, typer.Option("--date", help="Of the document, such as 2026-03-31; else when it was made.")
    ] = None,
    verdict_threshold: Annotated[
        float | None,
        typer.Option(
            "--verdict-threshold",
            help="Share of the paths on which a condition must hold to be met; else windows.confidence.",
        ),
    ] = None,
    attestations: Annotated[
        Path | None,
        typer.Option(
            "--attestations",
            help="YAML file of what somebody attests of conditions that no data can show.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the evidence for one policy of a windows run: HTML, JSON, artifacts and a manifest of hashes."""
    if call.invoked_subcommand is not None:
        return
    settings = resolved_settings(config, override)
    with report_errors():
        from pipelines.evidence.records import Cover
        from pipelines.evidence.signature import read_private_key

        key = None if sign is None else read_private_key(sign)
        cover = Cover(applicant=applicant, preparer=preparer, licence_number=licence_number, date=_day(date))
    with step_context(settings, None) as context:
        from pipelines.evidence.manifest import DOCUMENT
        from pipelines.evidence.step import write_evidence
        from pipelines.runtime.step.selection import input_run

        run_id = input_run(context, "windows", windows_run)
        made = write_evidence(
            context.tracker,
            out,
            windows_run_id=run_id,
            policy=policy,
            key=key,
            cover=cover,
            verdict_threshold=verdict_threshold,
            attestations=attestations,
        )
        print_result(
            {
                "run": made.run_id,
                "policy": made.content.policy.name,
                "conditions": made.content.overall.sentence,
                "document": str(made.out / DOCUMENT),
                "seal": made.seal,
                "signed_by": made.content.signed_by,
            },
            as_json=as_json,
        )


def _day(text: str | None) -> dt.date | None:
    from forecasting.errors import InputError

    if text is None:
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            "a date is a day", expected="such as 2026-03-31", found=repr(text), where="--date"
        ) from error


@evidence_app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `overspill evidence` wrote.")],
    key: Annotated[
        Path | None,
        typer.Option("--key", help="Public key (Ed25519, PEM) that must have signed the folder."),
    ] = None,
    *,
    documents: Annotated[
        Path | None,
        typer.Option("--documents", help="Folder that must hold every attested document, by its SHA-256."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check every hash, table, statement and the signature of an evidence folder; exit 1 if one differs."""
    with report_errors():
        from pipelines.evidence.signature import read_public_key
        from pipelines.evidence.verify import verify as check

        trusted = None if key is None else read_public_key(key)
        print_result(check(folder, key=trusted, documents=documents), as_json=as_json)


@evidence_app.command()
def template(
    policy: Annotated[str, typer.Option("--policy", help="Policy (name or path).")] = "bis_2026_01",
) -> None:
    """Print a file of attestations to fill in: every condition of a policy that no data can show."""
    with report_errors():
        from pipelines.evidence.attestations import template as text_of
        from pipelines.runtime.config.loader import load_policy

        typer.echo(text_of(load_policy(policy)), nl=False)


@evidence_app.command()
def keygen(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Where the private key goes (mode 0600).")],
    *,
    as_json: Json = False,
) -> None:
    """Make a key pair to sign evidence with: PATH is for the signer alone, PATH.pub for everybody."""
    with report_errors():
        from pipelines.evidence.signature import PUBLIC_SUFFIX, generate_key

        made = generate_key(path)
        figures = {"key": str(path), "public_key": f"{path}{PUBLIC_SUFFIX}", "fingerprint": made}
        print_result(figures, as_json=as_json)
