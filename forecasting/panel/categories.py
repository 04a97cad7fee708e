"""Covariates that are words: a column of 0 and 1 for each category but the most frequent one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from forecasting.errors import InputError
from forecasting.panel.layout import MISSING, Columns

Categories = Mapping[str, tuple[str, ...]]  # by covariate; the first is the base, which has no column
MOST = 50  # a covariate of more words is a name of something, not a category


def categories_of(table: pl.DataFrame, columns: Columns, *, where: str) -> Categories:
    """Categories of the covariates that hold no number, the most frequent first.

    Parameters
    ----------
    table : DataFrame
    columns : Columns
    where : str
        File, for messages.

    Raises
    ------
    InputError
        If a covariate has more than `MOST` of them, or a row has none.
    """
    found = {}
    for name in columns.covariates:
        if name not in table.columns or not _is_words(table[name]):
            continue
        words = _words(table[name])
        if words.has_nulls():
            at = int(words.is_null().arg_max() or 0)
            raise InputError(
                f"the covariate {name!r} must have a word in every row",
                found=f"{words.null_count()} rows without",
                where=f"{where}, row {at + 1}",
            )
        counts = words.value_counts(name="rows")
        ordered = counts.sort("rows", counts.columns[0], descending=[True, False])
        levels = tuple(ordered.to_series(0))
        if len(levels) > MOST:
            raise InputError(
                f"the covariate {name!r} has too many categories",
                expected=f"numbers, or at most {MOST} different words",
                found=str(len(levels)),
                where=where,
            )
        found[name] = levels
    return found


def expanded_columns(columns: Columns, categories: Categories) -> Columns:
    """The columns with those of the categories in place of their covariates."""
    names = [
        each
        for name in columns.covariates
        for each in (
            [_column(name, level) for level in categories[name][1:]] if name in categories else [name]
        )
    ]
    return replace(columns, covariates=tuple(names))


def with_categories(
    table: pl.DataFrame, columns: Columns, categories: Categories, *, where: str
) -> pl.DataFrame:
    """The table with a column of 0 and 1 for each category but the first; null where no word is given.

    Raises
    ------
    InputError
        For a word that is none of the categories, with its row.
    """
    made = []
    for name, levels in categories.items():
        if name not in table.columns:
            continue
        words = _words(table[name])
        strange = words.is_not_null() & ~words.is_in(levels)
        if strange.any():
            at = int(strange.arg_max() or 0)
            raise InputError(
                f"the covariate {name!r} has a category that the history does not have",
                expected=", ".join(levels),
                found=repr(words[at]),
                where=f"{where}, row {at + 1}",
            )
        made += [(words == level).cast(pl.Float64).alias(_column(name, level)) for level in levels[1:]]
    dropped = [name for name in categories if name in table.columns and name in columns.covariates]
    return table.drop(dropped).with_columns(made)


def _column(name: str, level: str) -> str:
    return f"{name}={level}"


def _is_words(values: pl.Series) -> bool:
    """Whether a column holds words: another type than numbers, or text of which nothing is a number."""
    if values.dtype != pl.String:
        return values.dtype == pl.Boolean or values.dtype in (pl.Categorical, pl.Enum)
    words = _words(values).drop_nulls()
    return words.len() > 0 and bool(words.cast(pl.Float64, strict=False).is_null().all())


def _words(values: pl.Series) -> pl.Series:
    """Text without blanks at its ends, null where nothing is said."""
    text = values.cast(pl.String).str.strip_chars()
    return text.set(text.is_null() | text.str.to_lowercase().is_in(MISSING), None)
