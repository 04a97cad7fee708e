"""Checks in processes of their own: a crash or a hang of one is what it found, and the others go on."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path

from pipelines.doctor.findings import Finding, fail, warn
from pipelines.runtime.config.settings import Settings

# A check gets the settings and a folder for temporary files, and yields what it finds as it finds it.
Check = Callable[[Settings, Path], Iterator[Finding]]
ORPHAN_SECONDS = 10  # a probe whose parent was killed ends by itself so long after its time
MOST_PATIENCE = 6.0


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Checks that share a process.

    Attributes
    ----------
    name : str
    target : str
        `module:function` of a `Check`; imported in the process alone, so that its imports are supervised too.
    checks : mapping of str to str
        Every check that it makes, with what to do where no answer comes.
    required : frozenset of str
        Those of them without which `overspill run` cannot run.
    seconds : float
        Time until it is ended, where a core is free for it; see `patience`.
    """

    name: str
    target: str
    checks: Mapping[str, str]
    required: frozenset[str] = frozenset()
    seconds: float = 20.0


@dataclass
class _Running:
    probe: Probe
    process: subprocess.Popen[bytes]
    log: Path
    seconds: float
    deadline: float
    found: list[Finding] = field(default_factory=list)


def patience() -> float:
    """How much longer anything takes on this machine now: processes per core, 1 to `MOST_PATIENCE`.

    A check that is late for want of a processor has found nothing wrong.
    """
    return min(max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0))), MOST_PATIENCE)


def run_probes(
    probes: Sequence[Probe], settings: Settings, *, ended: Callable[[Probe], None] = lambda _: None
) -> list[Finding]:
    """Run probes side by side, and give their findings in the order of the probes.

    Parameters
    ----------
    probes : sequence of Probe
    settings : Settings
    ended : callable
        Called with each probe as it ends.
    """
    done: dict[str, list[Finding]] = {}
    with tempfile.TemporaryDirectory(prefix="overspill-doctor-", ignore_cleanup_errors=True) as folder:
        running = dict(_start(probe, settings, Path(folder)) for probe in probes)
        try:
            while running:
                left = min(each.deadline for each in running.values()) - time.monotonic()
                ready = set(wait(list(running), timeout=max(0.0, left)))
                for end, each in list(running.items()):
                    late = time.monotonic() > each.deadline
                    if end in ready and _receive(end, each):
                        continue
                    if end in ready or late:
                        reason = _stop(each, late=end not in ready)
                        done[each.probe.name] = [*each.found, *_missing(each, reason)]
                        del running[end]
                        end.close()
                        ended(each.probe)
        finally:
            for end, each in running.items():
                _kill(each.process)
                end.close()
    return [finding for probe in probes for finding in done[probe.name]]


def _start(probe: Probe, settings: Settings, folder: Path) -> tuple[Connection, _Running]:
    """Start a probe; its task goes through a pipe, since everybody sees the arguments of processes."""
    ours, theirs = Pipe()
    scratch, log = folder / probe.name, folder / f"{probe.name}.log"
    seconds = probe.seconds * patience()
    scratch.mkdir()
    with log.open("wb") as output, theirs:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            [sys.executable, "-P", "-m", __name__, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # so that a compiler that it starts ends with it
        )
    with suppress(OSError):  # it has ended already, which is reported below
        ours.send((probe.target, seconds, settings, scratch))
    deadline = time.monotonic() + seconds
    return ours, _Running(probe=probe, process=process, log=log, seconds=seconds, deadline=deadline)


def serve(findings: Connection) -> None:
    """Body of the process: whatever it prints goes to the log, what it finds through the pipe."""
    target, seconds, settings, scratch = findings.recv()
    signal.alarm(int(seconds) + ORPHAN_SECONDS)
    logging.disable(logging.WARNING)
    module, _, function = target.partition(":")
    check: Check = getattr(importlib.import_module(module), function)
    for finding in check(settings, scratch):
        findings.send(finding)
    findings.close()
    os._exit(0)  # a library's exit handlers, which may hang or take seconds, are not part of the check


def _receive(end: Connection, running: _Running) -> bool:
    """Take one finding; False where there are no more."""
    try:
        running.found.append(end.recv())
    except (EOFError, OSError):
        return False
    return True


def _stop(running: _Running, *, late: bool) -> str:
    """End the process, and say why findings may be missing."""
    if late:
        _kill(running.process)
        return f"no answer within {running.seconds:.0f} s"
    with suppress(subprocess.TimeoutExpired):
        running.process.wait(1)
    _kill(running.process)
    code = running.process.returncode or 0
    if code < 0:
        return f"the process was ended by {signal.Signals(-code).name}"
    with suppress(OSError):
        lines = running.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if lines:
            return lines[-1][:300]
    return f"the process ended with exit status {code}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a probe and what it has started."""
    with suppress(OSError):  # it is gone
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):  # one that hangs in the kernel stays behind
        process.wait(2)


def _missing(running: _Running, reason: str) -> list[Finding]:
    """A finding for each check that did not answer."""
    probe, answered = running.probe, {finding.check for finding in running.found}
    return [
        (fail if check in probe.required else warn)(check, reason, advice)
        for check, advice in probe.checks.items()
        if check not in answered
    ]


if __name__ == "__main__":
    from pipelines.doctor.probes import serve as _serve  # this file under its own name, as pickles know it

    _serve(Connection(int(sys.argv[1])))
