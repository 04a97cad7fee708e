"""Packages, schedulers and disk are reported with what to do, and no password is shown."""

import importlib.metadata
import shutil
import types

import pytest

from pipelines.doctor import machine
from pipelines.doctor.findings import as_json, fail, ok, redact, summary, warn


def by_check(findings):
    return {each.check: each for each in findings}


def test_a_compromised_release_of_lightning_fails(monkeypatch):
    real = importlib.metadata.version
    monkeypatch.setattr(machine, "version", lambda name: "2.6.3" if name == "lightning" else real(name))
    found = machine.check_packages()
    assert found.status == "fail"
    assert "lightning 2.6.3 is a compromised release" in found.found
    assert "replace every password" in found.advice


def test_a_missing_package_fails(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(machine, "version", missing)
    assert machine.check_packages().status == "fail"


def test_commands_of_schedulers_are_told_and_none_is_needed(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name == "sbatch" else None)
    assert by_check(machine.check_machine())["schedulers"].found == "commands found: Slurm"
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert by_check(machine.check_machine())["schedulers"].status == "ok"


@pytest.mark.parametrize(("free", "status"), [(100, "fail"), (2**31, "warn"), (2**40, "ok")])
def test_a_disk_that_is_nearly_full_warns_and_a_full_one_fails(
    monkeypatch, settings_on, tmp_path, free, status
):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=free))
    found = list(machine.check_disk(settings_on(), tmp_path))
    assert [each.status for each in found] == [status, status]
    assert all(bool(each.advice) == (status != "ok") for each in found)


def test_the_disk_of_a_store_that_does_not_exist_yet_is_that_of_the_folder_above(settings_on, tmp_path):
    found = machine.check_space("disk of the store", tmp_path / "not" / "yet", "")
    assert found.status == "ok"
    assert str(tmp_path / "not" / "yet") in found.found


def test_only_a_failure_keeps_the_main_job_from_running():
    findings = [ok("a", "x"), warn("b", "y", "do b"), fail("c", "z", "do c")]
    assert summary(findings[:2])["can_run"]
    assert summary(findings) == {"ok": 1, "warn": 1, "fail": 1, "can_run": False, "advice": ["c: do c"]}
    assert as_json(findings)["checks"][1] == {"check": "b", "status": "warn", "found": "y", "advice": "do b"}


def test_no_finding_shows_a_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "fromthe3nv")
    finding = fail("tracking store", "http://anna:s3cret@host refuses\nfromthe3nv", "not s3cret")
    assert redact(finding, "http://anna:s3cret@host") == fail(
        "tracking store", "http://anna:***@host refuses ***", "not ***"
    )
