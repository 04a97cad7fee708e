"""What a file's bytes are known by, and that a file which went away is refused."""

from __future__ import annotations

import hashlib

import pytest

from forecasting.errors import InputError
from pipelines.etl.order_book.files.csv_structure import check_file
from pipelines.etl.order_book.files.sources import list_sources


def test_content_is_the_sha256_of_the_bytes(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_bytes(b"order_id,line,quantity\nSO-1,1,5\n")
    source = list_sources([str(path)], {}).files[0]
    proof = check_file(source, separator=",", storage_options={})
    assert proof.content == hashlib.sha256(path.read_bytes()).hexdigest()


def test_file_that_went_away_is_refused(tmp_path):
    path = tmp_path / "orders.parquet"
    path.write_bytes(b"PAR1")
    source = list_sources([str(path)], {}).files[0]
    path.unlink()
    with pytest.raises(InputError, match=r"orders\.parquet: the file cannot be read: found No such file"):
        check_file(source, separator=",", storage_options={})
