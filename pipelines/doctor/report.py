"""The findings as one screen, and the checks' progress on the way there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

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
        table.add_row(each.check, f"[{STYLES[each.status]}]{each.status}[/]", _plain(found))
    console.print(table)


def _plain(text: str) -> str:
    """Text in which rich sees no markup."""
    return text.replace("[", r"\[")


class ProbeProgress:
    """Spinner with the probes that have not answered yet; nothing where there is no terminal."""

    def __init__(self, console: Console) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("looking at packages, disk, store and compiler")
        self._ended: list[str] = []

    def ended(self, probe: Probe) -> None:
        """A probe has ended."""
        self._ended.append(probe.name)
        self._progress.update(self._task, description=f"looked at {', '.join(self._ended)}")

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the spinner."""
        with self._progress:
            yield
