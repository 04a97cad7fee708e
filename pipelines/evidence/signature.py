"""Ed25519 signatures over a manifest: they show who wrote an evidence folder, which no digest can.

Keys are PEM files (PKCS #8 and SubjectPublicKeyInfo) and a signature is 64 raw bytes, so that other tools
read both: `openssl pkeyutl -verify -rawin -pubin -inkey signer.pub -in manifest.json -sigfile manifest.sig`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from forecasting.errors import InputError, StepError

PUBLIC_SUFFIX = ".pub"


def generate_key(path: Path) -> str:
    """Write a new private key (mode 0600) and its public key beside it (`.pub`); returns the fingerprint.

    Raises
    ------
    InputError
        If one of the two files exists; neither is changed.
    StepError
        If they cannot be written.
    """
    public = path.with_name(path.name + PUBLIC_SUFFIX)
    for file in (path, public):
        if file.exists() or file.is_symlink():
            raise InputError("a key is not overwritten", expected="a path where no file is", where=str(file))
    key = Ed25519PrivateKey.generate()
    private_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        _write_new(path, private_pem, mode=0o600)
        _write_new(public, public_pem(key.public_key()), mode=0o644)
    except OSError as error:
        raise StepError(f"{path}: the key cannot be written: {error.strerror}") from error
    return fingerprint(key.public_key())


def _write_new(path: Path, content: bytes, *, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """The private key to sign with.

    Raises
    ------
    InputError
        If the file cannot be read, other users may read it, or it is not an Ed25519 private key.
    """
    text = _read(path)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InputError(
            "a private key must not be readable by other users",
            expected="mode 0600 or 0400",
            found=f"{stat.S_IMODE(path.stat().st_mode):04o}",
            where=str(path),
        )
    try:
        key = load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _wrong_key("private", path, "another file, or an encrypted key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _wrong_key("private", path, type(key).__name__)
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """The public key to check a signature with.

    Raises
    ------
    InputError
        If the file cannot be read or is not an Ed25519 public key.
    """
    text = _read(path)
    try:
        key = load_pem_public_key(text)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        found = "a private key" if b"PRIVATE KEY" in text else "another file"
        raise _wrong_key("public", path, found) from error
    if not isinstance(key, Ed25519PublicKey):
        raise _wrong_key("public", path, type(key).__name__)
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError("the key cannot be read", found=str(error.strerror), where=str(path)) from error


def _wrong_key(kind: str, path: Path, found: str) -> InputError:
    expected = f"an Ed25519 {kind} key in PEM form, such as `overspill evidence keygen` writes"
    return InputError(f"the file is not such a {kind} key", expected=expected, found=found, where=str(path))


def public_pem(key: Ed25519PublicKey) -> bytes:
    """The public key as a PEM file."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the public key in DER form (`openssl pkey -pubin -in KEY.pub -outform DER | sha256sum`)."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def is_signed_by(key: Ed25519PublicKey, content: bytes, signature: bytes) -> bool:
    """Whether a signature over some bytes is of this key."""
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True
