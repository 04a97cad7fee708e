"""Runs commands, one a line of JSON, each in a fork of a process that has imported everything.

Polars' threads do not survive a fork, so this process itself must not use Polars: it only imports.
"""

from __future__ import annotations

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

from pipelines.cli import main as command_line
from pipelines.etl import step  # noqa: F401
from pipelines.runtime import tracking  # noqa: F401
from pipelines.runtime.config import loader  # noqa: F401


def run(arguments: list[str], *, seconds: float, memory: int) -> dict[str, object]:
    """Exit status (negative: a signal), standard error and seconds of a command."""
    with tempfile.TemporaryDirectory(prefix="forked-") as folder:
        errors, begun = Path(folder) / "stderr", time.monotonic()
        child = os.fork()
        if child == 0:
            _become(arguments, errors, memory)
        code = _waited(child, begun + seconds)
        text = errors.read_text(encoding="utf-8", errors="replace")
    return {"code": code, "stderr": text, "seconds": time.monotonic() - begun}


def _become(arguments: list[str], errors: Path, memory: int) -> None:
    """Be the command, and end."""
    code = 1
    try:
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w")  # noqa: SIM115
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


def _waited(child: int, until: float) -> int:
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL


if __name__ == "__main__":
    for line in sys.stdin:
        told = run(json.loads(line), seconds=float(sys.argv[1]), memory=int(sys.argv[2]))
        sys.__stdout__.write(json.dumps(told) + "\n")
        sys.__stdout__.flush()
