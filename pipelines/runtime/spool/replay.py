"""Sends what waits in outboxes: in order, under a lock, and safe to cut short and repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipelines.runtime.spool.outbox import Entry, Journal, Outbox
from pipelines.runtime.spool.sender import Sender
from pipelines.runtime.store.tags import ERROR_TAG, STEP_TAG

REFUSALS = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "INVALID_STATE"}
UNENDED = "the process ended before this run did"
Progress = Callable[[list[Entry]], Iterable[Entry]]


@dataclass(frozen=True, kw_only=True)
class SentRun:
    """One run of an outbox: its id there and on the server, its step, how it ended."""

    local: str
    run_id: str
    step: str
    status: str


@dataclass
class Replayed:
    """What a replay did: the runs it sent something of, and sentences for the user."""

    runs: list[SentRun] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


def replay(
    outbox: Outbox, client: MlflowClient, *, progress: Progress = iter, reopened: Iterable[str] = ()
) -> Replayed:
    """Send what an outbox holds and was not sent, and end as KILLED the runs that its process left open.

    Parameters
    ----------
    outbox : Outbox
    client : MlflowClient
    progress : callable
        Wraps the entries that are sent.
    reopened : iterable of str
        Runs that a later process goes on with: they are not ended.

    Raises
    ------
    MlflowException
        The server is away, or refuses an entry; what was sent is noted.
    """
    journal = outbox.journal()
    waiting = journal.waiting()
    sender = Sender(client, journal.head["experiment"], late=True)
    sender.recall(journal)
    if waiting:
        sender.stands_for(journal.head["experiment_id"], sender.experiment_id())
    for entry in progress(waiting):
        try:
            outbox.sent(entry, sender.send(entry, journal.files(entry)))
        except (MlflowException, requests.RequestException) as error:
            if not _is_refused(entry, error):
                raise
            reason = str(error).split("\n", maxsplit=1)[0][:200]
            outbox.refuse(entry, reason)
            sender.messages.append(f"the server refuses {entry['do']} of run {_run_of(entry)}: {reason}")
    for entry in waiting:
        if entry["do"] == "create_run":
            sender.only_once(entry["local"])
    ended = _end_left_open(journal, client, sender, set(reopened))
    touched = {sender.known_as(_run_of(entry)) for entry in waiting if _run_of(entry)} | ended
    return Replayed(runs=_sent_runs(outbox.journal(), client, touched), messages=sender.messages)


def _is_refused(entry: Entry, error: Exception) -> bool:
    """Whether the server will never take an entry of a run, as where the run was deleted: the rest is sent.

    What makes a run or a version is never given up.
    """
    gone = isinstance(error, MlflowException) and error.error_code in REFUSALS
    return gone and not entry["do"].startswith("create")


def _run_of(entry: Entry) -> str:
    return str(entry.get("run_id") or (entry["local"] if entry["do"] == "create_run" else ""))


def _end_left_open(journal: Journal, client: MlflowClient, sender: Sender, reopened: set[str]) -> set[str]:
    last = journal.entries[-1]["at"] if journal.entries else None
    going_on = {sender.known_as(run_id) for run_id in reopened}
    began: dict[str, None] = {}
    for entry in journal.entries:
        if entry["n"] not in journal.refused and entry["do"] in {"create_run", "reopen_run"}:
            began[sender.known_as(_run_of(entry))] = None
        elif entry["do"] == "end_run":
            began.pop(sender.known_as(entry["run_id"]), None)
    ended = set()
    for run_id in began:
        if run_id not in going_on and client.get_run(run_id).info.status == "RUNNING":
            client.set_tag(run_id, ERROR_TAG, UNENDED)
            client.set_terminated(run_id, "KILLED", last)
            ended.add(run_id)
    return ended


def _sent_runs(journal: Journal, client: MlflowClient, touched: set[str]) -> list[SentRun]:
    locals_of = {
        journal.answers[entry["n"]]["run_id"]: entry["local"]
        for entry in journal.entries
        if entry["do"] == "create_run" and entry["n"] in journal.answers
    }
    order = [*locals_of, *sorted(touched - locals_of.keys())]
    runs: list[Any] = [client.get_run(run_id) for run_id in order if run_id in touched]
    return [
        SentRun(
            local=locals_of.get(run.info.run_id, run.info.run_id),
            run_id=run.info.run_id,
            step=run.data.tags.get(STEP_TAG, ""),
            status=run.info.status,
        )
        for run in runs
    ]
