"""The script that starts a cycle on Kubernetes, run with the real kubectl.

No Kubernetes runs here: a small HTTP server keeps TrainJobs as an API server does (names are unique, each
object has its uid, a delete may demand one and takes a moment). It answers what kubectl asks, nothing more.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "configs" / "cluster" / "kubernetes"
GROUP, VERSION = "trainer.kubeflow.org", "v1alpha1"
NAME = "overspill-cycle"
TRAINJOBS = f"/apis/{GROUP}/{VERSION}/namespaces/overspill/trainjobs"
DISCOVERY = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [
            {
                "name": GROUP,
                "versions": [{"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}],
                "preferredVersion": {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION},
            }
        ],
    },
    f"/apis/{GROUP}/{VERSION}": {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{GROUP}/{VERSION}",
        "resources": [
            {
                "name": "trainjobs",
                "singularName": "trainjob",
                "namespaced": True,
                "kind": "TrainJob",
                "verbs": ["create", "delete", "get"],
            }
        ],
    },
    "/api/v1": {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": []},
    "/openapi/v3": {"paths": {f"apis/{GROUP}/{VERSION}": {"serverRelativeURL": f"/openapi/v3/{GROUP}"}}},
    # kubectl reads here that the server checks the fields itself (fieldValidation).
    f"/openapi/v3/{GROUP}": {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1"},
        "paths": {
            f"/apis/{GROUP}/{VERSION}/namespaces/{{namespace}}/trainjobs/{{name}}": {
                "patch": {
                    "parameters": [{"name": "fieldValidation", "in": "query"}],
                    "x-kubernetes-group-version-kind": {
                        "group": GROUP,
                        "version": VERSION,
                        "kind": "TrainJob",
                    },
                    "responses": {},
                }
            }
        },
    },
}
pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")


class Cluster:
    """The TrainJobs that there are, and the HTTP server that hands them out."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict] = {}
        self.uids = itertools.count(1)
        self.deleted: list[str] = []
        self.refusing = 0
        self.looked = 0
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())

    def create(self, job: dict) -> tuple[int, dict]:
        name = job["metadata"]["name"]
        if name in self.jobs:
            return 409, status(409, "AlreadyExists", f'trainjobs "{name}" already exists')
        job["metadata"] |= {"uid": f"uid-{next(self.uids)}", "namespace": "overspill"}
        self.jobs[name] = job
        return 201, job

    def delete(self, name: str, options: dict) -> tuple[int, dict]:
        job = self.jobs.get(name)
        if job is None:
            return 404, status(404, "NotFound", f'trainjobs "{name}" not found')
        if options.get("preconditions", {}).get("uid", job["metadata"]["uid"]) != job["metadata"]["uid"]:
            return 409, status(409, "Conflict", "the UID in the precondition is another")
        self.deleted.append(job["metadata"]["uid"])
        threading.Timer(0.3, self.collect, (name, job["metadata"]["uid"])).start()
        return 200, job

    def collect(self, name: str, uid: str) -> None:
        """The end of a deletion in the foreground: of what was asked for, not of what has its name by now."""
        with self.lock:
            if name in self.jobs and self.jobs[name]["metadata"]["uid"] == uid:
                del self.jobs[name]

    def end(self, condition: str) -> None:
        seen = {"type": "Suspended", "status": "False"}
        self.jobs[NAME]["status"] = {"conditions": [seen, {"type": condition, "status": "True"}]}

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict]:
        with self.lock:
            if self.refusing:
                self.refusing -= 1
                return 503, status(503, "ServiceUnavailable", "away for a moment")
            if path in DISCOVERY:
                return 200, DISCOVERY[path]
            return self.by_the_role(method, path, body)

    def by_the_role(self, method: str, path: str, body: bytes) -> tuple[int, dict]:
        """What the Role of the manifest allows: create any, get and delete the one."""
        if (method, path) == ("POST", TRAINJOBS):
            return self.create(json.loads(body))
        if (method, path) == ("DELETE", f"{TRAINJOBS}/{NAME}"):
            return self.delete(NAME, json.loads(body))
        if (method, path) == ("GET", f"{TRAINJOBS}/{NAME}"):
            self.looked += 1
            missing = 404, status(404, "NotFound", f'trainjobs "{NAME}" not found')
            return (200, self.jobs[NAME]) if NAME in self.jobs else missing
        return 403, status(403, "Forbidden", f"no right to {method} {path}")

    def handler(self) -> type[BaseHTTPRequestHandler]:
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def reply(self) -> None:
                body = self.body()
                code, answer = cluster.answer(self.command, self.path.partition("?")[0], body)
                data = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = reply  # noqa: N815 - the base class asks for these names

            def body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                return b"".join(parts)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


def status(code: int, reason: str, message: str) -> dict:
    head = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
    return head | {"code": code, "reason": reason, "message": message, "details": {"kind": "trainjobs"}}


@pytest.fixture
def cluster():
    cluster = Cluster()
    thread = threading.Thread(target=cluster.server.serve_forever, args=(0.05,))
    thread.start()
    yield cluster
    cluster.server.shutdown()
    thread.join()
    cluster.server.server_close()


