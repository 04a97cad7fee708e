"""What a command does when it is killed, interrupted, starved of disk, or fed nonsense: one table, and JSON.

    python benchmarks/reliability.py [--only SECTION ...] [--commands COMMAND ...] [--kills N] [--signals N]

Sections: kills (SIGKILL over an earlier result), signals (SIGINT and SIGTERM), inputs (bad files and
settings), disk (a full tmpfs at each writing step; root alone may mount one), store (several runs at once on
one SQLite store), server (an MLflow server that is killed, frozen, or answers 500). Each case must end in
bounded time and memory, with the right exit status and one line, and lose nothing that was there.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import random
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path

from reliability_command import STEP_MODULES, Forker, Workplace, reached, started, wait_for
from reliability_disk import disk
from reliability_inputs import bad_inputs
from reliability_result import Case, damaged, judged, refused, statuses, torn
from reliability_server import server
from reliability_tables import bad_tables

COMMANDS = ("etl", "run", "train")
SECTIONS = ("kills", "signals", "inputs", "disk", "store", "server")
FASTEST = 0.05  # seconds of the processor after the start, earliest moment of a signal
SECONDS, MEMORY = 60.0, 6 << 30  # that a bad input may take; bytes of address space
LINES = {  # a training that is interrupted ends its step first, and says so
    signal.SIGINT: {"error: interrupted", "stopped by SIGINT"},
    signal.SIGTERM: {"stopped by SIGTERM"},
}


def kills(place: Workplace, number: int, source: random.Random) -> Iterator[Case]:
    """SIGKILL at random moments over an earlier result, which stays or is replaced as a whole."""
    with Forker(place.folder, modules=() if tuple(place.names) == ("etl",) else STEP_MODULES) as forker:
        for name, command in place.commands().items():
            files = place.files(name)
            usual = forker.run(command).processor
            for _ in range(number):
                moment = source.uniform(0, usual)
                ended = forker.run(command, kill=moment)
                yield judged(
                    "kills",
                    f"{name} after {moment:.2f} s{'' if ended.code else ', ended before'}",
                    [*place.broken(name, files), *([] if ended.code in {0, -9} else [f"exit {ended.code}"])],
                    seconds=ended.seconds,
                    said=ended.said(),
                )
            ended = forker.run(command)
            faults = [*place.worn(name, files), *([f"exit {ended.code}"] if ended.code else [])]
            yield judged("kills", f"{name} afterwards", faults, seconds=ended.seconds, said=ended.said())


def signals(place: Workplace, number: int, source: random.Random) -> Iterator[Case]:
    """SIGINT and SIGTERM at random moments: the right exit status, one line, the earlier result whole."""
    for name, command in place.commands().items():
        files, tried = place.files(name), 0
        while tried < number:
            kind = (signal.SIGINT, signal.SIGTERM)[tried % 2]
            moment = source.uniform(FASTEST, 0.95 * place.seconds[name])
            process = started(command, place.folder)
            if not reached(process, moment):  # a quick one: it has ended before
                wait_for(process)
                continue
            tried += 1
            process.send_signal(kind)
            ended = wait_for(process, seconds=120.0)
            yield judged(
                "signals",
                f"{name}, {kind.name} after {moment:.2f} s",
                [*_not_stopped(kind, ended.code, ended.stderr), *place.broken(name, files)],
                seconds=ended.seconds,
                said=ended.said(),
            )
        ended = wait_for(started(command, place.folder))
        faults = [*place.worn(name, files), *([f"exit {ended.code}"] if ended.code else [])]
        yield judged("signals", f"{name} afterwards", faults, seconds=ended.seconds, said=ended.said())


def _not_stopped(kind: signal.Signals, code: int, stderr: str) -> Iterator[str]:
    """Faults of the end of an interrupted process; one that Python is taking down cannot say a line."""
    if code == 0:
        yield "ignored"
    elif code not in {128 + kind, -kind}:
        yield f"exit {code}"
    if "Traceback" in stderr:
        yield "traceback"
    lines = sum(line in LINES[kind] for line in stderr.splitlines())
    if code == 128 + kind and lines != 1:
        yield f"{lines} lines"


def inputs(place: Workplace, _: int, source: random.Random) -> Iterator[Case]:
    """Bad files and settings: exit status 1 or 2, one sentence, bounded time and memory, the result whole."""
    before = place.result("etl")
    with Forker(place.folder) as forker:
        tables = bad_tables(place.folder / "bad-tables", out=place.folder / "etl")
        for name, command in chain(bad_inputs(place.folder / "bad", source, lines=place.lines), tables):
            ended = forker.run(command, seconds=SECONDS, memory=MEMORY)
            changed = [] if place.result("etl") == before else ["the earlier result changed"]
            faults = [*refused(ended.code, ended.stderr), *changed]
            yield judged("inputs", name, faults, seconds=ended.seconds, said=ended.said())


def store(place: Workplace, number: int, _: random.Random) -> Iterator[Case]:
    """Several whole cycles at once on one new SQLite store: all of them finish, and all is recorded."""
    shared = place.folder / "shared.db"
    begun = [
        started(place.run(out=place.folder / f"shared-{n}", store=shared), place.folder)
        for n in range(number)
    ]
    for n, process in enumerate(begun):
        ended = wait_for(process, seconds=1800.0)
        faults = [f"exit {ended.code}"] if ended.code else [*torn(place.folder / f"shared-{n}", ())]
        name = f"run {n + 1} of {number} at once"
        yield judged("store", name, faults, seconds=ended.seconds, said=ended.said())
    faults = [*damaged(shared)]
    if (found := statuses(shared)) != {"FINISHED": STEPS * number}:
        faults.append(f"expected {STEPS * number} finished runs, found {found}")
    yield judged("store", "the store afterwards", faults, seconds=0.0)


STEPS = 5  # MLflow runs of `overspill run`: itself, etl, backtest, forecast, windows
RUN: dict[str, Callable[[Workplace, int, random.Random], Iterator[Case]]] = {
    "kills": kills,
    "signals": signals,
    "inputs": inputs,
    "disk": disk,
    "store": store,
    "server": server,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sections, print the table; exit status 1 if a case failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--kills", type=int, default=34, help="of each command")
    parser.add_argument("--signals", type=int, default=14, help="to each command")
    parser.add_argument("--frozen", type=int, default=60, help="seconds that a server is frozen")
    parser.add_argument("--at-once", type=int, default=6)
    parser.add_argument("--commands", nargs="*", default=COMMANDS, choices=COMMANDS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    numbers = {"kills": given.kills, "signals": given.signals, "store": given.at_once, "server": given.frozen}
    cases: list[Case] = []
    with tempfile.TemporaryDirectory(prefix="reliability-") as folder:
        place = Workplace.built(Path(folder), given.commands)
        for section in given.only:
            source = random.Random(f"{given.seed} {section}")  # noqa: S311
            for case in RUN[section](place, numbers.get(section, 0), source):
                cases.append(case)
                if given.json is not None:  # after each case: a run that is stopped has its cases
                    given.json.write_text(json.dumps({**about(), "cases": [asdict(each) for each in cases]}))
                if not case.passed:
                    print(f"FAILED {case.section}: {case.name}: {case.why}", file=sys.stderr, flush=True)
    print(table(cases))
    return 0 if all(case.passed for case in cases) else 1


def about() -> dict[str, str]:
    """Machine and date."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return {"machine": machine, "date": dt.datetime.now(dt.UTC).date().isoformat()}


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
