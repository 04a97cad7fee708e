"""Files that are whole or absent: written beside their place, then renamed. Tables carry a content digest."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import polars as pl

from forecasting.errors import InputError, StepError
from forecasting.panel.schema import content_digest

DIGEST_KEY = "overspill_content_sha256"
WRITER_KEY = "overspill_command"  # of a table that a command writes beside a user's own files
LARGE_ROWS = 200_000  # CSV twins of larger tables are compressed


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then move it there in one step.

    Raises
    ------
    StepError
        If the folder cannot be written or the disk is full; nothing is left behind.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(beside)
        beside.replace(path)
    except (OSError, pl.exceptions.PolarsError) as error:  # a full disk reaches us as either
        reason = getattr(error, "strerror", None) or str(error).split("\n", maxsplit=1)[0]
        raise StepError(f"{path}: the file cannot be written: {reason}") from error
    finally:
        with suppress(OSError):  # the folder itself may be missing; its error is on its way
            beside.unlink(missing_ok=True)


def write_table(folder: Path, name: str, table: pl.DataFrame) -> str:
    """Write `name.parquet`, its content digest in the metadata, and its CSV twin; return the digest."""
    digest = content_digest(table)
    write_atomic(
        folder / f"{name}.parquet", lambda beside: table.write_parquet(beside, metadata={DIGEST_KEY: digest})
    )
    large = table.height > LARGE_ROWS
    twin, other = ("csv.gz", "csv") if large else ("csv", "csv.gz")
    write_atomic(folder / f"{name}.{twin}", lambda beside: _write_csv(table, beside, gzip=large))
    (folder / f"{name}.{other}").unlink(missing_ok=True)
    return digest


def write_marked(path: Path, table: pl.DataFrame, *, command: str) -> None:
    """Write a Parquet file that says which command wrote it and what it held, see `check_own`."""
    marks = {DIGEST_KEY: content_digest(table), WRITER_KEY: command}
    write_atomic(path, lambda beside: table.write_parquet(beside, metadata=marks))


def check_own(path: Path, *, command: str) -> None:
    """Refuse to replace or remove a file that the command did not write, or that was changed since.

    Raises
    ------
    InputError
        With its name.
    """
    if not (path.exists() or path.is_symlink()):
        return
    marks: Mapping[str, str] = {}
    if path.is_file() and not path.is_symlink():
        with suppress(pl.exceptions.PolarsError, OSError):
            marks = pl.read_parquet_metadata(path)
    if marks.get(WRITER_KEY) == command:
        with suppress(pl.exceptions.PolarsError, OSError):
            if content_digest(pl.read_parquet(path)) == marks.get(DIGEST_KEY):
                return
    raise InputError(
        f"a file that `overspill {command}` did not write, or that was changed since, would be lost",
        expected="another --out, or the file moved away",
        found=path.name,
        where=str(path.parent),
    )


def _write_csv(table: pl.DataFrame, path: Path, *, gzip: bool) -> None:
    if gzip:
        table.write_csv(path, compression="gzip", compression_level=1, check_extension=False)
    else:
        table.write_csv(path)


def read_table(path: Path) -> pl.DataFrame:
    """Read a Parquet file.

    Raises
    ------
    InputError
        If the file is missing, empty, cut short or no Parquet file.
    """
    if path.is_dir():
        raise InputError(
            "a folder is given where a file is needed", expected="a Parquet file", where=str(path)
        )
    if not path.is_file():
        raise InputError("the file does not exist", expected="a Parquet file", where=str(path))
    if path.stat().st_size == 0:
        raise InputError("the file is empty", expected="a Parquet file", found="0 bytes", where=str(path))
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise InputError(
            "the file is cut short or no Parquet file",
            found=f"{path.stat().st_size} bytes ({reason})",
            where=str(path),
        ) from error


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_writable(folder: Path) -> None:
    """Refuse an output folder that cannot be made or written, before any work is done.

    Raises
    ------
    StepError
        With the system's reason.
    """
    probe = folder / f".probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StepError(f"{folder}: the output folder cannot be written: {error.strerror}") from error
