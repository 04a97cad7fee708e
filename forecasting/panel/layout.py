"""Layouts of a table of series: long, wide (a column for each series), or one series without an id."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import polars as pl

from forecasting.errors import InputError

MISSING = ("", "na", "n/a", "nan", "null")  # what text holds for a value that was not observed


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a table are called; `variate` is always called so.

    Attributes
    ----------
    id, time, target : str
    covariates : tuple of str
        Numbers or words that are known ahead, such as prices and promotions.
    statics : tuple of str
        What never changes about a series: series alike in them share what their covariates do.
    """

    id: str = "unique_id"
    time: str = "ds"
    target: str = "y"
    covariates: tuple[str, ...] = ()
    statics: tuple[str, ...] = ()

    @property
    def read(self) -> tuple[str, ...]:
        """All names that are read."""
        return (self.id, self.time, self.target, "variate", *self.covariates, *self.statics)


@dataclass(frozen=True, kw_only=True)
class Laid:
    """A table with an id, its rows numbered, and the columns that were not read."""

    rows: pl.DataFrame
    ignored: tuple[str, ...]
    wide: bool = False


def lay_out(table: pl.DataFrame, columns: Columns, *, where: str, with_lines: bool) -> Laid:
    """Rows with `row` (where each stands), `unique_id`, `variate` (where given), `ds` and `y`.

    Without an id column, a table with the target is one series called as the target, and one whose other
    columns are all numbers, one row a date, is wide: each of them is a series.

    Raises
    ------
    InputError
        For a missing column, one name for two things, or a table without rows.
    """
    number = pl.int_range(1, pl.len() + 1)
    at = pl.format("row {} (line {})", number, number + 1) if with_lines else pl.format("row {}", number)
    numbered = table.with_columns(at.alias("\0row"))
    if with_lines:  # a line of nothing is no row
        blank = table.select(pl.all_horizontal(pl.all().is_null())).to_series()
        numbered = numbered.filter(~blank)
    if is_wide(table, columns):
        return Laid(rows=_unpivoted(numbered, table, columns), ignored=(), wide=True)
    if (
        columns.id not in table.columns
        and columns.target in table.columns
        and _one_row_a_date(table, columns)
    ):
        numbered = numbered.with_columns(pl.lit(columns.target).alias(columns.id))
    _check_columns(numbered.drop("\0row"), columns, where)
    rows = numbered.select(
        pl.col("\0row").alias("row"),
        pl.col(columns.id).alias("unique_id"),
        *([pl.col("variate").cast(pl.String)] if "variate" in table.columns else []),
        pl.col(columns.time).alias("ds"),
        pl.col(columns.target).alias("y"),
        *(pl.col(name).alias(covariate(k)) for k, name in enumerate(columns.covariates)),
        *([_group(columns.statics)] if columns.statics else []),
    )
    return Laid(rows=rows, ignored=tuple(name for name in table.columns if name not in columns.read))


def covariate(place: int) -> str:
    """Name of the column of a covariate in the rows of a checked table."""
    return f"covariate_{place}"


def is_wide(table: pl.DataFrame, columns: Columns) -> bool:
    """Whether a table has a date in each row and a column of numbers for each series."""
    if {columns.id, columns.target, "variate"} & set(table.columns) or not _one_row_a_date(table, columns):
        return False
    others = [name for name in table.columns if name != columns.time]
    return bool(others) and not table.is_empty() and all(_is_numbers(table[name]) for name in others)


def _one_row_a_date(table: pl.DataFrame, columns: Columns) -> bool:
    return columns.time in table.columns and bool(table[columns.time].drop_nulls().is_unique().all())


def _is_numbers(values: pl.Series) -> bool:
    if values.dtype != pl.String:
        return values.dtype.is_numeric()
    text = values.str.strip_chars()
    missing = text.is_null() | text.str.to_lowercase().is_in(MISSING)
    return bool((text.cast(pl.Float64, strict=False).is_not_null() | missing).all())


def _unpivoted(numbered: pl.DataFrame, table: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    long = numbered.unpivot(
        [name for name in table.columns if name != columns.time],
        index=["\0row", columns.time],
        variable_name="unique_id",
        value_name="y",
    )
    return long.select(pl.col("\0row").alias("row"), "unique_id", pl.col(columns.time).alias("ds"), "y")


def _group(statics: tuple[str, ...]) -> pl.Expr:
    """All static covariates of a row as one text."""
    texts = [pl.col(name).cast(pl.String).fill_null("") for name in statics]
    return pl.concat_str(texts, separator="\x1f").alias("group")


def _check_columns(table: pl.DataFrame, columns: Columns, where: str) -> None:
    wanted = (columns.id, columns.time, columns.target, *columns.covariates, *columns.statics)
    if len({*wanted, "variate"}) < 1 + len(wanted):
        raise InputError(
            "id, time and target are three columns, and none is the variate"
            if len({*wanted[:3], "variate"}) < 4
            else "a covariate or static is a column of its own, named once",
            found=", ".join(wanted),
            where=where,
        )
    for column in wanted:
        if column not in table.columns:
            near = difflib.get_close_matches(column, table.columns, n=1, cutoff=0.5)
            hint = f" (is it {near[0]!r}?)" if near else ""
            raise InputError(
                f"column {column!r} is missing{hint}",
                expected=f"{', '.join(wanted)} and optionally variate",
                found=", ".join(table.columns),
                where=where,
            )
    if table[columns.id].dtype.is_nested():
        raise InputError(
            f"column {columns.id!r} must hold names", found=str(table[columns.id].dtype), where=where
        )
    if table.is_empty():
        raise InputError("a table must hold at least one series", found="no rows", where=where)
