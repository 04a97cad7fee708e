"""Sends what an outbox holds, now or later: the same few calls either way, each safe to repeat."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from pipelines.runtime.spool.outbox import LOCAL_ID, Entry, Journal
from pipelines.runtime.store.retries import POSSIBLY_REPEATED_SECONDS
from pipelines.runtime.store.tags import CHALLENGER, CHAMPION, EXPERIMENT_TAGS, SPOOLED_TAG

DECISION, WHY_NOT = "overspill.decision", "overspill.not_promoted"


class Sender:
    """Sends entries to a server.

    Parameters
    ----------
    client : MlflowClient
    experiment : str
        Name of the experiment of the runs.
    late : bool
        The entries are sent later than they were made: a run may be there already, and the champion may be
        another than the one that a candidate was judged against.
    """

    def __init__(self, client: MlflowClient, experiment: str, *, late: bool = False) -> None:
        self._client, self._experiment, self._late = client, experiment, late
        self._experiment_id: str | None = None
        self._ids: dict[str, str] = {}  # local id -> the server's
        self._demoted: dict[str, str] = {}  # run id -> why its version did not become champion
        self.messages: list[str] = []

    def recall(self, journal: Journal) -> None:
        """Take up where an earlier sending stopped."""
        for entry in journal.entries:
            if entry["n"] in journal.answers:
                self._learn(entry, journal.answers[entry["n"]])

    def send(self, entry: Entry, files: Path | None) -> Entry:
        """Send one entry; returns what the server answered.

        Raises
        ------
        MlflowException
            The server is away, or refuses.
        """
        answer = self._call(self.translated(entry), files)
        self._learn(entry, answer)
        return answer

    def _call(self, entry: Entry, files: Path | None) -> Entry:
        match entry["do"]:
            case "rename_run":
                self._client.update_run(entry["run_id"], name=entry["name"])
            case "log_artifacts":
                self._client.log_artifacts(entry["run_id"], str(files), entry["into"])
            case "end_run":
                self._client.set_terminated(entry["run_id"], entry["status"], entry["end_time"])
            case "tag_version":
                at = (entry["name"], entry["version"])
                self._client.set_model_version_tag(*at, entry["key"], entry["value"])
            case "reopen_run":
                for name in entry["without"]:
                    reopen_run(self._client, entry["run_id"], without=name)
            case do:
                call: Callable[[Entry], Entry | None] = getattr(self, f"_{do}")
                return call(entry) or {}
        return {}

    def translated(self, entry: Entry) -> Entry:
        """The entry with the server's ids in place of local ones, wherever they stand."""
        own = entry.get("local")
        text = json.dumps(entry)
        for local in set(LOCAL_ID.findall(text)) - {own}:
            known = self.known_as(local)
            text = text.replace(local, known).replace(f" {local[:8]}](", f" {known[:8]}](")
        translated: Entry = json.loads(text)
        return translated

    def known_as(self, local: str) -> str:
        """The server's id of a run or version that has a local one; the local id where it has none such."""
        if local not in self._ids and (found := self._runs_of(local) or self._versions_of(local)):
            self._ids[local] = found[0]
        return self._ids.get(local, local)

    def experiment_id(self) -> str:
        """Id of the experiment, which is made if need be."""
        if self._experiment_id is None:
            found = self._client.get_experiment_by_name(self._experiment)
            if found is None:
                try:
                    made = self._client.create_experiment(self._experiment, tags=EXPERIMENT_TAGS)
                except MlflowException:  # another process was quicker
                    found = self._client.get_experiment_by_name(self._experiment)
                    if found is None:
                        raise
                    made = found.experiment_id
                self._experiment_id = str(made)
            else:
                self._experiment_id = str(found.experiment_id)
        return self._experiment_id

    def _learn(self, entry: Entry, answer: Entry) -> None:
        match entry["do"]:
            case "create_run":
                self._ids[entry["local"]] = answer["run_id"]
            case "create_version":
                self._ids[entry["local"]] = answer["version"]
            case "set_alias" if answer.get("why"):
                self._demoted[answer["run_id"]] = answer["why"]

    def stands_for(self, local: str, known: str) -> None:
        """Have a local id replaced by one of the server."""
        self._ids[local] = known

    def _runs_of(self, local: str) -> list[str]:
        found = self._client.search_runs(
            [self.experiment_id()],
            filter_string=f"tags.`{SPOOLED_TAG}` = '{local}'",
            order_by=["attributes.start_time ASC"],
        )
        return [str(run.info.run_id) for run in found]

    def _versions_of(self, local: str) -> list[str]:
        found = self._client.search_model_versions(f"tags.`{SPOOLED_TAG}` = '{local}'")
        return [str(version.version) for version in found]

    def _create_run(self, entry: Entry) -> Entry:
        known = self._runs_of(entry["local"]) if self._late else []
        started = time.monotonic()
        if not known:
            run = self._client.create_run(
                self.experiment_id(),
                start_time=entry["start_time"],
                tags={**entry["tags"], SPOOLED_TAG: entry["local"]},
                run_name=entry["name"],
            )
            known = [str(run.info.run_id)]
            if time.monotonic() - started > POSSIBLY_REPEATED_SECONDS:
                known = self._runs_of(entry["local"]) or known
        self._delete(known[1:])
        info = self._client.get_run(known[0]).info
        return {
            "run_id": known[0],
            "artifact_uri": info.artifact_uri,
            "experiment_id": str(info.experiment_id),
        }

    def only_once(self, local: str) -> None:
        """Delete what a run's creation left twice.

        MLflow's client tries again what the server may have heard, and a server that was stalled does what it
        was asked for after everybody has given up.
        """
        kept = self._ids.get(local)
        self._delete([run_id for run_id in self._runs_of(local) if run_id != kept])

    def _delete(self, run_ids: list[str]) -> None:
        for run_id in run_ids:
            self._client.delete_run(run_id)

    def _log_batch(self, entry: Entry) -> None:
        tags = dict(entry["tags"])
        if DECISION in tags and (why := self._demoted.get(entry["run_id"])):
            tags |= {DECISION: CHALLENGER, WHY_NOT: why}
        self._client.log_batch(
            entry["run_id"],
            metrics=[Metric(*point) for point in entry["metrics"]],
            params=[Param(key, value) for key, value in entry["params"].items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )

    def _log_inputs(self, entry: Entry) -> None:
        datasets = [
            DatasetInput(Dataset(**each["dataset"]), tags=[InputTag(*tag) for tag in each["tags"].items()])
            for each in entry["datasets"]
        ]
        log_inputs(self._client, entry["run_id"], datasets)

    def _create_model(self, entry: Entry) -> None:
        try:
            self._client.create_registered_model(entry["name"], description=entry["description"])
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _create_version(self, entry: Entry) -> Entry:
        name, run_id = entry["name"], entry["run_id"]
        source = f"{self._client.get_run(run_id).info.artifact_uri}/{entry['folder']}"
        if self._late:
            for known in self._client.search_model_versions(f"run_id = '{run_id}'"):
                if known.name == name and known.source == source:
                    return {"version": str(known.version)}
        tags = {**entry["tags"], **({SPOOLED_TAG: entry["local"]} if self._late else {})}
        made = self._client.create_model_version(
            name, source, run_id, tags=tags, description=entry.get("description")
        )
        return {"version": str(made.version)}

    def _set_alias(self, entry: Entry) -> Entry:
        name, alias, version = entry["name"], entry["alias"], str(entry["version"])
        if not self._late or alias != CHAMPION:
            self._client.set_registered_model_alias(name, alias, version)
            return {"alias": alias}
        present, against = self._champion(name), entry["judged_against"]
        if present in (against, version):
            self._client.set_registered_model_alias(name, alias, version)
            return {"alias": alias}
        then = "no champion" if against is None else f"version {against}"
        now = "none" if present is None else f"version {present}"
        why = f"it was judged against {then} while the server was away, and by now the champion is {now}"
        self._client.set_registered_model_alias(name, CHALLENGER, version)
        for key, value in ((DECISION, CHALLENGER), (WHY_NOT, why)):
            self._client.set_model_version_tag(name, version, key, value)
        self.messages.append(f"{name} version {version} is the challenger: {why}")
        run_id = str(self._client.get_model_version(name, version).run_id)
        return {"alias": CHALLENGER, "run_id": run_id, "why": why}

    def _champion(self, name: str) -> str | None:
        try:
            return str(self._client.get_model_version_by_alias(name, CHAMPION).version)
        except MlflowException as error:
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise


def reopen_run(client: MlflowClient, run_id: str, *, without: str) -> None:
    """Set a run that has ended to RUNNING, without one of its tags."""
    client.update_run(run_id, status="RUNNING")
    if without in client.get_run(run_id).data.tags:
        client.delete_tag(run_id, without)


def log_inputs(client: Any, run_id: str, datasets: list[DatasetInput]) -> None:  # noqa: ANN401
    """Record inputs of a run; again where another writer has just recorded the same dataset."""
    try:
        client.log_inputs(run_id, datasets)
    except MlflowException as error:
        if "dataset_pk" not in str(error) and "UNIQUE constraint" not in str(error):
            raise
        client.log_inputs(run_id, datasets)
