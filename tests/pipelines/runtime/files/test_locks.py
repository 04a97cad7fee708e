"""A lock is one process's at a time, goes with it, and makes nothing that was not there."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from pipelines.runtime.files.locks import lock_file, try_lock_file

HOLD = "import sys; from pathlib import Path; from pipelines.runtime.files.locks import lock_file\n"
HOLD += "lock = lock_file(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"


def test_a_lock_of_a_process_ends_with_it_however_it_ends(tmp_path):
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError):
        try_lock_file(path)
    holder.kill()
    holder.communicate()
    try_lock_file(path).close()


def test_who_waits_has_the_lock_once_it_is_let_go(tmp_path):
    path, order = tmp_path / "lock", []

    def wait():
        with lock_file(path):
            order.append("second")

    first = lock_file(path)
    waiting = threading.Thread(target=wait)
    waiting.start()
    waiting.join(0.2)
    order.append("first")
    first.close()
    waiting.join()
    assert order == ["first", "second"]


def test_a_folder_that_is_gone_is_not_made_again(tmp_path):
    for create in (False, True):
        with pytest.raises(FileNotFoundError):
            try_lock_file(tmp_path / "gone" / "lock", create=create)
    assert not list(tmp_path.iterdir())


def test_a_file_is_made_only_where_that_is_asked_for(tmp_path):
    path = tmp_path / "lock"
    with pytest.raises(FileNotFoundError):
        try_lock_file(path)
    try_lock_file(path, create=True).close()
    assert path.exists()
