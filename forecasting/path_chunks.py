"""Work on many paths in slices that fit the processor's cache, on several threads. P paths.

Arrays of 100,000 paths and more spend most of their time in memory; a slice of them does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Result = TypeVar("Result")
Arrays = TypeVar("Arrays", bound=tuple[npt.NDArray[np.generic], ...])

PATHS_PER_CHUNK = 16_384
"""Best of 2,000 to 100,000 for 16 to 32 periods in float64 (`benchmarks/windows.py`)."""


def map_path_chunks(
    function: Callable[[slice], Result],
    paths: int,
    *,
    paths_per_chunk: int = PATHS_PER_CHUNK,
    workers: int = 1,
) -> list[Result]:
    """Apply a function to slices of 0 ... P - 1, in order; numpy lets `workers` threads run side by side."""
    chunks = [slice(i, min(i + paths_per_chunk, paths)) for i in range(0, paths, paths_per_chunk)]
    if workers == 1:
        return [function(chunk) for chunk in chunks]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, chunks))


def join_paths(parts: Sequence[Arrays]) -> Arrays:
    """Join named tuples of arrays [P_i, ...] (such as `WindowPaths`) along their paths."""
    columns = zip(*parts, strict=True)
    return type(parts[0])(*(np.concatenate(column, axis=0) for column in columns))
