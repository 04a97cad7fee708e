"""Artifacts follow a SQLite store: they lie beside its file, and their recorded places move with the folder.

MLflow records the place of each run's artifacts in full. A store that was copied or moved as a folder would
go on writing into the old place, so the recorded places are rewritten before it is used. Needs no MLflow.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from forecasting.errors import StepError
from pipelines.runtime.store.address import database

FOLDER = "artifacts"
ROOT_TAG, BEFORE_TAG = "overspill.artifact_root", "overspill.artifact_root_before"
PLACES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
    "trace_tags": ("value",),
}
"""Columns in which MLflow 3.17 records where artifacts are, by table."""
BUSY_SECONDS = 30.0


def artifact_root(uri: str) -> str | None:
    """Where the artifacts of a SQLite store lie, as a URI; None for any other store, which has its own."""
    file = database(uri)
    return None if file is None else (file.parent / FOLDER).as_uri()


def follow_store(uri: str) -> None:
    """Rewrite the recorded places of artifacts, if the store's folder was copied or moved since.

    One transaction; the caller holds the store's lock. Experiments whose artifacts were put elsewhere on
    purpose keep their place: only what lay beside the store's file, or lies beside it now, follows.

    Raises
    ------
    StepError
        If the store cannot be read, or was moved and cannot be written.
    """
    file, root = database(uri), artifact_root(uri)
    if file is None or root is None or not file.is_file():
        return
    with closing(sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        try:
            if not _moved_from(connection, file, root):
                return
            connection.execute("BEGIN IMMEDIATE")
            for old in _moved_from(connection, file, root):
                _rewrite(connection, old, root)
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise StepError(
                f"{file}: where the artifacts of the store are cannot be compared or recorded: {error}"
            ) from error
        except sqlite3.DatabaseError:  # it is no database, which MLflow reports
            return


def _moved_from(connection: sqlite3.Connection, file: Path, root: str) -> list[str]:
    """Roots under which the artifacts of experiments are recorded, though they lie beside the store now."""
    if not {"experiments", "runs", "experiment_tags"} <= _tables(connection):
        return []
    rows = connection.execute(
        "SELECT e.experiment_id, e.artifact_location, t.value FROM experiments e LEFT JOIN experiment_tags t "
        "ON t.experiment_id = e.experiment_id AND t.key = ? WHERE e.artifact_location <> ?",
        (ROOT_TAG, root),
    ).fetchall()
    return list(
        dict.fromkeys(
            location
            for experiment_id, location, recorded in rows
            if location.rstrip("/").endswith(f"/{FOLDER}")
            and not _is_same_folder(location, file.parent / FOLDER)
            and (recorded == location or _lie_beside(connection, experiment_id, file.parent / FOLDER))
        )
    )


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _lie_beside(connection: sqlite3.Connection, experiment_id: int, folder: Path) -> bool:
    """Whether a run's artifacts lie beside the store's file, wherever they are recorded."""
    runs = connection.execute("SELECT run_uuid FROM runs WHERE experiment_id = ?", (experiment_id,))
    return any((folder / run_id).is_dir() for (run_id,) in runs)


def _is_same_folder(location: str, folder: Path) -> bool:
    """Whether a recorded place is the folder itself by another path, such as through a link."""
    parts = urlsplit(location)
    path = Path(unquote(parts.path))
    if parts.scheme not in {"", "file"}:
        return True  # another kind of place, which does not move
    try:
        return path.samefile(folder)
    except OSError:
        return False


def _rewrite(connection: sqlite3.Connection, old: str, root: str) -> None:
    path, new_path = _path_of(old), _path_of(root)
    for table in PLACES.keys() & _tables(connection):
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        for column in set(PLACES[table]) & columns:
            for before, after in ((old.rstrip("/"), root), (path, new_path)):
                _rewrite_column(connection, f"{table}.{column}", before, after)
    folder, new_folder = path.removesuffix(f"/{FOLDER}"), new_path.removesuffix(f"/{FOLDER}")
    connection.execute(  # MLflow's own experiment, which it puts beside the store as the file is laid out
        "UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0 AND artifact_location = ?",
        (f"{new_folder}/0", f"{folder}/0"),
    )
    for key, value in ((ROOT_TAG, root), (BEFORE_TAG, old)):
        connection.execute(
            "INSERT OR REPLACE INTO experiment_tags (key, value, experiment_id) "
            "SELECT ?, ?, experiment_id FROM experiments WHERE artifact_location = ?",
            (key, value, root),
        )


def _rewrite_column(connection: sqlite3.Connection, name: str, before: str, after: str) -> None:
    """Replace a place, and the beginning of all places within it, in one column."""
    table, _, column = name.partition(".")
    connection.execute(
        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 - names of ours
        f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
        (after, len(before) + 1, before, len(before) + 1, f"{before}/"),
    )


def _path_of(uri: str) -> str:
    return unquote(urlsplit(uri).path).rstrip("/")
