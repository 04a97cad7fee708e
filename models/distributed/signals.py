"""Requests to stop (SIGTERM, SIGUSR1, Ctrl-C): at once between steps of work, in training after a step.

Clusters announce the end of a job by a signal: Slurm sends SIGUSR1 before the time limit where the job asks
for it (`--signal`) and SIGTERM before it takes a job's place; Kubernetes sends SIGTERM to a pod.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopRequestedError(BaseException):
    """The process was asked to stop; no `Exception`, so that no handler takes it for a failure.

    Attributes
    ----------
    signal : signal.Signals
    """

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(f"stopped by {self.signal.name}")

    @property
    def exit_code(self) -> int:
        """Exit status by the shell's convention: 128 plus the signal's number."""
        return 128 + self.signal.value


class StopRequests:
    """Stop requests to this process; `STOP` is the only instance, as handlers belong to the process."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._deferred = 0

    def handle(self, number: int, _: FrameType | None) -> None:
        """Signal handler: remember the request, and raise it unless training defers it."""
        first = self.received is None
        if number == signal.SIGINT and (not first or not self._deferred):
            raise KeyboardInterrupt  # Ctrl-C, or a second one within a training
        self.received = self.received or signal.Signals(number)
        if first and not self._deferred:
            raise StopRequestedError(number)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals inside, and forget them afterwards."""
        here = threading.current_thread() is threading.main_thread()  # handlers belong to the main thread
        before = {number: signal.signal(number, self.handle) for number in SIGNALS} if here else {}
        try:
            yield
        finally:
            self.received = None
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let the code inside check `received` and stop where nothing is lost.

        Raises
        ------
        StopRequestedError
            At the end, if a request has come.
        """
        self._deferred += 1
        try:
            yield
        finally:
            self._deferred -= 1
        self.raise_received()

    def ask(self) -> None:
        """Note that another process of the job was asked to stop, which applies to this one too."""
        self.received = self.received or signal.SIGTERM

    def raise_received(self) -> None:
        """Raise what was deferred.

        Raises
        ------
        StopRequestedError
            If a request has come.
        """
        if self.received is not None:
            raise StopRequestedError(self.received)


STOP = StopRequests()
