"""Runs that a killed process left open: the next command ends them."""

from __future__ import annotations

from mlflow.entities import Run

from pipelines.runtime.spool.client import SpooledClient
from pipelines.runtime.store.tags import ERROR_TAG, STEP_TAG
from pipelines.runtime.tracking.process import can_go_on, why_gone
from pipelines.runtime.tracking.tracker import Tracker

MOST_OPEN = 1000  # open runs that are looked at


def close_abandoned(tracker: Tracker) -> list[str]:
    """End the open runs of this host whose process is gone, as KILLED with the reason; returns sentences.

    Runs of other hosts, of living processes, of jobs that can go on from their state, and those that still
    wait in an outbox are left alone.
    """
    if tracker.is_unreachable:
        return []
    client = tracker.client
    with tracker.translated():
        running = client.search_runs(
            [tracker.experiment_id],
            filter_string="attributes.status = 'RUNNING'",
            order_by=["attributes.start_time ASC"],
            max_results=MOST_OPEN,
        )
        closed = []
        for run in running:
            reason = why_gone(run.data.tags)
            if reason is None or can_go_on(run.data.tags) or _waits(tracker, run):
                continue
            client.set_tag(run.info.run_id, ERROR_TAG, f"killed: {reason}")
            client.set_terminated(run.info.run_id, "KILLED")
            step = run.data.tags.get(STEP_TAG, "")
            closed.append(f"{step} run {run.info.run_id[:8]} is closed as KILLED: {reason}")
    return closed


def _waits(tracker: Tracker, run: Run) -> bool:
    return isinstance(tracker.client, SpooledClient) and tracker.client.waits(run)
