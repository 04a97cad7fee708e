"""Where the quarantine of a step that fails is left, so that its rows can be looked at and mended."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forecasting.errors import InputError
from pipelines.etl.order_book.quarantine import Quarantine
from pipelines.runtime.files.output_folder import publish
from pipelines.runtime.step.context import Context
from pipelines.runtime.tracking import StepRun

QUARANTINE, LEFT = "quarantine", "quarantine-failed"
FAILED = "etl-failed"  # under this name the output folder knows what a failed step has left


@contextmanager
def quarantine_left(quarantine: Quarantine, context: Context, run: StepRun, folder: Path) -> Iterator[None]:
    """Write the quarantined rows although the step fails, to the run and beside the earlier result.

    In an output folder they lie in `quarantine` where it holds no earlier result, else in
    `quarantine-failed`: the earlier result stays whole.

    Raises
    ------
    InputError
        The one that was raised inside, which now says where the rows are.
    """
    try:
        yield
    except InputError as error:
        if not any(digest.broken for digest in quarantine.digests) and not _any_lost(quarantine):
            raise
        where = _leave(quarantine, context, run, folder)
        raise InputError(
            error.rule,
            expected=error.expected,
            found=f"{error.found}; the quarantined rows are in {where}".removeprefix("; "),
            where=error.where,
        ) from error


def _any_lost(quarantine: Quarantine) -> bool:
    return any(quarantine.derived.lost(place).height for place in range(len(quarantine.digests)))


def _leave(quarantine: Quarantine, context: Context, run: StepRun, folder: Path) -> str:
    """Write the rows; returns where they are, in words."""
    quarantine.write(folder / QUARANTINE)
    run.log_folder(folder)
    if context.out is None:
        return f"the artifacts of run {run.run_id}, folder {QUARANTINE}"
    fresh = not (context.out / "panel.parquet").exists()
    if not fresh:
        (folder / QUARANTINE).rename(folder / LEFT)
    publish(folder, context.out, name="etl" if fresh else FAILED)
    return str(context.out / (QUARANTINE if fresh else LEFT))


def remove_left(context: Context) -> None:
    """Remove what a failed step left in the output folder, after one that did not fail."""
    if context.out is not None and (context.out / LEFT).exists():
        with tempfile.TemporaryDirectory(prefix="overspill-") as nothing:
            publish(Path(nothing), context.out, name=FAILED)
