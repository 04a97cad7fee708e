"""A request to stop is never lost: in a destructor, in code that swallows it, or as another error."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import pytest

from models.distributed import signals
from models.distributed.signals import STOP, StopRequestedError

KINDS = {
    signal.SIGTERM: StopRequestedError,
    signal.SIGUSR1: StopRequestedError,
    signal.SIGINT: KeyboardInterrupt,
}


def ask(number):
    """Send this process a signal, and wait for what comes of it."""
    os.kill(os.getpid(), number)
    time.sleep(5)


def swallow(number, *, then):
    """A signal within code that swallows every exception, as some library's does."""
    with suppress(BaseException):
        ask(number)
    time.sleep(then)


def mistake(number):
    """A signal within an import that takes every exception for its own."""
    try:
        ask(number)
    except BaseException as error:
        raise ImportError("the module could not be imported") from error


class PanicError(BaseException):
    """As that of Rust libraries, which is no `Exception`."""


def panic(number):
    """A signal within what Rust code calls."""
    try:
        ask(number)
    except BaseException as error:
        raise PanicError from error


class Interrupted:
    """What a signal meets in its destructor, where Python drops exceptions."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        os.kill(os.getpid(), self.number)
        time.sleep(0.01)


def destroy(number):
    """A signal within a destructor."""
    Interrupted(number)
    time.sleep(5)


@pytest.mark.parametrize("number", KINDS)
def test_request_that_python_drops_in_a_destructor_is_raised_again(number):
    with STOP.listening(), pytest.raises(KINDS[number]):
        destroy(number)


@pytest.mark.parametrize("number", KINDS)
def test_request_that_a_library_swallows_is_raised_again(number, monkeypatch):
    monkeypatch.setattr(signals, "LATE", 0.1)
    with STOP.listening(), pytest.raises(KINDS[number]):
        swallow(number, then=5)


def test_request_that_was_answered_is_not_raised_again(monkeypatch):
    monkeypatch.setattr(signals, "LATE", 0.05)
    with STOP.listening():
        with pytest.raises(StopRequestedError):
            ask(signal.SIGTERM)
        STOP.answered()
        time.sleep(0.2)


@pytest.mark.parametrize("number", KINDS)
def test_request_that_became_another_error_on_its_way_leaves_as_the_request(number):
    with STOP.listening(), pytest.raises(KINDS[number]), STOP.unmistaken():
        mistake(number)


@pytest.mark.parametrize("number", KINDS)
def test_request_that_was_swallowed_until_the_end_of_the_work_leaves_there(number):
    with STOP.listening(), pytest.raises(KINDS[number]), STOP.unmistaken():
        swallow(number, then=0)


@pytest.mark.parametrize("number", KINDS)
def test_request_that_became_a_panic_leaves_as_the_request(number):
    with STOP.listening(), pytest.raises(KINDS[number]), STOP.unmistaken():
        panic(number)


@pytest.mark.parametrize("number", KINDS)
def test_request_within_what_polars_calls_is_raised_after_it(number):
    space = {"__name__": "polars._utils.wrap", "kill": os.kill, "own": os.getpid()}
    exec("def called(number):\n    kill(own, number)\n    return [n for n in range(1000)]", space)  # noqa: S102
    returned = []

    def work():
        returned.extend(space["called"](number))
        time.sleep(5)

    with STOP.listening(), pytest.raises(KINDS[number]):
        work()
    assert len(returned) == 1000


def test_errors_without_a_request_leave_as_they_are():
    with STOP.listening(), pytest.raises(ValueError, match="x"), STOP.unmistaken():
        raise ValueError("x")


def test_handlers_and_timer_are_those_of_before_afterwards():
    numbers = [*signals.SIGNALS, signal.SIGALRM]
    before = [signal.getsignal(number) for number in numbers]
    with STOP.listening(), pytest.raises(StopRequestedError):
        ask(signal.SIGTERM)
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
