"""A finished windows run read back: its settings, its tables, its answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from forecasting.errors import InputError
from forecasting.policy.policy import Policy
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.step.inputs import checked_settings, read_input
from pipelines.runtime.tracking import STEP_TAG, UPSTREAM_TAG, Tracker, nested_run, run_by_prefix
from pipelines.windows.answer import Answer
from pipelines.windows.answer_from_tables import STATEMENTS, answer_of, basis_of, last_period

TABLES = ("windows", "saturation", "cap_readings")


@dataclass(frozen=True, kw_only=True)
class RecordedWindows:
    """A windows run as it was recorded."""

    run_id: str
    settings: Settings
    tables: dict[str, pl.DataFrame]
    answer: Answer

    def as_json(self, what: str) -> dict[str, object]:
        """For machines: the tables behind what is shown."""
        names = {"caps": ("cap_readings",), "all": TABLES}.get(what, ("windows",))
        shown = {} if what == STATEMENTS else {name: self.tables[name].to_dicts() for name in names}
        return {
            "run": self.run_id,
            "now": self.answer.now,
            "answer": self.answer.sentence,
            "readings": readings(self.settings.policies),
            **shown,
            STATEMENTS: [dict(each) for each in self.answer.basis.statements],
        }


def readings(policies: Iterable[Policy]) -> dict[str, object]:
    """By policy: which reading its text supports, how sure that is and why; None where its file is silent."""
    return {policy.name: None if policy.reading is None else vars(policy.reading) for policy in policies}


def run_of_step(tracker: Tracker, step: str, given: str | None) -> str:
    """Id of a finished run of a step: the given one, that below the given parent run, or the newest.

    Raises
    ------
    InputError
        If there is none.
    """
    if given is None:
        return tracker.newest(step)
    found = run_by_prefix(tracker, given)
    if found.data.tags[STEP_TAG] == "run":
        nested = nested_run(tracker, found.info.run_id, step)
        if nested is None:
            raise InputError("the run has no such step", expected=step, where=f"run {found.info.run_id}")
        found = nested
    return str(tracker.finished(found.info.run_id, step).info.run_id)


def recorded_windows(tracker: Tracker, run_id: str) -> RecordedWindows:
    """Read a finished windows run.

    Raises
    ------
    InputError
        If there is no such run, or its artifacts are missing or altered.
    """
    run = tracker.finished(run_id, "windows")
    where = f"run {run_id}, settings-windows.yaml"
    with tracker.artifact(run_id, "settings-windows.yaml") as path:
        settings = checked_settings(path, run.data.params, where=where)
    tables = {name: read_input(tracker, run_id, step="windows", name=name).table for name in TABLES}
    basis = basis_of(tracker, run.data.tags[UPSTREAM_TAG], settings)
    answer = answer_of(tables["windows"], settings, end=last_period(tables["saturation"]), basis=basis)
    return RecordedWindows(run_id=run_id, settings=settings, tables=tables, answer=answer)
