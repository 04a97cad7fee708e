"""How runs are shown to people: what-ifs by their names, and several runs in a message."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence

from mlflow.entities import Run

from pipelines.runtime.config.deviations import short_names
from pipelines.runtime.store.tags import WHAT_IF_TAG

NAME_LENGTH = 80  # of what a run's name says about a what-if


def what_if_of(run: Run) -> dict[str, str]:
    """Settings of data and assumptions in which a run, or what it was computed from, deviates."""
    return dict(json.loads(run.data.tags.get(WHAT_IF_TAG, "{}")))


def what_if_text(deviating: Mapping[str, str]) -> str:
    """What a what-if changes, in brief; empty where nothing deviates."""
    named = ", ".join(
        f"{name}={value}" for name, value in zip(short_names(deviating), deviating.values(), strict=True)
    )
    return named if len(named) <= NAME_LENGTH else f"{named[: NAME_LENGTH - 3]}..."


def listed(runs: Sequence[Run]) -> str:
    """Runs as a message lists them, by the start of their ids and when they began."""
    began = (dt.datetime.fromtimestamp(run.info.start_time / 1000, dt.UTC) for run in runs)
    shown = ", ".join(
        f"{run.info.run_id[:8]} ({when:%Y-%m-%d %H:%M})" for run, when in zip(runs, began, strict=True)
    )
    return f": {shown}" if shown else ""
