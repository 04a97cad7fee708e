"""MLflow, and the only module that imports it: one run per step, lineage by run id, artifacts by name."""

from __future__ import annotations

import datetime as dt
import fcntl
import logging
import os
import re
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE
from sqlalchemy.exc import SQLAlchemyError

from forecasting.errors import InputError, StepError

for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.WARNING)

KNOWN_UNTIL_TAG = "overspill.known_until"  # day of the newest publication that an etl run knew
STEP_TAG, UPSTREAM_TAG = "overspill.step", "overspill.upstream_run_id"
DEFAULT_STORE = Path("mlruns")
SQLITE = "sqlite:///"
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on runs, not traces
METRICS_PER_CALL, PARAMS_PER_CALL = 1000, 100  # limits of MLflow's log-batch call
UI_MODE = "?workflowType=machine_learning"  # MLflow 3.17 else opens a run among those of language models
PARAM_LENGTH = 6000  # limit of MLflow
ANSWER_SECONDS = 10


def resolve_uri(configured: str | None) -> str:
    """Tracking URI: the configured one, else MLFLOW_TRACKING_URI, else SQLite under `mlruns/` here."""
    return configured or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{DEFAULT_STORE / 'mlflow.db'}"


def without_password(uri: str) -> str:
    """The URI as it may be shown: user and password left out."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def ui_command(uri: str) -> str:
    """The shell command or address that opens the MLflow UI on a store."""
    shown = without_password(uri)
    if shown.startswith("http"):
        return shown
    beside = Path(sys.executable).with_name("mlflow")
    mlflow = beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside
    return f"{mlflow} ui --backend-store-uri {shown}"


@dataclass(frozen=True, kw_only=True)
class StepRun:
    """One step's run while it is open."""

    client: MlflowClient
    run_id: str
    name: str

    def log_params(self, params: Mapping[str, str]) -> None:
        """Record parameters; long values are cut at MLflow's 6,000 characters."""
        entries = [Param(key, value[:PARAM_LENGTH]) for key, value in params.items()]
        for start in range(0, len(entries), PARAMS_PER_CALL):
            self.client.log_batch(self.run_id, params=entries[start : start + PARAMS_PER_CALL])

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Record single figures."""
        self.log_curves({key: [value] for key, value in metrics.items()})

    def log_curves(self, curves: Mapping[str, Sequence[float]], *, first_step: int = 0) -> None:
        """Record one figure per step and name; figures that are not finite are left out of the curve."""
        now = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
        metrics = [
            Metric(metric_name(key), float(value), now, first_step + step)
            for key, values in curves.items()
            for step, value in enumerate(values)
            if abs(float(value)) < float("inf")
        ]
        for start in range(0, len(metrics), METRICS_PER_CALL):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + METRICS_PER_CALL])

    def log_dataset(self, *, name: str, digest: str, source: str, context: str) -> None:
        """Record an input dataset with the project's own content digest (its first 36 characters)."""
        dataset = Dataset(name=name, digest=digest[:36], source_type="overspill", source=source)
        tagged = DatasetInput(dataset, tags=[InputTag("mlflow.data.context", context)])
        try:
            self.client.log_inputs(self.run_id, [tagged])
        except MlflowException as error:
            if "dataset_pk" not in str(error) and "UNIQUE constraint" not in str(error):
                raise
            self.client.log_inputs(self.run_id, [tagged])  # another writer has just recorded the same dataset
        self.client.set_tag(self.run_id, f"overspill.sha256.{name}", digest)

    def log_folder(self, folder: Path) -> None:
        """Record every file of a folder as an artifact."""
        self.client.log_artifacts(self.run_id, str(folder))

    def log_file(self, path: Path) -> None:
        """Record one file as an artifact."""
        self.client.log_artifact(self.run_id, str(path))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record tags."""
        entries = [RunTag(key, value) for key, value in tags.items()]
        self.client.log_batch(self.run_id, tags=entries)

    def describe(self, markdown: str) -> None:
        """Set the text that the UI shows on the run's page."""
        self.client.set_tag(self.run_id, MLFLOW_RUN_NOTE, markdown)


