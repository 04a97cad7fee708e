"""All outboxes of a spool folder, sent to the store that they are for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipelines.runtime.spool.outbox import Journal, Outbox, journals_of, sweep
from pipelines.runtime.spool.replay import Progress, Replayed, SentRun, replay
from pipelines.runtime.store.address import is_server, reason_away, without_password, without_secrets
from pipelines.runtime.store.credentials import read_secret_files
from pipelines.runtime.store.retries import set_client_environment

IN_USE, OTHER_STORE = "in use by a process", "of another store"


@dataclass(frozen=True, kw_only=True)
class OutboxReport:
    """What became of one outbox.

    Attributes
    ----------
    folder : Path
    store : str
        The store that it is for.
    runs : list of SentRun
        Those of which something was sent.
    messages : list of str
        Sentences for the user.
    left : str, optional
        Why it is still there; None where all was sent.
    """

    folder: Path
    store: str
    runs: list[SentRun] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    left: str | None = None

    @property
    def waits(self) -> bool:
        """Whether it should have been sent and was not."""
        return self.left is not None and self.left not in {IN_USE, OTHER_STORE}


def send_all(uri: str, spool: Path, *, progress: Progress = iter) -> Iterator[OutboxReport]:
    """Send every outbox that no process uses, oldest first; one that cannot be sent stays as it is.

    Parameters
    ----------
    uri : str
        The store.
    spool : Path
        Folder of the outboxes.
    progress : callable
        Wraps the entries of an outbox while they are sent.
    """
    read_secret_files()
    set_client_environment()
    sweep(spool)
    away: str | None = None
    for journal in journals_of(spool):
        folder = journal.folder
        store = str(journal.head.get("store", ""))
        if not is_server(uri) or store != without_password(uri):
            yield OutboxReport(folder=folder, store=store, left=OTHER_STORE)
            continue
        away = away or reason_away(uri)
        if away is not None:
            yield OutboxReport(folder=folder, store=store, left=away)
            continue
        yield _sent(uri, journal, progress, reopened=_reopened(spool, but=folder))


def _sent(uri: str, journal: Journal, progress: Progress, *, reopened: set[str]) -> OutboxReport:
    folder, store, done, left = journal.folder, str(journal.head["store"]), Replayed(), None
    outbox = Outbox.taken(folder)
    if outbox is None:
        return OutboxReport(folder=folder, store=store, left=IN_USE if folder.exists() else None)
    try:
        done = replay(outbox, MlflowClient(tracking_uri=uri), progress=progress, reopened=reopened)
    except (MlflowException, requests.RequestException, OSError) as error:
        left = without_secrets(str(error), uri).split("\n", maxsplit=1)[0][:300]
        outbox.close()
    else:
        outbox.remove()
    return OutboxReport(folder=folder, store=store, runs=done.runs, messages=done.messages, left=left)


def _reopened(spool: Path, *, but: Path) -> set[str]:
    """Runs that other processes go on with."""
    others = (journal for journal in journals_of(spool) if journal.folder != but)
    return {entry["run_id"] for journal in others for entry in journal.entries if entry["do"] == "reopen_run"}
