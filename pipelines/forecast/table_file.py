"""A long table read from a file: Parquet as it is, packed or plain text with every field as text."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple, cast

import polars as pl
import pyarrow as pa

from forecasting.errors import InputError
from pipelines.runtime.files.artifacts import read_table
from pipelines.runtime.files.csv_lines import CsvLines

PARQUET = b"PAR1"
TEXT = (".csv", ".txt", ".tsv")
# First bytes of a packed file, its name, and what unpacks it.
PACKED: dict[bytes, tuple[str, Callable[[Path], IO[bytes]]]] = {
    b"\x1f\x8b": ("gzip", lambda path: cast("IO[bytes]", gzip.GzipFile(path))),
    b"BZh": ("bzip2", lambda path: _all_streams(path, bz2.BZ2Decompressor)),
    b"\xfd7zXZ\x00": ("xz", lambda path: _all_streams(path, lzma.LZMADecompressor)),
    b"\x28\xb5\x2f\xfd": ("Zstandard", lambda path: pa.CompressedInputStream(str(path), "zstd")),
    b"\x04\x22\x4d\x18": ("LZ4", lambda path: pa.CompressedInputStream(str(path), "lz4")),
    b"PK\x03\x04": ("zip", lambda path: _only_member(path)),  # noqa: PLW0108 - defined below
}
SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zstd", ".lz4", ".zip")
MARKS = {  # of byte order, the longer before the shorter that it begins with
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
MAX_BYTES = 4 << 30  # of text; a packed file can be made to unpack without end
SEPARATOR = {".tsv": "\t"}


class TableFile(NamedTuple):
    """A table as its file holds it; of text, every column is String and a row is a line."""

    table: pl.DataFrame
    is_text: bool


def read_long_table(source: Path, *, encoding: str | None = None, separator: str | None = None) -> TableFile:
    """Read a Parquet file or a text file, also one packed by gzip, bzip2, xz, Zstandard, LZ4 or zip.

    Parameters
    ----------
    source : Path
    encoding : str, optional
        Of text; None asks for UTF-8.
    separator : str, optional
        Between the fields of text; None is a comma, and a tab in *.tsv.

    Raises
    ------
    InputError
        If it is missing or empty, cannot be read or unpacked, holds text of another encoding, or a line is
        incomplete or the header again; with the line.
    """
    names = [suffix.lower() for suffix in source.suffixes]
    kind = next((name for name in reversed(names) if name not in SUFFIXES), "")
    first = _first_bytes(source)
    packed = next((each for mark, each in PACKED.items() if first.startswith(mark)), None)
    if first.startswith(PARQUET) or not (kind in TEXT or packed):
        return TableFile(read_table(source), is_text=False)
    content = _decoded(_content(source, packed), encoding, where=str(source))
    return TableFile(_parsed(content, separator or SEPARATOR.get(kind, ","), str(source)), is_text=True)


def _first_bytes(source: Path) -> bytes:
    if source.is_dir():
        raise InputError(
            "a folder is given where a file is needed", expected="a CSV or Parquet file", where=str(source)
        )
    if not source.is_file():
        rule = "the file is no regular file" if source.exists() else "the file does not exist"
        raise InputError(rule, expected="a CSV or Parquet file", where=str(source))
    try:
        with source.open("rb") as file:
            return file.read(8)
    except OSError as error:
        raise InputError("the file cannot be read", found=str(error.strerror), where=str(source)) from error


def _all_streams(
    path: Path, decompressor: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]
) -> IO[bytes]:
    """What all streams of a file hold; anything else behind them but zero bytes is an error."""
    content, packed = io.BytesIO(), path.read_bytes()
    while packed and content.tell() <= MAX_BYTES:
        stream = decompressor()
        content.write(stream.decompress(packed, MAX_BYTES + 1))
        if not stream.eof and content.tell() <= MAX_BYTES:
            raise EOFError("the stream has no end")
        packed = stream.unused_data.lstrip(b"\0")
    content.seek(0)
    return content


def _only_member(path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    files = [name for name in archive.namelist() if not name.endswith("/")]
    if len(files) != 1:
        raise InputError(
            "a zip archive must hold one file", expected="1", found=str(len(files)), where=str(path)
        )
    return archive.open(files[0])


def _content(source: Path, packed: tuple[str, Callable[[Path], IO[bytes]]] | None) -> bytes:
    """The text's bytes, unpacked."""
    try:
        with source.open("rb") if packed is None else packed[1](source) as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError) as error:
        rule = (
            "the file cannot be read" if packed is None else f"the file is cut short or no {packed[0]} file"
        )
        raise InputError(rule, found=str(error) or type(error).__name__, where=str(source)) from error
    if len(content) > MAX_BYTES:
        raise InputError(
            "the text is too long",
            expected=f"at most {MAX_BYTES >> 30} GiB; Parquet for more",
            where=str(source),
        )
    return content


def _decoded(content: bytes, encoding: str | None, *, where: str) -> bytes:
    """The text as UTF-8 without a mark of byte order."""
    mark = next((name for mark, name in MARKS.items() if content.startswith(mark)), None)
    if encoding is None and (mark or b"\x00" in content):
        line = content[: max(content.find(b"\x00"), 0)].count(b"\n") + 1
        raise InputError(
            "the file is not UTF-8 text",
            expected=f"UTF-8, or --encoding {mark or 'utf-16-le or another'}",
            found=f"a mark of {mark}" if mark else "a zero byte",
            where=f"{where}, line {1 if mark else line}",
        )
    name = encoding or "utf-8"
    try:
        text = content.decode(name)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(name, errors="replace")
        raise InputError(
            f"the file is not {name.upper()} text",
            expected="UTF-8, or the file's own with --encoding, such as cp1252"
            if encoding is None
            else "the file's own --encoding",
            found=f"byte 0x{content[error.start]:02x} after {before[-20:].splitlines()[-1:] or ['']!r}",
            where=f"{where}, line {before.count(chr(10)) + 1}",
        ) from error
    except LookupError as error:
        raise InputError(
            "unknown encoding",
            expected="such as utf-8, cp1252 or utf-16",
            found=repr(name),
            where="--encoding",
        ) from error
    return content if encoding is None else text.removeprefix("\ufeff").encode()


def _parsed(content: bytes, separator: str, where: str) -> pl.DataFrame:
    lines = CsvLines(where=where, separator=separator, setting="--separator", with_lines=True)
    try:
        lines.add(content)
        lines.end()
        table = pl.read_csv(io.BytesIO(content), separator=separator, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise InputError("the file is no CSV file that can be read", found=reason, where=where) from error
    again = table.select(pl.all_horizontal(pl.col(name) == name for name in table.columns)).to_series()
    if again.any():
        row = int(again.arg_max() or 0) + 1
        raise InputError("the header is repeated", where=f"{where}, row {row} (line {row + 1})")
    return table
