"""The manifest of an evidence folder: SHA-256 and size of each file, and of the manifest itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from forecasting.errors import InputError, StepError
from pipelines.evidence.verdicts import Plain
from pipelines.runtime.files.artifacts import file_digest

MANIFEST, EVIDENCE, DOCUMENT, ARTIFACTS = "manifest.json", "evidence.json", "evidence.html", "artifacts"
FORMAT = "overspill-evidence-manifest-1"


def json_text(content: Plain) -> str:
    """The one way in which JSON is written here, so that equal content is equal bytes."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_manifest(folder: Path) -> str:
    """Write `manifest.json` for all other files of a folder; returns its seal."""
    listed = {
        name: {"sha256": file_digest(folder / name), "bytes": (folder / name).stat().st_size}
        for name in names_in(folder)
    }
    content: Plain = {"format": FORMAT, "files": listed}
    seal = _seal(content)
    (folder / MANIFEST).write_text(json_text({**content, "seal": seal}), encoding="utf-8")
    return seal


def names_in(folder: Path) -> list[str]:
    """Files of a folder but for its manifest, by path within it."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(name for name in found if name != MANIFEST)


def _seal(content: Plain) -> str:
    """SHA-256 over the manifest without its seal."""
    return hashlib.sha256(json_text(content).encode()).hexdigest()


def check_manifest(folder: Path) -> str:
    """Hold every file of a folder against its manifest; returns the seal.

    Raises
    ------
    InputError
        If the folder is no evidence folder.
    StepError
        If a file was changed, is missing or does not belong there; the sentence names it.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(
            "this is no evidence folder",
            expected=f"a folder with {MANIFEST}",
            found=f"no {MANIFEST}" if folder.is_dir() else "no folder",
            where=str(folder),
        )
    content = _read(path)
    seal, listed = content["seal"], content["files"]
    for name, entry in listed.items():
        file = folder / name
        if not file.is_file():
            raise StepError(f"{file}: the file is missing, though the manifest lists it")
        found = file_digest(file)
        if found != entry["sha256"]:
            raise StepError(
                f"{file}: the file was changed: expected SHA-256 {entry['sha256']}, found {found}"
            )
    added = sorted(set(names_in(folder)) - set(listed))
    if added:
        raise StepError(
            f"{folder / added[0]}: the file does not belong to the evidence: the manifest lacks it"
        )
    return str(seal)


def _read(path: Path) -> Plain:
    """The manifest, if it is exactly what was written: any other byte breaks its form or its seal."""
    changed = StepError(f"{path}: the file was changed: it is not sealed by its own SHA-256")
    try:
        text = path.read_bytes().decode("utf-8")
        content = json.loads(text)
        whole = {"format": content["format"], "files": content["files"]}
        sealed = _seal(whole) == content["seal"] and json_text({**whole, "seal": content["seal"]}) == text
    except (ValueError, KeyError, TypeError) as error:
        raise changed from error
    if not sealed or content["format"] != FORMAT:
        raise changed
    return dict(content)
