"""A schedule on Slurm: planned, submitted, listed, ended.

Either a chain of jobs, each of which submits its successor before it works, or an entry in the user's crontab
of Slurm. Two jobs of one name never run at once (`--dependency=singleton`).
"""

from __future__ import annotations

import datetime as dt
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from forecasting.errors import InputError, StepError
from pipelines.runtime.schedule import scrontab, slots, slurm
from pipelines.runtime.schedule.script import STARTER, ScheduleRequest, render

VIA = ("auto", "sbatch", "scrontab")
CANCEL_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a request comes to: the first slot, the script, and how it is started.

    `crontab` is None for a chain of jobs, else the five fields and the schedule's lines.
    """

    request: ScheduleRequest
    begin: dt.datetime
    script: str
    crontab: tuple[str, str] | None

    @property
    def via(self) -> str:
        """What repeats the job: `sbatch` or `scrontab`."""
        return "sbatch" if self.crontab is None else "scrontab"

    @property
    def options(self) -> tuple[str, ...]:
        """Options of the first job of a chain."""
        return f"--begin={self.begin.isoformat()}", "--dependency=singleton"

    @property
    def commands(self) -> list[str]:
        """The commands, as one would type them."""
        if self.crontab is None:
            return [" ".join(("sbatch", *self.options, str(self.request.script)))]
        return [f"scrontab {self.request.script.with_suffix('.scrontab')}"]


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """What was ended: ids of jobs, and whether there was an entry in the crontab."""

    jobs: list[str]
    entry: bool


def plan(request: ScheduleRequest, *, via: str) -> Plan:
    """Decide on the slots and on the way; submits nothing.

    Raises
    ------
    InputError
        If the period or the time of day is none, the way is unknown, or not to be had here.
    StepError
        If Slurm does not answer.
    """
    if via not in VIA:
        raise InputError("no such way", expected=", ".join(VIA), found=via, where="--via")
    every = slots.parse_every(request.every)
    at = None if request.at is None else slots.parse_at(request.at)
    begin = slots.first_slot(slots.wall_clock_now(), at)
    times = None if via == "sbatch" else _crontab_times(begin, every, required=via == "scrontab")
    if times is not None:
        lines = scrontab.block(request, times)
        return Plan(request=request, begin=begin, script=render(request, {}), crontab=(times, lines))
    anchor = slots.wall_seconds(begin)
    variables = {"EVERY": every.seconds, "ANCHOR": anchor, "SLOT": anchor}
    return Plan(request=request, begin=begin, script=render(request, variables), crontab=None)


def _crontab_times(begin: dt.datetime, every: slots.Every, *, required: bool) -> str | None:
    times = slots.cron_times(begin, every)
    if required and times is None:
        raise InputError(
            "a crontab cannot say this period",
            expected="one that divides an hour or a day, or one week; or --via sbatch",
            found=every.text,
            where="--every",
        )
    if times is not None and slurm.has_scrontab():
        return times
    if required:
        raise InputError(
            "the site has no crontab of Slurm",
            expected="the command scrontab and ScronParameters=enable; or --via sbatch",
            where="--via",
        )
    return None


def carry_out(plan: Plan, *, replace: bool) -> str | None:
    """Submit what was planned: the first job's id, None where the crontab starts it.

    An older schedule of the name is ended after Slurm has taken the new one. Those of its jobs that run are
    left to finish; the new ones wait for them.

    Raises
    ------
    InputError
        If the name is taken and `replace` is not given, or Slurm refuses the job.
    StepError
        If Slurm does not answer, or the script cannot be written.
    """
    request = plan.request
    crontab = slurm.read_scrontab() if slurm.has_scrontab() else ""
    before = _jobs_of(request.name)
    if not replace:
        _refuse_twice(request, before, crontab)
    job = None
    with _written(request, plan.script):
        slurm.check(request.script, *(plan.options if plan.crontab is None else ()))
        if plan.crontab is None:
            job = slurm.submit(request.script, *plan.options)
            _refuse_if_never_started(job)
        else:
            _write_crontab(scrontab.with_block(crontab, request.name, plan.crontab[1]), request)
    if plan.crontab is None and request.name in scrontab.names(crontab):
        _write_crontab(scrontab.without_block(crontab, request.name))
    old = {one.id for one in before}
    slurm.cancel([one.id for one in _jobs_of(request.name) if one.id in old and one.state == "PENDING"])
    return job


def _refuse_if_never_started(number: str) -> None:
    """Take a job back that Slurm has queued although its partition does not allow its time limit."""
    for job in slurm.jobs():
        if job.id == number and slurm.seconds_of(job.time_limit) > slurm.seconds_of(
            slurm.longest(job.partition)
        ):
            slurm.cancel([number])
            raise InputError(
                f"Slurm would never start the job: partition {job.partition} allows less time",
                expected=f"at most {slurm.longest(job.partition)}",
                found=job.time_limit,
                where="--time",
            )


def _jobs_of(name: str) -> list[slurm.SlurmJob]:
    return [job for job in slurm.jobs() if job.name in {name, name + STARTER}]


def _refuse_twice(request: ScheduleRequest, running: list[slurm.SlurmJob], crontab: str) -> None:
    if running:
        job = running[-1]
        found = f"job {job.id}, {job.state.lower()}, begin {job.begin}"
    elif request.name in scrontab.names(crontab):
        found = f"an entry of scrontab at {scrontab.times_of(crontab, request.name)}"
    else:
        return
    raise InputError(
        f"the schedule {request.name!r} is there already",
        expected="--replace, or another --name",
        found=found,
        where="--name",
    )


@contextmanager
def _written(request: ScheduleRequest, text: str) -> Iterator[None]:
    """The script in its place; if Slurm refuses it, what was there before is put back."""
    script = request.script
    before = script.read_text(encoding="utf-8") if script.exists() else None
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(text, encoding="utf-8")
    try:
        yield
    except (InputError, StepError):
        if before is None:
            script.unlink()
        else:
            script.write_text(before, encoding="utf-8")
        raise


def _write_crontab(text: str, request: ScheduleRequest | None = None) -> None:
    """Hand the crontab to Slurm; with a request the file is kept beside its script."""
    if request is not None:
        slurm.write_scrontab(scrontab.write(text, request.script.with_suffix(".scrontab")))
        return
    with tempfile.TemporaryDirectory() as folder:
        slurm.write_scrontab(scrontab.write(text, Path(folder) / "scrontab"))


def status() -> list[dict[str, str]]:
    """Every job of a schedule that waits or runs, and every schedule in the crontab without one."""
    rows = [
        {
            "name": job.name.removesuffix(STARTER),
            "job": job.id,
            "state": job.state,
            "begin": job.begin,
            "reason": job.reason,
            "schedule": job.comment.removeprefix(slurm.COMMENT),
        }
        for job in slurm.jobs()
        if job.scheduled
    ]
    crontab = slurm.read_scrontab() if slurm.has_scrontab() else ""
    for name in scrontab.names(crontab):
        if not any(row["name"] == name for row in rows):
            times = scrontab.times_of(crontab, name)
            unknown = dict.fromkeys(("job", "begin", "reason"), "")
            rows.append({"name": name, "state": "SCRONTAB", "schedule": times} | unknown)
    return rows


def cancel(name: str) -> Cancelled:
    """End a schedule: its entry in the crontab, its jobs that wait and those that run.

    A job that began a moment ago may submit its successor meanwhile, so the queue is read until it is empty.

    Raises
    ------
    InputError
        If there is no schedule of the name.
    StepError
        If Slurm does not answer, or a job does not end within a minute.
    """
    crontab = slurm.read_scrontab() if slurm.has_scrontab() else ""
    entry = name in scrontab.names(crontab)
    if entry:
        _write_crontab(scrontab.without_block(crontab, name))
    ended: list[str] = []
    deadline = time.monotonic() + CANCEL_SECONDS
    while left := [job.id for job in _jobs_of(name) if job.scheduled]:
        if time.monotonic() > deadline:
            raise StepError(f"jobs {', '.join(left)} did not end within {CANCEL_SECONDS} seconds of scancel")
        slurm.cancel([number for number in left if number not in ended])
        ended += [number for number in left if number not in ended]
        time.sleep(0.2)
    if not ended and not entry:
        known = sorted({row["name"] for row in status()})
        raise InputError(
            "no such schedule", expected=", ".join(known) or "none is there", found=name, where="--name"
        )
    return Cancelled(jobs=ended, entry=entry)
