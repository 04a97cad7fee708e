"""What a step reads from the run of the step before: the table, and proof that it is what that run wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from forecasting.errors import InputError
from forecasting.panel.schema import check_panel, content_digest
from pipelines.runtime.config.loader import flatten, load_settings
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.files.artifacts import file_digest, read_table
from pipelines.runtime.store.tags import DIGEST_TAG, DIGESTS, DIGESTS_TAG
from pipelines.runtime.tracking import PARAM_LENGTH, StepRun, Tracker


@dataclass(frozen=True, kw_only=True)
class Input:
    """A table of a finished run, its content digest, and where it came from."""

    run_id: str
    name: str
    table: pl.DataFrame
    digest: str

    def log(self, run: StepRun, *, tag: bool = True) -> None:
        """Record the table as an input dataset of the step that reads it, and its digest as a tag."""
        source = f"runs:/{self.run_id}/{self.name}.parquet"
        run.log_dataset(name=self.name, digest=self.digest, source=source, context=run.name, tag=tag)


def read_input(tracker: Tracker, run_id: str, *, step: str, name: str) -> Input:
    """Read a table that the finished run of a step wrote.

    Raises
    ------
    InputError
        If the run is not a finished run of that step, the table is missing or broken, or its content is not
        what the run recorded.
    """
    run = tracker.finished(run_id, step)
    run_id, tags = run.info.run_id, run.data.tags
    recorded = tags.get(f"{DIGEST_TAG}{name}")
    if recorded is None and DIGESTS_TAG in tags:
        with tracker.artifact(run_id, DIGESTS) as path:
            recorded = recorded_digests(path, tags, run_id=run_id).get(name)
    with tracker.artifact(run_id, f"{name}.parquet") as path:
        return checked_input(path, recorded, run_id=run_id, name=name)


def recorded_digests(path: Path, tags: Mapping[str, str], *, run_id: str) -> dict[str, str]:
    """Digests of a run's tables from its artifact, refused unless it is what the run's tag says.

    Parameters
    ----------
    path : Path
        The artifact.
    tags : mapping
        Those of the run.
    run_id : str
    """
    found = file_digest(path)
    if found != tags[DIGESTS_TAG]:
        raise InputError(
            "the artifact is not what its run wrote",
            expected=f"SHA-256 {tags[DIGESTS_TAG]}",
            found=found,
            where=f"run {run_id}, {DIGESTS}",
        )
    return dict(json.loads(path.read_text(encoding="utf-8")))


def checked_input(path: Path, recorded: str | None, *, run_id: str, name: str) -> Input:
    """Read a run's table from a file, refused unless its content digest is the recorded one."""
    table = read_table(path)
    digest = content_digest(table)
    if digest != recorded:
        raise InputError(
            "the artifact is not what its run wrote",
            expected=f"content SHA-256 {recorded}",
            found=digest,
            where=f"run {run_id}, {name}.parquet",
        )
    return Input(run_id=run_id, name=name, table=table, digest=digest)


def checked_settings(path: Path, recorded: Mapping[str, str], *, where: str) -> Settings:
    """Settings as a run left them, refused unless they agree with the parameters that the run recorded.

    Parameters
    ----------
    path : Path
    recorded : mapping
        The run's parameters.
    where : str
        Named where they differ.
    """
    settings = load_settings(path)
    for key, value in flatten(settings).items():
        if recorded.get(key, value[:PARAM_LENGTH]) != value[:PARAM_LENGTH]:
            raise InputError(
                "the artifact is not what its run wrote",
                expected=f"{key} {recorded[key]}",
                found=value,
                where=where,
            )
    return settings


def read_panel(tracker: Tracker, etl_run_id: str, settings: Settings) -> Input:
    """Read and check the panel of an etl run."""
    read = read_input(tracker, etl_run_id, step="etl", name="panel")
    table = check_panel(
        read.table, frequency=settings.data.panel_frequency, where=f"panel of run {read.run_id}"
    )
    return Input(run_id=read.run_id, name="panel", table=table, digest=read.digest)


def has_table(tracker: Tracker, run_id: str, *, step: str, name: str) -> bool:
    """Whether the finished run of a step recorded a table of this name."""
    run = tracker.finished(run_id, step)
    tags = run.data.tags
    if f"{DIGEST_TAG}{name}" in tags:
        return True
    if DIGESTS_TAG not in tags:
        return False
    with tracker.artifact(run.info.run_id, DIGESTS) as path:
        return name in recorded_digests(path, tags, run_id=run.info.run_id)
