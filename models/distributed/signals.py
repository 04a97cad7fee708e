"""Requests to stop (SIGTERM, SIGUSR1, Ctrl-C): at once between steps of work, in training after a step.

Clusters announce the end of a job by a signal: Slurm sends SIGUSR1 before the time limit where the job asks
for it (`--signal`) and SIGTERM before it takes a job's place; Kubernetes sends SIGTERM to a pod.

A request is raised as an exception wherever the main thread happens to be. Python drops exceptions that arise
in destructors and in callbacks of weak references (each import has one), and a library may swallow them: a
request that was lost in such a place is raised again.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SOON, LATE = 0.02, 10.0  # seconds after which a request is raised again: known to be lost; without an answer
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
        self._raised: int | None = None
        self._other_hook = sys.unraisablehook

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Signal handler: remember the request, and raise it unless training defers it.

        Polars panics where an exception arises in what its Rust code calls: there it is raised later.
        """
        if not self._deferred and _is_of_polars(frame):
            self._raise_again(number, SOON)
            return
        first = self.received is None
        if number == signal.SIGINT and (not first or not self._deferred):
            self._raise_again(number, LATE)
            raise KeyboardInterrupt  # Ctrl-C, or a second one within a training
        self.received = self.received or signal.Signals(number)
        if not self._deferred and (first or self._raised is not None):
            self._raise_again(number, LATE)
            raise StopRequestedError(number)

    def answered(self) -> None:
        """The request that was raised has arrived: it need not be raised again."""
        self._raised = None
        signal.setitimer(signal.ITIMER_REAL, 0)

    @contextmanager
    def unmistaken(self) -> Iterator[None]:
        """Whatever a request that was raised has become on its way, it leaves as the request.

        Raises
        ------
        KeyboardInterrupt, StopRequestedError
        """
        try:
            yield
        except BaseException as error:  # a panic of Rust code is no `Exception`
            if self._raised is None or isinstance(error, REQUESTS):
                raise
            raise _request(self._raised) from error
        finally:
            raised = self._raised
            self.answered()
        if raised is not None:
            raise _request(raised)

    def _raise_again(self, number: int, seconds: float) -> None:
        """Raise the request once more after a while, unless it is answered before.

        By the system's timer: a handler that starts a thread may interrupt the start of another.
        """
        self._raised = number
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def _alarm(self, _: int, frame: FrameType | None) -> None:
        if self._raised is not None:
            self.handle(self._raised, frame)

    def _unraisable(self, lost: Any) -> None:  # noqa: ANN401 - sys.UnraisableHookArgs exists for type checkers only
        """Hook for exceptions that Python drops."""
        if isinstance(lost.exc_value, StopRequestedError | KeyboardInterrupt) and self._raised is not None:
            self._raise_again(self._raised, SOON)
        else:
            self._other_hook(lost)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals inside, and forget them afterwards."""
        here = threading.current_thread() is threading.main_thread()  # handlers belong to the main thread
        handlers = {**dict.fromkeys(SIGNALS, self.handle), signal.SIGALRM: self._alarm} if here else {}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        self._other_hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        try:
            yield
        finally:
            self.answered()
            self.received = None
            sys.unraisablehook = self._other_hook
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


REQUESTS = (KeyboardInterrupt, StopRequestedError, SystemExit)


def _is_of_polars(frame: FrameType | None) -> bool:
    return frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "polars"


def _request(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else StopRequestedError(number)


STOP = StopRequests()
