"""What a command does when it is killed, interrupted, starved of disk, or fed nonsense: one table, and JSON.

    python benchmarks/reliability.py [--only SECTION ...] [--kills N] [--signals N] [--json FILE] [--seed N]

Sections: kills (SIGKILL over an earlier result), signals (SIGINT and SIGTERM), inputs (bad files and
settings), disk (a full tmpfs at each writing step; root alone may mount one), store (several runs at once on
one SQLite store). Each case must end in bounded time and memory, with the right exit status and one line, and
lose nothing that was there.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from reliability_command import Ended, Workplace, ends_of, reached, started, wait_for
from reliability_inputs import bad_inputs

SECTIONS = ("kills", "signals", "inputs", "disk", "store")
FASTEST = 0.05  # seconds after the start, earliest moment of a signal
SECONDS, MEMORY = 60.0, 6 << 30  # that a bad input may take; bytes of address space


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case: what was done, whether it ended as it must, and why not."""

    section: str
    name: str
    passed: bool
    why: str
    seconds: float


def kills(place: Workplace, number: int, source: random.Random) -> Iterator[Case]:
    """SIGKILL at random moments over an earlier result, which stays or is replaced as a whole."""
    for name, command in place.commands().items():
        before = place.result(name)
        usual = place.seconds[name]
        for n in range(number):
            moment = source.uniform(FASTEST, usual)
            begun = time.monotonic()
            process = started(command, place.folder)
            reached(process, moment)
            process.kill()
            wait_for(process)
            after = place.result(name)
            same = after == before or place.is_whole(name)
            again = wait_for(started(command, place.folder)) if n == number - 1 else None
            works = again is None or again.code == 0
            why = "" if same and works else f"after {moment:.2f} s: " + ("torn" if not same else again.said())
            yield Case(
                section="kills",
                name=f"{name} after {moment:.2f} s",
                passed=same and works,
                why=why,
                seconds=time.monotonic() - begun,
            )


def signals(place: Workplace, number: int, source: random.Random) -> Iterator[Case]:
    """SIGINT and SIGTERM at random moments: the right exit status, one line, the earlier result whole."""
    for name, command in place.commands().items():
        before, usual = place.result(name), place.seconds[name]
        for n in range(number):
            kind = (signal.SIGINT, signal.SIGTERM)[n % 2]
            moment = source.uniform(FASTEST, 0.95 * usual)
            process = started(command, place.folder)
            if not reached(process, moment):
                wait_for(process)
                continue
            process.send_signal(kind)
            ended = wait_for(process, seconds=120.0)
            finished = ended.code == 0 and "Traceback" not in ended.stderr
            codes = {128 + kind, -kind}
            stopped = ended.code in codes and "Traceback" not in ended.stderr
            whole = place.result(name) == before or place.is_whole(name)
            passed = stopped and whole
            why = "" if passed else ("ignored" if finished else f"exit {ended.code}: {ended.said()}")
            yield Case(
                section="signals",
                name=f"{name}, {kind.name} after {moment:.2f} s",
                passed=passed,
                why=why,
                seconds=ended.seconds,
            )


def inputs(place: Workplace, _: int, source: random.Random) -> Iterator[Case]:
    """Bad files and settings: exit status 1 or 2, one sentence, bounded time and memory, the result whole."""
    before = place.result("etl")
    cases = list(bad_inputs(place.folder / "bad", source, lines=place.lines))
    for name, ended in ends_of(cases, place.folder, seconds=SECONDS, memory=MEMORY):
        lines = [line for line in ended.stderr.splitlines() if line.startswith("error:")]
        problems = [
            *([f"exit {ended.code}"] if ended.code not in {1, 2} else []),
            *(["traceback"] if "Traceback" in ended.stderr else []),
            *([f"{len(lines)} sentences"] if len(lines) != 1 else []),
            *(["the earlier result changed"] if place.result("etl") != before else []),
        ]
        why = f"{', '.join(problems)}: {ended.said()}" if problems else ""
        yield Case(section="inputs", name=name, passed=not problems, why=why, seconds=ended.seconds)


