"""Runs that wait in the spool folder reach their server: on demand, or quietly by the next job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.progress import track

from pipelines.runtime.config.settings import Settings
from pipelines.runtime.store.address import resolve_uri
from pipelines.runtime.tracking import OutboxReport, send_all

Entries = list[dict[str, Any]]


def sync(settings: Settings, console: Console) -> list[OutboxReport]:
    """Send every outbox of `tracking.spool` that no process uses, with a progress bar on the terminal.

    Raises
    ------
    InputError
        The store's address or login is not in order.
    """

    def progress(entries: Entries) -> Iterable[dict[str, Any]]:
        return track(
            entries,
            description="sync",
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    tracking = settings.tracking
    return list(send_all(resolve_uri(tracking.uri), tracking.spool, progress=progress))


def sync_quietly(settings: Settings, console: Console) -> None:
    """Send what earlier jobs left in the spool folder; whatever goes wrong is reported and fails nothing."""
    try:
        if not settings.tracking.spool.is_dir():
            return
        reports = sync(settings, console)
    except Exception as error:  # noqa: BLE001 - the job matters more than what waits
        console.print(f"what waits could not be sent: {error}", highlight=False, soft_wrap=True)
        return
    for report in reports:
        sentences = [*report.messages, *([f"{report.folder} waits: {report.left}"] if report.waits else [])]
        if report.runs:
            sentences.append(f"{len(report.runs)} runs of {report.folder.name} were sent")
        for sentence in sentences:
            console.print(sentence, highlight=False, soft_wrap=True)
