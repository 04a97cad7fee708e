"""Rows of a file that are looked at again, as they stand there: those that break a rule or share a key.

Many files have few such rows each. Files that are read in the same way are therefore looked at together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from forecasting.errors import InputError
from forecasting.order_book.normalise import ROW, Forms
from pipelines.etl.order_book.files.recipe import Recipe
from pipelines.etl.order_book.files.sources import list_again
from pipelines.etl.order_book.incremental.file_summary import FileSummary
from pipelines.etl.order_book.incremental.read_errors import convert_read_errors
from pipelines.etl.order_book.incremental.shared_keys import NO_ROWS, Rows
from pipelines.runtime.files.artifacts import write_atomic

PIECES = "rows-*.arrow"
ROWS_PER_BATCH = 100_000  # of a file, every column, that are held while rows are picked out
ROWS_TOGETHER = 200_000  # of several files


class KeptRows(NamedTuple):
    """Rows of one file as they stand there, with their number, and how the file writes its values."""

    place: int
    forms: Forms
    rows: pl.DataFrame


def write_rows(digest: FileSummary, rows: Rows, recipe: Recipe, folder: Path) -> None:
    """Read rows of a file, where they have not been kept before, into the folder of its digest.

    Parameters
    ----------
    digest : FileSummary
    rows : array of row numbers, rising
    recipe : Recipe
    folder : Path

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
    missing = np.setdiff1d(rows, before) if pieces else rows
    if not len(missing):
        return
    with convert_read_errors(digest.source, folder):
        wanted = pl.concat(_picked(recipe.scan(digest.source), missing))
        path = folder / PIECES.replace("*", str(len(pieces)))
        write_atomic(path, partial(wanted.write_ipc, compression="lz4"))
    if list_again(digest.source, recipe.storage_options) != digest.source:
        raise InputError("the file changed while it was read", where=digest.source.path)


def _picked(raw: pl.LazyFrame, rows: Rows) -> Iterator[pl.DataFrame]:
    """The rows of these rising numbers, the first is 1, with their number in front."""
    start = 0
    for batch in raw.collect_batches(chunk_size=ROWS_PER_BATCH, engine="streaming"):
        first, last = np.searchsorted(rows, np.array([start + 1, start + batch.height + 1], rows.dtype))
        of_batch = rows[first:last]
        yield batch[of_batch - (start + 1)].insert_column(0, pl.Series(ROW, of_batch))
        start += batch.height


def read_rows(folder: Path, rows: pl.Series) -> pl.DataFrame:
    """Rows of a file that have been kept, with their number, by rising number."""
    pieces = pl.concat(pl.read_ipc(piece) for piece in sorted(folder.glob(PIECES)))
    if pieces.height == len(rows):
        return pieces.sort(ROW)
    return pieces.filter(pl.col(ROW).is_in(rows.implode())).sort(ROW)


def read_alike(files: Iterable[KeptRows]) -> Iterator[tuple[Forms, pl.DataFrame, list[tuple[int, slice]]]]:
    """Rows of files that follow each other and are read in the same way, in one table.

    Yields
    ------
    Forms
        How all of them write their values.
    DataFrame
        The rows of one file below those of the other.
    list of (place, slice)
        Where the rows of each file stand in it.
    """
    together: list[KeptRows] = []
    for file in files:
        held = sum(each.rows.height for each in together)
        if together and (held >= ROWS_TOGETHER or not _alike(together[0], file)):
            yield _joined(together)
            together = []
        together.append(file)
    if together:
        yield _joined(together)


def _alike(one: KeptRows, other: KeptRows) -> bool:
    return one.forms == other.forms and one.rows.schema == other.rows.schema


def _joined(files: Sequence[KeptRows]) -> tuple[Forms, pl.DataFrame, list[tuple[int, slice]]]:
    stops = np.cumsum([file.rows.height for file in files]).tolist()
    spans = [
        (file.place, slice(stop - file.rows.height, stop)) for file, stop in zip(files, stops, strict=True)
    ]
    return files[0].forms, pl.concat([file.rows for file in files]), spans
