"""What carries words to a server and back: each is put down first, then sent, or kept while it is away.

Once the server is away for longer than MLflow's client tries, the rest of the process goes to its outbox
only, and what it needs to read is read from there.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from forecasting.errors import StepError
from models.distributed.signals import STOP
from pipelines.runtime.spool.outbox import Entry, Outbox, journals_of, new_local_id
from pipelines.runtime.spool.pending import PendingRuns
from pipelines.runtime.spool.replay import replay
from pipelines.runtime.spool.sender import Sender
from pipelines.runtime.spool.unreachable import UnreachableError, is_unreachable
from pipelines.runtime.store.address import check_answers, reason_away, without_password, without_secrets
from pipelines.runtime.store.retries import LAST_HEALTH_SECONDS, try_once_briefly

T = TypeVar("T")
NO_DOWNLOAD = "Failed to download artifacts"
INTERNAL = "INTERNAL_ERROR"  # of MLflow's client where an error has no code


def print_to_stderr(sentence: str) -> None:
    """Print a note on standard error."""
    print(sentence, file=sys.stderr)  # noqa: T201


@dataclass(frozen=True, kw_only=True)
class Spooling:
    """What becomes of runs while the server is away.

    Attributes
    ----------
    folder : Path
        Receives the outboxes.
    from_start : bool
        Work into an outbox where the server is away from the start; else that is an error.
    tell : callable
        Takes sentences for the user.
    """

    folder: Path
    from_start: bool = False
    tell: Callable[[str], None] = print_to_stderr


class Carrier:
    """One process' way to a server.

    Parameters
    ----------
    client : MlflowClient
    uri, experiment : str
    spooling : Spooling
    away : str, optional
        Why the server is away from the start.
    """

    def __init__(
        self, client: MlflowClient, *, uri: str, experiment: str, spooling: Spooling, away: str | None
    ) -> None:
        self.sender = Sender(client, experiment)
        self.away = False
        self.local_experiment = new_local_id()
        self._client, self._uri, self._spooling = client, uri, spooling
        self._address = {"store": without_password(uri), "experiment": experiment}
        self._lock = threading.RLock()  # the sampler of the machine's load writes too
        self._outbox: Outbox | None = None
        self._unkept = False  # the outbox cannot be written
        if away is not None:
            self._leave(away)

    def write(self, entry: Entry, files: Path | None = None) -> Entry:
        """Put an entry down and send it; returns what the server answered, nothing where it is away.

        Raises
        ------
        MlflowException, requests.RequestException
            The server refuses.
        StepError
            The server is away, and the outbox cannot be written.
        """
        with self._lock:
            outbox, put_down = self._put_down(entry, files)
            if self.away:
                return {}
            if STOP.received is not None:
                try_once_briefly()
            try:
                answer = self.sender.send(put_down, files)
            except (MlflowException, requests.RequestException) as error:
                if outbox is None:
                    raise
                if not self._is_unreachable(error):
                    outbox.refuse(put_down, without_secrets(str(error), self._uri)[:500])
                    raise
                self._leave(f"the MLflow server at {self._address['store']} does not answer any more")
                return {}
            self._note_sent(outbox, put_down, answer)
            return answer

    def read(self, ask: Callable[[], T], local: Callable[[PendingRuns], T]) -> T:
        """What the server answers, or `local` finds in the outboxes while it is away."""
        if not self.away:
            try:
                return ask()
            except (MlflowException, requests.RequestException) as error:
                if self._unkept or not self._is_unreachable(error):
                    raise
                self._leave(f"the MLflow server at {self._address['store']} does not answer any more")
        return local(self.waiting())

    def tell(self, sentence: str) -> None:
        """Tell the user."""
        self._spooling.tell(sentence)

    def not_at_hand(self, what: str) -> UnreachableError:
        """The error where something is neither in an outbox nor was read before."""
        return UnreachableError(
            f"the MLflow server at {self._address['store']} is away, and {what} is not among what waits "
            f"in {self._spooling.folder}"
        )

    def close(self, *, send: bool) -> None:
        """Remove the outbox where all of it was sent, else tell what waits.

        Parameters
        ----------
        send : bool
            Try once more to send it, should the server be back.
        """
        with self._lock:
            if self._outbox is None:
                return
            outbox, self._outbox = self._outbox, None
            if not self.away and self._unkept:  # all was sent, but that could not be noted
                outbox.remove()
                return
            if send and outbox.journal().waiting():
                self._last_try(outbox)
            waiting = outbox.journal().waiting()
            if not waiting:
                outbox.remove()
                return
            outbox.close()
        runs = len({str(entry.get("run_id", entry.get("local"))) for entry in waiting} - {"None"})
        self.tell(
            f"{runs} {'run waits' if runs == 1 else 'runs wait'} in {outbox.folder}: `overspill sync` sends "
            f"{'it' if runs == 1 else 'them'} when the MLflow server is back"
        )

    def _put_down(self, entry: Entry, files: Path | None) -> tuple[Outbox | None, Entry]:
        """The entry as it was put down; no outbox where it cannot be written and the server is there."""
        if self._unkept:
            return None, entry
        try:
            if self._outbox is None:
                head = {**self._address, "experiment_id": self.local_experiment}
                self._outbox = Outbox.begin(self._spooling.folder, head)
                self._outbox.durable = self.away
            return self._outbox, self._outbox.append(entry, files)
        except OSError as error:
            reason = error.strerror or str(error)
            if self.away:
                raise StepError(
                    f"{self._spooling.folder}: the MLflow server is away, and what it is to record cannot "
                    f"be kept here: {reason}"
                ) from error
            self._stop_keeping(reason)
            return None, entry

    def _note_sent(self, outbox: Outbox | None, entry: Entry, answer: Entry) -> None:
        try:
            if outbox is not None:
                outbox.sent(entry, answer)
        except OSError as error:
            self._stop_keeping(error.strerror or str(error))

    def _stop_keeping(self, reason: str) -> None:
        if not self._unkept:
            self.tell(
                f"{self._spooling.folder}: the spool folder cannot be written ({reason}): should the MLflow "
                "server go away, this command fails; set tracking.spool"
            )
        self._unkept = True

    def _leave(self, reason: str) -> None:
        """Work without the server from here on."""
        if not self.away:
            self.tell(f"{reason}; what it is to record goes to {self._spooling.folder}")
        self.away = True
        if self._outbox is not None:
            self._outbox.durable = True

    def _is_unreachable(self, error: Exception) -> bool:
        # Downloads lose the cause of their errors: in threads, and where MLflow blames the path for all.
        lost = isinstance(error, MlflowException) and (
            error.error_code == INTERNAL or NO_DOWNLOAD in str(error)
        )
        return is_unreachable(error) or (lost and reason_away(self._uri) is not None)

    def waiting(self) -> PendingRuns:
        """Runs in the outboxes of this store and experiment, this process' own among them."""
        return PendingRuns(journals_of(self._spooling.folder, self._address))

    def _last_try(self, outbox: Outbox) -> None:
        try:
            check_answers(self._uri, seconds=LAST_HEALTH_SECONDS)
            for sentence in replay(outbox, self._client).messages:
                self.tell(sentence)
        except (StepError, MlflowException, requests.RequestException, OSError):
            return  # it waits
