"""What a check says, and what all of them come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipelines.runtime.store.address import without_secrets

Status = Literal["ok", "warn", "fail"]

# What to do where a check fails; printed by the supervisor too, where its process does not answer.
ALONE = "a job of several processes will not run here: look at the network of this machine"
TOGETHER = "look whether every rank was started, and whether a firewall stands between the nodes"
LEAVE_OFF = "leave it off, as it is by default; nothing but speed is lost"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check says.

    Attributes
    ----------
    check : str
    status : str
        `ok`; `warn`: `overspill run` works, but something is missing or slow; `fail`: it cannot.
    found : str
        One sentence or less.
    advice : str
        What to do; empty where nothing is to be done.
    """

    check: str
    status: Status
    found: str
    advice: str = ""


def ok(check: str, found: str) -> Finding:
    """A check that is in order."""
    return Finding(check=check, status="ok", found=found)


def warn(check: str, found: str, advice: str) -> Finding:
    """A check that does not keep `overspill run` from running."""
    return Finding(check=check, status="warn", found=found, advice=advice)


def fail(check: str, found: str, advice: str) -> Finding:
    """A check that keeps `overspill run` from running."""
    return Finding(check=check, status="fail", found=found, advice=advice)


def redact(finding: Finding, uri: str) -> Finding:
    """The finding on one line, without the passwords of the store's URI and of the environment."""
    return replace(finding, found=_clean(finding.found, uri), advice=_clean(finding.advice, uri))


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """All findings and their summary, for machines."""
    return {"checks": [vars(finding) for finding in findings], "summary": summary(findings)}


def summary(findings: Sequence[Finding]) -> Mapping[str, Any]:
    """How many of each status, whether `overspill run` can run, and what to do first."""
    counts = {status: sum(each.status == status for each in findings) for status in ("ok", "warn", "fail")}
    failed = [each for each in findings if each.status == "fail"]
    return {**counts, "can_run": not failed, "advice": [f"{each.check}: {each.advice}" for each in failed]}


def _clean(text: str, uri: str) -> str:
    return " ".join(without_secrets(text, uri).split())
