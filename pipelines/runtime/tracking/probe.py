"""Whether a store can be written, tried without leaving anything, and what it knows of the newest etl run."""

from __future__ import annotations

import datetime as dt
import sqlite3
import uuid
from contextlib import suppress
from dataclasses import dataclass

from mlflow.exceptions import MlflowException

from forecasting.errors import StepError
from pipelines.runtime.files.artifacts import check_writable
from pipelines.runtime.store.address import database
from pipelines.runtime.store.tags import KNOWN_UNTIL_TAG, STEP_TAG
from pipelines.runtime.tracking.store import Store

DEFAULT_EXPERIMENT = "Default"  # every store of MLflow has it
PROBE_TAG = "overspill.doctor"
BUSY_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class NewestEtl:
    """The newest finished etl run: when it ended (UTC), and the newest publication that it knew."""

    ended: dt.datetime
    known_until: dt.date | None


def check_writes(store: Store, experiment: str) -> str:
    """Try to write, and say how it was tried; nothing is left behind.

    A SQLite file is locked for writing and let go unchanged; any other store sets a tag of the experiment, or
    of MLflow's default one, and deletes it.

    Raises
    ------
    StepError
        It cannot be written.
    """
    file = database(store.uri)
    if file is not None:
        check_writable(file.parent)
        try:
            connection = sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise StepError(f"{file}: the store cannot be written: {error}") from error
        return "its file was locked for writing and let go"
    with store.translated():
        names = (experiment, DEFAULT_EXPERIMENT)
        found = (store.client.get_experiment_by_name(name) for name in names)
        chosen = next((each for each in found if each is not None and each.lifecycle_stage == "active"), None)
        if chosen is None:
            raise StepError(f"{store.shown} has neither experiment {experiment} nor {DEFAULT_EXPERIMENT}")
        tag = f"{PROBE_TAG}.{uuid.uuid4().hex[:8]}"
        try:
            store.client.set_experiment_tag(chosen.experiment_id, tag, "written")
        finally:
            with suppress(MlflowException):
                store.client.delete_experiment_tag(chosen.experiment_id, tag)
        return "a tag was set and deleted"


def newest_etl(store: Store, experiment: str) -> NewestEtl | None:
    """The newest finished etl run of an experiment; None where there is none."""
    with store.translated():
        found = store.client.get_experiment_by_name(experiment)
        if found is None:
            return None
        runs = store.client.search_runs(
            [found.experiment_id],
            filter_string=f"tags.`{STEP_TAG}` = 'etl' and attributes.status = 'FINISHED'",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
    if not runs:
        return None
    run = runs[0]
    known = run.data.tags.get(KNOWN_UNTIL_TAG)
    return NewestEtl(
        ended=dt.datetime.fromtimestamp((run.info.end_time or run.info.start_time) / 1000, dt.UTC),
        known_until=None if known is None else dt.date.fromisoformat(known),
    )
