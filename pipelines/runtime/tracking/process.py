"""The process that records a run, so that a later one can tell whether it is still there."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from functools import cache
from pathlib import Path

PROCESS_TAG = "overspill.process"  # JSON: host, boot, namespace, pid, started
STATE_FILE = "job.json"  # of `pipelines.runtime.jobs.state`
STATE_TAG = "overspill.job_state"  # folder of the state from which an interrupted job goes on
BOOT, NAMESPACE, MACHINE = "/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid", "/etc/machine-id"
ENDED = frozenset("ZX")  # states of a process that has ended and was not yet asked after by its parent


@cache
def _place() -> dict[str, str]:
    """Host, boot and space of process ids of this process."""
    try:
        namespace = str(Path(NAMESPACE).readlink())
    except OSError:
        namespace = ""
    return {
        "host": f"{socket.gethostname()} {_line(MACHINE)}".strip(),
        "boot": _line(BOOT),
        "namespace": namespace,
    }


def _line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def this_process() -> str:
    """Content of the tag for this process."""
    pid = os.getpid()
    return json.dumps({**_place(), "pid": pid, "started": _start(pid)}, sort_keys=True)


def why_gone(tags: Mapping[str, str]) -> str | None:
    """Why the process that recorded a run is gone; None where it is there, or that cannot be known.

    Only processes of this host are judged, and within one boot only those of the same space of process ids:
    a container's are not seen from outside.

    Parameters
    ----------
    tags : mapping
        Tags of the run.
    """
    try:
        recorded = json.loads(tags[PROCESS_TAG])
        host, boot, namespace = recorded["host"], recorded["boot"], recorded["namespace"]
        pid, started = int(recorded["pid"]), int(recorded["started"])
    except (KeyError, TypeError, ValueError):
        return None
    here = _place()
    if host != here["host"] or not boot:
        return None
    if boot != here["boot"]:
        return f"the host was started again after its process {pid}" if _line(MACHINE) else None
    if namespace != here["namespace"] or _is_there(pid, started):
        return None
    return f"its process {pid} ended without closing it"


def can_go_on(tags: Mapping[str, str]) -> bool:
    """Whether a run is of a job whose state is still there: the job goes on with it."""
    folder = tags.get(STATE_TAG)
    return folder is not None and (Path(folder) / STATE_FILE).is_file()


def _is_there(pid: int, started: int) -> bool:
    """Whether a process is there; one of another user, whose start is hidden, counts as there."""
    found = _start(pid)
    if found is not None:
        return found == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return not Path(f"/proc/{pid}/stat").exists()


def _start(pid: int) -> int | None:
    """When a process began, in clock ticks after the boot (proc(5), field 22); None where it has ended.

    Another process that has the number by now began at another tick. A clock that is set does not matter.
    """
    stat = _line(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return None if not stat or stat[0] in ENDED else int(stat[19])