def disk(place: Workplace, number: int, _: random.Random) -> Iterator[Case]:
    """A full tmpfs of growing size: the step ends in one sentence, and works once there is room."""
    if os.geteuid() != 0:
        return
    sizes = [int(2**power) for power in range(6, 6 + number)]  # KiB
    for size in sizes:
        mount = Path(tempfile.mkdtemp(prefix="full-", dir=place.folder))
        done = wait_for(
            started(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(mount)], place.folder)
        )
        if done.code:
            return
        try:
            command = place.etl(out=mount / "out", cache=mount / "cache", store=place.folder / "full.db")
            ended = wait_for(started(command, place.folder), seconds=120.0)
            lines = [line for line in ended.stderr.splitlines() if line.startswith("error:")]
            sound = ended.code == 0 or (
                ended.code == 1 and len(lines) == 1 and "Traceback" not in ended.stderr
            )
            yield Case(
                section="disk",
                name=f"etl into {size} KiB",
                passed=sound,
                why="" if sound else f"exit {ended.code}: {ended.said()}",
                seconds=ended.seconds,
            )
        finally:
            wait_for(started(["umount", str(mount)], place.folder))
            shutil.rmtree(mount, ignore_errors=True)


def store(place: Workplace, number: int, _: random.Random) -> Iterator[Case]:
    """Several commands at once on one SQLite store: all of them finish."""
    shared = place.folder / "shared.db"
    begun = [
        started(
            place.etl(out=place.folder / f"shared-{n}", cache=place.folder / f"cache-{n}", store=shared),
            place.folder,
        )
        for n in range(number)
    ]
    for n, process in enumerate(begun):
        ended: Ended = wait_for(process, seconds=300.0)
        why = "" if ended.code == 0 else f"exit {ended.code}: {ended.said()}"
        yield Case(
            section="store",
            name=f"run {n + 1} of {number} at once",
            passed=not why,
            why=why,
            seconds=ended.seconds,
        )


RUN: dict[str, Callable[[Workplace, int, random.Random], Iterator[Case]]] = {
    "kills": kills,
    "signals": signals,
    "inputs": inputs,
    "disk": disk,
    "store": store,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sections, print the table; exit status 1 if a case failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--signals", type=int, default=12)
    parser.add_argument("--sizes", type=int, default=8)
    parser.add_argument("--at-once", type=int, default=6)
    parser.add_argument("--commands", nargs="*", default=("etl",), choices=("etl", "run", "train"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    numbers = {"kills": given.kills, "signals": given.signals, "disk": given.sizes, "store": given.at_once}
    cases: list[Case] = []
    with tempfile.TemporaryDirectory(prefix="reliability-") as folder:
        place = Workplace.built(Path(folder), given.commands)
        for section in given.only:
            source = random.Random(f"{given.seed} {section}")  # noqa: S311
            for case in RUN[section](place, numbers.get(section, 0), source):
                cases.append(case)
                if not case.passed:
                    print(f"FAILED {case.section}: {case.name}: {case.why}", file=sys.stderr, flush=True)
    print(table(cases))
    if given.json is not None:
        about = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "date": dt.datetime.now(dt.UTC).date().isoformat(),
        }
        given.json.write_text(json.dumps({**about, "cases": [asdict(case) for case in cases]}, indent=1))
    return 0 if all(case.passed for case in cases) else 1


def table(cases: Sequence[Case]) -> str:
    """One row for each section: cases, passed, the slowest."""
    rows = ["| section | cases | as they must | slowest, s |", "|---|---|---|---|"]
    for section in dict.fromkeys(case.section for case in cases):
        of = [case for case in cases if case.section == section]
        passed, slowest = sum(case.passed for case in of), max(case.seconds for case in of)
        rows.append(f"| {section} | {len(of)} | {passed} | {slowest:.1f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    raise SystemExit(main())
