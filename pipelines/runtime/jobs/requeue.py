"""What a job does once it was stopped and its state is kept: under Slurm it goes back into the queue."""

from __future__ import annotations

import os
import signal
import subprocess

from models.distributed.signals import StopRequestedError

SWITCH = "OVERSPILL_REQUEUE"  # true in the job files: a command in somebody's own script is left alone
COMMAND_SECONDS = 60


def after_stop(error: StopRequestedError, *, first: bool) -> str:
    """Put the job back into Slurm's queue where nobody else does; returns what happened, in a sentence.

    Only where the job file asks for it (`OVERSPILL_REQUEUE=true`).

    Parameters
    ----------
    error : StopRequestedError
    first : bool
        Whether this is the job's first process; the others leave it to that one.
    """
    notice = f"stopped by {error.signal.name}"
    job = os.environ.get("SLURM_JOB_ID")
    wanted = os.environ.get(SWITCH, "").lower() in {"true", "1"}
    if job is None or not first or not wanted or error.signal is signal.SIGINT:
        return notice
    code, state = _asked(["squeue", "--noheader", "--jobs", job, "--format", "%T"])
    if code or state != "RUNNING":  # it is being cancelled, or taken off by Slurm itself
        return f"{notice}; job {job} is {state or 'unknown to Slurm'}"
    code, answer = _asked(["scontrol", "requeue", job])
    if code:
        return f"{notice}; job {job} could not be put back into the queue ({answer})"
    return f"{notice}; job {job} is back in the queue and will go on from its state"


def _asked(command: list[str]) -> tuple[int, str]:
    """Exit status of one of Slurm's commands, and what it says, whatever the user has set for them."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("SQUEUE_", "SCONTROL_"))}
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS, env=plain
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, (done.stdout or done.stderr).strip()
