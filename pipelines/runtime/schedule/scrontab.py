"""A schedule's lines in the user's crontab of Slurm; every other line stays as it is."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from forecasting.errors import StepError
from pipelines.runtime.schedule.script import ScheduleRequest


def block(request: ScheduleRequest, times: str) -> str:
    """The schedule's lines: a small job per slot, which submits the cycle.

    The cycle is a job of its own: a crontab's job keeps one id for ever, and is requeued for its next slot.
    """
    begin, end = _marks(request.name)
    options = [f"#SCRON --{key}={value}" for key, value in request.directives(starter=True).items()]
    sbatch = shutil.which("sbatch") or "sbatch"
    command = shlex.join([sbatch, "--dependency=singleton", str(request.script)])
    return "\n".join([begin, *options, f"{times} {command}", end]) + "\n"


def with_block(crontab: str, name: str, lines: str) -> str:
    """The crontab with a schedule's lines at its end, in place of older ones of the same name."""
    rest = without_block(crontab, name)
    return rest + ("" if not rest or rest.endswith("\n") else "\n") + lines


def without_block(crontab: str, name: str) -> str:
    """The crontab without a schedule's lines.

    Raises
    ------
    StepError
        If the closing mark is missing: where they end is then unknown.
    """
    begin, end = _marks(name)
    kept, inside = [], False
    for line in crontab.splitlines(keepends=True):
        if line.strip() == begin:
            inside = True
        elif inside and line.strip() == end:
            inside = False
        elif not inside:
            kept.append(line)
    if inside:
        raise StepError(f"scrontab has the line {begin!r} and not {end!r}: mend it with `scrontab -e`")
    return "".join(kept)


def names(crontab: str) -> list[str]:
    """The schedules that a crontab holds."""
    return re.findall(r"^# >>> overspill schedule (\S+) >>>\s*$", crontab, flags=re.MULTILINE)


def times_of(crontab: str, name: str) -> str:
    """The five fields of a schedule in a crontab; empty where it has no such line."""
    begin, end = (re.escape(mark) for mark in _marks(name))
    inside = re.search(rf"^{begin}\n(.*?)^{end}", crontab, flags=re.MULTILINE | re.DOTALL)
    for line in inside[1].splitlines() if inside else []:
        if not line.startswith("#"):
            return " ".join(line.split()[:5])
    return ""


def _marks(name: str) -> tuple[str, str]:
    return f"# >>> overspill schedule {name} >>>", f"# <<< overspill schedule {name} <<<"


def write(text: str, file: Path) -> Path:
    """Write what becomes the crontab to a file."""
    file.write_text(text, encoding="utf-8")
    return file
