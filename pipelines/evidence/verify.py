"""Check an evidence folder: every byte against the manifest, every statement against the stored artifacts."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import polars as pl
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from forecasting.errors import InputError, OverspillError, StepError
from pipelines.evidence.attestations import ATTESTATIONS, check_documents, read_attestations
from pipelines.evidence.content import RecordedFacts, build_evidence
from pipelines.evidence.derive import EvidenceInputs, derive
from pipelines.evidence.document import render, template_digest
from pipelines.evidence.figure_records import Json
from pipelines.evidence.folder import check_finished
from pipelines.evidence.manifest import (
    ARTIFACTS,
    DOCUMENT,
    EVIDENCE,
    SCHEMA,
    SIGNER,
    check_manifest,
    check_signature,
    json_text,
)
from pipelines.evidence.records import FORMAT, Evidence, Manifest, as_json, json_schema
from pipelines.evidence.stored import StoredArtifacts
from pipelines.evidence.tables import check_tables, same

RECORDED = frozenset({"made_at", "signed_by", "cover", "lineage", "software"})  # stated, not derived
UNREADABLE = (OverspillError, ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)


def verify(folder: Path, *, key: Ed25519PublicKey | None = None, documents: Path | None = None) -> Json:
    """Recompute all hashes, derive all tables and statements again and render the document again.

    Parameters
    ----------
    folder : Path
    key : Ed25519PublicKey, optional
        The key that must have signed the folder.
    documents : Path, optional
        Folder in which every attested document must be, by its SHA-256.

    Returns
    -------
    dict
        What was checked: files, figures, values of tables, the document, the seal, and what the signature
        shows.

    Raises
    ------
    InputError
        If the folder is no evidence folder, or is just being written.
    StepError
        If it is not signed by the key, a file was changed or does not belong there, or a statement does not
        follow from the artifacts; the sentence names it.
    """
    check_finished(folder.resolve())
    manifest = check_manifest(folder)
    signature = check_signature(folder, manifest, key)
    stated = _read(folder)
    content = _parsed(folder, stated)
    artifacts = StoredArtifacts(folder / ARTIFACTS, content.lineage.runs)
    values, again = _derived_again(folder, content, artifacts)
    figures = _compare(folder, stated, as_json(again))
    _check_files(folder, manifest, artifacts, stated)
    seen = None if documents is None else check_documents(content.attestations, documents)
    return {
        "files": len(manifest.files) + 1,
        "figures": figures,
        "table_values": values,
        "attestations": _attestations_checked(len(content.attestations), seen),
        "document": "rendered again from evidence.json, the same",
        "seal": manifest.seal,
        "signature": signature,
    }


def _attestations_checked(stated: int, seen: int | None) -> str:
    if not stated:
        return "none"
    looked_up = "not looked up; --documents DIR does" if seen is None else "all found with the stated SHA-256"
    return f"{stated}, as in {ATTESTATIONS}; documents {looked_up}"


def _read(folder: Path) -> Json:
    try:
        content = json.loads((folder / EVIDENCE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StepError(f"{folder / EVIDENCE}: the file cannot be read: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError("the evidence is of another format", expected=FORMAT, where=str(folder / EVIDENCE))
    return content


def _parsed(folder: Path, stated: Json) -> Evidence:
    """The content as records; refused where a document of it could not be rendered by this version."""
    try:
        content = Evidence.model_validate_json(json.dumps(stated))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise StepError(f"{folder / EVIDENCE}: {place}: {first['msg']}{_other_version(stated)}") from error
    if content.software.template_sha256 != template_digest():
        raise StepError(
            f"{folder / DOCUMENT}: the document was rendered with a template that this version does not "
            f"have{_other_version(stated)}"
        )
    return content


def _derived_again(folder: Path, content: Evidence, artifacts: StoredArtifacts) -> tuple[int, Evidence]:
    """Number of values of tables that were compared, and the content from the stored artifacts."""
    try:
        artifacts.check()
        inputs = artifacts.inputs(content.policy.name, content.basis.verdict_threshold)
        inputs = _with_attestations(folder, inputs, content)
        derived = derive(inputs)
        values = check_tables(derived.tables, artifacts)
        return values, build_evidence(artifacts, inputs, derived, RecordedFacts.stated(content))
    except (*UNREADABLE, pl.exceptions.PolarsError) as error:
        other = _other_version(as_json(content))
        raise StepError(f"{folder}: the figures cannot be derived again: {error}{other}") from error


def _with_attestations(folder: Path, inputs: EvidenceInputs, content: Evidence) -> EvidenceInputs:
    """The inputs with what the folder's own copy of the attestations says; documents are not looked up."""
    path = folder / ATTESTATIONS
    if not path.is_file():
        return inputs
    day = content.made_at.astimezone(dt.UTC).date()
    said = read_attestations(path, inputs.only_policy(), day=day, documents=False)
    return replace(inputs, attestations=said)


