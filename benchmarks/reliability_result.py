"""What a command has left behind: whether its files are whole, and its store is sound."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from forecasting.errors import OverspillError
from pipelines.runtime.files.artifacts import file_digest
from pipelines.runtime.files.output_folder import PUBLISHED, complete
from pipelines.runtime.store.tags import STEP_TAG

LEFTOVERS = (".overspill-part-*", ".overspill-whole-*", ".*.part")
PATIENCE = 30.0  # seconds that a look into the store waits for others
OF_COMMANDS = (  # two commands may both find a store without the weights, and register them
    "SELECT status, count(*) FROM runs WHERE run_uuid NOT IN "
    "(SELECT run_uuid FROM tags WHERE key = ? AND value = 'weights') GROUP BY status"
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case: what was done, whether it ended as it must, and why not."""

    section: str
    name: str
    passed: bool
    why: str
    seconds: float


def judged(section: str, name: str, faults: Iterable[str], *, seconds: float, said: str = "") -> Case:
    """A case with its faults, and the command's last words if there is any."""
    listed = [fault for fault in faults if fault]
    why = ", ".join(listed) + (f": {said}" if said else "") if listed else ""
    return Case(section=section, name=name, passed=not listed, why=why, seconds=seconds)


def refused(code: int, stderr: str, *, codes: Iterable[int] = (1, 2)) -> Iterator[str]:
    """Faults of an end that should be one sentence and an exit status of an error."""
    if code not in codes:
        yield f"exit {code}"
    if "Traceback" in stderr:
        yield "traceback"
    sentences = sum(line.startswith("error:") for line in stderr.splitlines())
    if sentences != 1:
        yield f"{sentences} sentences"


def torn(out: Path, names: Iterable[str]) -> Iterator[str]:
    """Faults of a result: each of `names` must be there, as a step published it, and every table readable.

    A set that waits to be moved into place is moved first, as the next command would do.
    """
    try:
        complete(out)
    except OverspillError as error:
        yield str(error)
    missing = sorted(name for name in names if not (out / name).is_file())
    if missing:
        yield f"lost {missing[0]} and {len(missing) - 1} others"
    published = json.loads((out / PUBLISHED).read_text(encoding="utf-8"))
    for path in {path for paths in published.values() for path in paths}:
        known = [digest for paths in published.values() for digest in paths.get(path, [])]
        if (out / path).is_file() and file_digest(out / path) not in known:
            yield f"{path} is not what a step published"
    yield from unreadable(out)


def unreadable(folder: Path) -> Iterator[str]:
    """Tables that cannot be read."""
    for path in sorted(folder.rglob("*.parquet")):
        if not any(part.startswith(".overspill-part-") for part in path.parts):
            try:
                pl.read_parquet(path)
            except (OSError, pl.exceptions.PolarsError) as error:
                yield f"{path.name} cannot be read: {error}"


def leftovers(out: Path) -> Iterator[str]:
    """What a command should have swept away."""
    yield from (f"{path.name} is left" for pattern in LEFTOVERS for path in out.rglob(pattern))


def damaged(store: Path) -> Iterator[str]:
    """Faults of a SQLite store."""
    if not store.exists():
        return
    with closing(sqlite3.connect(store, timeout=PATIENCE)) as connection:
        found = connection.execute("PRAGMA quick_check").fetchone()[0]
    if found != "ok":
        yield f"the store is damaged: {found}"


def statuses(store: Path) -> dict[str, int]:
    """Number of runs in a SQLite store by status, without those that registered the package's weights."""
    with closing(sqlite3.connect(store, timeout=PATIENCE)) as connection:
        return dict(connection.execute(OF_COMMANDS, (STEP_TAG,)).fetchall())
