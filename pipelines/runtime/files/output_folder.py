"""A step's files reach the user's folder as a set: a killed run leaves the previous set, or the new one.

The new set is first laid down whole beside the old one. From the renaming of its folder on it counts: if the
moving of its files into place is cut short, the next step that uses the folder completes it. Which files a
step has published is noted with their SHA-256; those that its next set no longer has are removed. A file that
no step has written, or that was changed since, is neither replaced nor removed.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from forecasting.errors import InputError, StepError
from pipelines.runtime.files.artifacts import file_digest, write_atomic
from pipelines.runtime.files.locks import lock_file

PART, WHOLE = ".overspill-part-", ".overspill-whole-"
PUBLISHED = ".overspill-published.json"  # step -> relative path -> digests of the file that it published
LOCK = ".overspill-publish.lock"
FILES, LIST = "files", "list.json"  # of a set that waits: its files, and path and digest of all of them
ABANDONED_SECONDS = 3600
Digests: TypeAlias = dict[str, list[str]]  # of the versions of a file by its path


def publish(files: Path, out: Path, *, name: str) -> None:
    """Put the files and folders of a step into `out` in place of what an earlier run of that step left there.

    One run at a time, where the folder allows locks.

    Raises
    ------
    InputError
        If a file lies in the way that no step has written, or that was changed since; nothing is moved.
    StepError
        If they cannot be written; what was there stays as it was.
    """
    part = out / f"{PART}{name}-{uuid.uuid4().hex}"
    try:
        with _convert_write_errors(out), _one_at_a_time(out) as alone:
            _sweep(out, alone=alone)
            _complete(out)
            shutil.copytree(files, part / FILES)
            listed = {
                str(path.relative_to(files)): [file_digest(path)]
                for path in sorted(files.rglob("*"))
                if not path.is_dir()
            }
            _check_own(out, listed, _published(out))
            (part / LIST).write_text(json.dumps(listed), encoding="utf-8")
            part.rename(out / f"{WHOLE}{name}")
            _complete(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def complete(out: Path) -> None:
    """Move a whole set into place, if one is waiting.

    Raises
    ------
    InputError, StepError
        If it cannot be moved, as in `publish`; it goes on waiting.
    """
    if any(out.glob(f"{WHOLE}*")):
        with _convert_write_errors(out), _one_at_a_time(out):
            _complete(out)


@contextmanager
def _convert_write_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StepError(f"{out}: the results cannot be written: {reason}") from error


@contextmanager
def _one_at_a_time(out: Path) -> Iterator[bool]:
    """Wait for other runs that publish into the folder; tells whether it could be locked."""
    try:
        lock = lock_file(out / LOCK)
    except OSError:  # a file system without locks
        yield False
        return
    with lock:
        yield True


def _sweep(out: Path, *, alone: bool) -> None:
    """Remove parts of killed runs, sets and lists alike; where others may be at work, only old ones.

    Names of steps begin with a letter; what `evidence.folder` lays beside its folder, with a number.
    """
    for part in (*out.glob(f"{PART}[a-z]*"), *out.glob(f".{PUBLISHED}.*.part")):
        with suppress(FileNotFoundError):
            if alone or part.stat().st_ctime < time.time() - ABANDONED_SECONDS:
                shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink()


def _complete(out: Path) -> None:
    for whole in sorted(out.glob(f"{WHOLE}*")):
        step = whole.name.removeprefix(WHOLE)
        if (whole / LIST).exists():  # else it has been moved, and was being removed
            published = _published(out)
            listed: Digests = json.loads((whole / LIST).read_text("utf-8"))
            waiting = {path: listed[path] for path in listed if (whole / FILES / path).exists()}
            _check_own(out, waiting, published)
            before = published.pop(step, {})
            known = {path: [*before.get(path, []), *listed.get(path, [])] for path in {**before, **listed}}
            _note(out, published | {step: known})  # a kill leaves no file unnoted
            others = {path for paths in published.values() for path in paths}
            gone = set(before) - set(listed) - others
            _remove(out, {path for path in gone if _is_one_of(out / path, before[path])})
            _move(whole / FILES, out)
            _note(out, published | {step: listed})
            (whole / LIST).unlink()
        shutil.rmtree(whole)


def _move(files: Path, out: Path) -> None:
    """Move what is still there of a set into place, each file in one step; folders are kept."""
    for folder, _, names in os.walk(files):
        target = out / Path(folder).relative_to(files)
        target.mkdir(exist_ok=True)
        for name in sorted(names):
            (Path(folder) / name).replace(target / name)


def _remove(out: Path, paths: Iterable[str]) -> None:
    """Remove files, and the folders that this leaves empty."""
    for path in paths:
        (out / path).unlink(missing_ok=True)
        for folder in Path(path).parents[:-1]:
            with suppress(OSError):  # there is something else in it
                (out / folder).rmdir()


def _is_one_of(path: Path, digests: Iterable[str]) -> bool:
    """Whether a path is a file of such content, and no link to one."""
    return path.is_file() and not path.is_symlink() and file_digest(path) in digests


def _check_own(out: Path, listed: Digests, published: Mapping[str, Digests]) -> None:
    """Refuse to replace files that no step has put there as they are."""
    for path, digests in listed.items():
        target = out / path
        if not (target.is_file() or target.is_symlink()):
            continue
        own = [digest for paths in published.values() for digest in paths.get(path, [])]
        if not _is_one_of(target, [*digests, *own]):
            raise InputError(
                "a file that overspill did not write, or that was changed since, would be lost",
                expected="another --out, or the file moved away",
                found=path,
                where=str(out),
            )


def _published(out: Path) -> dict[str, Digests]:
    try:
        noted: dict[str, object] = json.loads((out / PUBLISHED).read_text("utf-8"))
    except (FileNotFoundError, ValueError):  # none, or somebody has edited it: then no file counts as ours
        return {}
    return {step: paths for step, paths in noted.items() if isinstance(paths, dict)}


def _note(out: Path, published: Mapping[str, Digests]) -> None:
    text = json.dumps(published, indent=1, sort_keys=True) + "\n"
    write_atomic(out / PUBLISHED, lambda path: path.write_text(text, encoding="utf-8"))
