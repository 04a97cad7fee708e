"""The findings as one screen, and the checks' progress on the way there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.doctor.findings import Finding
from pipelines.doctor.probes import Probe

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print one row per check; what is to be done stands below what was found."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("found", overflow="fold")
    for each in findings:
        found = f"{each.found}\n-> {each.advice}" if each.advice else each.found
        table.add_row(each.check, Text(each.status, STYLES[each.status]), Text(found))
    console.print(table)


@contextmanager
def probe_progress(console: Console) -> Iterator[Callable[[Probe], None]]:
    """Show the probes that have ended, as the callable is given them; nothing where there is no terminal."""
    ended: list[str] = []
    with console.status("looking at packages, disk, store and compiler") as status:

        def show(probe: Probe) -> None:
            ended.append(probe.name)
            status.update(f"looked at {', '.join(ended)}")

        if not console.is_terminal:
            status.stop()
        yield show
