"""Runs found by what a person knows of them: the first characters of an id, or the run above them."""

from __future__ import annotations

import re

from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from forecasting.errors import InputError
from pipelines.runtime.store.tags import STEP_TAG
from pipelines.runtime.tracking.run_names import listed
from pipelines.runtime.tracking.tracker import CANDIDATES, Tracker

ID_OR_PREFIX = re.compile(r"[0-9a-f]{1,32}")


def run_by_prefix(tracker: Tracker, prefix: str) -> Run:
    """The only run of a step of overspill whose id begins with these characters.

    Raises
    ------
    InputError
        If there is none, or there are several.
    """
    found = _search(tracker, f"attributes.run_id LIKE '{prefix}%'") if ID_OR_PREFIX.fullmatch(prefix) else []
    if len(found) != 1:
        raise InputError(
            "several runs begin with these characters" if found else "no such run",
            expected=f"one run{listed(found or tracker.runs(limit=CANDIDATES))}",
            found=repr(prefix),
            where=tracker.shown,
        )
    return found[0]


def nested_run(tracker: Tracker, run_id: str, step: str) -> Run | None:
    """Newest run of a step that is nested under a run; None without one."""
    found = _search(tracker, f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}' and tags.`{STEP_TAG}` = '{step}'")
    return found[0] if found else None


def _search(tracker: Tracker, condition: str) -> list[Run]:
    with tracker.translated():
        return list(
            tracker.client.search_runs(
                [tracker.experiment_id],
                filter_string=f"{condition} and tags.`{STEP_TAG}` != ''",
                order_by=["attributes.start_time DESC"],
                max_results=CANDIDATES,
            )
        )
