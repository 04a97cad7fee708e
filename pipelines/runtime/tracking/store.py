"""A tracking store: its client, its errors in one sentence, the artifacts of its runs."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.telemetry import set_telemetry_client
from sqlalchemy.exc import SQLAlchemyError

from forecasting.errors import InputError, StepError
from pipelines.runtime.spool.client import SpooledClient
from pipelines.runtime.spool.delivery import Carrier, Spooling
from pipelines.runtime.spool.outbox import LOCAL_ID
from pipelines.runtime.spool.sender import Sender
from pipelines.runtime.store.address import (
    LAYOUT,
    absolute,
    is_server,
    one_at_a_time,
    reason_away,
    without_password,
    without_secrets,
)
from pipelines.runtime.store.artifact_root import follow_store
from pipelines.runtime.store.credentials import read_secret_files
from pipelines.runtime.store.retries import set_client_environment

T = TypeVar("T")
REMARK = "(raised as a result of"  # first line of SQLAlchemy's errors while it flushes
DRIVER = re.compile(r"^\((?:[\w.]+\.)?\w+Error\) ")  # what the database's driver calls the error


class Store:
    """A tracking store: its runs, their artifacts, its registered models.

    Parameters
    ----------
    uri : str
    experiment : str
        Of the runs.
    spooling : Spooling, optional
        What becomes of runs while a server is away; without it, that is an error. A SQLite store or another
        database is written directly.

    Raises
    ------
    InputError
        If a file that holds the login is not in order.
    StepError
        If the store does not answer or cannot be opened.
    """

    client: MlflowClient | SpooledClient

    def __init__(self, uri: str, *, experiment: str = "", spooling: Spooling | None = None) -> None:
        self.uri, self.experiment = uri, experiment
        read_secret_files()
        set_client_environment()
        set_telemetry_client()  # type: ignore[no-untyped-call]  # MLflow reads that setting when it is imported, which was before
        away = self._reason_unreachable(spooling)
        with self.translated(), one_at_a_time(uri, LAYOUT):  # the client lays out a new database
            follow_store(uri)
            client = MlflowClient(tracking_uri=absolute(uri))
        self.client = client
        if spooling is not None and is_server(uri):
            carrier = Carrier(client, uri=uri, experiment=experiment, spooling=spooling, away=away)
            self.client = SpooledClient(client, carrier)

    def _reason_unreachable(self, spooling: Spooling | None) -> str | None:
        reason = reason_away(self.uri)
        if reason is not None and (spooling is None or not spooling.from_start):
            raise StepError(reason)
        return None if reason is None else reason.partition(": start it")[0]

    @property
    def spools(self) -> bool:
        """Whether runs are kept while the store is away."""
        return isinstance(self.client, SpooledClient)

    @property
    def is_unreachable(self) -> bool:
        """Whether this process works without the store for the rest of its life."""
        return isinstance(self.client, SpooledClient) and self.client.away

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A process that is told to stop has no time to send what waits.
        self.close(send=error is None or isinstance(error, Exception))

    def close(self, *, send: bool = True) -> None:
        """Remove the outbox where all of it was sent, else tell what waits.

        Parameters
        ----------
        send : bool
            Try once more to send it, should the server be back.
        """
        if isinstance(self.client, SpooledClient):
            self.client.close(send=send)

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
            reason = _reason(without_secrets(str(error), self.uri))
            if refused := re.search(r"error code (401|403)\b", reason):
                raise StepError(
                    f"the MLflow server at {self.shown} refuses the login ({refused[1]}): "
                    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or each with _FILE)"
                ) from error
            raise StepError(f"MLflow at {self.shown} failed: {reason}") from error

    def known_as(self, run_id: str) -> str:
        """The store's id of a run that was made while the server was away; any other id as it is."""
        if not LOCAL_ID.fullmatch(run_id):
            return run_id
        with self.translated():
            if isinstance(self.client, SpooledClient):
                return self.client.known_as(run_id)
            return Sender(self.client, self.experiment).known_as(run_id)

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
                path = Path(self.client.download_artifacts(self.known_as(run_id), name, folder))
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
                    path = Path(self.client.download_artifacts(self.known_as(run_id), "", folder))
                except OSError as error:
                    raise InputError(
                        "the artifacts of the run cannot be read", found=str(error), where=f"run {run_id}"
                    ) from error
            yield path


def _reason(text: str) -> str:
    """The line of an error's text that says why, without what SQLAlchemy puts before it."""
    lines = [line for line in text.splitlines() if line and not line.startswith(REMARK)]
    return DRIVER.sub("", lines[0])[:300] if lines else "no reason given"


def _is_missing(error: MlflowException) -> bool:
    return error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
