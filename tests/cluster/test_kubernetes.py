"""The Kubernetes manifests: valid by the published schemas, complete among themselves, no right too many."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from kubeflow_trainer_api import models
from pydantic import ValidationError
from typer.main import get_command

from pipelines.cli.main import app
from pipelines.runtime.config.loader import resolve

FOLDER = Path(__file__).parents[2] / "configs" / "cluster" / "kubernetes"
VENDORS = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu"}
OLDEST, NEWEST = "1.34", "1.37"
CUSTOM = {
    "TrainJob": models.TrainerV1alpha1TrainJob,
    "TrainingRuntime": models.TrainerV1alpha1TrainingRuntime,
}


def documents(*names: str) -> list[dict]:
    return [each for name in names for each in yaml.safe_load_all((FOLDER / name).read_text())]


def embedded(objects: list[dict]) -> list[dict]:
    """The TrainJob that a ConfigMap holds as text for the CronJob's pod."""
    return [
        yaml.safe_load(each["data"]["trainjob.yaml"])
        for each in objects
        if each["kind"] == "ConfigMap" and "trainjob.yaml" in each["data"]
    ]


def of_vendor(vendor: str) -> list[dict]:
    """Everything that is applied for one vendor, the TrainJob inside the ConfigMap included."""
    objects = documents("common.yaml", f"{vendor}.yaml", f"pretrain-{vendor}.yaml")
    return objects + embedded(objects)


def unknown_fields(given: object, known: object, path: str = "") -> list[str]:
    """Paths of ``given`` that the model did not take over: pydantic passes over what it does not know."""
    if isinstance(given, dict) and isinstance(known, dict):
        missing = [f"{path}.{key}" for key in given.keys() - known.keys()]
        return missing + [
            each
            for key in sorted(given.keys() & known.keys())
            for each in unknown_fields(given[key], known[key], f"{path}.{key}")
        ]
    if isinstance(given, list) and isinstance(known, list) and len(given) == len(known):
        return [
            each
            for i, pair in enumerate(zip(given, known, strict=True))
            for each in unknown_fields(*pair, f"{path}[{i}]")
        ]
    return [] if given == known else [f"{path}: {given!r} was read as {known!r}"]


def check(document: dict, version: str = NEWEST) -> None:
    """Raise where a document does not follow its published schema."""
    model = CUSTOM.get(document["kind"])
    if model is None:
        kubernetes_validate.validate(document, version, strict=True)
        return
    assert document["apiVersion"] == "trainer.kubeflow.org/v1alpha1"
    assert not (unknown := unknown_fields(document, model.from_dict(document).to_dict())), unknown
    for job in jobs_of(document):
        kubernetes_validate.validate(job, version, strict=True)


def jobs_of(document: dict) -> list[dict]:
    """The Jobs that a CronJob or a TrainingRuntime makes, as objects of their own."""
    if document["kind"] == "CronJob":
        template = document["spec"]["jobTemplate"]
        return [{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, **template}]
    if document["kind"] == "TrainingRuntime":
        replicated = document["spec"]["template"]["spec"]["replicatedJobs"]
        head = {"apiVersion": "batch/v1", "kind": "Job"}
        return [head | {"metadata": {}} | each["template"] for each in replicated]
    return []


def pods_of(objects: list[dict]) -> list[dict]:
    return [job["spec"]["template"]["spec"] for each in objects for job in jobs_of(each)]


def named(objects: list[dict], kind: str) -> dict[str, dict]:
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_manifest_follows_its_published_schema(vendor, version):
    for document in of_vendor(vendor):
        check(document, version)


def broken(kind: str, change) -> dict:
    document = copy.deepcopy(next(each for each in of_vendor("nvidia") if each["kind"] == kind))
    change(document)
    return document


@pytest.mark.parametrize(
    ("kind", "change", "because"),
    [
        ("CronJob", lambda d: d["spec"].update(concurencyPolicy="Forbid"), "concurencyPolicy"),
        ("CronJob", lambda d: d["spec"].update(startingDeadlineSeconds="soon"), "'soon' is not of type"),
        ("CronJob", lambda d: d["spec"].pop("schedule"), "'schedule' is a required property"),
        ("Role", lambda d: d["rules"][0].update(verb=["get"]), "'verb' was unexpected"),
        ("PersistentVolumeClaim", lambda d: d["spec"].update(accessModes="Many"), "'Many' is not of type"),
        ("TrainJob", lambda d: d["spec"].update(schedule="0 2 * * *"), ".spec.schedule"),
        ("TrainJob", lambda d: d["spec"]["trainer"].update(numNodes="two"), "numNodes"),
        (
            "TrainJob",
            lambda d: d["spec"]["trainer"]["resourcesPerNode"].update(limit={}),
            "resourcesPerNode.limit",
        ),
        ("TrainJob", lambda d: d["spec"].pop("runtimeRef"), "runtimeRef"),
        ("TrainingRuntime", lambda d: d["spec"]["mlPolicy"]["torch"].update(elastic={}), "torch.elastic"),
        ("TrainingRuntime", lambda d: pods_of([d])[0].update(serviceAccount=3), "serviceAccount"),
        ("TrainingRuntime", lambda d: pods_of([d])[0]["containers"][0].update(command="torchrun"), "command"),
    ],
)
def test_a_broken_manifest_is_refused(kind, change, because):
    refused = (kubernetes_validate.ValidationError, ValidationError, AssertionError)
    with pytest.raises(refused, match=because):
        check(broken(kind, change))


