"""MLflow's client with an outbox before it: what a server cannot record now is kept and sent later."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import DatasetInput, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.utils.search_utils import SearchUtils

from pipelines.runtime.spool.delivery import Carrier
from pipelines.runtime.spool.outbox import LOCAL_ID, Entry, new_local_id, now_ms
from pipelines.runtime.spool.pending import PendingRuns
from pipelines.runtime.store.tags import CHAMPION, SPOOLED_TAG


class SpooledClient:
    """Has those calls of `MlflowClient` that the steps make; any other goes to the server alone.

    While the server is away, runs and versions have local ids, and what is asked for is found among the runs
    that wait and what this process has read before.

    Parameters
    ----------
    client : MlflowClient
    carrier : Carrier
    """

    def __init__(self, client: MlflowClient, carrier: Carrier) -> None:
        self._client, self._carrier = client, carrier
        self._champions: dict[str, str | None] = {}  # as last read, by model
        self._runs: dict[str, Run] = {}
        self._versions: dict[tuple[str, str], Any] = {}
        self._aliased: dict[tuple[str, str], Any] = {}
        self._files: tempfile.TemporaryDirectory[str] | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._client, name)

    @property
    def away(self) -> bool:
        """Whether the server is away for the rest of this process."""
        return self._carrier.away

    def close(self, *, send: bool) -> None:
        """See `Carrier.close`."""
        if self._files is not None:
            self._files.cleanup()
            self._files = None
        self._carrier.close(send=send)

    def experiment_id(self) -> str:
        """Id of the experiment; a local one where the server is away."""
        ids = self._carrier
        return ids.read(ids.sender.experiment_id, lambda _: ids.local_experiment)

    def known_as(self, known: str) -> str:
        """The server's id of a run or version that was made while the server was away."""
        if not LOCAL_ID.fullmatch(known):
            return known
        return self._carrier.read(lambda: self._carrier.sender.known_as(known), lambda _: known)

    def create_run(
        self,
        experiment_id: str,  # noqa: ARG002 - there is one experiment
        start_time: int | None = None,
        tags: Mapping[str, str] | None = None,
        run_name: str | None = None,
    ) -> Run:
        """As MLflow's."""
        local = new_local_id()
        answer = self._write(
            "create_run", local=local, start_time=start_time or now_ms(), tags=dict(tags or {}), name=run_name
        )
        return self.get_run(answer.get("run_id", local))

    def reopen_run(self, run: Run, without: str) -> None:
        """Set a run that has ended to RUNNING, without one of its tags."""
        info, data = run.info, run.data
        known = {"start_time": info.start_time, "artifact_uri": info.artifact_uri}
        self._write(
            "reopen_run", run_id=info.run_id, without=[without], tags=data.tags, params=data.params, **known
        )

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[RunTag] = (),
    ) -> None:
        """As MLflow's."""
        self._write(
            "log_batch",
            run_id=run_id,
            metrics=[[each.key, each.value, each.timestamp, each.step] for each in metrics],
            params={param.key: param.value for param in params},
            tags={tag.key: tag.value for tag in tags},
        )

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        """As MLflow's."""
        self.log_batch(run_id, tags=[RunTag(key, value)])

    def log_inputs(self, run_id: str, datasets: Sequence[DatasetInput]) -> None:
        """As MLflow's."""
        listed = [
            {"dataset": each.dataset.to_dictionary(), "tags": {tag.key: tag.value for tag in each.tags}}
            for each in datasets
        ]
        self._write("log_inputs", run_id=run_id, datasets=listed)

    def log_artifacts(self, run_id: str, local_dir: str, artifact_path: str | None = None) -> None:
        """As MLflow's."""
        self._write("log_artifacts", Path(local_dir), run_id=run_id, into=artifact_path)

    def log_artifact(self, run_id: str, local_path: str, artifact_path: str | None = None) -> None:
        """As MLflow's, for a file."""
        with tempfile.TemporaryDirectory(prefix="overspill-") as folder:
            shutil.copy2(local_path, folder)
            self.log_artifacts(run_id, folder, artifact_path)

    def update_run(self, run_id: str, *, name: str) -> None:
        """As MLflow's, for the name."""
        self._write("rename_run", run_id=run_id, name=name)

    def set_terminated(self, run_id: str, status: str, end_time: int | None = None) -> None:
        """As MLflow's."""
        self._write("end_run", run_id=run_id, status=status, end_time=end_time or now_ms())

    def waits(self, run: Run) -> bool:
        """Whether something about a run waits in an outbox, under the server's id of it or its own."""
        ids = {run.info.run_id, run.data.tags.get(SPOOLED_TAG, run.info.run_id)}
        return any(self._carrier.waiting().run(each) is not None for each in ids)

    def create_registered_model(self, name: str, *, description: str) -> None:
        """As MLflow's; nothing is done where it is there."""
        self._write("create_model", name=name, description=description)

    def create_model_version(
        self, name: str, source: str, run_id: str, *, tags: Mapping[str, str], description: str | None = None
    ) -> Any:  # noqa: ANN401
        """As MLflow's; `source` is a folder of the run's artifacts."""
        local, folder = new_local_id(), source.rpartition("/")[2]
        answer = self._write(
            "create_version",
            local=local,
            name=name,
            run_id=run_id,
            folder=folder,
            tags=dict(tags),
            description=description,
        )
        return self.get_model_version(name, answer.get("version", local))

    def set_model_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        """As MLflow's."""
        self._write("tag_version", name=name, version=version, key=key, value=value)

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        """As MLflow's; the champion as last read is put down with it."""
        against = self._champions.get(name)
        self._write("set_alias", name=name, alias=alias, version=version, judged_against=against)

    def _write(self, do: str, files: Path | None = None, **entry: Any) -> Entry:  # noqa: ANN401
        return self._carrier.write({"do": do, **entry}, files)

    def get_run(self, run_id: str) -> Run:
        """As MLflow's."""

        def local(waiting: PendingRuns) -> Run:
            found = waiting.run(run_id)
            if found is not None:
                return found.entity()
            if run_id in self._runs:
                return self._runs[run_id]
            raise self._carrier.not_at_hand(f"run {run_id}")

        run = self._carrier.read(lambda: self._client.get_run(self.known_as(run_id)), local)
        self._runs[run_id] = run
        return run

    def search_runs(
        self,
        experiment_ids: list[str],
        filter_string: str = "",
        order_by: list[str] | None = None,
        max_results: int = 1000,
    ) -> list[Run]:
        """As MLflow's; while the server is away, among the runs that wait."""

        def ask() -> list[Run]:
            found = self._client.search_runs(
                experiment_ids, filter_string, order_by=order_by, max_results=max_results
            )
            return list(found)

        def local(waiting: PendingRuns) -> list[Run]:
            search: Any = SearchUtils  # untyped
            found = search.filter(waiting.entities(), filter_string)
            return list(search.sort(found, order_by)[:max_results])

        return self._carrier.read(ask, local)

    def download_artifacts(self, run_id: str, path: str, dst_path: str) -> str:
        """As MLflow's."""

        def ask() -> str:
            there = self._client.download_artifacts(self.known_as(run_id), path, dst_path)
            self._keep(run_id, path, Path(there))
            return str(there)

        def local(waiting: PendingRuns) -> str:
            run, target = waiting.run(run_id), Path(dst_path)
            there = None if run is None else run.hand_out(path, target)
            if there is None and path and self._files is not None:
                kept = Path(self._files.name) / run_id / path
                there = _laid(kept, target / path) if kept.exists() else None
            if there is None and run is None:
                raise self._carrier.not_at_hand(f"{path or 'the artifacts'} of run {run_id}")
            if there is None:
                raise FileNotFoundError(f"no {path} among what waits of it")
            return str(there)

        return self._carrier.read(ask, local)

    def get_model_version_by_alias(self, name: str, alias: str) -> Any:  # noqa: ANN401
        """As MLflow's; while the server is away, as last known."""

        def local(waiting: PendingRuns) -> Any:  # noqa: ANN401
            found = waiting.by_alias(name, alias) or self._aliased.get((name, alias))
            if found is None:
                raise MlflowException(f"no {alias} of {name} is known", RESOURCE_DOES_NOT_EXIST)
            return found

        try:
            found = self._carrier.read(lambda: self._client.get_model_version_by_alias(name, alias), local)
        except MlflowException:
            if self._carrier.away and (name, alias) not in self._aliased and name not in self._champions:
                self._carrier.tell(f"the {alias} of {name} is not known: the package's weights stand in")
            self._champions[name] = None
            raise
        self._aliased[name, alias] = found
        if alias == CHAMPION:
            self._champions[name] = str(found.version)
        return found

    def get_model_version(self, name: str, version: str) -> Any:  # noqa: ANN401
        """As MLflow's."""

        def local(waiting: PendingRuns) -> Any:  # noqa: ANN401
            found = waiting.versions.get((name, version)) or self._versions.get((name, version))
            if found is None:
                raise self._carrier.not_at_hand(f"version {version} of {name}")
            return found

        ask = self._client.get_model_version
        found = self._carrier.read(lambda: ask(name, self.known_as(version)), local)
        self._versions[name, version] = found
        return found

    def get_registered_model(self, name: str) -> Any:  # noqa: ANN401
        """As MLflow's; while the server is away none is known."""

        def local(_: PendingRuns) -> Any:  # noqa: ANN401
            raise MlflowException(f"{name} cannot be asked for", RESOURCE_DOES_NOT_EXIST)

        return self._carrier.read(lambda: self._client.get_registered_model(name), local)

    def _keep(self, run_id: str, path: str, there: Path) -> None:
        """Keep an artifact for as long as the process lives, should the server go away."""
        if self._files is None:
            self._files = tempfile.TemporaryDirectory(prefix="overspill-read-")
        kept = Path(self._files.name) / run_id / path
        if path and not kept.exists():
            _laid(there, kept)


def _laid(what: Path, to: Path) -> Path:
    """A file or folder at another place, by links where the file system allows."""
    to.parent.mkdir(parents=True, exist_ok=True)
    if what.is_dir():
        shutil.copytree(what, to, copy_function=_link_or_copy)
    else:
        _link_or_copy(str(what), str(to))
    return to


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
