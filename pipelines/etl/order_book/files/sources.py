"""Which files a path means, and how each is scanned. A file is known by path, size and time of change."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any
from urllib.parse import unquote

import polars as pl

from forecasting.errors import InputError
from pipelines.etl.order_book.files import object_store, patterns

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file of order lines.

    Attributes
    ----------
    path : str
        Path, or address in an object store.
    size : int
        Bytes.
    modified : int
        Time of change, ns since 1970.
    version : str or None
        What an object store calls this content (its ETag); None for a local file, known by its SHA-256.
    """

    path: str
    size: int
    modified: int
    version: str | None = None

    @property
    def is_csv(self) -> bool:
        """Whether it is text; else it is Parquet."""
        return self.path.lower().endswith(".csv")

    @property
    def is_remote(self) -> bool:
        """Whether it lies in an object store."""
        return object_store.is_address(self.path)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Files of order lines by rising path, and what is passed over: hidden, of another kind, linked twice."""

    files: tuple[SourceFile, ...]
    ignored: tuple[str, ...]


def list_sources(paths: Iterable[str], storage_options: Mapping[str, str]) -> Listing:
    """Find the files that paths mean: files, folders (with all below them), globs, or addresses of these.

    Raises
    ------
    InputError
        If a path means no file, or a file that is neither CSV nor Parquet, is empty, or cannot be looked at.
    """
    found: dict[str, SourceFile] = {}
    ignored: set[str] = set()
    for path in paths:
        files, others = (
            object_store.listing(path, storage_options) if object_store.is_address(path) else _local(path)
        )
        if not files:
            raise InputError(
                "there is no file of order lines",
                expected="CSV or Parquet",
                found="none",
                where=object_store.without_secrets(path),
            )
        found |= {each["path"]: SourceFile(**each) for each in files}
        ignored |= set(others)
    for source in found.values():
        if source.size == 0:
            raise InputError("the file is empty", expected="order lines", found="0 bytes", where=source.path)
    return Listing(files=tuple(found[path] for path in sorted(found)), ignored=tuple(sorted(ignored)))


def list_again(source: SourceFile, storage_options: Mapping[str, str]) -> SourceFile:
    """Look at a file once more: equal to `source` if it has not changed."""
    if source.is_remote:
        return SourceFile(**object_store.describe(source.path, storage_options))
    return SourceFile(**_described(Path(source.path)))


def scan(source: SourceFile, *, separator: str, storage_options: Mapping[str, str]) -> pl.LazyFrame:
    """Order lines of one file, lazily, as they stand; columns that its folders name (k=v) come with them."""
    options: dict[str, Any] = {"glob": False}
    if source.is_remote:
        options["storage_options"] = dict(storage_options)
    if source.is_csv:
        frame = pl.scan_csv(source.path, infer_schema=False, separator=separator, **options)
    else:
        frame = pl.scan_parquet(source.path, hive_partitioning=False, **options)
    own = set(frame.collect_schema())
    parted = partition_values(source.path)
    return frame.with_columns(
        pl.lit(value, pl.String).alias(name) for name, value in parted.items() if name not in own
    )


def partition_values(path: str) -> dict[str, str | None]:
    """Columns that folders of a path name (`column=value`), percent-encoding undone; None for Hive's null.

    >>> partition_values("orders/end_use_country=Cote%20d%27Ivoire/a.csv")
    {'end_use_country': "Cote d'Ivoire"}
    """
    parts = [part.split("=", 1) for part in Path(path).parts[:-1] if "=" in part]
    return {unquote(name): None if value == HIVE_NULL else unquote(value) for name, value in parts}


def _local(path: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Descriptions of the files that a local path means, and the paths of others that lie there."""
    root = Path(path).expanduser()
    pattern: tuple[str, ...] = ()
    if not root.exists() and patterns.WILDCARD.search(path):
        before, pattern = patterns.split(str(root))
        root = Path(before)
        if not root.is_dir():
            return [], []
    elif not root.is_dir():
        return [_described(_of_known_kind(root))], []
    files: dict[str, Path] = {}
    ignored: set[str] = set()
    for parts in _below(root, (), pattern, frozenset()):
        meant, place = patterns.meaning(parts, pattern), root.joinpath(*parts)
        if meant == "order lines" and files.setdefault(os.path.realpath(place), place) == place:
            continue
        if meant != "not meant":
            ignored.add(str(root / patterns.shown(parts)) if meant == "ignored" else str(place))
    return [_described(place) for place in files.values()], sorted(ignored)


def _below(
    root: Path, inside: tuple[str, ...], pattern: tuple[str, ...], above: frozenset[tuple[int, int]]
) -> Iterator[tuple[str, ...]]:
    """Parts of the path of every file below a folder that may be meant; links to folders above are not.

    A folder that cannot be looked into is an error, not an empty one.
    """
    folder = root.joinpath(*inside)
    try:
        stat, entries = folder.stat(), sorted(folder.iterdir())
    except OSError as error:
        raise InputError("the folder cannot be read", found=str(error.strerror), where=str(folder)) from error
    this = (stat.st_dev, stat.st_ino)
    if this in above:
        return
    for entry in entries:
        parts = (*inside, entry.name)
        if not entry.is_dir():
            yield parts
        elif patterns.may_hold(parts, pattern):
            yield from _below(root, parts, pattern, above | {this})


def _of_known_kind(path: Path) -> Path:
    if path.suffix.lower() not in patterns.SUFFIXES:
        raise InputError(
            "a file of order lines is CSV or Parquet",
            expected=" or ".join(f"*{suffix}" for suffix in patterns.SUFFIXES),
            found=path.name,
            where=str(path),
        )
    return path


def _described(path: Path) -> dict[str, Any]:
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError("the file cannot be read", found=str(error.strerror), where=str(path)) from error
    if not S_ISREG(stat.st_mode):
        raise InputError("order lines lie in regular files", found="a pipe or a device", where=str(path))
    return {"path": str(path), "size": stat.st_size, "modified": stat.st_mtime_ns}
