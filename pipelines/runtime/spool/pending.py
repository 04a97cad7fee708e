"""What outboxes hold, read as if a server answered: runs, their artifacts, registered versions."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mlflow.entities import (
    LifecycleStage,
    Metric,
    Param,
    Run,
    RunData,
    RunInfo,
    RunInputs,
    RunTag,
)
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

from pipelines.runtime.spool.outbox import Entry, Journal


@dataclass
class KnownRun:
    """One run as an outbox knows it; `local` and `run_id` are the same until a server has named it."""

    local: str
    run_id: str
    experiment_id: str
    start_time: int
    artifact_uri: str
    status: str = "RUNNING"
    end_time: int | None = None
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    files: list[tuple[Path, str]] = field(default_factory=list)  # folder, and its place

    def entity(self) -> Run:
        """The run as MLflow's client returns it."""
        info = RunInfo(
            run_id=self.run_id,
            experiment_id=self.experiment_id,
            user_id="",
            status=self.status,
            start_time=self.start_time,
            end_time=self.end_time,
            lifecycle_stage=LifecycleStage.ACTIVE,
            artifact_uri=self.artifact_uri,
            run_name=self.tags.get(MLFLOW_RUN_NAME),
        )
        data = RunData(
            metrics=list(self.metrics.values()),
            params=[Param(key, value) for key, value in self.params.items()],
            tags=[RunTag(key, value) for key, value in self.tags.items()],
        )
        return Run(info, data, RunInputs(dataset_inputs=[]))

    def artifacts(self) -> Iterator[tuple[str, Path]]:
        """Name and file of each artifact; of those with the same name the last one counts."""
        for folder, into in self.files:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    yield str(Path(into) / path.relative_to(folder)), path

    def hand_out(self, name: str, to: Path) -> Path | None:
        """Copy an artifact, or all within a folder of them, into `to`; None where there is none."""
        found = False
        for artifact, path in self.artifacts():
            if name in ("", artifact) or artifact.startswith(f"{name}/"):
                (to / artifact).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, to / artifact)
                found = True
        return to / name if found or not name else None


class PendingEntry(NamedTuple):
    """An entry with its journal and what the server answered, if it was sent."""

    journal: Journal
    entry: Entry
    answer: Entry


class PendingRuns:
    """The content of outboxes.

    Parameters
    ----------
    journals : iterable of Journal
        Oldest first.
    """

    def __init__(self, journals: Iterable[Journal]) -> None:
        self.runs: dict[str, KnownRun] = {}  # by local id and by the server's
        self.versions: dict[tuple[str, str], ModelVersion] = {}
        self.aliases: dict[tuple[str, str], str] = {}
        for journal in journals:
            for entry in journal.entries:
                if entry["n"] not in journal.refused:
                    take = getattr(self, f"_{entry['do']}", None)
                    if take is not None:
                        take(PendingEntry(journal, entry, journal.answers.get(entry["n"], {})))

    def run(self, run_id: str) -> KnownRun | None:
        """A run by its local id or the server's."""
        return self.runs.get(run_id)

    def entities(self) -> list[Run]:
        """Every run once."""
        return [run.entity() for run in {id(run): run for run in self.runs.values()}.values()]

    def by_alias(self, name: str, alias: str) -> ModelVersion | None:
        """The version that an outbox gave an alias to."""
        number = self.aliases.get((name, alias))
        return None if number is None else self.versions.get((name, number))

    def _create_run(self, noted: PendingEntry) -> None:
        local: str = noted.entry["local"]
        run_id: str = noted.answer.get("run_id") or local
        self.runs[local] = self.runs[run_id] = KnownRun(
            local=local,
            run_id=run_id,
            experiment_id=(noted.answer.get("experiment_id") or noted.journal.head.get("experiment_id", "")),
            start_time=noted.entry["start_time"],
            artifact_uri=(noted.answer.get("artifact_uri") or f"runs:/{run_id}"),
            tags={**noted.entry["tags"], MLFLOW_RUN_NAME: noted.entry["name"]},
        )

    def _reopen_run(self, noted: PendingEntry) -> None:
        run = self.runs.get(noted.entry["run_id"])
        if run is None:
            run = KnownRun(
                local=noted.entry["run_id"],
                run_id=noted.entry["run_id"],
                experiment_id=noted.journal.head.get("experiment_id", ""),
                start_time=noted.entry["start_time"],
                artifact_uri=noted.entry["artifact_uri"],
                tags=dict(noted.entry["tags"]),
                params=dict(noted.entry["params"]),
            )
            self.runs[noted.entry["run_id"]] = run
        run.status, run.end_time = "RUNNING", None
        for name in noted.entry["without"]:
            run.tags.pop(name, None)

    def _log_batch(self, noted: PendingEntry) -> None:
        run = self.runs.get(noted.entry["run_id"])
        if run is not None:
            run.params |= dict(noted.entry["params"])
            run.tags |= dict(noted.entry["tags"])
            for key, value, timestamp, step in noted.entry["metrics"]:
                known = run.metrics.get(key)
                if known is None or (known.step, known.timestamp) <= (step, timestamp):
                    run.metrics[key] = Metric(key, value, timestamp, step)

    def _rename_run(self, noted: PendingEntry) -> None:
        run = self.runs.get(noted.entry["run_id"])
        if run is not None:
            run.tags[MLFLOW_RUN_NAME] = noted.entry["name"]

    def _log_artifacts(self, noted: PendingEntry) -> None:
        run = self.runs.get(noted.entry["run_id"])
        if run is not None:
            run.files.append((noted.journal.files(noted.entry), noted.entry["into"] or ""))

    def _end_run(self, noted: PendingEntry) -> None:
        run = self.runs.get(noted.entry["run_id"])
        if run is not None:
            run.status, run.end_time = noted.entry["status"], noted.entry["end_time"]

    def _create_version(self, noted: PendingEntry) -> None:
        number = noted.answer.get("version") or noted.entry["local"]
        self.versions[noted.entry["name"], number] = model_version(
            noted.entry["name"], number, run_id=noted.entry["run_id"], tags=noted.entry["tags"]
        )

    def _tag_version(self, noted: PendingEntry) -> None:
        version = self.versions.get((noted.entry["name"], noted.entry["version"]))
        if version is not None:
            version.tags[noted.entry["key"]] = noted.entry["value"]

    def _set_alias(self, noted: PendingEntry) -> None:
        self.aliases[noted.entry["name"], (noted.answer.get("alias") or noted.entry["alias"])] = noted.entry[
            "version"
        ]


def model_version(name: str, number: str, *, run_id: str, tags: Mapping[str, str]) -> Any:  # noqa: ANN401
    """A version of a registered model as MLflow's client returns it."""
    listed = [
        ModelVersionTag(key, value)  # type: ignore[no-untyped-call]
        for key, value in tags.items()
    ]
    return ModelVersion(name=name, version=number, creation_timestamp=0, run_id=run_id, tags=listed)
