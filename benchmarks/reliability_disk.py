"""A full disk at each writing step: results, cache, store, temporary files and the state of a job."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reliability_command import Ended, Workplace, started, wait_for
from reliability_result import Case, damaged, judged, leftovers, refused, torn

ROOM = "size=96m"  # for an earlier result and its successor
BALLAST = "ballast"
SECONDS = 240.0


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A command one of whose folders lies on a file system that is filled.

    Attributes
    ----------
    name : str
    command : sequence of str
    out, store : Path
    temporary : Path
        Folder of its temporary files.
    left : sequence of int
        KiB that are left to it, one case each.
    """

    name: str
    command: Sequence[str]
    out: Path
    store: Path
    temporary: Path
    left: Sequence[int]

    def run(self, folder: Path) -> Ended:
        """How the command ends."""
        process = started(self.command, folder, TMPDIR=str(self.temporary))
        return wait_for(process, seconds=SECONDS)


def disk(place: Workplace, _: int, __: random.Random) -> Iterator[Case]:
    """Each command over an earlier result; then there is room again, and it must work."""
    if os.geteuid() != 0:
        return
    for number in range(len(_filled(place, place.folder))):
        with _mounted(place.folder) as mount:
            if mount is not None:
                yield from _cases(_filled(place, mount)[number], place, mount)


def _filled(place: Workplace, mount: Path) -> list[Filled]:
    here = place.folder / "disk"
    usual = {"out": here / "out", "cache": here / "cache", "store": here / "etl.db", "temporary": here}
    here.mkdir(exist_ok=True)
    found = []
    for what in usual:
        at = usual | {what: mount / "x.db" if what == "store" else mount / "x"}
        command = place.etl(out=at["out"], cache=at["cache"], store=at["store"])
        found.append(
            Filled(
                name=f"etl, {what}",
                command=command,
                out=at["out"],
                store=at["store"],
                temporary=at["temporary"],
                left=(0, 4, 32, 256),
            )
        )
    for name, store, state, left in (
        ("run, store", mount / "run.db", None, (0, 256, 1024, 4096)),
        ("run --train --state, state", here / "run.db", mount / "state", (0, 64)),
    ):
        train = [] if state is None else ["--train", f"--state={state}", "--set=train.fine_tuning.steps=4"]
        command = [*place.run(out=here / name[-5:], store=store), *train]
        found.append(
            Filled(name=name, command=command, out=here / name[-5:], store=store, temporary=here, left=left)
        )
    return found


def _cases(filled: Filled, place: Workplace, mount: Path) -> Iterator[Case]:
    filled.temporary.mkdir(exist_ok=True)
    first = filled.run(place.folder)
    if first.code:
        raise RuntimeError(f"{filled.name} failed undisturbed: {first.said()}")
    files = [
        str(path.relative_to(filled.out))
        for path in filled.out.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(filled.out).parts)
    ]
    for left in filled.left:
        _fill(mount, left)
        ended = filled.run(place.folder)
        (mount / BALLAST).unlink()
        faults = [] if ended.code == 0 else [*refused(ended.code, ended.stderr, codes=(1,))]
        faults += [*torn(filled.out, files), *damaged(filled.store)]
        name = f"{filled.name}, {left} KiB left, exit {ended.code}"
        yield judged("disk", name, faults, seconds=ended.seconds, said=ended.said())
    ended = filled.run(place.folder)
    faults = [f"exit {ended.code}"] if ended.code else []
    faults += [*torn(filled.out, files), *damaged(filled.store), *leftovers(filled.out)]
    yield judged("disk", f"{filled.name}, room again", faults, seconds=ended.seconds, said=ended.said())


def _fill(mount: Path, left: int) -> None:
    """Leave so many KiB on a file system."""
    room = os.statvfs(mount)
    size = room.f_bavail * room.f_frsize - left * 1024
    with (mount / BALLAST).open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


@contextmanager
def _mounted(folder: Path) -> Iterator[Path | None]:
    """A small file system in memory; None where it may not be mounted."""
    mount = Path(tempfile.mkdtemp(prefix="full-", dir=folder))
    done = wait_for(started(["mount", "-t", "tmpfs", "-o", ROOM, "tmpfs", str(mount)], folder))
    try:
        yield mount if done.code == 0 else None
    finally:
        if done.code == 0:
            wait_for(started(["umount", str(mount)], folder))
