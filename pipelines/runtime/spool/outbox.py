"""An outbox: a folder in which a process puts down what it is about to tell a server, before it tells it.

`journal.jsonl` holds one line per entry, numbered, and one line for each that was sent or refused;
`files/<number>/` the artifacts of an entry. A line that was cut short is none. The process holds a lock on
the folder for as long as it lives.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from pipelines.runtime.files.locks import lock_file, try_lock_file

Entry = dict[str, Any]
JOURNAL, LOCK, FILES = "journal.jsonl", "lock", "files"
BEGINNING, SENT = ".begin-", ".sent-"
ABANDONED_SECONDS = 3600  # on a file system without locks, an outbox is in use while it was just written to
LOCAL_ID = re.compile(r"[0-9a-f]{25}spooled")


def new_local_id() -> str:
    """An id of a run, version or experiment that the server has not named yet; as long as MLflow's own."""
    return f"{uuid.uuid4().hex[:25]}spooled"


def now_ms() -> int:
    """Milliseconds since 1970, as MLflow counts."""
    return int(time.time() * 1000)


@dataclass
class Journal:
    """What an outbox holds.

    Attributes
    ----------
    folder : Path
    head : dict
        Store, experiment, and who began it.
    entries : list of dict
        In order; `n` is an entry's number and `at` its time in milliseconds.
    answers : dict
        What the server answered to the entries that were sent.
    refused : dict
        Why it refused others.
    """

    folder: Path
    head: Entry
    entries: list[Entry] = field(default_factory=list)
    answers: dict[int, Entry] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)

    def waiting(self) -> list[Entry]:
        """Entries that were neither sent nor refused."""
        return [e for e in self.entries if e["n"] not in self.answers and e["n"] not in self.refused]

    def files(self, entry: Entry) -> Path:
        """Folder with the files of an entry."""
        return self.folder / FILES / str(entry["n"])


class Outbox:
    """One process' outbox, locked.

    Raises
    ------
    OSError
        It cannot be written.
    """

    def __init__(self, folder: Path, lock: TextIO | None, number: int) -> None:
        self.folder, self._lock, self._number = folder, lock, number
        self._journal = os.open(folder / JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.durable = False

    @classmethod
    def begin(cls, spool: Path, head: Entry) -> Outbox:
        """A new outbox under the spool folder."""
        host = socket.gethostname().split(".")[0]
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + f".{now_ms() % 1000:03d}"
        name = f"{stamp}-{host}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        hidden = spool / f"{BEGINNING}{name}"
        hidden.mkdir(parents=True, mode=0o700)
        try:
            lock = _locked(hidden)
            begun = cls(hidden, lock, 0)
            begun._write({"n": 0, "host": host, "pid": os.getpid(), "at": now_ms(), **head})
            hidden.rename(spool / name)  # from here on others see it, locked
        except OSError:
            shutil.rmtree(hidden, ignore_errors=True)
            raise
        begun.folder = spool / name
        return begun

    @classmethod
    def taken(cls, folder: Path) -> Outbox | None:
        """The outbox of a process that has ended; None while a process uses it."""
        try:
            lock = try_lock_file(folder / LOCK)
        except BlockingIOError:
            return None
        except FileNotFoundError:  # sent and removed in the meantime
            return None
        except OSError:  # no locks here
            lock = None
            if (folder / JOURNAL).stat().st_mtime > time.time() - ABANDONED_SECONDS:
                return None
        if not (folder / JOURNAL).is_file():
            return None
        journal = read_journal(folder)
        return cls(folder, lock, max((entry["n"] for entry in journal.entries), default=0))

    def append(self, entry: Entry, files: Path | None = None) -> Entry:
        """Put down an entry, and a copy of its files; returns it numbered.

        Raises
        ------
        OSError
            The disk is full or the folder cannot be written; nothing counts as put down.
        """
        numbered = {"n": self._number + 1, "at": now_ms(), **entry}
        self._number += 1
        if files is not None:
            copy = self.folder / FILES / str(numbered["n"])
            try:
                _copy(files, copy)
            except (OSError, shutil.Error) as error:
                shutil.rmtree(copy, ignore_errors=True)
                raise OSError(getattr(error, "errno", None) or 5, _reason(error)) from error
        self._write(numbered)
        return numbered

    def sent(self, entry: Entry, answer: Entry) -> None:
        """Note that an entry was sent, and what the server answered."""
        self._write({"n": entry["n"], "sent": answer})

    def refuse(self, entry: Entry, reason: str) -> None:
        """Note that the server refused an entry: it is not sent again."""
        self._write({"n": entry["n"], "refused": reason})

    def journal(self) -> Journal:
        """What it holds."""
        return read_journal(self.folder)

    def close(self) -> None:
        """Let go of it; it stays."""
        os.close(self._journal)
        if self._lock is not None:
            self._lock.close()

    def remove(self) -> None:
        """Remove it and let go."""
        done = self.folder.with_name(f"{SENT}{self.folder.name}")
        with suppress(OSError):
            self.folder.rename(done)
            shutil.rmtree(done, ignore_errors=True)
        self.close()

    def _write(self, line: Entry) -> None:
        # The line break comes first: what a killed write left behind ends there.
        content = b"\n" + json.dumps(line, ensure_ascii=False).encode()
        while content:
            content = content[os.write(self._journal, content) :]
        if self.durable:
            os.fsync(self._journal)


def read_journal(folder: Path) -> Journal:
    """Read an outbox, also while its process writes to it."""
    lines = [line for line in _lines(folder / JOURNAL) if isinstance(line.get("n"), int)]
    journal = Journal(folder=folder, head=next((line for line in lines if line["n"] == 0), {}))
    for line in lines:
        if "sent" in line:
            journal.answers[line["n"]] = line["sent"]
        elif "refused" in line:
            journal.refused[line["n"]] = line["refused"]
        elif "do" in line:
            journal.entries.append(line)
    return journal


def outboxes(spool: Path) -> list[Path]:
    """Folders of the outboxes under a spool folder, oldest first."""
    if not spool.is_dir():
        return []
    return sorted(path.parent for path in spool.glob(f"[0-9]*/{JOURNAL}"))


def journals_of(spool: Path, address: Mapping[str, Any] = MappingProxyType({})) -> Iterator[Journal]:
    """Journals of the outboxes whose head holds all of `address` (by default: of all), oldest first."""
    for folder in outboxes(spool):
        with suppress(FileNotFoundError):  # sent and removed in the meantime
            journal = read_journal(folder)
            if journal.head.items() >= address.items():
                yield journal


def sweep(spool: Path) -> None:
    """Remove what killed processes left of outboxes that were being begun or removed."""
    for left in (*spool.glob(f"{BEGINNING}*"), *spool.glob(f"{SENT}*")):
        with suppress(OSError):
            if left.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _lines(path: Path) -> Iterator[Entry]:
    with path.open("rb") as file:
        for line in file:
            with suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict):
                    yield found


def _locked(folder: Path) -> TextIO | None:
    (folder / LOCK).touch()
    try:
        return lock_file(folder / LOCK)
    except OSError:  # a file system without locks
        return None


def _copy(files: Path, to: Path) -> None:
    if files.is_dir():
        shutil.copytree(files, to)
    else:
        to.mkdir(parents=True)
        shutil.copy2(files, to / files.name)


def _reason(error: Exception) -> str:
    """The system's reason; a copied folder's error lists one per file."""
    if isinstance(error, shutil.Error) and error.args and error.args[0]:
        return re.sub(r"^\[Errno \d+\] |: '.*$", "", str(error.args[0][0][2]))
    return getattr(error, "strerror", None) or str(error)
