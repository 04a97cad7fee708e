"""Several files at a time on this machine: while one is planned or hashed, another is scanned."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
WORKERS = min((os.cpu_count() or 1) + 1, 4)  # files in flight; Polars itself uses every core for each


def side_by_side(do: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results for items as they come, in any order; after an error nothing more is begun."""
    waiting = deque(items)
    running: set[Future[Result]] = set()
    with ThreadPoolExecutor(WORKERS) as pool:
        while waiting or running:
            while waiting and len(running) < WORKERS:
                running.add(pool.submit(do, waiting.popleft()))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
