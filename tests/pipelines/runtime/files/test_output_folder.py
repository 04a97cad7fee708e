"""Results reach the user's folder as a set, wherever a run is cut short."""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from forecasting.errors import InputError, StepError
from pipelines.runtime.files.output_folder import ABANDONED_SECONDS, LOCK, PART, PUBLISHED, complete, publish

OLD = {"panel.parquet": "old", "quarantine/a": "old", "quarantine/b": "old"}
NEW = {"panel.parquet": "new", "quarantine/b": "new", "summary.json": "new"}


def lay(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def held(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".overspill") for part in path.relative_to(folder).parts)
    }


def noted(files):
    return {name: [hashlib.sha256(text.encode()).hexdigest()] for name, text in files.items()}


@pytest.fixture
def out(tmp_path):
    lay(
        tmp_path / "out",
        OLD | {PUBLISHED: json.dumps({"etl": noted(OLD)}), "mine.txt": "kept", ".hidden.old": "kept"},
    )
    lay(tmp_path / "new", NEW)
    return tmp_path / "out"


KEPT = {"mine.txt": "kept", ".hidden.old": "kept"}


def test_new_set_takes_the_place_of_the_old_one_and_leaves_other_files_alone(out):
    publish(out.parent / "new", out, name="etl")
    assert held(out) == NEW | KEPT
    assert {path.name for path in out.glob(".overspill*")} == {LOCK, PUBLISHED}


def refused(out, name):
    before = held(out)
    with pytest.raises(InputError, match=f"{out}: a file that overspill did not write.*found {name}$"):
        publish(out.parent / "new", out, name="etl")
    assert held(out) == before
    assert not list(out.glob(f"{PART}*")) + list(out.glob(".overspill-whole*"))


def test_file_that_no_step_has_written_is_not_replaced_and_is_named(out):
    (out / PUBLISHED).unlink()
    refused(out, "panel.parquet")
    (out / "panel.parquet").unlink()
    refused(out, "quarantine/b")


@pytest.mark.parametrize("name", ["panel.parquet", "quarantine/b"])
def test_file_that_was_changed_since_is_not_replaced(out, name):
    (out / name).write_text("my own notes")
    refused(out, name)


def test_link_is_not_replaced_even_where_it_leads_to_a_file_of_the_step(out):
    (out / "panel.parquet").rename(out.parent / "elsewhere")
    (out / "panel.parquet").symlink_to(out.parent / "elsewhere")
    refused(out, "panel.parquet")


def test_file_that_was_changed_since_is_not_removed_with_the_rest_of_its_set(out):
    (out / "quarantine/a").write_text("my own notes")
    publish(out.parent / "new", out, name="etl")
    assert held(out) == NEW | KEPT | {"quarantine/a": "my own notes"}


def test_file_of_the_same_content_is_in_nobodys_way_and_a_second_run_replaces_the_first(out):
    (out / PUBLISHED).unlink()
    for name in OLD:
        (out / name).unlink()
    lay(out, {"panel.parquet": "new"})
    publish(out.parent / "new", out, name="etl")
    lay(out.parent / "newer", {"panel.parquet": "newer", "quarantine/c": "newer"})
    publish(out.parent / "newer", out, name="etl")
    assert held(out) == KEPT | {"panel.parquet": "newer", "quarantine/c": "newer"}


def test_note_of_an_earlier_version_makes_no_file_ours(out):
    (out / PUBLISHED).write_text(json.dumps({"etl": sorted(OLD)}))
    refused(out, "panel.parquet")


def test_twin_that_is_no_longer_written_is_removed_and_what_another_step_published_is_not(tmp_path):
    lay(tmp_path / "small", {"panel.parquet": "1", "panel.csv": "1", "notes/a": "1", "shared": "1"})
    lay(tmp_path / "large", {"panel.parquet": "2"})
    lay(tmp_path / "other", {"windows.csv": "1", "shared": "other"})
    out = tmp_path / "out"
    out.mkdir()
    for name, step in (("small", "etl"), ("other", "windows"), ("large", "etl")):
        publish(tmp_path / name, out, name=step)
    assert held(out) == {"panel.parquet": "2", "windows.csv": "1", "shared": "other"}
    assert not (out / "notes").exists()


