"""One run of any step, as the terminal shows it: what it is, what it read, what it left."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from pipelines.cli.terminal.console import print_json
from pipelines.cli.terminal.fitted import print_fitted
from pipelines.runtime.tracking import STEP_TAG, UPSTREAM_TAG, Tracker, what_if_of
from pipelines.runtime.tracking.run_names import what_if_text


def print_run(console: Console, tracker: Tracker, run: Any, *, as_json: bool) -> None:  # noqa: ANN401
    """Print a run, one line for each thing that is known of it.

    Parameters
    ----------
    console : Console
    tracker : Tracker
    run : Run
        MLflow's.
    as_json : bool
        Print JSON instead.
    """
    shown = _description(tracker, run)
    if as_json:
        print_json(shown)
        return
    rows = [(name, str(value)) for name, value in shown.items() if value is not None]
    print_fitted(console, rows, title=f"run {shown['run']}", heads=("", ""))


def _description(tracker: Tracker, run: Any) -> Mapping[str, object]:  # noqa: ANN401
    tags, info = run.data.tags, run.info
    left = [entry.path for entry in tracker.client.list_artifacts(info.run_id)] if not tracker.spools else []
    return {
        "run": info.run_id,
        "step": tags[STEP_TAG],
        "name": info.run_name,
        "status": info.status,
        "started": f"{dt.datetime.fromtimestamp(info.start_time / 1000, dt.UTC):%Y-%m-%d %H:%M} UTC",
        "read from": tags.get(UPSTREAM_TAG),
        "what-if": what_if_text(what_if_of(run)) or None,
        "error": tags.get("overspill.error"),
        "what it says": tags.get("mlflow.note.content"),
        "files": ", ".join(left) or None,
    }
