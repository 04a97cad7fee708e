"""Check an evidence folder: every byte against the manifest, every figure against the stored artifacts."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from forecasting.errors import InputError, OverspillError, StepError
from pipelines.evidence.derive import EvidenceInputs, derive
from pipelines.evidence.document import render, template_digest
from pipelines.evidence.folder import settle
from pipelines.evidence.manifest import ARTIFACTS, DOCUMENT, EVIDENCE, check_manifest
from pipelines.evidence.step import CLOSE, FORMAT, SETTINGS
from pipelines.evidence.verdicts import Plain
from pipelines.runtime.config.loader import load_settings
from pipelines.runtime.files.artifacts import read_table

DERIVED = ("basis", "headline", "conditions", "duty", "cap_readings", "row_sets")


def verify(folder: Path) -> Plain:
    """Recompute all hashes, derive the figures again and render the document again.

    Returns
    -------
    dict
        What was checked: files, figures, whether the document was rendered again, and the seal.

    Raises
    ------
    InputError
        If the folder is no evidence folder.
    StepError
        If a file was changed or a figure does not follow from the artifacts; the sentence names it.
    """
    settle(folder.resolve())
    seal = check_manifest(folder)
    content = _content(folder)
    figures = _rederived(folder, content)
    compared = 0
    for key in DERIVED:
        for where, stated, found in compare(content.get(key), figures[key], key):
            compared += 1
            if not _same(stated, found):
                raise StepError(
                    f"{folder / EVIDENCE}: {where} does not follow from the stored artifacts: stated "
                    f"{stated}, derived {found}{_other_version(content)}"
                )
    return {
        "files": sum(1 for path in folder.rglob("*") if path.is_file()),
        "figures": compared,
        "document": _check_document(folder, content),
        "seal": seal,
    }


def _content(folder: Path) -> Plain:
    content = json.loads((folder / EVIDENCE).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError("the evidence is of another format", expected=FORMAT, where=str(folder / EVIDENCE))
    return content


def _rederived(folder: Path, content: Plain) -> Plain:
    """The figures, from the stored artifacts by the code that wrote them."""
    artifacts = folder / ARTIFACTS
    try:
        stored = EvidenceInputs(
            settings=load_settings(artifacts / SETTINGS),
            policy=content["policy"]["name"],
            paths=read_table(artifacts / "paths.parquet"),
            choices=read_table(artifacts / "choices.parquet"),
            panel=read_table(artifacts / "panel.parquet"),
            known_until=dt.date.fromisoformat(content["basis"]["known_until"]),
        )
        figures = derive(stored).figures
    except (OverspillError, KeyError, TypeError, ValueError) as error:
        told = _other_version(content)
        raise StepError(f"{folder}: the figures cannot be derived again: {error}{told}") from error
    return dict(json.loads(json.dumps(figures)))


def compare(stated: object, found: object, where: str) -> Iterator[tuple[str, object, object]]:
    """Walk two JSON trees side by side; yields place, stated and found of leaves and of what is unlike."""
    if isinstance(stated, dict) and isinstance(found, dict) and stated.keys() == found.keys():
        for key, inner in stated.items():
            yield from compare(inner, found[key], f"{where}.{key}")
    elif isinstance(stated, list) and isinstance(found, list) and len(stated) == len(found):
        for place, (one, other) in enumerate(zip(stated, found, strict=True)):
            yield from compare(one, other, f"{where}[{place}]")
    else:
        yield where, stated, found


def _same(stated: object, found: object) -> bool:
    if isinstance(stated, float) and isinstance(found, float):
        return math.isclose(stated, found, rel_tol=CLOSE)
    return stated == found


def _other_version(content: Plain) -> str:
    """A remark where another version of the code wrote the evidence; empty where it was this one."""
    made = content.get("software", {}).get("overspill")
    mine = version("overspill")
    return "" if made == mine else f" (written by version {made}, checked by {mine})"


def _check_document(folder: Path, content: Plain) -> str:
    """Render the document again, if the template is the one it was made with."""
    if content["software"]["template_sha256"] != template_digest():
        return "only its hash was checked: it was made with another template"
    if render(content) != (folder / DOCUMENT).read_text(encoding="utf-8"):
        raise StepError(f"{folder / DOCUMENT}: the document does not say what {EVIDENCE} holds")
    return "rendered again from evidence.json, the same"
