"""An evidence folder is replaced as a whole: a killed run leaves the earlier one, or the new one."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from forecasting.errors import InputError, StepError
from pipelines.evidence.manifest import MANIFEST
from pipelines.runtime.files.artifacts import file_digest

PART = ".overspill-part-"
BESIDE_MANIFEST = {MANIFEST, "manifest.sig"}  # what a manifest cannot list: itself, and a signature of it


def check_replaceable(out: Path) -> None:
    """Refuse a folder that holds something else than evidence, before any work is done.

    Raises
    ------
    InputError
        If the place is a file, or a folder with files that are not in its manifest or were changed since.
    """
    if out.exists() and not out.is_dir():
        raise InputError("the output must be a folder", found="a file", where=str(out))
    if out.is_dir() and (others := _others(out)):
        raise InputError(
            "the folder holds other files and would be replaced",
            expected="an evidence folder as it was written, an empty one, or none",
            found=", ".join(others[:3]),
            where=str(out),
        )


def _others(out: Path) -> list[str]:
    """Files of a folder that its manifest does not list as they are."""
    try:
        listed = json.loads((out / MANIFEST).read_text("utf-8"))["files"]
        known = {name: entry["sha256"] for name, entry in listed.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return sorted(path.name for path in out.iterdir())
    found = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if not path.is_dir()}
    return sorted(
        name
        for name, path in found.items()
        if name not in BESIDE_MANIFEST and (path.is_symlink() or file_digest(path) != known.get(name))
    )


def check_finished(out: Path) -> None:
    """Refuse a place whose evidence is being written or was left half-written; nothing is changed.

    Raises
    ------
    InputError
        If there is no folder, but an earlier one or a new one lies beside it under the name of a part.
    """
    if not out.exists() and (_old(out).is_dir() or _parts(out)):
        raise InputError(
            "the evidence is being written, or its writing was cut short",
            expected="a finished folder: wait, or write the evidence again",
            found="parts of it beside that place",
            where=str(out),
        )


def settle(out: Path) -> None:
    """Put the earlier evidence back, if a run was killed while it was being replaced."""
    old = _old(out)
    if old.is_dir() and not out.exists():
        old.rename(out)


@contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """Hand out a new folder beside `out`; once it is filled without error it takes the place of `out`.

    Raises
    ------
    StepError
        If it cannot be written; what was there stays as it was.
    """
    out = out.resolve()
    part, old = out.with_name(f"{PART}{os.getpid()}-{socket.gethostname()}-{out.name}"), _old(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        settle(out)
        _clear(out)
        part.mkdir()
        yield part
        shutil.rmtree(old, ignore_errors=True)
        if out.exists():
            out.rename(old)
        part.rename(out)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise StepError(f"{out}: the evidence cannot be written: {error.strerror or error}") from error
    finally:
        settle(out)
        shutil.rmtree(part, ignore_errors=True)


def _old(out: Path) -> Path:
    return out.with_name(f".overspill-old-{out.name}")


def _clear(out: Path) -> None:
    """Remove what killed runs of this machine left of the folder; other parts may be of a run at work."""
    for part in _parts(out):
        process, _, rest = part.name.removeprefix(PART).partition("-")
        if rest == f"{socket.gethostname()}-{out.name}" and not _is_there(int(process)):
            shutil.rmtree(part, ignore_errors=True)


def _parts(out: Path) -> list[Path]:
    """Parts of the folder by processes of any machine: each is named by process, machine and folder."""
    named = (path for path in out.parent.glob(f"{PART}[0-9]*") if path.name.endswith(f"-{out.name}"))
    return [path for path in named if path.name.removeprefix(PART).partition("-")[0].isdecimal()]


def _is_there(process: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(process, 0)
        except (ProcessLookupError, OverflowError):
            return False
    return True
