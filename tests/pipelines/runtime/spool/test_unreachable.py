"""Which errors of MLflow's client say that a server is away."""

from __future__ import annotations

import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository

from forecasting.errors import StepError
from pipelines.runtime.spool.unreachable import is_unreachable
from pipelines.runtime.store.address import check_answers
from pipelines.runtime.tracking import Spooling, Tracker


@pytest.fixture
def answering(monkeypatch):
    """Start something on loopback that answers every request with one status."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    started = []

    def start(status):
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        started.append(ThreadingHTTPServer(("127.0.0.1", 0), Answer))
        threading.Thread(target=started[0].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{started[0].server_port}"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def refused(address):
    with pytest.raises(MlflowException) as failed:
        mlflow.MlflowClient(address).get_run("0" * 32)
    return failed.value


@pytest.mark.parametrize("status", [502, 503, 504])
def test_what_a_gateway_answers_for_a_server_says_that_it_is_away(answering, status):
    address = answering(status)
    assert is_unreachable(refused(address))
    with pytest.raises(StepError, match=f"does not answer .{status}"):
        check_answers(address)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_what_a_server_at_work_answers_does_not(answering, status):
    address = answering(status)
    assert not is_unreachable(refused(address))
    check_answers(address)


def test_nobody_who_listens_is_away(unused_address, answering):
    assert is_unreachable(refused(unused_address))


def test_an_artifact_of_this_job_is_read_from_its_outbox_when_the_server_has_just_died(
    tmp_path, laid_out_store, server_class, monkeypatch
):
    for name, value in (("MAX_RETRIES", "1"), ("BACKOFF_FACTOR", "0"), ("TIMEOUT", "2")):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    (server_folder := tmp_path / "server").mkdir()
    shutil.copy(laid_out_store, server_folder / "server.db")
    server = server_class(server_folder)
    server.start()
    try:
        spooling = Spooling(folder=tmp_path / "spool", tell=lambda _: None)
        with Tracker(server.address, "dying", spooling=spooling) as tracker:
            (tmp_path / "files").mkdir()
            (tmp_path / "files" / "panel.txt").write_text("the panel")
            with tracker.step("etl") as run:
                run.log_folder(tmp_path / "files")
            real = RunsArtifactRepository.download_artifacts

            def dying(*arguments, **options):
                server.kill()  # MLflow has asked it for the run, and blames the path for what fails now
                return real(*arguments, **options)

            monkeypatch.setattr(RunsArtifactRepository, "download_artifacts", dying)
            with tracker.artifact(run.run_id, "panel.txt") as path:
                assert path.read_text() == "the panel"
    finally:
        server.kill()
