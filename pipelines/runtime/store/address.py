"""Where a store is and whether it can be used: address, answer, one process at a time. Needs no MLflow."""

from __future__ import annotations

import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from forecasting.errors import InputError, StepError
from pipelines.runtime.files.locks import lock_file
from pipelines.runtime.store.credentials import known_secrets, read_secret_files
from pipelines.runtime.store.retries import GATEWAY, HEALTH_SECONDS

DEFAULT_STORE = Path("mlruns")
SQLITE = "sqlite:///"
MASK = "***"
QUERY_PASSWORD = re.compile(r"(?i)(?<=password=)[^&]+")  # also sslpassword=, of PostgreSQL
LAYOUT, PROMOTION = ".overspill.lock", ".overspill.promotion.lock"


class Login(NamedTuple):
    """A URI, parted: `scheme` up to the host, `user` and `password` (empty where there is none), the rest."""

    scheme: str
    user: str
    password: str
    rest: str


def login(uri: str) -> Login:
    """User and password of a URI; a database's password may hold any character that its driver takes."""
    scheme, separator, address = uri.partition("://")
    host, slash, path = address.partition("/") if scheme in {"http", "https"} else (address, "", "")
    given, at, rest = host.rpartition("@")
    if not at or given.startswith("/"):  # the latter is a file
        return Login(scheme + separator, "", "", address)
    user, _, password = given.partition(":")
    return Login(scheme + separator, user, password, rest + slash + path)


def resolve_uri(configured: str | None) -> str:
    """Tracking URI: the configured one, else MLFLOW_TRACKING_URI, else SQLite under `mlruns/` here.

    Raises
    ------
    InputError
        The URI is one that was recorded, without its password; a file that holds the login is not in order.
    """
    read_secret_files()
    uri = configured or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{DEFAULT_STORE / 'mlflow.db'}"
    if MASK in uri and uri == masked(uri):
        raise InputError(
            "the password is left out where settings are recorded",
            expected="the URI with its password, or none and MLFLOW_TRACKING_URI",
            found=uri,
            where="tracking.uri",
        )
    return uri


def masked(uri: str) -> str:
    """The URI as it is recorded: `***` in place of a password."""
    scheme, user, password, rest = login(uri)
    given = f"{user}:{MASK}@" if password else f"{user}@" if user else ""
    return scheme + given + QUERY_PASSWORD.sub(MASK, rest)


def without_password(uri: str) -> str:
    """The URI as it may be shown: user and password left out."""
    parts = login(uri)
    return parts.scheme + QUERY_PASSWORD.sub(MASK, parts.rest)


def without_secrets(text: str, uri: str) -> str:
    """A text of others, such as an error's, without the password of a URI or of the environment."""
    secrets = [login(uri).password, *QUERY_PASSWORD.findall(uri), *known_secrets()]
    for secret in filter(None, (form for each in secrets for form in (each, unquote(each)))):
        text = text.replace(secret, MASK)
    return text


def ui_command(uri: str) -> str:
    """The shell command or address that opens the MLflow UI on a store."""
    if uri.startswith(("http://", "https://")):
        return without_password(uri)
    beside = Path(sys.executable).with_name("overspill")
    command = beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside
    return f"{command} ui" if uri == resolve_uri(None) else f"{command} ui --set tracking.uri={masked(uri)}"


def database(uri: str) -> Path | None:
    """File of a SQLite store; None for any other store."""
    return Path(uri.removeprefix(SQLITE)).resolve() if uri.startswith(SQLITE) else None


def absolute(uri: str) -> str:
    """The URI with the path of a SQLite store in full.

    MLflow keeps a store open under the URI it was given, so that a relative one would still mean the old
    folder after the process has gone to another.
    """
    file = database(uri)
    return uri if file is None or "?" in uri else f"{SQLITE}{file}"


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
        lock = lock_file(folder / purpose)
    except OSError as error:
        raise StepError(f"{folder}: the store's folder cannot be written: {error.strerror}") from error
    with lock:
        yield


def is_server(uri: str) -> bool:
    """Whether a store is an MLflow server, rather than a database or a file."""
    return uri.startswith(("http://", "https://"))


def reason_away(uri: str) -> str | None:
    """Why an HTTP store does not answer; None where it does, and for any other store."""
    try:
        check_answers(uri)
    except StepError as error:
        return str(error)
    return None


def check_answers(uri: str, *, seconds: float = HEALTH_SECONDS) -> None:
    """Ask an HTTP store for its health once, so that a server that is down is named within seconds.

    Raises
    ------
    StepError
        It does not answer.
    """
    if not is_server(uri):
        return
    address = without_password(uri)
    try:
        urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=seconds).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code not in GATEWAY:
            return  # something answers; a login is MLflow's to report
        raise StepError(
            f"the MLflow server at {address} does not answer ({error.code} {error.reason}): start it, or set "
            "MLFLOW_TRACKING_URI"
        ) from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise StepError(
            f"the MLflow server at {address} does not answer ({reason}): start it, or set MLFLOW_TRACKING_URI"
        ) from error
