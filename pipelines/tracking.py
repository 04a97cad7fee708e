"""MLflow, and the only module that imports it: one run per step, lineage by run id, artifacts by name."""

from __future__ import annotations

import datetime as dt
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE
from sqlalchemy.exc import SQLAlchemyError

from forecasting.errors import InputError, StepError
from pipelines.served import SIGNATURE, served_parts
from pipelines.store import LAYOUT, check_answers, database, one_at_a_time, without_password

T = TypeVar("T")
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.WARNING)

KNOWN_UNTIL_TAG = "overspill.known_until"  # day of the newest publication that an etl run knew
STEP_TAG, UPSTREAM_TAG = "overspill.step", "overspill.upstream_run_id"
MODEL_FOLDER = "model"  # of a run's artifacts
METRICS_PER_CALL, PARAMS_PER_CALL = 1000, 100  # limits of MLflow's log-batch call


@dataclass(frozen=True, kw_only=True)
class StepRun:
    """One step's run while it is open."""

    client: MlflowClient
    run_id: str
    name: str

    def log_params(self, params: Mapping[str, str]) -> None:
        """Record parameters; long values are cut at MLflow's 6,000 characters."""
        entries = [Param(key, value[:6000]) for key, value in params.items()]
        for start in range(0, len(entries), PARAMS_PER_CALL):
            self.client.log_batch(self.run_id, params=entries[start : start + PARAMS_PER_CALL])

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Record single figures."""
        self.log_curves({key: [value] for key, value in metrics.items()})

    def log_curves(self, curves: Mapping[str, Sequence[float]], *, first_step: int = 0) -> None:
        """Record one figure per step and name; figures that are not finite are left out of the curve."""
        self.log_points(
            (key, first_step + step, value)
            for key, values in curves.items()
            for step, value in enumerate(values)
        )

    def log_points(self, points: Iterable[tuple[str, int, float]]) -> None:
        """Record figures by name and step; those that are not finite are left out."""
        now = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
        metrics = [
            Metric(metric_name(name), float(value), now, step)
            for name, step, value in points
            if abs(float(value)) < float("inf")
        ]
        for start in range(0, len(metrics), METRICS_PER_CALL):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + METRICS_PER_CALL])

    def log_dataset(self, *, name: str, digest: str, source: str, context: str) -> None:
        """Record an input dataset with the project's own content digest (its first 36 characters)."""
        dataset = Dataset(name=name, digest=digest[:36], source_type="overspill", source=source)
        tagged = DatasetInput(dataset, tags=[InputTag("mlflow.data.context", context)])
        self.client.log_inputs(self.run_id, [tagged])
        self.client.set_tag(self.run_id, f"overspill.sha256.{name}", digest)

    def log_folder(self, folder: Path) -> None:
        """Record every file of a folder as an artifact."""
        self.client.log_artifacts(self.run_id, str(folder))

    def log_model(self, checkpoint: Path) -> str:
        """Record a checkpoint as a model that MLflow loads and serves; returns where its files are."""
        with tempfile.TemporaryDirectory(prefix="overspill-model-") as temporary:
            folder, parts = Path(temporary) / MODEL_FOLDER, served_parts(checkpoint, Path(temporary))
            with warnings.catch_warnings():  # MLflow's own type hints make it warn
                warnings.filterwarnings("ignore", category=UserWarning)
                from mlflow.pyfunc import save_model  # noqa: PLC0415
            save_model(folder, signature=ModelSignature.from_dict(SIGNATURE), **parts)
            self.client.log_artifacts(self.run_id, str(folder), MODEL_FOLDER)
        return f"{self.client.get_run(self.run_id).info.artifact_uri}/{MODEL_FOLDER}"

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


class Store:
    """A tracking store: its runs, their artifacts, its registered models.

    Raises
    ------
    StepError
        If the store does not answer or cannot be opened.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        check_answers(uri)
        with self.translated(), one_at_a_time(uri, LAYOUT):  # the client lays out a new database
            self.client = MlflowClient(tracking_uri=uri)

    @property
    def shown(self) -> str:
        """The store's URI without a password."""
        return without_password(self.uri)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn MLflow's errors into one sentence that names the store."""
        try:
            yield
        except (MlflowException, SQLAlchemyError) as error:
            reason = str(error).split("\n", maxsplit=1)[0][:300]
            raise StepError(f"MLflow at {self.shown} failed: {reason}") from error

    def found(self, ask: Callable[[], T]) -> T | None:
        """What the store answers, None where it holds no such thing."""
        with self.translated():
            try:
                return ask()
            except MlflowException as error:
                if _is_missing(error):
                    return None
                raise

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


class Tracker(Store):
    """A tracking store and an experiment in it.

    Raises
    ------
    StepError
        If the store does not answer or cannot be opened.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        super().__init__(uri)
        self.experiment = experiment
        with self.translated(), one_at_a_time(uri, LAYOUT):
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
        file = database(self.uri)
        location = None if file is None else (file.parent / "artifacts").as_uri()
        try:
            return str(self.client.create_experiment(self.experiment, artifact_location=location))
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
        with self.translated():
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
        run = self.found(lambda: self.client.get_run(run_id))
        if run is None:
            raise InputError(
                "no such run", expected=f"a run id of the step {step}", found=repr(run_id), where=self.shown
            )
        found = run.data.tags.get(STEP_TAG, "no step of overspill")
        if found != step:
            raise InputError("the run is of another step", expected=step, found=found, where=f"run {run_id}")
        if run.info.status != "FINISHED":
            raise InputError(
                "the run did not finish", expected="FINISHED", found=run.info.status, where=f"run {run_id}"
            )
        return run

    def newest(self, step: str) -> str:
        """Id of the newest finished run of a step.

        Raises
        ------
        InputError
            If there is none.
        """
        with self.translated():
            runs = self.client.search_runs(
                [self.experiment_id],
                filter_string=f"tags.`{STEP_TAG}` = '{step}' and attributes.status = 'FINISHED'",
                order_by=["attributes.start_time DESC"],
                max_results=1,
            )
        if not runs:
            raise InputError(
                f"there is no finished {step} run",
                expected=f"`overspill {step}` first, or --{step}-run ID",
                where=f"{self.shown}, experiment {self.experiment}",
            )
        return str(runs[0].info.run_id)


def _is_missing(error: MlflowException) -> bool:
    return error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
