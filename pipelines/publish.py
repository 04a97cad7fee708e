"""A step's files reach the user's folder as a set: a killed run leaves the previous set, or the new one.

The new set is first laid down whole beside the old one. From the renaming of its folder on it counts: if the
moving of its files into place is cut short, the next step that uses the folder completes it. A folder that
overspill did not write is never taken away: files go into it beside those of others.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from forecasting.errors import StepError

PART, WHOLE, OLD = ".overspill-part-", ".overspill-whole-", ".overspill-old-"
FOLDERS = ".overspill-folders"  # names of the folders that were published, and may be replaced


def publish(files: Path, out: Path, *, name: str) -> None:
    """Put the files and folders of a step into `out` in place of what an earlier run of that step left there.

    Raises
    ------
    StepError
        If they cannot be written; what was there stays as it was.
    """
    part = out / f"{PART}{name}-{os.getpid()}"
    try:
        complete(out)
        shutil.copytree(files, part)
        part.rename(out / f"{WHOLE}{name}")
        complete(out)
    except OSError as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StepError(f"{out}: the results cannot be written: {reason}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def complete(out: Path) -> None:
    """Move a whole set into place, if one is waiting."""
    record = out / FOLDERS
    ours = set(record.read_text("utf-8").split("\n")) if record.exists() else set()
    for whole in out.glob(f"{WHOLE}*"):
        for entry in sorted(whole.iterdir()):
            target = out / entry.name
            if target.is_dir() and entry.name not in ours:
                shutil.copytree(entry, target, dirs_exist_ok=True)
                shutil.rmtree(entry)
                continue
            if entry.is_dir() and entry.name not in ours:
                ours.add(entry.name)
                record.write_text("\n".join(sorted(ours - {""})), encoding="utf-8")
            if target.is_dir() and not target.is_symlink():
                aside = out / f"{OLD}{entry.name}"
                shutil.rmtree(aside, ignore_errors=True)
                target.rename(aside)
            entry.replace(target)
        whole.rmdir()
    for aside in out.glob(f"{OLD}*"):
        shutil.rmtree(aside)
