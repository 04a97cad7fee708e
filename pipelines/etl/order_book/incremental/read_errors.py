"""What goes wrong while a file is read and its tables are written, in one sentence: the file, or the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from forecasting.errors import InputError, StepError
from pipelines.etl.order_book.files.sources import SourceFile

PROBE = 1 << 20  # bytes that a disk which is not full takes


@contextmanager
def convert_read_errors(source: SourceFile, folder: Path) -> Iterator[None]:
    """Turn what Polars and the system raise into a sentence about the file, or the folder if that is full."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        full = _full(folder)
        if full is not None:
            raise StepError(f"{folder.parent}: what was read cannot be written: {full}") from error
        reason = getattr(error, "strerror", None) or str(error).split("\n", maxsplit=1)[0]
        raise InputError("the file cannot be read to its end", found=reason, where=source.path) from error


def _full(folder: Path) -> str | None:
    """Why nothing can be written into a folder; Polars' own words do not always tell that from a bad file."""
    probe = folder / "probe"
    try:
        probe.write_bytes(bytes(PROBE))
    except OSError as error:
        return str(error.strerror)
    finally:
        probe.unlink(missing_ok=True)
    return None
