"""Files are whole or absent, and a table that is no table is named in one sentence."""

from __future__ import annotations

import os

import polars as pl
import pytest

from forecasting.errors import InputError, StepError
from forecasting.panel.schema import content_digest
from pipelines.runtime.files.artifacts import (
    DIGEST_KEY,
    check_writable,
    read_table,
    write_atomic,
    write_table,
)

TABLE = pl.DataFrame({"item_id": ["a", "b"], "value": [1.0, 2.5]})


def test_written_table_reads_back_with_its_digest_and_a_csv_twin(tmp_path):
    digest = write_table(tmp_path, "panel", TABLE)
    assert read_table(tmp_path / "panel.parquet").equals(TABLE)
    assert pl.read_parquet_metadata(tmp_path / "panel.parquet")[DIGEST_KEY] == digest == content_digest(TABLE)
    assert pl.read_csv(tmp_path / "panel.csv").equals(TABLE)


def test_failing_writer_leaves_the_previous_file_whole_and_nothing_beside_it(tmp_path):
    path = tmp_path / "panel.parquet"
    path.write_text("before")

    def fail_half_way(beside):
        beside.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(
        StepError, match=r"panel\.parquet: the file cannot be written: No space left on device"
    ):
        write_atomic(path, fail_half_way)
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["panel.parquet"]


def test_full_disk_is_one_sentence_whoever_writes(tmp_path):
    with pytest.raises(
        StepError, match=r"panel\.parquet: the file cannot be written: .*No space left on device"
    ):
        write_atomic(tmp_path / "panel.parquet", lambda _: TABLE.write_parquet("/dev/full"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "the file does not exist: expected a Parquet file"),
        (b"", "the file is empty: expected a Parquet file, found 0 bytes"),
        (b"no parquet at all", "cut short or no Parquet file: found 17 bytes"),
    ],
)
def test_file_that_is_no_table_is_refused(tmp_path, content, sentence):
    path = tmp_path / "panel.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        read_table(path)


def test_truncated_parquet_is_refused(tmp_path):
    write_table(tmp_path, "panel", TABLE)
    whole = (tmp_path / "panel.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.parquet: the file is cut short or no Parquet file"):
        read_table(tmp_path / "cut.parquet")


def test_folder_that_cannot_be_made_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StepError, match="the output folder cannot be written"):
        check_writable(tmp_path / "file" / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StepError, match="the output folder cannot be written: Permission denied"):
        check_writable(tmp_path / "out")
