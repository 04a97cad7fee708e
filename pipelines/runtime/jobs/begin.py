"""How a job starts on a server that may go away."""

from __future__ import annotations

from pipelines.runtime.jobs.sync import sync_quietly
from pipelines.runtime.registry.registry import hold_champion
from pipelines.runtime.step.context import Context


def begin_job(context: Context) -> None:
    """Send what earlier jobs left, and read the champion now: the server may be away when it is needed."""
    if context.tracker.is_away:
        return
    sync_quietly(context.settings, context.console)
    hold_champion(context.tracker)
