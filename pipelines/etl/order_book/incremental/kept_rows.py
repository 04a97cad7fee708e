"""Rows of a file that are looked at again, as they stand there: those that break a rule or share a key."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from forecasting.errors import InputError
from forecasting.order_book.normalise import ROW
from pipelines.etl.order_book.files.recipe import Recipe
from pipelines.etl.order_book.files.sources import list_again
from pipelines.etl.order_book.incremental.file_summary import FileSummary
from pipelines.etl.order_book.incremental.read_errors import convert_read_errors
from pipelines.etl.order_book.incremental.shared_keys import NO_ROWS, Rows
from pipelines.runtime.files.artifacts import write_atomic

PIECES = "rows-*.arrow"


def write_rows(digest: FileSummary, rows: Rows, recipe: Recipe, folder: Path) -> None:
    """Read rows of a file, where they have not been kept before, into the folder of its digest.

    Raises
    ------
    InputError
        If the file changed since it was read.
    StepError
        If the folder cannot be written.
    """
    pieces = sorted(folder.glob(PIECES))
    before = (
        pl.concat(pl.read_ipc(piece, columns=[ROW]) for piece in pieces)[ROW].to_numpy()
        if pieces
        else NO_ROWS
    )
    missing = pl.Series(np.setdiff1d(rows, before) if pieces else rows)
    if missing.is_empty():
        return
    with convert_read_errors(digest.source, folder):
        numbered = recipe.scan(digest.source).with_row_index(ROW, offset=1)
        wanted = numbered.filter(pl.col(ROW).is_in(missing.implode())).collect(engine="streaming")
        path = folder / PIECES.replace("*", str(len(pieces)))
        write_atomic(path, partial(wanted.write_ipc, compression="lz4"))
    if list_again(digest.source, recipe.storage_options) != digest.source:
        raise InputError("the file changed while it was read", where=digest.source.path)


def read_rows(folder: Path, rows: pl.Series) -> pl.DataFrame:
    """Rows of a file that have been kept, with their number, by rising number."""
    pieces = pl.concat(pl.read_ipc(piece) for piece in sorted(folder.glob(PIECES)))
    if pieces.height == len(rows):
        return pieces.sort(ROW)
    return pieces.filter(pl.col(ROW).is_in(rows.implode())).sort(ROW)
