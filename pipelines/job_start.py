"""How a job starts on a server that may go away."""

from __future__ import annotations

from pipelines.context import Context
from pipelines.registry import hold_champion
from pipelines.sync import sync_quietly


def begin_job(context: Context) -> None:
    """Send what earlier jobs left, and read the champion now: the server may be away when it is needed."""
    if context.tracker.is_away:
        return
    sync_quietly(context.settings, context.console)
    hold_champion(context.tracker)
