"""Answers of peers, kept in Parquet files so that another checkpoint can be scored against them in seconds.

Shapes: N series; every array has N as its first axis.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

Arrays = Mapping[str, npt.NDArray[np.float64]]


def digest(*parts: object) -> str:
    """Short name for what a forecast depends on; arrays count by their bytes."""
    sum_of = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            sum_of.update(np.ascontiguousarray(part).tobytes())
        elif isinstance(part, (list, tuple)):
            sum_of.update(digest(*part).encode())
        else:
            sum_of.update(repr(part).encode())
        sum_of.update(b"|")
    return sum_of.hexdigest()[:12]


def recalled(folder: Path | None, name: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays kept under that name in the folder, made and kept where they are not; no folder, no keeping.

    They are kept as 32-bit floats, and given back so even when they have just been made: the same scores
    follow whether they were kept or not.
    """
    path = folder / f"{name}.parquet" if folder else None
    if path and path.is_file():
        return read_arrays(path)
    made = {key: np.asarray(array, dtype=np.float32) for key, array in make().items()}
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        pl.DataFrame([column(key, array) for key, array in made.items()]).write_parquet(part)
        part.replace(path)
    return {key: array.astype(float) for key, array in made.items()}


def read_arrays(path: Path) -> Arrays:
    """The arrays of a file that `recalled` has written."""
    table = pl.read_parquet(path)
    return {name: table[name].to_numpy().astype(float) for name in table.columns}


def column(name: str, array: npt.NDArray[np.float32]) -> pl.Series:
    """An array [N, ...] as a column of N fixed-size arrays."""
    dtype: pl.DataType | type[pl.Float32] = pl.Float32
    for size in reversed(array.shape[1:]):
        dtype = pl.Array(dtype, size)
    return pl.Series(name, list(array) if array.ndim > 1 else array, dtype=dtype)


def unite(arrays: Iterable[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Histories of any lengths in one array, for `digest`."""
    return np.concatenate([np.ravel(array) for array in arrays])
