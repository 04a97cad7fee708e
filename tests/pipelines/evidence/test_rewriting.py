"""The evidence folder is written as a whole: it replaces itself as a set and leaves other files alone."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import pytest

from forecasting.errors import InputError, StepError
from pipelines.evidence import folder
from pipelines.evidence.folder import check_replaceable, replaced, settle
from pipelines.evidence.step import write_evidence
from pipelines.evidence.verify import verify


def test_writing_again_replaces_the_folder_and_leaves_nothing_beside_it(whole_run, tracker, tmp_path):
    out, windows = tmp_path / "evidence", whole_run.run_ids["windows"]
    first = write_evidence(tracker, out, windows_run_id=windows, policy="presumption_of_denial")
    second = write_evidence(tracker, out, windows_run_id=windows, policy="scale_act_2026")
    assert first.seal != second.seal
    assert verify(out)["seal"] == second.seal
    assert [path.name for path in tmp_path.iterdir()] == ["evidence"]


def test_a_run_that_is_killed_while_it_writes_leaves_the_earlier_evidence(copied):
    before = verify(copied)["seal"]
    with suppress(KeyboardInterrupt), replaced(copied) as fresh:
        (fresh / "evidence.json").write_text("{}")
        raise KeyboardInterrupt
    assert verify(copied)["seal"] == before
    assert [path.name for path in copied.parent.iterdir()] == [copied.name]


def test_a_run_that_is_killed_between_the_two_renames_leaves_the_earlier_evidence(copied, monkeypatch):
    before = verify(copied)["seal"]
    rename = Path.rename

    def dies(path, target):
        if folder.PART in path.name:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", dies)
    monkeypatch.setattr(folder, "settle", lambda _: None)  # a killed process tidies nothing
    with suppress(KeyboardInterrupt), replaced(copied) as fresh:
        (fresh / "evidence.json").write_text("{}")
    monkeypatch.undo()
    assert not copied.exists()
    parts = sorted(path.name for path in copied.parent.iterdir())
    with pytest.raises(InputError, match="the evidence is being written, or its writing was cut short"):
        verify(copied)
    assert sorted(path.name for path in copied.parent.iterdir()) == parts
    settle(copied)
    assert verify(copied)["seal"] == before


def test_what_a_killed_run_left_is_cleared_and_what_a_living_one_writes_is_kept(tmp_path):
    here = socket.gethostname()
    dead, living, elsewhere, others = (
        tmp_path / f"{folder.PART}{name}"
        for name in (
            f"4194999-{here}-evidence",
            f"1-{here}-evidence",
            f"4194999-not-{here}-evidence",
            f"4194999-{here}-other-evidence",
        )
    )
    for part in (dead, living, elsewhere, others):
        part.mkdir()
    with replaced(tmp_path / "evidence") as fresh:
        (fresh / "a").write_text("a")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [living.name, elsewhere.name, others.name, "evidence"]
    )


def test_folders_with_other_files_are_refused_and_left_alone(tmp_path, whole_run, tracker):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"holds other files and would be replaced.*thesis\.txt"):
        write_evidence(tracker, tmp_path, windows_run_id=whole_run.run_ids["windows"])
    with pytest.raises(InputError, match="the output must be a folder"):
        check_replaceable(tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path, whole_run, tracker):
    (tmp_path / "file").write_text("")
    with pytest.raises(StepError, match="cannot be written"):
        write_evidence(tracker, tmp_path / "file" / "evidence", windows_run_id=whole_run.run_ids["windows"])
