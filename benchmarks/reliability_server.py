"""A real MLflow server that is killed, frozen, or answers 500 in the midst of a command."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from reliability_command import COMMAND, Ended, Workplace, reached, started, wait_for
from reliability_result import Case, damaged, judged, refused, statuses, torn

from pipelines.runtime.tracking.ui import NO_JOBS

START, LONGEST = 120.0, 300.0  # seconds for a server to start, and for a command
NONE, KILLED, FROZEN, ERRORS = "undisturbed", "killed", "frozen", "answering 500"
SERVED = "served"  # folder of the results
SOME_TIME = 20.0  # seconds for which a server answers 500
LEFT_OUT = {"connection", "transfer-encoding", "host", "content-length"}


class Server:
    """An `mlflow server` on loopback that keeps the artifacts; it may die and come back."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.store = folder, folder / "server.db"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        if self._process is not None and self._process.poll() is None:
            return
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.store}", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                command, env=os.environ | NO_JOBS, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + START
        while not self._answers():
            if time.monotonic() > until or self._process.poll() is not None:
                raise RuntimeError(f"the server did not start: {(self.folder / 'log').read_text()[-300:]}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=2) as response:  # noqa: S310
                return bool(response.status == 200)
        except OSError:
            return False

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all its processes."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()


class Proxy(ThreadingHTTPServer):
    """Passes requests to a server, or answers 500 while `failing`."""

    def __init__(self, server: Server) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.server, self.failing = server, False
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Passing(BaseHTTPRequestHandler):
    server: Proxy

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, headers, content = (500, {}, b"") if self.server.failing else self._asked(body)
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in LEFT_OUT:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _asked(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in LEFT_OUT}
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.server.server.address}{self.path}",
            data=body or None,
            headers=headers,
            method=self.command,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What befalls a server.

    Attributes
    ----------
    kind : str
    made : Server
    proxy : Proxy
    seconds : float
        After which it is over; endless: not before the command has ended.
    """

    kind: str
    made: Server
    proxy: Proxy
    seconds: float = float("inf")

    @property
    def address(self) -> str:
        """Where the command finds the server."""
        return self.proxy.address if self.kind == ERRORS else self.made.address

    def begin(self) -> threading.Timer:
        """It befalls the server; what is returned ends it after a while."""
        if self.kind == KILLED:
            self.made.kill()
        elif self.kind == FROZEN:
            self.made.signal(signal.SIGSTOP)
        elif self.kind == ERRORS:
            self.proxy.failing = True
        timer = threading.Timer(self.seconds, self.end)
        if self.seconds < float("inf"):
            timer.start()
        return timer

    def end(self) -> None:
        """The server works again."""
        self.proxy.failing = False
        self.made.signal(signal.SIGCONT)
        self.made.start()


def server(place: Workplace, frozen: int, source: random.Random) -> Iterator[Case]:
    """`etl` against the server: it goes on without it or ends in one sentence; nothing is lost or doubled."""
    made = Server(place.folder / "server")
    proxy = Proxy(made)
    undisturbed = Trouble(kind=NONE, made=made, proxy=proxy)
    try:
        for _ in range(2):  # the first lays out caches
            usual = _etl(place, undisturbed, float("inf"))[0].processor
        for kind, seconds, code, times in (
            (KILLED, float("inf"), 0, 4),
            (FROZEN, float(frozen), 0, 3),
            (ERRORS, SOME_TIME, 0, 2),
            (ERRORS, float("inf"), 1, 2),
        ):
            counted = 0
            while counted < times:
                trouble = Trouble(kind=kind, made=made, proxy=proxy, seconds=seconds)
                case = _case(place, trouble, source.uniform(0.7, 0.9) * usual, code)
                if case is not None:
                    counted += 1
                    yield case
        never = _case(place, Trouble(kind=KILLED, made=made, proxy=proxy), None, 1)
        if never is not None:
            yield never
    finally:
        proxy.shutdown()
        proxy.server_close()
        made.kill()


def _case(place: Workplace, trouble: Trouble, moment: float | None, code: int) -> Case | None:
    """An `etl` that meets trouble at a moment (None: from its start), then `sync`; None: done before."""
    store = trouble.made.store
    before = statuses(store)
    ended, begun = _etl(place, trouble, moment)
    sync = [*COMMAND, "sync", f"--set=tracking.uri={trouble.address}"]
    sent = wait_for(started(sync, place.folder), seconds=LONGEST)
    after = statuses(store)
    recorded = after.get("FINISHED", 0) - before.get("FINISHED", 0)
    if not begun or (code and moment is not None and ended.code == 0 and recorded == 1):
        return None
    faults = [*_ended(ended, code), *([f"sync: exit {sent.code}"] if sent.code else [])]
    faults += [*torn(place.folder / SERVED, ()), *damaged(store)]
    if (
        after.get("RUNNING", 0) and code
    ):  # a server that refuses hears no end of a run: the next command ends it
        _etl(place, replace(trouble, kind=NONE), float("inf"))
        after = statuses(store) | {"FINISHED": after.get("FINISHED", 0)}
    if recorded != (code == 0) or after.get("RUNNING", 0):
        faults.append(f"runs on the server: {before} before, {after} after")
    since = "the start" if moment is None else f"{moment:.2f} s"
    name = f"{trouble.kind} from {since} on for {trouble.seconds} s, exit {ended.code}"
    return judged("server", name, faults, seconds=ended.seconds, said=ended.said())


def _etl(place: Workplace, trouble: Trouble, moment: float | None) -> tuple[Ended, bool]:
    """How an `etl` ends, and whether the trouble began before; the trouble is over afterwards."""
    timer = trouble.begin() if moment is None else None
    cache = place.folder / f"{SERVED}-cache"
    command = place.etl(out=place.folder / SERVED, cache=cache, store=trouble.address)
    process = started(command, place.folder)
    if moment is not None and reached(process, moment):
        timer = trouble.begin()
    ended = wait_for(process, seconds=LONGEST)
    if timer is not None:
        timer.cancel()
    trouble.end()
    return ended, timer is not None


def _ended(ended: Ended, code: int) -> Iterator[str]:
    if ended.code != code:
        yield f"exit {ended.code}"
    if ended.code:
        yield from refused(ended.code, ended.stderr)
    elif "Traceback" in ended.stderr:
        yield "traceback"
