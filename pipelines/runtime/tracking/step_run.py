"""One step's run while it is open: parameters, curves, tags, artifacts, models."""

from __future__ import annotations

import datetime as dt
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.models import ModelSignature
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from pipelines.runtime.spool.client import SpooledClient
from pipelines.runtime.spool.sender import log_inputs
from pipelines.runtime.store.tags import (
    DIGEST_TAG,
    METRICS_PER_CALL,
    MODEL_FOLDER,
    PARAM_LENGTH,
    PARAMS_PER_CALL,
)
from pipelines.runtime.tracking.model_package import SIGNATURE, served_parts


@dataclass(frozen=True, kw_only=True)
class StepRun:
    """One step's run while it is open."""

    client: MlflowClient | SpooledClient
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

    def log_dated(self, points: Iterable[tuple[str, int, dt.date, float]]) -> None:
        """Record figures by name, step and day; the day is the point's place on MLflow's axis of time."""
        metrics = [
            Metric(metric_name(name), float(value), _midnight(day), step)
            for name, step, day, value in points
            if abs(float(value)) < float("inf")
        ]
        for start in range(0, len(metrics), METRICS_PER_CALL):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + METRICS_PER_CALL])

    def log_dataset(self, *, name: str, digest: str, source: str, context: str, tag: bool = True) -> None:
        """Record an input dataset with the project's own content digest (its first 36 characters)."""
        dataset = Dataset(name=name, digest=digest[:36], source_type="overspill", source=source)
        tagged = DatasetInput(dataset, tags=[InputTag("mlflow.data.context", context)])
        log_inputs(self.client, self.run_id, [tagged])
        if tag:
            self.client.set_tag(self.run_id, f"{DIGEST_TAG}{name}", digest)

    def log_folder(self, folder: Path) -> None:
        """Record every file of a folder as an artifact."""
        self.client.log_artifacts(self.run_id, str(folder))

    def log_file(self, path: Path) -> None:
        """Record one file as an artifact."""
        self.client.log_artifact(self.run_id, str(path))

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

    def rename(self, name: str) -> None:
        """Call the run something else in lists."""
        self.client.update_run(self.run_id, name=name)

    def describe(self, markdown: str) -> None:
        """Set the text that the UI shows on the run's page."""
        self.client.set_tag(self.run_id, MLFLOW_RUN_NOTE, markdown)


def _midnight(day: dt.date) -> int:
    return int(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp() * 1000)


def metric_name(text: str) -> str:
    """A metric name that every MLflow store takes."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in text)
