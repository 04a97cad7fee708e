"""What somebody attests of conditions that no data can show: a file of the applicant's own, checked.

`template` writes such a file for a policy, to be filled in.
"""

from __future__ import annotations

import datetime as dt
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from forecasting.errors import InputError, StepError
from forecasting.policy.clauses import FOUNDRY
from forecasting.policy.policy import Policy
from pipelines.evidence.figure_records import Attestation
from pipelines.runtime.config.data import Frozen
from pipelines.runtime.config.validation import validated
from pipelines.runtime.config.yaml_text import read
from pipelines.runtime.files.artifacts import file_digest

ATTESTATIONS = "attestations.yaml"
"""Name of the copy in an evidence folder."""
WORDS = {
    FOUNDRY: "Production for the export takes no global foundry capacity from similar or more advanced "
    "products for end users in the United States."
}
HEAD = """\
# What somebody attests of conditions that no data can show. Take the # from a condition and fill it in;
# a condition that stays a comment remains open. Pass the file with
# `overspill evidence --attestations FILE`.
policy: {policy}
attestations:"""
FIELDS = """\
  # {name}:
  #   statement: what is attested, in a sentence or two
  #   by: name, office and company of the person who attests it
  #   date: 2026-01-31
  #   document: title, number or place of the document behind it
  #   sha256: its SHA-256, as sha256sum prints it
  #   file: its path from this file (may be left out; if given, its SHA-256 is checked)"""
DIGEST = re.compile(r"[0-9a-f]{64}")


class _Stated(Frozen):
    """One attestation as the file has it."""

    statement: str
    by: str
    date: dt.date
    document: str
    sha256: str
    file: str | None = None


class _File(Frozen):
    """The file as a whole."""

    policy: str
    attestations: dict[str, _Stated] | None


def read_attestations(
    path: Path, policy: Policy, *, day: dt.date, documents: bool = True
) -> tuple[Attestation, ...]:
    """Attestations of a policy's conditions, in the order of the rule.

    Parameters
    ----------
    path : Path
    policy : Policy
    day : date
        On which the evidence is made; nothing can have been attested after it.
    documents : bool
        Whether a document whose file is named is looked up, beside the attestations, and its hash checked.

    Raises
    ------
    InputError
        For another policy, a condition that the policy does not have or that is computed, a day to come,
        something left empty, or a document with another hash; the sentence names the file and the key.
    """
    stated = validated(_File, read(path), {"": str(path)})
    if stated.policy != policy.name:
        raise InputError(
            "the attestations are of another policy",
            expected=policy.name,
            found=repr(stated.policy),
            where=f"{path}, key policy",
        )
    said = stated.attestations
    if not said:
        raise InputError("the file attests nothing", expected="at least one condition", where=str(path))
    for name in said:
        _check_condition(name, policy, where=f"{path}, key attestations.{name}")
    return tuple(
        _checked(path, name, said[name], day=day, documents=documents)
        for name in policy.attestable
        if name in said
    )


def _check_condition(name: str, policy: Policy, *, where: str) -> None:
    if name in policy.attestable:
        return
    listed = name in policy.order
    raise InputError(
        "the condition is computed from data and cannot be attested"
        if listed
        else "the policy has no such condition",
        expected="one of "
        + (", ".join(policy.attestable) or "none: the policy lists no condition to attest"),
        found=repr(name),
        where=where,
    )


def _checked(path: Path, name: str, given: _Stated, *, day: dt.date, documents: bool) -> Attestation:
    where = f"{path}, key attestations.{name}"
    for key in ("statement", "by", "document"):
        if not getattr(given, key).strip():
            raise InputError("an attestation leaves nothing empty", expected="text", where=f"{where}.{key}")
    if given.date > day:
        raise InputError(
            "nothing can have been attested on a day to come",
            expected=f"{day} or before",
            found=str(given.date),
            where=f"{where}.date",
        )
    if DIGEST.fullmatch(given.sha256) is None:
        raise InputError(
            "a SHA-256 has 64 hexadecimal digits in lower case",
            expected="such as sha256sum prints",
            found=repr(given.sha256),
            where=f"{where}.sha256",
        )
    if documents and given.file is not None:
        _check_document(path.parent / given.file, given.sha256, where=f"{where}.file")
    return Attestation(
        condition=name,
        statement=" ".join(given.statement.split()),
        by=given.by,
        date=given.date,
        document=given.document,
        sha256=given.sha256,
        checked=given.file is not None,
    )


def _check_document(path: Path, sha256: str, *, where: str) -> None:
    if not path.is_file():
        raise InputError("the document cannot be found", expected="a file", found=str(path), where=where)
    found = file_digest(path)
    if found != sha256:
        raise InputError(
            "the document is not the one that was attested",
            expected=f"SHA-256 {sha256}",
            found=found,
            where=where,
        )


def template(policy: Policy) -> str:
    """A file of attestations to fill in, every condition of the policy that may be attested as a comment.

    Raises
    ------
    InputError
        If the policy lists none.
    """
    if not policy.attestable:
        raise InputError(
            "the policy lists no condition to attest", expected="conditions", where=f"policy {policy.name}"
        )
    parts = [HEAD.format(policy=policy.name)]
    for name in policy.attestable:
        stated = policy.stated(name)
        words = " ".join(((stated.words if stated else None) or WORDS[name]).split())
        comment = textwrap.wrap(words, 104, initial_indent="  # ", subsequent_indent="  # ")
        parts.append("\n".join([*comment, FIELDS.format(name=name)]))
    return "\n\n".join(parts) + "\n"


def check_documents(attestations: Sequence[Attestation], folder: Path) -> int:
    """Look for every attested document in a folder, by its SHA-256; returns how many there are.

    Raises
    ------
    InputError
        If the folder does not exist.
    StepError
        If a document is not in it.
    """
    if not folder.is_dir():
        raise InputError(
            "the documents are in a folder", expected="a folder", found="none", where=str(folder)
        )
    found = {file_digest(path) for path in folder.rglob("*") if path.is_file()}
    for each in attestations:
        if each.sha256 not in found:
            raise StepError(
                f"{folder}: no file is the document of {each.condition}, {each.document} "
                f"(SHA-256 {each.sha256})"
            )
    return len(attestations)
