"""MLflow's sampler of the machine's load, with its samples going the way of everything else of the run."""

from __future__ import annotations

import time
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from sqlalchemy.exc import SQLAlchemyError

from forecasting.errors import StepError
from pipelines.runtime.spool.client import SpooledClient

_Sampler: Any = SystemMetricsMonitor  # MLflow's is untyped


class LoadMonitor(_Sampler):  # type: ignore[misc]
    """Samples the machine in a thread of its own; MLflow's would ask the server for the run at each sample.

    Parameters
    ----------
    client : MlflowClient or SpooledClient
    run_id : str
    seconds : float
        Between two samples, unless MLflow's own variable says otherwise.
    uri : str
    """

    def __init__(
        self, client: MlflowClient | SpooledClient, run_id: str, *, seconds: float, uri: str
    ) -> None:
        super().__init__(run_id, sampling_interval=seconds, tracking_uri=uri)
        self._client = client

    def monitor(self) -> None:
        """Sample until stopped; a store that is down is reported by the step."""
        while not self._shutdown_event.is_set():
            for _ in range(self.samples_before_logging):
                self.collect_metrics()
                if self._shutdown_event.wait(self.sampling_interval):
                    return
            try:
                self.publish_metrics(self.aggregate_metrics())
            except (MlflowException, SQLAlchemyError, StepError):
                return

    def publish_metrics(self, metrics: dict[str, float]) -> None:
        """Log samples under MLflow's names."""
        prefix = self._metrics_prefix + (f"{self.node_id}/" if self.node_id else "")
        now, step = int(time.time() * 1000), self._logging_step
        points = [Metric(prefix + name, float(value), now, step) for name, value in metrics.items()]
        self._client.log_batch(self._run_id, metrics=points)
        self._logging_step += 1
        for monitor in self.monitors:
            monitor.clear_metrics()