def metric_name(text: str) -> str:
    """A metric name that every MLflow store takes."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in text)


class Tracker:
    """A tracking store and an experiment in it.

    Raises
    ------
    StepError
        If the store does not answer or cannot be opened.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri, self.experiment = uri, experiment
        _check_answers(uri)
        with self._translated(), _store_lock(uri):
            self.client = MlflowClient(tracking_uri=uri)
            self.experiment_id = self._experiment_id()

    def _experiment_id(self) -> str:
        found = self.client.get_experiment_by_name(self.experiment)
        if found is not None:
            if found.lifecycle_stage != "active":
                raise InputError(
                    "the experiment was deleted",
                    expected="an active one",
                    found=self.experiment,
                    where=self.uri,
                )
            return str(found.experiment_id)
        location = None
        if self.uri.startswith(SQLITE):
            database = Path(self.uri.removeprefix(SQLITE)).resolve()
            location = (database.parent / "artifacts").as_uri()
        try:
            return str(
                self.client.create_experiment(
                    self.experiment, artifact_location=location, tags=EXPERIMENT_TAGS
                )
            )
        except MlflowException:  # another process was quicker
            again = self.client.get_experiment_by_name(self.experiment)
            if again is None:
                raise
            return str(again.experiment_id)

    @contextmanager
    def step(
        self, name: str, *, parent_run_id: str | None = None, upstream_run_id: str | None = None
    ) -> Iterator[StepRun]:
        """Open one step's run; it ends FINISHED, or FAILED with the reason in the tag `overspill.error`."""
        tags = {STEP_TAG: name, "overspill.version": version("overspill")}
        if parent_run_id is not None:
            tags[MLFLOW_PARENT_RUN_ID] = parent_run_id
        if upstream_run_id is not None:
            tags[UPSTREAM_TAG] = upstream_run_id
        with self._translated():
            run = self.client.create_run(self.experiment_id, tags=tags, run_name=name)
            opened = StepRun(client=self.client, run_id=run.info.run_id, name=name)
            try:
                yield opened
            except BaseException as error:
                self._end(opened, "FAILED", f"{type(error).__name__}: {error}")
                raise
            self._end(opened, "FINISHED", None)

    def _end(self, run: StepRun, status: str, reason: str | None) -> None:
        try:
            if reason is not None:
                self.client.set_tag(run.run_id, "overspill.error", reason[:5000])
            self.client.set_terminated(run.run_id, status)
        except MlflowException:
            if status == "FINISHED":
                raise  # a failure's own error matters more than that it could not be recorded

    def finished(self, run_id: str, step: str) -> Run:
        """The run of a finished step.

        Raises
        ------
        InputError
            If there is no such run, it is the run of another step, or it did not finish.
        """
        with self._translated():
            try:
                run = self.client.get_run(run_id)
            except MlflowException as error:
                if _is_missing(error):
                    raise InputError(
                        "no such run",
                        expected=f"a run id of the step {step}",
                        found=repr(run_id),
                        where=self.shown,
                    ) from error
                raise
        found = run.data.tags.get(STEP_TAG, "no step of overspill")
        if found != step:
            raise InputError("the run is of another step", expected=step, found=found, where=f"run {run_id}")
        if run.info.status != "FINISHED":
            raise InputError(
                "the run did not finish", expected="FINISHED", found=run.info.status, where=f"run {run_id}"
            )
        return run

    def newest_or_none(self, step: str) -> str | None:
        """Id of the newest finished run of a step, None if there is none."""
        found = self.runs(step=step, finished=True, limit=1)
        return str(found[0].info.run_id) if found else None

    def runs(self, *, step: str | None = None, finished: bool = False, limit: int = 20) -> list[Run]:
        """Runs of the experiment's steps, newest first."""
        conditions = [f"tags.`{STEP_TAG}` = '{step}'" if step else f"tags.`{STEP_TAG}` != ''"]
        conditions += ["attributes.status = 'FINISHED'"] if finished else []
        with self._translated():
            return list(
                self.client.search_runs(
                    [self.experiment_id],
                    filter_string=" and ".join(conditions),
                    order_by=["attributes.start_time DESC"],
                    max_results=limit,
                )
            )

    def system_monitor(self, run_id: str, seconds: float) -> Any:  # noqa: ANN401 - MLflow's is untyped
        """Sampler of the machine's load (MLflow's SystemMetricsMonitor) that logs to a run; not started."""
        sampler: Any = SystemMetricsMonitor
        return sampler(run_id, sampling_interval=seconds, tracking_uri=self.uri)

    def finish_monitor(self, monitor: Any) -> None:  # noqa: ANN401
        """Stop a sampler and log the samples it still holds; a store that is down is told of by the step."""
        monitor.finish()
        left = monitor.aggregate_metrics()
        if left:
            with suppress(MlflowException, SQLAlchemyError):
                monitor.publish_metrics(left)
                monitor.mlflow_logger.flush()

    def newest(self, step: str) -> str:
        """Id of the newest finished run of a step.

        Raises
        ------
        InputError
            If there is none.
        """
        newest = self.newest_or_none(step)
        if newest is None:
            raise InputError(
                f"there is no finished {step} run",
                expected=f"`overspill {step}` first, or --{step}-run ID",
                where=f"{self.shown}, experiment {self.experiment}",
            )
        return newest

    @contextmanager
    def artifact(self, run_id: str, name: str) -> Iterator[Path]:
        """Path of one artifact of a run, for as long as the context is open.

        Raises
        ------
        InputError
            If the run has no such artifact.
        """
        with tempfile.TemporaryDirectory(prefix="overspill-") as folder:
            try:
                path = Path(self.client.download_artifacts(run_id, name, folder))
            except (MlflowException, OSError) as error:
                if isinstance(error, MlflowException) and not _is_missing(error):
                    raise StepError(f"MLflow at {self.shown} failed to hand out {name}: {error}") from error
                raise InputError(
                    "the run has no such artifact", expected=name, found=str(error), where=f"run {run_id}"
                ) from error
            yield path

    @contextmanager
    def artifacts(self, run_id: str) -> Iterator[Path]:
        """Folder with all artifacts of a run, for as long as the context is open."""
        with tempfile.TemporaryDirectory(prefix="overspill-") as folder:
            with self._translated():
                try:
                    path = Path(self.client.download_artifacts(run_id, "", folder))
                except OSError as error:
                    raise InputError(
                        "the artifacts of the run cannot be read", found=str(error), where=f"run {run_id}"
                    ) from error
            yield path

    def newest_from(self, step: str, upstream_run_id: str) -> str | None:
        """Id of the newest finished run of a step that read from a given run; None if there is none."""
        with self._translated():
            runs = self.client.search_runs(
                [self.experiment_id],
                filter_string=f"tags.`{STEP_TAG}` = '{step}' and tags.`{UPSTREAM_TAG}` = '{upstream_run_id}' "
                "and attributes.status = 'FINISHED'",
                order_by=["attributes.start_time DESC"],
                max_results=1,
            )
        return str(runs[0].info.run_id) if runs else None

    @property
    def shown(self) -> str:
        """The store's URI without a password."""
        return without_password(self.uri)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn MLflow's errors into one sentence that names the store."""
        try:
            yield
        except (MlflowException, SQLAlchemyError) as error:
            reason = str(error).split("\n", maxsplit=1)[0][:300]
            if refused := re.search(r"error code (401|403)\b", reason):
                raise StepError(
                    f"the MLflow server at {self.shown} refuses the login ({refused[1]}): "
                    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
                ) from error
            raise StepError(f"MLflow at {self.shown} failed: {reason}") from error


@contextmanager
def _store_lock(uri: str) -> Iterator[None]:
    """Let one process at a time lay out a new SQLite database: two at once break each other's migration."""
    if not uri.startswith(SQLITE):
        yield
        return
    folder = Path(uri.removeprefix(SQLITE)).resolve().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".overspill.lock").open("w")
    except OSError as error:
        raise StepError(f"{folder}: the store's folder cannot be written: {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go of when the file is closed
        yield


def _is_missing(error: MlflowException) -> bool:
    return error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


def _check_answers(uri: str) -> None:
    """Ask an HTTP store for its health once, so that a server that is down is named within seconds."""
    if not uri.startswith(("http://", "https://")):
        return
    address = without_password(uri)
    try:
        urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=ANSWER_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError:
        return  # something answers; a login is MLflow's to report
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise StepError(
            f"the MLflow server at {address} does not answer ({reason}): start it, or set MLFLOW_TRACKING_URI"
        ) from error
