"""Whether a file is whole: one reading of its bytes gives its SHA-256 and proves each CSV line complete."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from forecasting.errors import InputError
from pipelines.etl.order_book.files import object_store
from pipelines.etl.order_book.files.sources import SourceFile
from pipelines.runtime.files.csv_lines import CsvLines

PIECE = 1 << 24  # bytes read at once


@dataclass(frozen=True, kw_only=True)
class FileCheck:
    """What a reading of a file's bytes showed: what its content is known by, and what one should know.

    `rows` are those of a CSV file; None: they were not counted.
    """

    content: str
    notes: tuple[str, ...] = ()
    rows: int | None = None


def check_file(source: SourceFile, *, separator: str, storage_options: Mapping[str, str]) -> FileCheck:
    """Read a file's bytes once. A Parquet file in an object store is known by its ETag and not read here.

    Raises
    ------
    InputError
        If the file cannot be read, or a line of a CSV file is incomplete; the sentence names file and row.
    """
    if source.version is not None and not source.is_csv:
        return FileCheck(content=f"etag {source.version}")
    digest = hashlib.sha256()
    lines = CsvLines(where=source.path, separator=separator) if source.is_csv else None
    for piece in _pieces(source, storage_options):
        digest.update(piece)
        if lines is not None:
            lines.add(piece)
    notes = () if lines is None else lines.end()
    return FileCheck(content=digest.hexdigest(), notes=notes, rows=None if lines is None else lines.rows)


def _pieces(source: SourceFile, storage_options: Mapping[str, str]) -> Iterator[bytes]:
    if source.is_remote:
        yield from object_store.content(source.path, storage_options)
        return
    try:
        with Path(source.path).open("rb") as file:
            while piece := file.read(PIECE):
                yield piece
    except OSError as error:
        raise InputError("the file cannot be read", found=str(error.strerror), where=source.path) from error
