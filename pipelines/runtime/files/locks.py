"""One process at a time, by a lock on a file that goes with the process that holds it."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import TextIO


def lock_file(path: Path) -> TextIO:
    """Lock a file, which is made if need be, and wait for whoever holds it; closing it lets go.

    Raises
    ------
    OSError
        If it cannot be written, or its file system has no locks.
    """
    return _locked(path, "w", fcntl.LOCK_EX)


def try_lock_file(path: Path) -> TextIO:
    """Lock a file that is there, without waiting; closing it lets go.

    Raises
    ------
    BlockingIOError
        If somebody holds it.
    OSError
        If it is not there or cannot be written, or its file system has no locks.
    """
    return _locked(path, "r+", fcntl.LOCK_EX | fcntl.LOCK_NB)


def _locked(path: Path, mode: str, operation: int) -> TextIO:
    lock: TextIO = path.open(mode, encoding="utf-8")  # type: ignore[assignment]
    try:
        fcntl.flock(lock, operation)
    except OSError:
        lock.close()
        raise
    return lock
