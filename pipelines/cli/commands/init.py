"""`overspill init`: a mapping file for an order book."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.terminal.console import print_json, report_errors
from pipelines.cli.terminal.options import Json


def init(
    book: Annotated[Path, typer.Argument(help="Order lines, CSV or Parquet.")],
    out: Annotated[
        Path, typer.Option("--out", help="Mapping file to write; a file that is there is not replaced.")
    ] = Path("mapping.yaml"),
    *,
    as_json: Json = False,
) -> None:
    """Propose the mapping of an order book from its header and first rows; says what is left to fill in."""
    with report_errors():
        from forecasting.errors import InputError
        from pipelines.etl.order_book.proposal import mapping_text, propose
        from pipelines.runtime.files.artifacts import write_atomic

        if out.exists():
            raise InputError(
                "the file is there already", expected="another --out", found=str(out), where="--out"
            )
        proposal = propose(book)
        text = mapping_text(proposal, source=book.name)
        write_atomic(out, lambda beside: beside.write_text(text, encoding="utf-8"))
        chosen = f"--config order_book --set data.path={book} --set data.mapping={out}"
        following = [
            f"overspill run {chosen} --out book/",
            "overspill evidence keygen signer",
            f"overspill evidence {chosen} --sign signer --out evidence/",
        ]
        if as_json:
            found = {name: getattr(proposal, name) for name in ("columns", "ignored", "skus", "left")}
            print_json({**found, "mapping": str(out), "next": following})
            return
        _tell(out, proposal.rows, len(proposal.columns), list(proposal.left), following)


def _tell(out: Path, rows: int, columns: int, left: list[str], following: list[str]) -> None:
    typer.echo(f"{out}: {columns} columns recognised in {rows:,} rows")
    typer.echo("left to fill in: nothing" if not left else "left to fill in:")
    for sentence in left:
        typer.echo(f"  - {sentence}")
    typer.echo("then:")
    for command in following:
        typer.echo(f"  {command}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)
