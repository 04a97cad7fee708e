"""Where a store is and whether it can be used: address, answer, one process at a time. Needs no MLflow."""

from __future__ import annotations

import fcntl
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from forecasting.errors import StepError

DEFAULT_STORE = Path("mlruns")
SQLITE = "sqlite:///"
ANSWER_SECONDS = 10
LAYOUT, PROMOTION = ".overspill.lock", ".overspill.promotion.lock"


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


def database(uri: str) -> Path | None:
    """File of a SQLite store; None for any other store."""
    return Path(uri.removeprefix(SQLITE)).resolve() if uri.startswith(SQLITE) else None


def is_laid_out(uri: str) -> bool:
    """False for a SQLite store whose file is not there yet; other stores must be asked."""
    file = database(uri)
    return file is None or file.is_file()


@contextmanager
def one_at_a_time(uri: str, purpose: str) -> Iterator[None]:
    """Let one process at a time do something to a SQLite store, by a lock file beside it.

    `LAYOUT`: two processes that lay out a new database break each other's migration. `PROMOTION`: the one
    that promotes must not overwrite what another has just promoted. Other stores have no such lock.

    Raises
    ------
    StepError
        The store's folder cannot be written.
    """
    file = database(uri)
    if file is None:
        yield
        return
    folder = file.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / purpose).open("w")
    except OSError as error:
        raise StepError(f"{folder}: the store's folder cannot be written: {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go of when the file is closed
        yield


def check_answers(uri: str) -> None:
    """Ask an HTTP store for its health once, so that a server that is down is named within seconds.

    Raises
    ------
    StepError
        It does not answer.
    """
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
