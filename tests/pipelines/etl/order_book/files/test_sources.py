"""A path may be a file, a folder, a glob or a list of them; folders named k=v bring columns along."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from forecasting.errors import InputError
from pipelines.etl.order_book.files.sources import list_again, list_sources, scan


@pytest.fixture
def tree(tmp_path):
    for name in (
        "2025/a.parquet",
        "2025/b.csv",
        "2026/c.parquet",
        "2026/notes.txt",
        "2026/_tmp.csv",
        ".d.csv",
    ):
        path = tmp_path / "orders" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path / "orders"


def names(tree, *paths):
    return [source.path.removeprefix(f"{tree}/") for source in list_sources(map(str, paths), {}).files]


def test_folder_means_every_order_file_below_it_and_tells_the_others(tree):
    listing = list_sources([str(tree)], {})
    assert names(tree, tree) == ["2025/a.parquet", "2025/b.csv", "2026/c.parquet"]
    assert listing.ignored == (f"{tree}/.d.csv", f"{tree}/2026/_tmp.csv", f"{tree}/2026/notes.txt")


def test_glob_list_and_single_file_mean_what_they_say_and_a_file_counts_once(tree):
    assert names(tree, tree / "*" / "*.parquet") == ["2025/a.parquet", "2026/c.parquet"]
    assert names(tree, tree / "**" / "*.csv") == ["2025/b.csv"]
    assert names(tree, tree / "2025" / "b.csv", tree / "2025") == ["2025/a.parquet", "2025/b.csv"]


def test_path_means_the_same_on_disk_as_in_a_bucket(tmp_path, meaning):
    path, wanted, ignored = meaning
    for name in meaning.names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    listing = list_sources([f"{tmp_path}/{path}"], {})
    assert [source.path.removeprefix(f"{tmp_path}/") for source in listing.files] == wanted
    assert [each.removeprefix(f"{tmp_path}/") for each in listing.ignored] == ignored


def test_linked_folders_are_followed_loops_are_not_and_a_file_linked_twice_counts_once(tree, tmp_path):
    away = tmp_path / "away"
    away.mkdir()
    (away / "e.csv").write_text("x")
    (tree / "2027").symlink_to(away)
    (tree / "2025" / "loop").symlink_to(tree)
    (tree / "2026" / "z.csv").symlink_to(tree / "2025" / "b.csv")
    assert names(tree, tree) == ["2025/a.parquet", "2025/b.csv", "2026/c.parquet", "2027/e.csv"]
    assert f"{tree}/2026/z.csv" in list_sources([str(tree)], {}).ignored


def test_relative_glob_means_paths_from_here(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert [source.path for source in list_sources(["*/*.csv"], {}).files] == ["2025/b.csv"]


def test_glob_does_not_look_into_folders_that_it_does_not_name(tree, monkeypatch):
    looked_into = []
    real = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: looked_into.append(path.name) or real(path))
    names(tree, tree / "2025*" / "*.csv")
    assert looked_into == ["orders", "2025"]


def test_file_whose_name_looks_like_a_glob_is_that_file(tree):
    odd = tree / "part[1].csv"
    odd.write_text("x")
    assert names(tree, odd) == ["part[1].csv"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none/*.parquet", "there is no file of order lines: expected CSV or Parquet, found none"),
        ("nothing.csv", r"nothing\.csv: the file cannot be read: found No such file or directory"),
        ("2026/notes.txt", r"a file of order lines is CSV or Parquet: .*found notes\.txt"),
    ],
)
def test_path_that_means_no_order_file_is_refused(tree, name, sentence):
    with pytest.raises(InputError, match=sentence):
        list_sources([str(tree / name)], {})


def test_empty_file_is_refused(tree):
    (tree / "2025" / "a.parquet").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.parquet: the file is empty"):
        list_sources([str(tree)], {})


def test_file_is_known_by_size_and_time_of_change(tree):
    path = tree / "2025" / "b.csv"
    source = list_sources([str(path)], {}).files[0]
    assert list_again(source, {}) == source
    path.write_text("xy")
    assert list_again(source, {}) != source


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_folders_named_like_columns_bring_them_unless_the_file_has_them(tmp_path, suffix):
    path = tmp_path / "end_use_country=US" / "sku=H100" / f"orders.{suffix}"
    path.parent.mkdir(parents=True)
    frame = pl.DataFrame({"order_id": ["SO-1"], "sku": ["H200"]})
    frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
    source = list_sources([str(tmp_path)], {}).files[0]
    read = scan(source, separator=",", storage_options={}).collect()
    assert read.to_dicts() == [{"order_id": "SO-1", "sku": "H200", "end_use_country": "US"}]
