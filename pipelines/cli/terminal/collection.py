"""Python's search for cycles of unused objects, which finds few while modules are imported and takes long."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (50_000, 20, 20)  # of new objects between two searches, for the rest of a command


@contextmanager
def without_collection() -> Iterator[None]:
    """Do not look for cycles inside: imports make objects by the hundred thousand, and keep them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
