"""Keys and signatures of evidence: who may read them, what is refused, and what other tools make of them."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from typer.testing import CliRunner

from forecasting.errors import InputError, StepError
from pipelines.cli.main import app
from pipelines.evidence.signature import fingerprint, generate_key, read_private_key, read_public_key


def command(*arguments):
    result = CliRunner().invoke(app, ["evidence", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_a_key_pair_is_written_once_and_the_private_key_is_for_its_owner_alone(tmp_path):
    path = tmp_path / "key"
    code, printed, _ = command("keygen", str(path), "--json")
    assert code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(printed)["fingerprint"] == fingerprint(read_public_key(tmp_path / "key.pub"))
    before = path.read_bytes(), (tmp_path / "key.pub").read_bytes()
    code, _, error = command("keygen", str(path))
    assert code == 2
    assert "a key is not overwritten" in error
    path.unlink()
    with pytest.raises(InputError, match=r"key\.pub: a key is not overwritten"):
        generate_key(path)
    assert not path.exists()
    assert (tmp_path / "key.pub").read_bytes() == before[1]


def test_the_fingerprint_is_the_digest_of_the_public_key_in_der_form(signing_key):
    key = read_public_key(signing_key.with_name("signer.pub"))
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert fingerprint(key) == hashlib.sha256(der).hexdigest()
    assert fingerprint(read_private_key(signing_key).public_key()) == fingerprint(key)


def test_keys_that_cannot_be_used_are_refused_in_one_sentence(tmp_path, signing_key):
    open_to_all = shutil.copy(signing_key, tmp_path / "open")
    open_to_all.chmod(0o644)
    with pytest.raises(InputError, match=r"must not be readable by other users: expected mode 0600.*0644"):
        read_private_key(open_to_all)
    with pytest.raises(InputError, match="not such a public key.*found a private key"):
        read_public_key(signing_key)
    with pytest.raises(InputError, match="the key cannot be read: found No such file"):
        read_public_key(tmp_path / "nowhere")
    other = generate_private_key(SECP256R1())
    curve = tmp_path / "curve"
    curve.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    curve.chmod(0o600)
    with pytest.raises(InputError, match="not such a private key: expected an Ed25519 private key"):
        read_private_key(curve)
    text = tmp_path / "text"
    text.write_text("hello")
    text.chmod(0o600)
    for read in (read_private_key, read_public_key):
        with pytest.raises(InputError, match="the file is not such a"):
            read(text)


def test_the_fingerprint_stands_in_manifest_json_html_and_the_run(signed, signing_key, tracker):
    by = fingerprint(read_public_key(signing_key.with_name("signer.pub")))
    assert json.loads((signed.out / "manifest.json").read_text())["signed_by"] == by
    assert json.loads((signed.out / "evidence.json").read_text())["signed_by"] == by
    assert by in (signed.out / "evidence.html").read_text()
    assert tracker.client.get_run(signed.run_id).data.tags["overspill.signed_by"] == by


def test_openssl_checks_the_signature_too(signed):
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl")
    asked = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "signer.pub"]
    done = subprocess.run(
        [*asked, "-in", "manifest.json", "-sigfile", "manifest.sig"],
        cwd=signed.out,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done


def test_command_signs_and_checks_with_the_key_and_exits_1_for_any_other(
    signed, signing_key, tmp_path, quick_verify
):
    generate_key(tmp_path / "other")
    code, printed, error = command("verify", str(signed.out), "--key", f"{signing_key}.pub", "--json")
    assert (code, error) == (0, "")
    assert json.loads(printed)["signature"].startswith("by the given key")
    code, printed, error = command("verify", str(signed.out), "--key", str(tmp_path / "other.pub"))
    assert (code, printed) == (1, "")
    assert "it is signed by the key" in error
    code, _, error = command("--sign", str(signing_key.with_name("signer.pub")), "--out", str(tmp_path / "e"))
    assert code == 2
    assert "private key" in error


@pytest.mark.parametrize("name", ["manifest.sig", "signer.pub"])
def test_a_signed_folder_without_its_signature_or_key_is_refused(name, signed, tmp_path, quick_verify):
    folder = shutil.copytree(signed.out, tmp_path / "evidence")
    (folder / name).unlink()
    with pytest.raises(StepError, match=f"{name}: the file is missing"):
        quick_verify(folder)


def test_a_flipped_bit_of_the_signature_is_found_with_and_without_the_key(
    signed, signing_key, tmp_path, quick_verify
):
    folder = shutil.copytree(signed.out, tmp_path / "evidence")
    path = folder / "manifest.sig"
    whole = path.read_bytes()
    for broken in (bytes([whole[0] ^ 1]) + whole[1:], whole[:-1], b""):
        path.write_bytes(broken)
        for key in (None, read_public_key(signing_key.with_name("signer.pub"))):
            with pytest.raises(StepError, match="the manifest is not signed by the key"):
                quick_verify(folder, key=key)
