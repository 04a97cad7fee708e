"""A re-run reads only what is new or changed, gives what a first run would, and goes on where one died."""

from __future__ import annotations

import datetime as dt
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import psutil
import pytest

from pipelines.etl.order_book.incremental.across_files import PARTIAL
from pipelines.etl.order_book.incremental.manifest import MANIFEST
from pipelines.etl.order_book.us_first_check import DerivedTables, overtakings

RESULTS = ("panel", "series", "shipped_by_country", "priority_inversions")


def results(bench):
    return {name: bench.read(name) for name in RESULTS}, bench.summary, bench.quarantine


def same(one, other):
    tables, *rest = one
    others, *other_rest = other
    return all(tables[name].equals(others[name]) for name in RESULTS) and rest == other_rest


def test_unchanged_files_are_not_read_again(bench, digested):
    bench.write(bench.lines(200), 3)
    bench.etl()
    first = results(bench)
    digested.clear()
    bench.etl()
    assert digested == []
    assert same(results(bench), first)


def test_new_changed_and_touched_files_are_told_apart(bench, digested):
    paths = bench.write(bench.lines(200), 3)
    bench.etl()
    digested.clear()
    os.utime(paths[0], (1, 1))
    bench.table(bench.lines(50, seed=1)).write_parquet(paths[1])
    bench.table(bench.lines(50, seed=2)).write_parquet(bench.orders / "part-9.parquet")
    bench.etl()
    assert sorted(digested) == ["part-1.parquet", "part-9.parquet"]
    again = results(bench)
    bench.etl(f"data.cache={bench.folder / 'empty'}")
    assert same(results(bench), again)


def test_file_of_the_same_size_whose_time_of_change_was_put_back_is_read_again(bench, digested):
    [path] = bench.write(bench.lines(50), suffix="csv")
    bench.etl()
    before = path.stat()
    text = path.read_text()
    number = text.index(",H200,")
    path.write_text(text[:number] + ",H100," + text[number + 6 :])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    digested.clear()
    bench.etl()
    assert digested == [path.name]


def test_relative_path_means_another_book_in_another_folder(bench, digested, monkeypatch):
    for name, seed in (("one", 1), ("two", 2)):
        (bench.folder / name).mkdir()
        bench.write(bench.lines(50, seed=seed), folder=bench.folder / name / "lines")
    sums = {}
    for name in ("one", "two", "one"):
        monkeypatch.chdir(bench.folder / name)
        digested.clear()
        bench.etl("data.path=lines")
        sums.setdefault(name, []).append((bench.read("series")["orders"].sum(), len(digested)))
    assert sums["one"][0][0] == sums["one"][1][0] != sums["two"][0][0]
    assert [count for _, count in sums["one"]] == [1, 0]  # neither book forgets what it read


def test_file_that_is_taken_away_leaves_no_trace(bench, digested):
    paths = bench.write([*bench.lines(200), bench.lines(1)[0]], 3)  # the last line contests the first
    bench.etl("data.quarantine_max_share=1")
    paths[2].unlink()
    digested.clear()
    bench.etl()
    assert digested == []
    assert bench.summary["rows"]["quarantined"] == 0
    again = results(bench)
    bench.etl(f"data.cache={bench.folder / 'empty'}")
    assert same(results(bench), again)


def test_other_settings_of_the_reading_make_old_digests_void_and_others_do_not(bench, digested):
    bench.write(bench.lines(200), 2)
    bench.etl()
    digested.clear()
    bench.etl("data.capacity_decay=0.7")
    assert digested == []
    bench.etl("data.frequency=M")
    assert len(digested) == 2


def test_later_day_of_the_book_reads_only_files_that_held_a_future_date(bench, digested):
    bench.write(bench.lines(200), 2)
    future = bench.line(ordered_at=bench.as_of + dt.timedelta(days=3), shipped_at=None)
    bench.table([future]).write_parquet(bench.orders / "part-7.parquet")
    bench.etl("data.quarantine_max_share=1")
    assert bench.summary["quarantined"]["future_date"] == 1
    digested.clear()
    bench.etl("data.as_of=2026-04-30")
    assert digested == ["part-7.parquet"]
    assert bench.summary["quarantined"]["future_date"] == 0


def test_same_file_twice_is_read_once_and_every_line_of_the_copy_is_a_duplicate(bench, digested):
    [path] = bench.write(bench.lines(100))
    bench.etl()
    digested.clear()
    (bench.orders / "copy.parquet").write_bytes(path.read_bytes())
    bench.etl("data.quarantine_max_share=1")
    assert digested == []
    assert bench.summary["rows"] == {"in": 200, "accepted": 100, "superseded": 0, "quarantined": 100}
    assert {name for name, _ in bench.quarantine} == {"part-0.parquet"}  # copy.parquet comes first


