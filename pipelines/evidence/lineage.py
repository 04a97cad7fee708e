"""From a windows run back to the raw data: the runs, their artifacts with SHA-256, and their settings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from forecasting.errors import InputError
from pipelines.evidence.records import ArtifactEntry, RunEntry
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.files.artifacts import file_digest
from pipelines.runtime.registry.weights import ORIGIN_TAG, WEIGHTS_TAG
from pipelines.runtime.step.inputs import checked_input, checked_settings, recorded_digests
from pipelines.runtime.store.tags import DIGEST_TAG, DIGESTS, DIGESTS_TAG
from pipelines.runtime.tracking import KNOWN_UNTIL_TAG, STEP_TAG, UPSTREAM_TAG, Tracker

COMMIT_TAG = "mlflow.source.git.commit"


@dataclass(frozen=True, kw_only=True)
class PastRun:
    """A finished run and its artifacts, fetched into a folder."""

    run_id: str
    tags: dict[str, str]
    params: dict[str, str]
    started: dt.datetime
    folder: Path

    @property
    def step(self) -> str:
        """Name of its step."""
        return self.tags[STEP_TAG]

    @property
    def digests(self) -> dict[str, str]:
        """Content digests that the run recorded by table, in tags or in an artifact that a tag vouches for.

        Raises
        ------
        InputError
            If that artifact is gone or altered.
        """
        found = {
            key.removeprefix(DIGEST_TAG): value
            for key, value in self.tags.items()
            if key.startswith(DIGEST_TAG)
        }
        if DIGESTS_TAG in self.tags:
            found |= recorded_digests(self.path(DIGESTS), self.tags, run_id=self.run_id)
        return found

    def path(self, name: str) -> Path:
        """An artifact's file.

        Raises
        ------
        InputError
            If the run has no such artifact.
        """
        path = self.folder / name
        if not path.is_file():
            raise InputError("the run has no such artifact", expected=name, where=f"run {self.run_id}")
        return path

    def table(self, name: str) -> pl.DataFrame:
        """Read a table, refused unless its content is what the run recorded."""
        recorded = self.digests.get(name)
        path = self.path(f"{name}.parquet")
        return checked_input(path, recorded, run_id=self.run_id, name=name).table

    def settings(self) -> Settings:
        """Resolved settings of the run, refused unless they agree with the parameters it recorded."""
        name = f"settings-{self.step}.yaml"
        return checked_settings(self.path(name), self.params, where=f"run {self.run_id}, {name}")

    def entry(self) -> RunEntry:
        """The run as the evidence lists it."""
        tags = self.tags
        return RunEntry(
            step=self.step,
            run_id=self.run_id,
            upstream_run_id=tags.get(UPSTREAM_TAG),
            started=self.started.replace(microsecond=0),
            overspill_version=tags.get("overspill.version"),
            git_commit=tags.get(COMMIT_TAG),
            known_until=dt.date.fromisoformat(tags[KNOWN_UNTIL_TAG]) if KNOWN_UNTIL_TAG in tags else None,
            weights=tags.get(ORIGIN_TAG),
            weights_sha256=tags.get(WEIGHTS_TAG),
            content_sha256=dict(sorted(self.digests.items())),
            artifacts=tuple(
                ArtifactEntry(
                    name=str(path.relative_to(self.folder)),
                    bytes=path.stat().st_size,
                    sha256=file_digest(path),
                )
                for path in sorted(self.folder.rglob("*"))
                if path.is_file()
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """The runs behind a windows run; `backtest` is the newest one of the same panel content, if any."""

    etl: PastRun
    forecast: PastRun
    windows: PastRun
    backtest: PastRun | None

    def runs(self) -> list[PastRun]:
        """All runs, from the raw data on."""
        return [self.etl, *([self.backtest] if self.backtest else []), self.forecast, self.windows]


@contextmanager
def lineage(tracker: Tracker, windows_run_id: str) -> Iterator[Lineage]:
    """Fetch the runs behind a windows run, for as long as the context is open.

    Raises
    ------
    InputError
        If a run is unknown, unfinished or of another step, or does not name the run before it.
    """
    with ExitStack() as stack:

        def fetched(run_id: str, step: str) -> PastRun:
            run: Any = tracker.finished(run_id, step)
            return PastRun(
                run_id=run.info.run_id,
                tags=dict(run.data.tags),
                params=dict(run.data.params),
                started=dt.datetime.fromtimestamp(run.info.start_time / 1000, dt.UTC),
                folder=stack.enter_context(tracker.artifacts(run.info.run_id)),
            )

        windows = fetched(windows_run_id, "windows")
        forecast = fetched(_upstream(windows), "forecast")
        etl = fetched(_upstream(forecast), "etl")
        scored = tracker.newest_of_content("backtest", "panel", etl.tags.get(f"{DIGEST_TAG}panel", ""))
        yield Lineage(
            etl=etl,
            forecast=forecast,
            windows=windows,
            backtest=None if scored is None else fetched(scored, "backtest"),
        )


def _upstream(run: PastRun) -> str:
    found = run.tags.get(UPSTREAM_TAG)
    if found is None:
        raise InputError(
            "the run does not name the run before it",
            expected=f"the tag {UPSTREAM_TAG}",
            where=f"run {run.run_id}",
        )
    return found
