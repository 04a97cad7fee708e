"""The commands of Slurm: each answers in time or is reported in one sentence."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from forecasting.errors import InputError, StepError

ANSWER_SECONDS = 20
COMMENT = "overspill:"  # the jobs of a schedule carry a comment that begins so
UNREACHABLE = ("Unable to contact slurm controller", "Connection refused", "timed out")
SILENT = "slurmctld, the controller of Slurm, does not answer"
# Said by the script, or would change what Slurm's commands print or how a schedule's jobs are found again.
DROPPED = (
    "OVERSPILL_EVERY",
    "OVERSPILL_ANCHOR",
    "OVERSPILL_SLOT",
    "SBATCH_JOB_NAME",
    "SBATCH_COMMENT",
    "SQUEUE",
)


@dataclass(frozen=True, kw_only=True)
class SlurmJob:
    """A job that waits or runs; `begin` is ISO wall-clock time or N/A, `time_limit` as Slurm writes it."""

    id: str
    name: str
    state: str
    begin: str
    reason: str
    partition: str
    time_limit: str
    comment: str

    @property
    def scheduled(self) -> bool:
        """Whether a schedule submitted it."""
        return self.comment.startswith(COMMENT)


def require_slurm() -> None:
    """Refuse where there is no Slurm.

    Raises
    ------
    InputError
        If a command is not on PATH: the machine is the wrong one, nothing has failed.
    """
    for command in ("sbatch", "squeue", "scancel", "scontrol"):
        if shutil.which(command) is None:
            raise _absent(command)


def jobs() -> list[SlurmJob]:
    """The user's jobs that wait or run, oldest first.

    Raises
    ------
    StepError
        If Slurm does not answer.
    """
    queue = _call("squeue", "--me", "--noheader", "--sort=i", "--format=%A|%T|%S|%r|%P|%l|%j|%k")
    found = []
    for line in queue.splitlines():
        number, state, begin, reason, partition, limit, job_name, comment = line.split("|", 7)
        job = SlurmJob(
            id=number,
            name=job_name,
            state=state,
            begin=begin,
            reason=reason,
            partition=partition,
            time_limit=limit,
            comment=comment,
        )
        found.append(job)
    return found


def submit(script: Path, *options: str) -> str:
    """Id of the job that sbatch makes of a script.

    Raises
    ------
    InputError
        If Slurm refuses it, with Slurm's reason.
    StepError
        If Slurm does not answer.
    """
    return _sbatch("--parsable", *options, str(script)).strip().split(";")[0]


def check(script: Path, *options: str) -> None:
    """Ask Slurm whether it would take the script, submitting nothing; raises as `submit` does."""
    _sbatch("--test-only", *options, str(script))


def cancel(numbers: Sequence[str]) -> None:
    """Cancel jobs; one that has ended in the meantime is no error."""
    if numbers:
        _call("scancel", *numbers)


def longest(partition: str) -> str:
    """The longest time limit that a partition allows, as Slurm writes it."""
    return _call("sinfo", "--noheader", f"--partition={partition}", "--format=%l").split("\n")[0].strip()


def seconds_of(limit: str) -> float:
    """A time limit as Slurm writes it, `[days-][[hours:]minutes:]seconds`; infinite where it names none."""
    days, _, clock = limit.rpartition("-")
    if not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", limit):
        return math.inf
    total = 0
    for part in clock.split(":"):
        total = 60 * total + int(part)
    return total + 86_400 * int(days or 0)


def has_scrontab() -> bool:
    """Whether the site lets its users have a crontab of Slurm."""
    if shutil.which("scrontab") is None:
        return False
    for line in _call("scontrol", "show", "config").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "ScronParameters":
            return "enable" in value
    return False


def read_scrontab() -> str:
    """The user's crontab of Slurm, empty where there is none."""
    done = _run("scrontab", "-l")
    if done.returncode == 0:
        return done.stdout
    if "no crontab for" in done.stdout + done.stderr:
        return ""
    raise _failure("scrontab", done.stderr)


def write_scrontab(file: Path) -> None:
    """Replace the user's crontab of Slurm by a file.

    Raises
    ------
    InputError
        If Slurm refuses it, with Slurm's reason.
    """
    done = _run("scrontab", str(file))
    if done.returncode:
        raise _refusal("scrontab", done.stderr + done.stdout)


def _sbatch(*arguments: str) -> str:
    done = _run("sbatch", *arguments)
    if done.returncode:
        raise _refusal("sbatch", done.stderr)
    return done.stdout


def _refusal(command: str, message: str) -> InputError | StepError:
    if any(sign in message for sign in UNREACHABLE):
        return _failure(command, message)
    return InputError(f"Slurm refused the job: {_sentence(message)}")


def _failure(command: str, message: str) -> StepError:
    if any(sign in message for sign in UNREACHABLE):
        return StepError(f"{SILENT} (`{command}`: {_sentence(message)})")
    return StepError(f"`{command}` failed: {_sentence(message)}")


def _sentence(message: str) -> str:
    """The lines that name an error, without the command's name before them; the last line if none does."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    errors = [line.partition("error: ")[2] for line in lines if "error: " in line]
    plain = [line.removeprefix("sbatch: ").removeprefix("allocation failure: ") for line in lines]
    return "; ".join(dict.fromkeys(errors)) or (plain[-1] if plain else "no reason given")


def _absent(command: str) -> InputError:
    return InputError(
        f"this machine has no Slurm: `{command}` is not on PATH", expected="a login node of the cluster"
    )


def _call(*command: str) -> str:
    done = _run(*command)
    if done.returncode:
        raise _failure(command[0], done.stderr)
    return done.stdout


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(DROPPED)}
    environment["SLURM_TIME_FORMAT"] = "standard"
    try:
        return subprocess.run(  # noqa: S603 - Slurm's own commands
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
    except FileNotFoundError as error:
        raise InputError(
            f"this machine has no `{command[0]}`", expected="a login node of the cluster"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise StepError(f"{SILENT} (`{command[0]}` waited {ANSWER_SECONDS} seconds)") from error