@pytest.mark.parametrize("vendor", VENDORS)
def test_all_that_is_referred_to_exists_but_for_the_secret_that_no_file_may_hold(vendor):
    objects = of_vendor(vendor)
    assert not named(objects, "Secret")
    for pod in pods_of(objects):
        assert pod["serviceAccountName"] in named(objects, "ServiceAccount")
        volumes = {each["name"]: each for each in pod["volumes"]}
        for container in pod["containers"]:
            assert {each["name"] for each in container["volumeMounts"]} == volumes.keys()
            for source in container.get("envFrom", []):
                assert source["configMapRef"]["name"] in named(objects, "ConfigMap")
        for volume in volumes.values():
            if claim := volume.get("persistentVolumeClaim"):
                assert claim["claimName"] in named(objects, "PersistentVolumeClaim")
            for source in volume.get("projected", {}).get("sources", []):
                assert source["configMap"]["name"] in named(objects, "ConfigMap")
    for job in named(objects, "TrainJob").values():
        reference = job["spec"]["runtimeRef"]
        assert reference["name"] in named(objects, reference["kind"])


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_pod_runs_without_root_without_capabilities_and_on_a_read_only_root(vendor):
    pods = pods_of(of_vendor(vendor))
    assert len(pods) == 2
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["image"].rpartition(":")[2] not in {"", "latest"}


def test_the_starting_pod_may_create_trainjobs_and_read_and_delete_its_own_and_nothing_else():
    objects = documents("common.yaml")
    assert [each["rules"] for each in objects if each["kind"] == "Role"] == [
        [
            {"apiGroups": ["trainer.kubeflow.org"], "resources": ["trainjobs"], "verbs": ["create"]},
            {
                "apiGroups": ["trainer.kubeflow.org"],
                "resources": ["trainjobs"],
                "resourceNames": ["overspill-cycle"],
                "verbs": ["get", "delete"],
            },
        ]
    ]
    assert not named(objects, "ClusterRole")
    assert not named(objects, "ClusterRoleBinding")
    (binding,) = named(objects, "RoleBinding").values()
    assert [each["name"] for each in binding["subjects"]] == ["overspill-start"]


def test_only_the_starting_pod_holds_a_token_of_the_api_server():
    tokens = {
        pod["serviceAccountName"]: pod["automountServiceAccountToken"] for pod in pods_of(of_vendor("amd"))
    }
    assert tokens == {"overspill-start": True, "overspill-train": False}


def test_two_cycles_never_overlap_by_the_cronjob_s_own_rule():
    (cron,) = named(documents("common.yaml"), "CronJob").values()
    assert cron["spec"]["concurrencyPolicy"] == "Forbid"
    assert cron["spec"]["timeZone"] == "Etc/UTC"
    assert cron["spec"]["startingDeadlineSeconds"] >= 60


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_stopped_pod_has_longer_than_torchrun_gives_its_processes_to_save(vendor):
    (pod,) = [each for each in pods_of(of_vendor(vendor)) if each["serviceAccountName"] == "overspill-train"]
    (given,) = [
        int(each.partition("=")[2])
        for each in pod["containers"][0]["command"]
        if each.startswith("--shutdown-timeout=")
    ]
    assert pod["terminationGracePeriodSeconds"] > given >= 60


@pytest.mark.parametrize(("vendor", "resource"), VENDORS.items())
def test_trainjobs_ask_for_the_gpus_of_their_vendor_and_limit_what_they_request(vendor, resource):
    for job in named(of_vendor(vendor), "TrainJob").values():
        asked = job["spec"]["trainer"]["resourcesPerNode"]
        assert asked["requests"][resource] == asked["limits"][resource]
        others = set(VENDORS.values()) - {resource}
        assert not others & (asked["requests"].keys() | asked["limits"].keys())


@pytest.mark.parametrize("vendor", VENDORS)
def test_trainjobs_give_overspill_commands_and_options_that_it_knows(vendor):
    jobs = named(of_vendor(vendor), "TrainJob")
    assert jobs.keys() == {"overspill-cycle", "overspill-pretrain"}
    for job in jobs.values():
        name, *options = job["spec"]["trainer"]["args"]
        command = get_command(app).commands[name]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {each.partition("=")[0] for each in options} <= known
        overrides = [each.removeprefix("--set=") for each in options if each.startswith("--set=")]
        resolve(None, overrides)


def test_pretraining_spans_several_nodes():
    for vendor in VENDORS:
        (job,) = documents(f"pretrain-{vendor}.yaml")
        assert job["spec"]["trainer"]["numNodes"] > 1


def test_nvidia_and_amd_differ_only_where_the_hardware_does():
    def neutral(vendor: str) -> str:
        text = "".join((FOLDER / name).read_text() for name in (f"{vendor}.yaml", f"pretrain-{vendor}.yaml"))
        for word in (
            VENDORS[vendor],
            f"overspill-{vendor}",
            {"nvidia": "0.1.0-cuda", "amd": "0.1.0-rocm"}[vendor],
        ):
            assert word in text
            text = text.replace(word, "?")
        return text.replace({"nvidia": "NVIDIA", "amd": "AMD"}[vendor], "?")

    only_amd = set(neutral("amd").splitlines()) - set(neutral("nvidia").splitlines())
    assert [line.split()[0] for line in only_amd] == ["supplementalGroups:"]


def test_shellcheck_finds_nothing_in_the_script_that_starts_the_cycle(tmp_path):
    script = tmp_path / "start.sh"
    script.write_text(named(documents("common.yaml"), "ConfigMap")["overspill-start"]["data"]["start.sh"])
    shellcheck = Path(sys.executable).with_name("shellcheck")
    found = subprocess.run([shellcheck, "--shell=sh", script], check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
