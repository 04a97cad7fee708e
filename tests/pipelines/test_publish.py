"""Results reach the user's folder as a set, wherever a run is cut short."""

from __future__ import annotations

from pathlib import Path

import pytest

from forecasting.errors import StepError
from pipelines.publish import FOLDERS, complete, publish

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


@pytest.fixture
def out(tmp_path):
    lay(tmp_path / "out", OLD | {FOLDERS: "quarantine", "mine.txt": "kept", ".hidden.old": "kept"})
    lay(tmp_path / "new", NEW)
    return tmp_path / "out"


KEPT = {"mine.txt": "kept", ".hidden.old": "kept"}


def test_new_set_takes_the_place_of_the_old_one_and_leaves_other_files_alone(out):
    publish(out.parent / "new", out, name="etl")
    assert held(out) == NEW | KEPT
    assert [path.name for path in out.glob(".overspill*")] == [FOLDERS]


def test_folder_of_somebody_else_keeps_its_files(out):
    (out / FOLDERS).unlink()
    publish(out.parent / "new", out, name="etl")
    assert held(out) == NEW | KEPT | {"quarantine/a": "old"}
    assert not (out / FOLDERS).exists()


class Killed(BaseException):
    """What a kill looks like from inside."""


@pytest.mark.parametrize("calls", range(12))
def test_set_is_whole_wherever_the_run_is_killed(out, monkeypatch, calls):
    left = [calls]

    def cut(real):
        def moved(self, target):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return real(self, target)

        return moved

    with monkeypatch.context() as patched:
        for name in ("rename", "replace"):
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

    monkeypatch.setattr("pipelines.publish.shutil.copytree", full)
    with pytest.raises(StepError, match="the results cannot be written: No space left on device"):
        publish(out.parent / "new", out, name="etl")
    assert held(out) == OLD | KEPT
