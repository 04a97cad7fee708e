"""One process at a time, by a lock on a file that goes with the process that holds it.

`filelock` was tried: it makes the folder that it is asked to lock a file in, so that an outbox which was just
sent and removed would come back; it asks again and again while it waits; and where a file system has no locks
it leaves a file behind that outlives a killed process, unless asked not to.
"""

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
    return _locked(path, "a", fcntl.LOCK_EX)


def try_lock_file(path: Path, *, create: bool = False) -> TextIO:
    """Lock a file without waiting; closing it lets go.

    Parameters
    ----------
    path : Path
    create : bool
        Make the file if need be; its folder is never made.

    Raises
    ------
    BlockingIOError
        If somebody holds it.
    OSError
        If it is not there or cannot be written, or its file system has no locks.
    """
    return _locked(path, "a" if create else "r+", fcntl.LOCK_EX | fcntl.LOCK_NB)


def _locked(path: Path, mode: str, operation: int) -> TextIO:
    lock: TextIO = path.open(mode, encoding="utf-8")  # type: ignore[assignment]
    try:
        fcntl.flock(lock, operation)
    except OSError:
        lock.close()
        raise
    return lock
