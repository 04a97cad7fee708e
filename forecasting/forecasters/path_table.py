"""Joint sample paths as a table, and back: how `paths.parquet` is laid out.

One row per item, path and step, one column per variate (Float32). Steps up to 0 are the drawn history, steps
from 1 on the sampled future; a figure that was not observed is null.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from forecasting.errors import InputError
from forecasting.forecasters.base import PathSet
from forecasting.frequencies import Frequency, period_ends
from forecasting.panel.history import Floats

Ints: TypeAlias = npt.NDArray[np.signedinteger[Any]]

LAYOUT = ("item_id", "path", "step", "timestamp")


def to_table(paths: PathSet) -> pl.DataFrame:
    """Lay paths out as a table sorted by item, path and step, without the steps before an item's start."""
    tables = [_item_table(paths, item) for item in range(len(paths.item_ids))]
    return pl.concat(tables).sort("item_id", "path", "step")


def _item_table(paths: PathSet, item: int) -> pl.DataFrame:
    values = paths.values[item]  # [P, T, V]
    steps = range(1 - paths.context_length, paths.horizon + 1)
    stamps = period_ends(paths.origins[item], steps, paths.frequency)
    observed = ~np.isnan(values).all(axis=(0, 2))
    first = int(np.argmax(observed))
    number, length = values.shape[0], values.shape[1] - first
    columns = {
        variate: pl.Series(values[:, first:, v].ravel()).fill_nan(None).cast(pl.Float32)
        for v, variate in enumerate(paths.variates)
    }
    return pl.DataFrame(
        {
            "item_id": pl.repeat(paths.item_ids[item], number * length, eager=True),
            "path": np.repeat(np.arange(number, dtype=np.int32), length),
            "step": np.tile(np.arange(steps[first], steps[-1] + 1, dtype=np.int32), number),
            "timestamp": pl.Series(stamps[first:] * number, dtype=pl.Date),
            **columns,
        }
    )


def from_table(table: pl.DataFrame, *, frequency: Frequency, where: str = "paths") -> PathSet:
    """Read a path set back; rows may stand in any order.

    Raises
    ------
    InputError
        If a column is missing, the steps do not reach from the origin into the future, or an item's rows are
        not a full grid of paths and steps.
    """
    for column in LAYOUT:
        if column not in table.columns:
            raise InputError(f"column {column!r} is missing", found=", ".join(table.columns), where=where)
        if nulls := table[column].null_count():
            raise InputError(f"column {column!r} must not be empty", found=f"{nulls} nulls", where=where)
    variates = tuple(name for name in table.columns if name not in LAYOUT)
    if not variates or table.is_empty():
        raise InputError("the table holds no paths", found=f"{table.height} rows", where=where)
    present = table["step"].unique().sort()
    first, last = present[0], present[-1]
    if not first <= 0 < last:
        raise InputError(
            "paths must reach from the forecast origin into the future",
            expected="step 0 or earlier, and step 1 or later",
            found=f"steps {first} to {last}",
            where=where,
        )
    steps, number = np.arange(first, last + 1), table["path"].n_unique()
    items, origins, values = [], [], []
    for part in table.sort("item_id", "path", "step").partition_by("item_id", maintain_order=True):
        item_id = str(part["item_id"][0])
        values.append(_grid(part, variates, paths=number, steps=steps, where=f"{where}, {item_id}"))
        items.append(item_id)
        origins.append(part.filter(pl.col("step") == 0)["timestamp"][0])
    return PathSet(
        item_ids=tuple(items),
        variates=variates,
        origins=tuple(origins),
        frequency=frequency,
        context_length=1 - first,
        values=np.stack(values),
    )


def _grid(part: pl.DataFrame, variates: tuple[str, ...], *, paths: int, steps: Ints, where: str) -> Floats:
    """One item's values [P, T, V], right-aligned, NaN before its start; `part` is sorted by path and step."""
    length = part.height // paths
    own = steps[len(steps) - length :]
    if 0 not in own or not np.array_equal(part["step"].to_numpy(), np.tile(own, paths)):
        raise InputError(
            "every path must have the same steps, from the origin or before it to the horizon",
            expected=f"{paths} paths with steps up to {steps[-1]}, 0 among them",
            found=f"{part.height} rows of {part['path'].n_unique()} paths",
            where=where,
        )
    grid = np.full((paths, len(steps), len(variates)), np.nan)
    for v, variate in enumerate(variates):
        column = part[variate].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        grid[:, len(steps) - length :, v] = column.reshape(paths, length)
    return grid
