"""A tracking store: its client, its errors in one sentence, the artifacts of its runs."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from forecasting.errors import InputError, StepError
from pipelines.store import LAYOUT, check_answers, one_at_a_time, without_password, without_secrets

T = TypeVar("T")


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
            reason = without_secrets(str(error), self.uri).split("\n", maxsplit=1)[0][:300]
            if refused := re.search(r"error code (401|403)\b", reason):
                raise StepError(
                    f"the MLflow server at {self.shown} refuses the login ({refused[1]}): "
                    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
                ) from error
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
                reason = without_secrets(str(error), self.uri)
                if isinstance(error, MlflowException) and not _is_missing(error):
                    raise StepError(f"MLflow at {self.shown} failed to hand out {name}: {reason}") from error
                raise InputError(
                    "the run has no such artifact", expected=name, found=reason, where=f"run {run_id}"
                ) from error
            yield path

    @contextmanager
    def artifacts(self, run_id: str) -> Iterator[Path]:
        """Folder with all artifacts of a run, for as long as the context is open."""
        with tempfile.TemporaryDirectory(prefix="overspill-") as folder:
            with self.translated():
                try:
                    path = Path(self.client.download_artifacts(run_id, "", folder))
                except OSError as error:
                    raise InputError(
                        "the artifacts of the run cannot be read", found=str(error), where=f"run {run_id}"
                    ) from error
            yield path


def _is_missing(error: MlflowException) -> bool:
    return error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
