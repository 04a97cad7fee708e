"""Covariates that are known ahead, as arrays: those of the history, and those of the horizon from a table.

I items, V variates, K covariates, L context steps, H horizon steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import polars as pl

from forecasting.errors import InputError
from forecasting.panel.categories import Categories, expanded_columns, with_categories
from forecasting.panel.history import Floats, History
from forecasting.panel.layout import Columns
from forecasting.panel.long_table import LongTable
from forecasting.panel.stamps import read_stamps

NONE: Categories = MappingProxyType({})  # no covariate is words


def past_covariates(table: LongTable, history: History, last: pl.DataFrame) -> Floats:
    """Covariates [I, V, K, L] of the rows of a table, 0 where it has none.

    Parameters
    ----------
    table : LongTable
    history : History
    last : DataFrame
        As `histories` gave it with the history.
    """
    shape = (len(history.item_ids), len(history.variates), len(table.covariates), history.context_length)
    values: Floats = np.zeros(shape)
    rows = table.rows.join(last.select("unique_id").with_row_index("item"), on="unique_id")
    rows = rows.with_columns(back=pl.col("number").max().over("unique_id") - pl.col("number"))
    variate = _variate_places(rows, history.variates, has_variates=table.has_variates)
    at = shape[-1] - 1 - rows["back"].to_numpy()
    for k in range(len(table.covariates)):
        values[rows["item"].to_numpy(), variate, k, at] = rows[f"covariate_{k}"].to_numpy()
    return values


@dataclass(frozen=True, kw_only=True)
class FutureTable:
    """Covariates of the dates ahead: columns of id, time, each covariate, and optionally variate.

    Rows of dates that are not asked for are not read; `where` is the file, for messages.
    """

    rows: pl.DataFrame
    columns: Columns
    where: str

    def covariates(
        self, dates: pl.DataFrame, variates: tuple[str, ...], categories: Categories = NONE
    ) -> Floats:
        """Covariates [I, V, K, H] of a horizon.

        Parameters
        ----------
        dates : DataFrame
            unique_id, step, ds of the horizon, H rows an item in the order of the history.
        variates : tuple of str, length V
        categories : mapping
            Of the covariates that are words, as the history has them.

        Raises
        ------
        InputError
            For a missing column, two rows of a date, or a date without a number, with series and date.
        """
        columns = expanded_columns(self.columns, categories)
        known = with_categories(self.rows, self.columns, categories, where=self.where)
        rows = _future_rows(known, columns, self.where)
        keys = [name for name in ("unique_id", "variate", "ds") if name in rows.columns]
        for row in rows.filter(pl.struct(keys).is_duplicated()).head(1).iter_rows(named=True):
            raise InputError(
                "a covariate has one future row per series and date",
                found="several",
                where=f"{self.where}, series {row['unique_id']}, {row['ds']:%Y-%m-%d %H:%M}",
            )
        items = dates["unique_id"].n_unique()
        wanted = dates.select(pl.col("unique_id").cast(pl.String), ds=_plain(dates["ds"]))
        parts = []
        for variate in variates:
            own = rows.filter(pl.col("variate") == variate) if "variate" in keys else rows
            joined = wanted.join(own, on=["unique_id", "ds"], how="left", maintain_order="left")
            _check_complete(joined, columns, variate, self.where)
            found = joined.select(columns.covariates).to_numpy()
            parts.append(found.reshape(items, -1, len(columns.covariates)).transpose(0, 2, 1))
        return np.stack(parts, axis=1)


def _future_rows(future: pl.DataFrame, columns: Columns, where: str) -> pl.DataFrame:
    for name in (columns.id, columns.time, *columns.covariates):
        if name not in future.columns:
            raise InputError(f"column {name!r} is missing", found=", ".join(future.columns), where=where)
    rows = pl.select(pl.format("row {}", pl.int_range(1, future.height + 1))).to_series()
    stamps, _ = read_stamps(future[columns.time], name=columns.time, rows=rows, where=where)
    numbers = [
        pl.col(name).str.strip_chars().cast(pl.Float64, strict=False)
        if future[name].dtype == pl.String
        else pl.col(name).cast(pl.Float64)
        for name in columns.covariates
    ]
    return future.select(
        pl.col(columns.id).cast(pl.String).alias("unique_id"),
        *([pl.col("variate").cast(pl.String)] if "variate" in future.columns else []),
        *numbers,
        ds=_plain(stamps["ds"]),
    )


def _plain(stamps: pl.Series) -> pl.Series:
    """Stamps in UTC, or by the clock on the wall where they have no zone."""
    if isinstance(stamps.dtype, pl.Datetime) and stamps.dtype.time_zone is not None:
        stamps = stamps.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return stamps.cast(pl.Datetime("us"))


def _check_complete(joined: pl.DataFrame, columns: Columns, variate: str, where: str) -> None:
    for name in columns.covariates:
        missing = joined.filter(pl.col(name).is_null() | ~pl.col(name).is_finite())
        for row in missing.head(1).iter_rows(named=True):
            raise InputError(
                f"the future of the covariate {name!r} is not known for every step",
                expected=f"a number for each of the {joined.height} steps of the horizon",
                found=f"{missing.height} without, the first of series {row['unique_id']}"
                f"{'' if variate == 'y' else ', ' + variate} on {row['ds']:%Y-%m-%d %H:%M}",
                where=where,
            )


def _variate_places(
    rows: pl.DataFrame, variates: tuple[str, ...], *, has_variates: bool
) -> np.typing.NDArray[np.intp]:
    if not has_variates:
        return np.zeros(rows.height, dtype=np.intp)
    places = {name: v for v, name in enumerate(variates)}
    return rows["variate"].replace_strict(places, return_dtype=pl.Int64).to_numpy().astype(np.intp)