@pytest.fixture
def start(cluster, tmp_path):
    """A function that starts the script as the pod of one Job does; what still runs at the end is stopped."""
    maps = {
        each["metadata"]["name"]: each["data"]
        for name in ("common.yaml", "nvidia.yaml")
        for each in yaml.safe_load_all((FOLDER / name).read_text())
        if each["kind"] == "ConfigMap"
    }
    (tmp_path / "trainjob.yaml").write_text(maps["overspill-cycle"]["trainjob.yaml"])
    # The only line that is not the manifest's own: where the ConfigMap is mounted.
    script = maps["overspill-start"]["start.sh"].replace("/manifests/", f"{tmp_path}/")
    (tmp_path / "start.sh").write_text(script)
    address = f"http://127.0.0.1:{cluster.server.server_port}"
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": ""}}],
        "current-context": "c",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "KUBECONFIG": str(tmp_path / "kubeconfig"),
    }
    environment |= {"NAMESPACE": "overspill", "POLL_SECONDS": "0.2", "API_TRIES": "5"}
    running = []

    def begin(cycle: str) -> subprocess.Popen:
        process = subprocess.Popen(
            ["sh", tmp_path / "start.sh"],
            env=environment | {"CYCLE": cycle},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def eventually(true, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def owner(cluster: Cluster) -> str | None:
    job = cluster.jobs.get(NAME)
    return job and job["metadata"]["labels"]["app.kubernetes.io/instance"]


def ended(process: subprocess.Popen, *, code: int) -> str:
    _, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    return said


@pytest.mark.parametrize(("condition", "code"), [("Complete", 0), ("Failed", 1)])
def test_the_pod_stays_until_its_trainjob_has_ended_and_ends_as_it_did(cluster, start, condition, code):
    pod = start("night-1")
    eventually(lambda: owner(cluster) == "night-1")
    assert "--state=/state/cycles/night-1" in cluster.jobs[NAME]["spec"]["trainer"]["args"]
    time.sleep(1)
    assert pod.poll() is None
    cluster.end(condition)
    assert f"overspill-cycle: {condition}" in ended(pod, code=code)


def test_a_second_cycle_is_refused_while_one_runs(cluster, start):
    first = start("night-1")
    eventually(lambda: owner(cluster) == "night-1")
    said = ended(start("night-2"), code=3)
    assert "overspill-cycle of the cycle night-1 is still running" in said
    assert cluster.deleted == []
    assert first.poll() is None


def test_a_finished_trainjob_makes_room_for_the_next_cycle(cluster, start):
    start("night-1")
    eventually(lambda: owner(cluster) == "night-1")
    cluster.end("Failed")
    second = start("night-2")
    eventually(lambda: owner(cluster) == "night-2")
    cluster.end("Complete")
    ended(second, code=0)
    assert set(cluster.deleted) == {"uid-1"}


def test_a_pod_that_replaces_a_lost_one_waits_for_the_same_trainjob(cluster, start):
    lost = start("night-1")
    eventually(lambda: owner(cluster) == "night-1")
    lost.send_signal(signal.SIGTERM)
    assert "goes on" in ended(lost, code=143)
    replacement = start("night-1")
    time.sleep(1)
    cluster.end("Complete")
    ended(replacement, code=0)
    assert cluster.jobs[NAME]["metadata"]["uid"] == "uid-1"


def test_a_pod_that_comes_after_its_trainjob_has_ended_starts_no_second_one(cluster, start):
    ended_job = start("night-1")
    eventually(lambda: owner(cluster) == "night-1")
    cluster.end("Failed")
    ended(ended_job, code=1)
    ended(start("night-1"), code=1)
    assert cluster.jobs[NAME]["metadata"]["uid"] == "uid-1"


def test_of_two_pods_at_the_same_moment_one_creates_and_the_other_is_refused(cluster, start):
    pods = [start(f"night-{i}") for i in range(2)]
    eventually(lambda: any(each.poll() is not None for each in pods))
    loser = next(each for each in pods if each.poll() is not None)
    ended(loser, code=3)
    assert sum(each.poll() is None for each in pods) == 1


def test_an_api_server_that_is_away_for_a_moment_is_asked_again(cluster, start):
    pod = start("night-1")
    eventually(lambda: owner(cluster) == "night-1")
    cluster.refusing = 3
    eventually(lambda: cluster.refusing == 0)
    cluster.end("Complete")
    ended(pod, code=0)


def test_an_api_server_that_stays_away_ends_the_pod_so_that_the_job_tries_again(cluster, start):
    cluster.refusing = 10_000
    assert "did not answer" in ended(start("night-1"), code=4)


def test_a_trainjob_deleted_by_somebody_is_a_failure_that_says_so(cluster, start):
    pod = start("night-1")
    eventually(lambda: cluster.looked >= 3)  # before it was created, right after, and once while waiting
    cluster.jobs.clear()
    assert "was deleted before it ended" in ended(pod, code=5)
