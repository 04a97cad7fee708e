"""Runs commands, one a line of JSON, each in a fork of a process that has imported what they need.

A line holds the `arguments`, `seconds` that it may take, bytes of `memory` (0: any), and `kill`: seconds
of the processor after which the fork is killed (null: never). Polars' threads do not survive a fork, so this
process itself must not use Polars: it only imports.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

import mlflow  # noqa: F401 - imported for the forks
import polars as pl  # noqa: F401
import psutil

from pipelines.cli import main as command_line
from pipelines.etl import step  # noqa: F401
from pipelines.runtime import tracking  # noqa: F401
from pipelines.runtime.config import loader  # noqa: F401


def run(*, arguments: list[str], seconds: float, memory: int, kill: float | None) -> dict[str, object]:
    """Exit status (negative: a signal), standard error, seconds by clock and processor of a command."""
    with tempfile.TemporaryDirectory(prefix="forked-") as folder:
        errors, begun, before = Path(folder) / "stderr", time.monotonic(), _used()
        child = os.fork()
        if child == 0:
            _become(arguments, errors, memory)
        code = _waited(child, begun + seconds, kill)
        text = errors.read_text(encoding="utf-8", errors="replace") if errors.exists() else ""
    took = time.monotonic() - begun
    return {"code": code, "stderr": text, "seconds": took, "processor": _used() - before}


def _used() -> float:
    """Seconds of the processor of all forks that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _become(arguments: list[str], errors: Path, memory: int) -> None:
    """Be the command, and end."""
    code = 1
    try:
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w")  # noqa: SIM115
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        sys.argv = ["overspill", *arguments]
        command_line.main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - shown as Python would
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _waited(child: int, until: float, kill: float | None) -> int:
    watched = psutil.Process(child)
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if kill is not None and sum(watched.cpu_times()[:2]) >= kill:
            break
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL


if __name__ == "__main__":
    for module in sys.argv[1:]:
        importlib.import_module(module)
    for line in sys.stdin:
        sys.__stdout__.write(json.dumps(run(**json.loads(line))) + "\n")
        sys.__stdout__.flush()
