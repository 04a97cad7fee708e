"""Several small whole numbers in one Int64, so that grouping by them costs one key instead of many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

KEY = "key"


class Axis(NamedTuple):
    """A column of whole numbers from 0 to size - 1."""

    column: str
    size: int


def grouped(rows: pl.LazyFrame, axes: Sequence[Axis], **sums: pl.Expr) -> pl.LazyFrame:
    """Sums of some expressions over each combination of the axes' values.

    Groups whose sums are all 0 and those with a null on an axis are left out.

    Returns
    -------
    LazyFrame
        The axes' columns (Int64), then the sums, in no order.

    Raises
    ------
    OverflowError
        If the axes have more than 2^63 combinations.
    """
    if math.prod(axis.size for axis in axes) > 2**63:
        raise OverflowError(f"axes do not fit into 64 bits: {', '.join(map(str, axes))}")
    first, *others = axes
    key = pl.col(first.column).cast(pl.Int64)
    for axis in others:
        key = key * axis.size + pl.col(axis.column).cast(pl.Int64)
    columns, rest = [], pl.col(KEY)
    for axis in reversed(axes):
        columns.append((rest % axis.size).alias(axis.column))
        rest = rest // axis.size
    return (
        rows.group_by(key.alias(KEY))
        .agg(total.sum().alias(name) for name, total in sums.items())
        .filter(pl.col(KEY).is_not_null() & pl.any_horizontal(pl.col(*sums) != 0))
        .select(*reversed(columns), *sums)
    )
