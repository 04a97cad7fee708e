"""The evidence step: a windows run and one of its policies to a folder that stands on its own."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from forecasting.errors import InputError
from pipelines.evidence import facts
from pipelines.evidence.attestations import ATTESTATIONS, read_attestations
from pipelines.evidence.content import RecordedFacts, build_evidence
from pipelines.evidence.derive import derive
from pipelines.evidence.document import render
from pipelines.evidence.folder import check_replaceable, replaced
from pipelines.evidence.lineage import Lineage, lineage
from pipelines.evidence.manifest import (
    ARTIFACTS,
    DOCUMENT,
    EVIDENCE,
    MANIFEST,
    SCHEMA,
    SIGNATURE,
    SIGNER,
    json_text,
    write_manifest,
)
from pipelines.evidence.records import Cover, Evidence, as_json, json_schema
from pipelines.evidence.signature import fingerprint
from pipelines.evidence.stored import StoredArtifacts
from pipelines.evidence.tables import check_tables
from pipelines.runtime.files.artifacts import check_writable
from pipelines.runtime.tracking import Tracker


@dataclass(frozen=True, kw_only=True)
class EvidenceResult:
    """What the step leaves: its run, the folder, the manifest's seal, and the content of `evidence.json`."""

    run_id: str
    out: Path
    seal: str
    content: Evidence


def write_evidence(
    tracker: Tracker,
    out: Path,
    *,
    windows_run_id: str,
    policy: str | None = None,
    key: Ed25519PrivateKey | None = None,
    cover: Cover | None = None,
    verdict_threshold: float | None = None,
    attestations: Path | None = None,
) -> EvidenceResult:
    """Gather, derive and write the evidence for one policy of a windows run, and record the run.

    Parameters
    ----------
    tracker : Tracker
    out : Path
        Replaced as a whole.
    windows_run_id : str
        Or as many of its first characters as tell it apart.
    policy : str, optional
        By default the first that the windows run applied.
    key : Ed25519PrivateKey, optional
        Signs the manifest.
    cover : Cover, optional
        Who applies, who prepared it, and for which licence.
    verdict_threshold : float, optional
        Share of the paths on which a condition must hold to be met: 0.5 to below 1; by default the
        confidence of the windows run.
    attestations : Path, optional
        What somebody attests of the policy's conditions, see `read_attestations`; copied into the folder.

    Raises
    ------
    InputError
        If a run, an artifact, the policy or an attestation is not in order, or `out` holds other files.
    StepError
        If this version does not derive the figures that the windows run recorded, or nothing can be written.
    """
    if verdict_threshold is not None and not 0.5 <= verdict_threshold < 1:
        raise InputError(
            "a verdict needs at least half of the paths, and not all of them",
            expected="0.5 to below 1",
            found=f"{verdict_threshold:g}",
            where="--verdict-threshold",
        )
    out = out.resolve()
    check_replaceable(out)
    check_writable(out.parent)
    with (
        lineage(tracker, windows_run_id) as of,
        _gathered(of) as artifacts,
    ):
        made_at = dt.datetime.now(dt.UTC).replace(microsecond=0)
        inputs = artifacts.inputs(policy, verdict_threshold)
        if attestations is not None:
            said = read_attestations(attestations, inputs.only_policy(), day=made_at.date())
            inputs = replace(inputs, attestations=said)
        derived = derive(inputs)
        check_tables(derived.tables, artifacts)
        with (
            tracker.step("evidence", upstream_run_id=of.windows.run_id) as run,
            replaced(out) as folder,
        ):
            recorded = RecordedFacts(
                made_at=made_at,
                signed_by=None if key is None else fingerprint(key.public_key()),
                store=tracker.shown,
                evidence_run_id=run.run_id,
                runs=artifacts.runs,
                software=facts.software(),
                cover=cover or Cover(),
            )
            content = build_evidence(artifacts, inputs, derived, recorded)
            shutil.copytree(artifacts.folder, folder / ARTIFACTS)
            if attestations is not None:
                shutil.copyfile(attestations, folder / ATTESTATIONS)
            seal = write_files(folder, content, key)
            signed = {} if recorded.signed_by is None else {"overspill.signed_by": recorded.signed_by}
            run.set_tags({"overspill.evidence_seal": seal, "overspill.policy": inputs.policy, **signed})
            for name in (DOCUMENT, EVIDENCE, MANIFEST, *((SIGNATURE, SIGNER) if signed else ())):
                run.log_file(folder / name)
            run.describe(f"Evidence for the policy {inputs.policy}; its manifest is sealed by {seal}.")
    return EvidenceResult(run_id=run.run_id, out=out, seal=seal, content=content)


@contextmanager
def _gathered(of: Lineage) -> Iterator[StoredArtifacts]:
    """A folder with the artifacts that go into the evidence, each checked against what its run recorded."""
    with tempfile.TemporaryDirectory(prefix="overspill-evidence-") as temporary:
        artifacts = StoredArtifacts(Path(temporary), tuple(run.entry() for run in of.runs()))
        for run in of.runs():
            run.settings()
            for name in artifacts.names_of(run.step):
                shutil.copyfile(run.path(name), artifacts.folder / name)
        for fault in artifacts.faults():
            raise InputError(
                "an artifact is not what its run wrote", found=fault, where=f"run {of.windows.run_id}"
            )
        yield artifacts


def write_files(folder: Path, content: Evidence, key: Ed25519PrivateKey | None) -> str:
    """Write the files beside the artifacts, the manifest last; returns its seal."""
    plain = as_json(content)
    (folder / EVIDENCE).write_text(json_text(plain), encoding="utf-8")
    (folder / DOCUMENT).write_text(render(plain), encoding="utf-8")
    (folder / SCHEMA).write_text(json_text(json_schema()), encoding="utf-8")
    return write_manifest(folder, key)
