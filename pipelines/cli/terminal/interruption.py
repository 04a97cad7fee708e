"""Signals before and after a command's work: nothing is open, and the process ends at once with one line."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def ended_at_once() -> Iterator[None]:
    """End the process on a signal, with exit status 128 and its number; ignored signals stay ignored.

    No exception is raised for it: in the middle of imports one may be lost, or taken for an error of the
    import. The work of a command has handlers of its own (`models.distributed.signals`), which give way to
    these at its end; they stay until the process has ended.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    yield


def _end(number: int, _: FrameType | None) -> None:
    with suppress(Exception):  # a reentrant call, or a pipe that is closed
        sys.stdout.flush()
    line = "error: interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
    os.write(2, f"{line}\n".encode())
    os._exit(128 + number)