def test_file_takes_the_place_of_a_folder_of_an_earlier_set(tmp_path):
    lay(tmp_path / "one", {"quarantine/a": "1"})
    lay(tmp_path / "two", {"quarantine": "2"})
    out = tmp_path / "out"
    out.mkdir()
    for name in ("one", "two", "one"):
        publish(tmp_path / name, out, name="etl")
    assert held(out) == {"quarantine/a": "1"}


class Killed(BaseException):
    """What a kill looks like from inside."""


@pytest.mark.parametrize("calls", range(16))
def test_set_is_whole_wherever_the_run_is_killed(out, monkeypatch, calls):
    left = [calls]

    def cut(real):
        def moved(self, *arguments, **options):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return real(self, *arguments, **options)

        return moved

    with monkeypatch.context() as patched:
        for name in ("rename", "replace", "unlink", "rmdir"):
            patched.setattr(Path, name, cut(getattr(Path, name)))
        try:
            publish(out.parent / "new", out, name="etl")
        except Killed:
            if calls == 0:
                assert held(out) == OLD | KEPT  # before the commit nothing has moved
    complete(out)
    assert held(out) == (OLD if calls == 0 else NEW) | KEPT
    assert not list(out.glob(".overspill-whole*"))


def test_disk_that_cannot_be_written_leaves_the_old_set(out, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.runtime.files.output_folder.shutil.copytree", full)
    with pytest.raises(StepError, match="the results cannot be written: No space left on device"):
        publish(out.parent / "new", out, name="etl")
    assert held(out) == OLD | KEPT


def test_sets_that_are_published_at_once_do_not_break_each_other(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for me in "ab":
        lay(tmp_path / me, dict.fromkeys(["1", "2", "3", f"quarantine/{me}"], me))

    def often(me):
        for _ in range(30):
            publish(tmp_path / me, out, name="etl")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(often, "ab"))
    [last] = set(held(out).values())
    assert held(out) == dict.fromkeys(["1", "2", "3", f"quarantine/{last}"], last)


def test_part_of_a_killed_run_is_swept_and_what_evidence_lays_down_is_not(out):
    lay(out, {f"{PART}etl-1/files/a": "cut short", f"{PART}12-evidence/a": "being written"})
    publish(out.parent / "new", out, name="etl")
    assert [path.name for path in out.glob(f"{PART}*")] == [f"{PART}12-evidence"]


def test_list_that_a_killed_run_was_writing_is_swept(out):
    lay(out, {f".{PUBLISHED}.12-34.part": "cut sh"})
    publish(out.parent / "new", out, name="etl")
    assert not list(out.glob("*.part"))
    assert held(out) == NEW | KEPT


def test_folder_without_locks_is_published_into_and_only_old_parts_are_swept(out, monkeypatch):
    def refuse(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lay(out, {f"{PART}etl-1/files/a": "of a run at work, or cut short"})
    publish(out.parent / "new", out, name="etl")
    assert held(out) == NEW | KEPT
    assert len(list(out.glob(f"{PART}*"))) == 1
    later = time.time() + ABANDONED_SECONDS + 1
    monkeypatch.setattr("pipelines.runtime.files.output_folder.time.time", lambda: later)
    publish(out.parent / "new", out, name="etl")
    assert not list(out.glob(f"{PART}*"))


def test_set_that_cannot_be_moved_is_told_and_moved_once_it_can(out):
    for path in (out / "quarantine").iterdir():
        path.unlink()
    (out / "quarantine").rmdir()
    lay(out, {"quarantine": "a file of somebody else"})
    with pytest.raises(StepError, match="the results cannot be written"):
        publish(out.parent / "new", out, name="etl")
    with pytest.raises(StepError, match="the results cannot be written"):
        complete(out)
    (out / "quarantine").unlink()
    complete(out)
    assert held(out) == NEW | KEPT
