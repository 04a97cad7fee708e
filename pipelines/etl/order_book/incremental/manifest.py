"""What has been read before: a manifest of (path, size, times of change, inode, content) and its digests.

The manifest grows by one line whenever a file has been read, so a run that is killed goes on from there. A
line that was cut short is passed over. Nothing here is a result: all of it can be read again from the files.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from forecasting.errors import StepError
from forecasting.order_book.normalise import Forms
from forecasting.order_book.parsing import NumberForm
from pipelines.etl.order_book.files.sources import SourceFile
from pipelines.etl.order_book.incremental.file_summary import FileSummary, summary_folder_name
from pipelines.runtime.files.artifacts import write_atomic
from pipelines.runtime.files.locks import lock_file, try_lock_file

MANIFEST, LOCK, PART, SETTLED = "manifest.jsonl", ".lock", ".part-", "settled-"


@dataclass
class Manifest:
    """Digests of one order book, under one recipe; held by one run at a time.

    Attributes
    ----------
    folder : Path
        Where the digests lie.
    fingerprint : str
        Of the recipe; digests of another one are void.
    """

    folder: Path
    fingerprint: str
    _digests: list[FileSummary] = field(default_factory=list)
    _seen: dict[str, tuple[str, int, int] | None] = field(default_factory=dict)  # before they are read

    def known(self, sources: Iterable[SourceFile], as_of: dt.date) -> dict[str, FileSummary]:
        """Digests, by path, of the files that have not changed since they were read."""
        rising = sorted(self._usable(as_of), key=lambda digest: digest.as_of)
        newest = {(digest.source, digest.identity): digest for digest in rising}
        sources = list(sources)
        self._seen = {source.path: identity(source) for source in sources}
        now = {source.path: (source, self._seen[source.path]) for source in sources}
        return {path: newest[each] for path, each in now.items() if each in newest}

    def names(self, as_of: dt.date) -> frozenset[str]:
        """Names of the contents that need not be read again."""
        return frozenset(summary_folder_name(each.source, each.content) for each in self._usable(as_of))

    def add_known(self, source: SourceFile, content: str, as_of: dt.date) -> FileSummary:
        """Take up a file whose content is known from another file, or from before it was touched."""
        name = summary_folder_name(source, content)
        same = [
            each for each in self._usable(as_of) if summary_folder_name(each.source, each.content) == name
        ]
        return self.add(replace(max(same, key=lambda each: each.as_of), source=source))

    def folder_of(self, digest: FileSummary) -> Path:
        """Where the tables of a digest lie."""
        as_of = digest.as_of.isoformat()
        return (
            self.folder
            / f"{self.fingerprint[:8]}-{as_of}-{summary_folder_name(digest.source, digest.content)}"
        )

    def part(self) -> Path:
        """A new folder to be filled; unless its digest is taken up it is gone at the end."""
        folder = self.folder / f"{PART}{uuid.uuid4().hex}"
        folder.mkdir()
        return folder

    def add(self, digest: FileSummary, filled: Path | None = None) -> FileSummary:
        """Take up a digest whose tables lie in `filled` (None: in their place already), and note it."""
        digest = replace(digest, identity=self._seen.get(digest.source.path))
        if filled is not None:
            place = self.folder_of(digest)
            if place.exists():
                shutil.rmtree(place)
            filled.rename(place)
        self._digests.append(digest)
        with (self.folder / MANIFEST).open("a", encoding="utf-8") as file:
            file.write(_line(digest))
        return digest

    def keep(self, digests: Sequence[FileSummary]) -> None:
        """Forget all other digests, and remove what they left."""
        text = "".join([_head(self.fingerprint), *map(_line, digests)])
        write_atomic(self.folder / MANIFEST, lambda path: path.write_text(text, encoding="utf-8"))
        self._digests = list(digests)
        needed = {self.folder_of(digest) for digest in digests}
        for path in self.folder.iterdir():
            if path.is_dir() and path not in needed and not path.name.startswith(SETTLED):
                shutil.rmtree(path, ignore_errors=True)

    def _usable(self, as_of: dt.date) -> Iterator[FileSummary]:
        return (
            digest for digest in self._digests if digest.holds_on(as_of) and self.folder_of(digest).is_dir()
        )


def identity(source: SourceFile) -> tuple[str, int, int] | None:
    """Absolute path, time of the last change of state (ns since 1970) and inode; None in an object store.

    A file can be changed and its time of change be put back; that of its state cannot. And a relative path
    may mean another file in another working folder.
    """
    if source.is_remote:
        return None
    path = Path(source.path).absolute()
    try:
        stat = path.stat()
    except OSError:  # gone since it was listed: reading it will say so
        return None
    return str(path), stat.st_ctime_ns, stat.st_ino


@contextmanager
def open_manifest(root: Path, book: str, fingerprint: str, console: Console) -> Iterator[Manifest]:
    """Manifest of the order book that a text stands for, held until the end; another run waits for it.

    Raises
    ------
    StepError
        If the folder cannot be made or written.
    """
    folder = root / hashlib.sha256(book.encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # order lines are confidential
        try:
            lock = try_lock_file(folder / LOCK, create=True)
        except BlockingIOError:
            console.print(f"waiting for another run that uses {folder}", highlight=False)
            lock = lock_file(folder / LOCK)
    except OSError as error:
        raise StepError(f"{folder}: the cache cannot be written: {error.strerror}") from error
    with lock:
        _sweep(folder)  # what runs left that were killed
        digests = _read(folder / MANIFEST, fingerprint)
        if digests is None:
            (folder / MANIFEST).write_text(_head(fingerprint), encoding="utf-8")
        try:
            yield Manifest(folder=folder, fingerprint=fingerprint, _digests=digests or [])
        finally:
            _sweep(folder)


def _sweep(folder: Path) -> None:
    for path in folder.glob(f"{PART}*"):
        shutil.rmtree(path, ignore_errors=True)


def _read(path: Path, fingerprint: str) -> list[FileSummary] | None:
    """Digests of a manifest; None if there is none, or it was made under another recipe."""
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or lines[0] + "\n" != _head(fingerprint):
        return None
    digests = []
    for line in lines[1:]:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:  # cut short by a kill
            continue
        digests.append(_parse_summary(record))
    return digests


def _head(fingerprint: str) -> str:
    return json.dumps({"recipe": fingerprint}) + "\n"


def _line(digest: FileSummary) -> str:
    return json.dumps(asdict(digest), default=str) + "\n"


def _parse_summary(record: dict[str, Any]) -> FileSummary:
    days = {name: record[name] and dt.date.fromisoformat(record[name]) for name in ("newest", "as_of")}
    lists = {name: record[name] and tuple(record[name]) for name in ("notes", "ignored", "identity")}
    return FileSummary(
        **{
            **record,
            **days,
            **lists,
            "source": SourceFile(**record["source"]),
            "forms": _forms(record["forms"]),
        }
    )


def _forms(record: dict[str, Any]) -> Forms:
    return Forms(
        dates={name: tuple(patterns) for name, patterns in record["dates"].items()},
        numbers={name: NumberForm(*form) for name, form in record["numbers"].items()},
        countries=record["countries"],
        unreadable=tuple(record["unreadable"]),
    )
