"""The manifest of an evidence folder: SHA-256 and size of each file, who signs, and a seal over itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError

from forecasting.errors import InputError, StepError
from pipelines.evidence.figure_records import Json
from pipelines.evidence.records import MANIFEST_FORMAT, FileEntry, Manifest, as_json
from pipelines.evidence.signature import fingerprint, is_signed_by, public_pem, read_public_key
from pipelines.runtime.files.artifacts import file_digest

MANIFEST, EVIDENCE, DOCUMENT, SCHEMA = "manifest.json", "evidence.json", "evidence.html", "schema.json"
ARTIFACTS, SIGNATURE, SIGNER = "artifacts", "manifest.sig", "signer.pub"


def json_text(content: Json) -> str:
    """The one way in which JSON is written here, so that equal content is equal bytes."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_manifest(folder: Path, key: Ed25519PrivateKey | None = None) -> str:
    """Write `manifest.json` for all other files of a folder, signed if a key is given; returns its seal."""
    if key is not None:
        (folder / SIGNER).write_bytes(public_pem(key.public_key()))
    files = {name: _entry(folder / name) for name in names_in(folder)}
    signed_by = None if key is None else fingerprint(key.public_key())
    unsealed = Manifest(format=MANIFEST_FORMAT, signed_by=signed_by, files=files, seal="0" * 64)
    sealed = unsealed.model_copy(update={"seal": _seal(unsealed)})
    content = json_text(as_json(sealed)).encode()
    (folder / MANIFEST).write_bytes(content)
    if key is not None:
        (folder / SIGNATURE).write_bytes(key.sign(content))
    return sealed.seal


def _entry(path: Path) -> FileEntry:
    return FileEntry(sha256=file_digest(path), bytes=path.stat().st_size)


def names_in(folder: Path) -> list[str]:
    """Files of a folder but for its manifest and the signature over that, by path within it.

    Raises
    ------
    StepError
        If there is something else than regular files in it and in its folder of artifacts.
    """
    names = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise StepError(f"{path}: a symbolic link does not belong to the evidence")
        if path.is_dir():
            if name != ARTIFACTS:
                raise StepError(f"{path}: the folder does not belong to the evidence")
        elif not path.is_file():
            raise StepError(f"{path}: it is not a regular file and does not belong to the evidence")
        elif name not in {MANIFEST, SIGNATURE}:
            names.append(name)
    return names


def _seal(manifest: Manifest) -> str:
    """SHA-256 over the manifest without its seal."""
    content = {key: value for key, value in as_json(manifest).items() if key != "seal"}
    return hashlib.sha256(json_text(content).encode()).hexdigest()


def check_manifest(folder: Path) -> Manifest:
    """Compare every file of a folder with its manifest, which is returned.

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
    names = names_in(folder)
    manifest = _read(path)
    for name, entry in manifest.files.items():
        if name not in names:
            raise StepError(f"{folder / name}: the file is missing, though the manifest lists it")
        found = _entry(folder / name)
        if found != entry:
            raise StepError(
                f"{folder / name}: the file was changed: expected SHA-256 {entry.sha256} of {entry.bytes} "
                f"bytes, found {found.sha256} of {found.bytes}"
            )
    added = sorted(set(names) - set(manifest.files))
    if added:
        raise StepError(
            f"{folder / added[0]}: the file does not belong to the evidence: the manifest lacks it"
        )
    return manifest


def _read(path: Path) -> Manifest:
    """The manifest, if it is exactly what was written: any other byte breaks its form or its seal."""
    changed = StepError(f"{path}: the file was changed: it is not sealed by its own SHA-256")
    try:
        text = path.read_bytes().decode("utf-8")
        manifest = Manifest.model_validate_json(text)
    except (ValidationError, ValueError) as error:
        raise changed from error
    if _seal(manifest) != manifest.seal or json_text(as_json(manifest)) != text:
        raise changed
    return manifest


def check_signature(folder: Path, manifest: Manifest, key: Ed25519PublicKey | None) -> str:
    """Check who signed the manifest; returns what that shows, in a sentence.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
    key : Ed25519PublicKey, optional
        The key that the folder must be signed by. Without one, a signature is checked with the key that the
        folder brings along.

    Raises
    ------
    StepError
        If it is not signed by this key, or a signature does not fit.
    """
    by = manifest.signed_by
    if key is not None and by != fingerprint(key):
        signer = "it is not signed" if by is None else f"it is signed by the key {by}"
        raise StepError(f"{folder / MANIFEST}: {signer}; expected the key {fingerprint(key)}")
    if by is None:
        if (folder / SIGNATURE).exists():
            raise StepError(f"{folder / SIGNATURE}: the file does not belong to evidence that is not signed")
        return "none: the folder agrees with itself, which does not show who wrote it"
    for name in (SIGNATURE, SIGNER):
        if not (folder / name).is_file():
            raise StepError(f"{folder / name}: the file is missing, though the manifest says it is signed")
    enclosed = _enclosed_key(folder / SIGNER, by)
    if not is_signed_by(enclosed, (folder / MANIFEST).read_bytes(), (folder / SIGNATURE).read_bytes()):
        raise StepError(f"{folder / SIGNATURE}: the manifest is not signed by the key {by}")
    if key is None:
        return f"by the key {by}, which is the folder's own; --key PUBKEY checks that it is the one you trust"
    return f"by the given key {by}"


def _enclosed_key(path: Path, expected: str) -> Ed25519PublicKey:
    try:
        key = read_public_key(path)
    except InputError as error:
        raise StepError(str(error)) from error
    if fingerprint(key) != expected:
        raise StepError(f"{path}: the key is not the one that the manifest names: {expected}")
    return key
