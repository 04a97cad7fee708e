"""What outboxes hold, read as if a server answered: runs, their artifacts, registered versions."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import LifecycleStage, Metric, Param, Run, RunData, RunInfo, RunInputs, RunTag
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

    def take(self, entry: Entry, journal: Journal) -> None:
        """Take in an entry of this run."""
        match entry["do"]:
            case "log_batch":
                self.params |= entry["params"]
                self.tags |= entry["tags"]
                for key, value, timestamp, step in entry["metrics"]:
                    known = self.metrics.get(key)
                    if known is None or (known.step, known.timestamp) <= (step, timestamp):
                        self.metrics[key] = Metric(key, value, timestamp, step)
            case "rename_run":
                self.tags[MLFLOW_RUN_NAME] = entry["name"]
            case "log_artifacts":
                self.files.append((journal.files(entry), entry["into"] or ""))
            case "end_run":
                self.status, self.end_time = entry["status"], entry["end_time"]

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
                    self._take(entry, journal, journal.answers.get(entry["n"], {}))

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

    def _take(self, entry: Entry, journal: Journal, answer: Entry) -> None:
        """Take in one entry, with what the server answered if it was sent."""
        match entry["do"]:
            case "create_run":
                local, run_id = entry["local"], answer.get("run_id") or entry["local"]
                self.runs[local] = self.runs[run_id] = KnownRun(
                    local=local,
                    run_id=run_id,
                    experiment_id=answer.get("experiment_id") or journal.head.get("experiment_id", ""),
                    start_time=entry["start_time"],
                    artifact_uri=answer.get("artifact_uri") or f"runs:/{run_id}",
                    tags={**entry["tags"], MLFLOW_RUN_NAME: entry["name"]},
                )
            case "reopen_run":
                self._reopen(entry, journal)
            case "create_version":
                name, number = entry["name"], answer.get("version") or entry["local"]
                self.versions[name, number] = model_version(
                    name, number, run_id=entry["run_id"], tags=entry["tags"]
                )
            case "tag_version" if version := self.versions.get((entry["name"], entry["version"])):
                version.tags[entry["key"]] = entry["value"]
            case "set_alias":
                self.aliases[entry["name"], answer.get("alias") or entry["alias"]] = entry["version"]
            case _ if run := self.runs.get(entry.get("run_id", "")):
                run.take(entry, journal)

    def _reopen(self, entry: Entry, journal: Journal) -> None:
        run_id = entry["run_id"]
        run = self.runs.setdefault(
            run_id,
            KnownRun(
                local=run_id,
                run_id=run_id,
                experiment_id=journal.head.get("experiment_id", ""),
                start_time=entry["start_time"],
                artifact_uri=entry["artifact_uri"],
                tags=dict(entry["tags"]),
                params=dict(entry["params"]),
            ),
        )
        run.status, run.end_time = "RUNNING", None
        for name in entry["without"]:
            run.tags.pop(name, None)


def model_version(name: str, number: str, *, run_id: str, tags: Mapping[str, str]) -> Any:  # noqa: ANN401
    """A version of a registered model as MLflow's client returns it."""
    listed = [
        ModelVersionTag(key, value)  # type: ignore[no-untyped-call]
        for key, value in tags.items()
    ]
    return ModelVersion(name=name, version=number, creation_timestamp=0, run_id=run_id, tags=listed)