def _compare(folder: Path, stated: Json, again: Json) -> int:
    """Number of derived leaves of `evidence.json`, all of which agree."""
    compared = 0
    for where, mine, derived in compare(stated, again):
        if not same(mine, derived):
            raise StepError(
                f"{folder / EVIDENCE}: {where} does not follow from the stored artifacts: stated "
                f"{mine}, derived {derived}{_other_version(stated)}"
            )
        compared += where.partition(".")[0] not in RECORDED
    return compared


def compare(stated: object, found: object, where: str = "") -> Iterator[tuple[str, object, object]]:
    """Walk two JSON trees side by side; yields place, stated and found of leaves and of what is unlike."""
    if isinstance(stated, dict) and isinstance(found, dict) and stated.keys() == found.keys():
        for key, inner in stated.items():
            yield from compare(inner, found[key], f"{where}.{key}" if where else key)
    elif isinstance(stated, list) and isinstance(found, list) and len(stated) == len(found):
        for place, (one, other) in enumerate(zip(stated, found, strict=True)):
            yield from compare(one, other, f"{where}[{place}]")
    else:
        yield where, stated, found


def _other_version(stated: Json) -> str:
    """A remark where another version of the code wrote the evidence; empty where it was this one."""
    software = stated.get("software")
    theirs = software.get("overspill") if isinstance(software, dict) else None
    mine = version("overspill")
    return "" if theirs == mine else f" (written by version {theirs}, checked by {mine})"


def _check_files(folder: Path, manifest: Manifest, artifacts: StoredArtifacts, stated: Json) -> None:
    """Check that the folder holds its files and no others, and that each says what `evidence.json` holds."""
    signer = [] if manifest.signed_by is None else [SIGNER]
    said = [ATTESTATIONS] if stated["attestations"] else []
    expected = [
        DOCUMENT,
        EVIDENCE,
        SCHEMA,
        *signer,
        *said,
        *(f"{ARTIFACTS}/{name}" for name in artifacts.names()),
    ]
    for name in sorted(set(manifest.files) - set(expected)):
        raise StepError(f"{folder / name}: the file does not belong to the evidence")
    for name in sorted(set(expected) - set(manifest.files)):
        raise StepError(f"{folder / name}: the file is missing")
    if stated["signed_by"] != manifest.signed_by:
        raise StepError(f"{folder / EVIDENCE}: signed_by is not the key that the manifest names")
    for name, text, what in (
        (EVIDENCE, json_text(stated), "is not written as evidence is"),
        (SCHEMA, json_text(json_schema()), f"is not the schema of {EVIDENCE}{_other_version(stated)}"),
        (DOCUMENT, render(stated), f"does not say what {EVIDENCE} holds"),
    ):
        if (folder / name).read_bytes() != text.encode():
            raise StepError(f"{folder / name}: the file {what}")
