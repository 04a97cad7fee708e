"""One process at a time, by a lock on a file that goes with the process that holds it."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import TextIO


def held(path: Path) -> TextIO:
    """Lock a file, which is made if need be, and wait for whoever holds it; closing it lets go.

    Raises
    ------
    OSError
        If it cannot be written, or its file system has no locks.
    """
    lock = path.open("w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError:
        lock.close()
        raise
    return lock