@pytest.mark.parametrize("seed", range(4))
def test_settling_file_by_file_is_settling_all_at_once(bench, seed):
    dice = np.random.default_rng(seed)
    files = {f"{n}.parquet": bench.tangle(dice, 30) for n in range(5)}
    steps = [("0", "1"), ("3",), ("2", "4"), ("-1",), ("1",)]  # the last but one takes a file away
    with bench.reading("data.quarantine_max_share=1") as book:
        for step, names in enumerate(steps):
            for name in names:
                path = bench.orders / f"{name.removeprefix('-')}.parquet"
                if name.startswith("-"):
                    path.unlink()
                else:
                    bench.table(files[path.name]).write_parquet(path)
            grown = book()
            with bench.reading(
                "data.quarantine_max_share=1", f"data.cache={bench.folder / f'fresh-{step}'}"
            ) as fresh:
                at_once = fresh()
            assert grown.parts == at_once.parts
            for name in PARTIAL:
                one, other = (getattr(each.settlement.partial, name) for each in (grown, at_once))
                assert one.equals(other), name
            losers = [
                each.settlement.losers.select("source_file", "source_row", "outcome")
                for each in (grown, at_once)
            ]
            assert losers[0].equals(losers[1])
            cases = [
                pl.concat(overtakings(DerivedTables(each.folders, each.settlement.losers)))
                for each in (grown, at_once)
            ]
            assert cases[0].equals(cases[1])
            assert cases[0].height


CLI = "from pipelines.cli.main import main; main()"


@pytest.mark.slow
def test_killed_run_leaves_the_previous_result_and_the_next_one_goes_on(bench, digested):
    bench.write(bench.lines(100), 1)
    bench.etl()
    before = bench.files
    bench.write(bench.lines(6_000, seed=1), 120)
    arguments = ["etl", "--config", "order_book", "--out", str(bench.out)]
    for setting in (f"path={bench.orders}", f"cache={bench.folder / 'cache'}", f"as_of={bench.as_of}"):
        arguments += ["--set", f"data.{setting}"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{bench.folder / 'killed.db'}"}
    process = subprocess.Popen([sys.executable, "-c", CLI, *arguments], env=environment, cwd=bench.folder)
    [manifest] = bench.folder.glob(f"cache/*/{MANIFEST}")
    while len(manifest.read_text().splitlines()) < 40:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert bench.files == before
    read_before = len(manifest.read_text().splitlines()) - 2  # its head, and the file of the first run
    digested.clear()
    bench.etl()
    assert read_before >= 38
    assert len(digested) in {120 - read_before, 121 - read_before}  # its last line may have been cut short
    again = results(bench)
    bench.etl(f"data.cache={bench.folder / 'empty'}")
    assert same(results(bench), again)


@pytest.fixture
def few_files_at_once():
    """No more than forty files may be opened beside those that are open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (psutil.Process().num_fds() + 40, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("mapped_from", [0, 10**6])
def test_a_book_may_have_more_files_than_a_process_may_open(
    bench, monkeypatch, few_files_at_once, mapped_from
):
    monkeypatch.setattr("pipelines.etl.order_book.incremental.file_summary.MAPPED_FROM", mapped_from)
    bench.write([*bench.lines(200), *bench.tangle(np.random.default_rng(1), 200)], 40)
    with bench.reading("data.quarantine_max_share=1") as book:
        many = book()
    shutil.rmtree(bench.orders)
    bench.write([*bench.lines(200), *bench.tangle(np.random.default_rng(1), 200)])
    with bench.reading("data.quarantine_max_share=1", f"data.cache={bench.folder / 'other'}") as book:
        one = book()
    for name in PARTIAL:
        assert getattr(many.settlement.partial, name).equals(getattr(one.settlement.partial, name)), name


def test_line_of_the_manifest_that_was_cut_short_is_passed_over(bench, digested):
    bench.write(bench.lines(200), 2)
    bench.etl()
    [manifest] = bench.folder.glob(f"cache/*/{MANIFEST}")
    manifest.write_text(manifest.read_text()[:-50])
    digested.clear()
    bench.etl()
    assert digested == ["part-1.parquet"]


def test_second_run_waits_for_the_first(bench):
    bench.write(bench.lines(20), 1)
    with bench.reading() as book:
        code = (
            "import sys; from pathlib import Path; from rich.console import Console\n"
            "from pipelines.etl.order_book.incremental.manifest import open_manifest\n"
            "with open_manifest(Path(sys.argv[1]), sys.argv[2], 'x', Console(width=300)): print('in')"
        )
        command = [sys.executable, "-c", code, str(bench.folder / "cache"), str(bench.orders)]
        waiting = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert waiting.stdout.readline().startswith("waiting for another run that uses")
        book()
    assert waiting.communicate(timeout=60)[0] == "in\n"


def test_cache_is_for_its_owner_alone(bench):
    bench.write(bench.lines(20), 1)
    bench.etl("data.quarantine_max_share=1")
    [folder] = (bench.folder / "cache").iterdir()
    assert folder.stat().st_mode & 0o077 == 0
