"""Workers beside one process: tasks come back in order, and no worker outlives its process."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from models.distributed.workers import MOST, WORTH_STARTING, RanksWithWorkers, usable_cores
from pipelines.runtime.config.loader import resolve
from pipelines.runtime.jobs.job import build_ranks

MANY = list(range(WORTH_STARTING))
SCRIPT = """
import os, signal, sys, time
from models.distributed.workers import RanksWithWorkers
from models.errors import ClusterError

FIRST = int(os.environ.setdefault("FIRST", str(os.getpid())))

def place(task):
    time.sleep(0.02)
    if sys.argv[1] == "dies" and os.getpid() != FIRST:
        os._exit(9)
    return os.getpid()

def main():
    ranks = RanksWithWorkers(processes=3)
    try:
        found = ranks.spread(place, range(200))
    except ClusterError as error:
        ranks.leave()
        sys.exit(str(error))
    print(*sorted(set(found) - {FIRST}), flush=True)
    os.kill(os.getpid(), signal.SIGKILL) if sys.argv[1] == "killed" else ranks.leave()

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def ranks():
    ranks = RanksWithWorkers(processes=3)
    yield ranks
    ranks.leave()


def gone(pids, seconds=20):
    """Whether all processes have ended within that time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and any(map(psutil.pid_exists, pids)):
        time.sleep(0.05)
    return not any(map(psutil.pid_exists, pids))


def test_results_come_back_in_order_and_the_progress_is_seen(ranks):
    seen = []
    found = ranks.spread(math.sqrt, MANY, lambda tasks: (seen.append(task) or task for task in tasks))
    assert found == [math.sqrt(task) for task in MANY]
    assert seen == MANY


def test_few_tasks_or_one_process_start_nothing(ranks, monkeypatch):
    monkeypatch.setattr("models.distributed.workers.ProcessPoolExecutor", None)  # not to be called
    few, alone = MANY[:-1], RanksWithWorkers(processes=1)
    alone.warm("math")
    assert ranks.spread(lambda task: -task, few) == [-task for task in few]
    assert alone.spread(lambda task: -task, MANY) == [-task for task in MANY]


def test_workers_have_the_code_of_their_process_not_that_of_a_model_loaded_before(
    ranks, tmp_path, monkeypatch
):
    copy = tmp_path / "models" / "distributed"
    copy.mkdir(parents=True)
    for file in (copy.parent / "__init__.py", copy / "__init__.py", copy / "workers.py"):
        file.write_text("raise ImportError('the wrong copy')")
    monkeypatch.syspath_prepend(tmp_path)
    path = sys.path.copy()
    ranks.warm("models.distributed.workers")
    assert ranks.spread(math.sqrt, MANY) == [math.sqrt(task) for task in MANY]
    assert sys.path == path


def test_an_error_in_a_task_is_the_error_of_the_whole(ranks):
    with pytest.raises(ValueError, match="math domain error"):
        ranks.spread(math.sqrt, [*MANY, -1])


def run_script(folder, end):
    (folder / "job.py").write_text(SCRIPT)
    return subprocess.run(
        [sys.executable, folder / "job.py", end],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_worker_that_is_killed_is_one_sentence_that_says_what_to_do(tmp_path):
    done = run_script(tmp_path, "dies")
    assert done.returncode == 1
    assert done.stderr.startswith("a worker process was killed")
    assert done.stderr.strip().endswith("run again with --set cluster.processes=1")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("end", ["well", "killed"])
def test_workers_share_the_tasks_and_end_with_their_process_however_it_ends(tmp_path, end):
    done = run_script(tmp_path, end)
    assert done.returncode == (0 if end == "well" else -signal.SIGKILL), done.stderr
    workers = [int(worker) for worker in done.stdout.split()]
    assert 1 <= len(workers) <= 2
    assert gone(workers)


def test_number_of_processes_is_that_of_the_settings_or_of_the_cores(monkeypatch):
    assert build_ranks(resolve(None, ["cluster.processes=3"])).processes == 3
    assert RanksWithWorkers().processes == min(usable_cores(), MOST)
    monkeypatch.setattr("models.distributed.workers.usable_cores", lambda: 64)
    assert RanksWithWorkers().processes == MOST
