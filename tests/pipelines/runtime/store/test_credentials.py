"""Login of a server from environment or file: it works, and stands nowhere else."""

from __future__ import annotations

import base64
import http.client
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mlflow
import pytest

from forecasting.errors import InputError, StepError
from pipelines.runtime.spool.outbox import outboxes
from pipelines.runtime.store.address import resolve_uri, without_secrets
from pipelines.runtime.store.credentials import read_secret_files
from pipelines.runtime.tracking import Tracker

USER, PASSWORD = "night-shift", "correct-horse-battery"
NAMES = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """No variable of MLflow's before, and what a test sets is gone after it."""
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


@pytest.fixture
def secret(tmp_path):
    def write(text, mode=0o600):
        path = tmp_path / "secret"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


def test_address_user_and_password_may_each_stand_in_a_file(secret, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(secret(f"{PASSWORD}\n")))
    read_secret_files()
    read_secret_files()
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == PASSWORD
    assert without_secrets(f"login {PASSWORD} refused", "http://host") == "login *** refused"
    monkeypatch.setenv("MLFLOW_TRACKING_URI_FILE", str(secret("https://store.example")))
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD_FILE")
    assert resolve_uri(None) == "https://store.example"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_file_that_others_may_read_is_refused_and_its_content_not_told(secret, monkeypatch, mode):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(secret(PASSWORD, mode)))
    with pytest.raises(InputError, match=f"may be read by other users.*found {mode:04o}") as refused:
        read_secret_files()
    assert PASSWORD not in str(refused.value)


def test_a_secret_of_another_user_may_be_read_through_the_group(secret, monkeypatch):
    if os.getuid() != 0:
        pytest.skip("only root gives files away")
    path = secret(PASSWORD, 0o440)
    os.chown(path, 12345, 12345)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(path))
    read_secret_files()
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == PASSWORD


@pytest.mark.parametrize(
    ("text", "rule"), [("", "one line.*found 0 lines"), ("a\nb\n", "one line.*found 2 lines")]
)
def test_a_file_without_one_line_is_refused(secret, monkeypatch, text, rule):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME_FILE", str(secret(text)))
    with pytest.raises(InputError, match=rule):
        read_secret_files()


def test_a_missing_file_and_one_that_contradicts_the_variable_are_refused(secret, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME_FILE", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"cannot be read: found .*none: No such file"):
        read_secret_files()
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME_FILE", str(secret("me")))
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "you")
    with pytest.raises(InputError, match="the variable and the file differ"):
        read_secret_files()


class Gate(BaseHTTPRequestHandler):
    """Passes on to the server what comes with the right login."""

    behind: tuple[str, int]
    expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != self.expected:
            return self.answer(401, {"WWW-Authenticate": "Basic"}, b"no entry")
        if self.headers.get("Transfer-Encoding"):
            return self.answer(411, {}, b"")
        server = http.client.HTTPConnection(*self.behind, timeout=30)
        headers = {k: v for k, v in self.headers.items() if k not in {"Host", "Authorization"}}
        server.request(self.command, self.path, body, headers)
        response = server.getresponse()
        content = response.read()
        kept = {"Content-Type": response.getheader("Content-Type") or "application/json"}
        server.close()
        return self.answer(response.status, kept, content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815

    def answer(self, status, headers, content):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def gate(server):
    """Address of a proxy that lets nobody without the login through to a server."""
    handler = type("OwnGate", (Gate,), {"behind": ("127.0.0.1", server.port)})
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}", proxy
    finally:
        proxy.shutdown()
        proxy.server_close()


def command_lines():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes()
        except OSError:
            continue


def test_a_password_from_a_file_opens_a_guarded_server_and_is_found_nowhere_else(
    gate, server, secret, tmp_path, monkeypatch
):
    address, proxy = gate
    with pytest.raises(StepError, match=r"refuses the login \(401\)"):
        Tracker(address, "overspill")
    work = tmp_path / "work"
    work.mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in NAMES} | {
        "MLFLOW_TRACKING_URI": address,
        "MLFLOW_TRACKING_USERNAME": USER,
        "MLFLOW_TRACKING_PASSWORD_FILE": str(secret(PASSWORD)),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "OVERSPILL_TRACEBACK": "1",
    }
    command = [
        sys.executable,
        "-m",
        "pipelines.cli.main",
        "etl",
        "--out",
        "out",
        "--set",
        "tracking.when_away=spool",
    ]
    output, seen = b"", []
    for away in (False, True):
        if away:
            proxy.shutdown()
            proxy.server_close()
        process = subprocess.Popen(
            command, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        while process.poll() is None:
            seen += [line for line in command_lines() if PASSWORD.encode() in line]
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        output += process.stdout.read()
        process.stdout.close()
        assert process.returncode == 0, output
    assert len(outboxes(work / "mlruns" / "spool")) == 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    client = mlflow.MlflowClient(server.address)
    (run,) = client.search_runs([client.get_experiment_by_name("overspill").experiment_id])
    assert run.info.status == "FINISHED"
    encoded = base64.b64encode(f"{USER}:{PASSWORD}".encode())
    secrets = re.compile(b"|".join(map(re.escape, (PASSWORD.encode(), encoded))))
    written = [path for folder in (work, server.folder) for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert [path for path in written if secrets.search(path.read_bytes())] == []
    assert not secrets.search(output)
    assert seen == []
