"""Slots of a schedule: an anchor and whole periods from it, in wall-clock time.

Wall-clock time, so that a nightly job stays at its hour when the clocks change.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from forecasting.errors import InputError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
MINUTE, HOUR, DAY, WEEK = UNITS["m"], UNITS["h"], UNITS["d"], UNITS["w"]
LONGEST = 366 * DAY
EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - wall-clock time has no zone


@dataclass(frozen=True, kw_only=True)
class Every:
    """The time from slot to slot, in seconds, and as it was written."""

    text: str
    seconds: int


def parse_every(text: str) -> Every:
    """Period such as 30m, 6h, 1d or 1w.

    Raises
    ------
    InputError
        If it is no such period, or longer than a year.
    """
    match = re.fullmatch(r"([1-9]\d{0,8})([smhdw])", text)
    seconds = int(match[1]) * UNITS[match[2]] if match else 0
    if not 0 < seconds <= LONGEST:
        raise InputError(
            "the period is a whole number and a unit",
            expected="such as 30m, 6h, 1d or 1w, at most 366d",
            found=text,
            where="--every",
        )
    return Every(text=text, seconds=seconds)


def parse_at(text: str) -> dt.time:
    """Time of day, HH:MM.

    Raises
    ------
    InputError
        If it is none.
    """
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text)
    if match is None:
        raise InputError("the time of day is HH:MM", expected="00:00 to 23:59", found=text, where="--at")
    return dt.time(int(match[1]), int(match[2]))


def wall_clock_now() -> dt.datetime:
    """Wall-clock time here, to the second, without a zone."""
    return dt.datetime.now(dt.UTC).astimezone().replace(tzinfo=None, microsecond=0)


def wall_seconds(moment: dt.datetime) -> int:
    """Wall-clock time as seconds since 1970 as if it were UTC, as the job's script counts it."""
    return round((moment - EPOCH).total_seconds())


def first_slot(now: dt.datetime, at: dt.time | None) -> dt.datetime:
    """The first slot: now, or where a time of day is given, when it is next reached."""
    if at is None:
        return now
    today = dt.datetime.combine(now.date(), at)
    return today if today > now else today + dt.timedelta(days=1)


def next_slot(after: dt.datetime, *, anchor: dt.datetime, every: Every) -> dt.datetime:
    """The first slot later than a moment; those missed before it are not made up for.

    `anchor + k x every` with the smallest whole k for which that is later: slots never drift.
    """
    step = dt.timedelta(seconds=every.seconds)
    return anchor + ((after - anchor) // step + 1) * step


def cron_times(anchor: dt.datetime, every: Every) -> str | None:
    """The five fields of a crontab that mean the same slots; None where a crontab cannot say them.

    A crontab starts anew each hour, day and week, so the period must divide one of these.
    """
    seconds, minute, hour = every.seconds, anchor.minute, anchor.hour
    if seconds == WEEK:
        return f"{minute} {hour} * * {anchor.isoweekday() % 7}"
    if seconds % HOUR == 0 and DAY % seconds == 0:
        step = seconds // HOUR
        hours = ",".join(str(value) for value in range(hour % step, 24, step))
        return f"{minute} {'*' if step == 1 else hours} * * *"
    if seconds % MINUTE == 0 and HOUR % seconds == 0:
        step = seconds // MINUTE
        minutes = ",".join(str(value) for value in range(minute % step, 60, step))
        return f"{'*' if step == 1 else minutes} * * * *"
    return None
