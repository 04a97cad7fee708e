"""Any long table of series (`unique_id, ds, y`, optionally `variate`) as histories, and back.

Series may differ in length, have gaps and be constant. A date may lie anywhere in its period: the future
continues the dates as they are.

I items, V variates, L context steps.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from forecasting.errors import InputError
from forecasting.panel.history import Floats, History, exact_history
from forecasting.panel.stamps import StampStyle, grid_of, place, read_stamps
from forecasting.panel.table_checks import check_frequency, check_values, is_mostly_dense
from forecasting.periods import STANDARD, Frequency, Unit

MISSING = ("", "na", "n/a", "nan", "null")  # what text holds for a value that was not observed
COARSEST_FIRST = (
    *(STANDARD[unit] for unit in (Unit.YEAR, Unit.QUARTER, Unit.MONTH, Unit.WEEK)),
    *(STANDARD[unit] for unit in (Unit.BUSINESS_DAY, Unit.DAY, Unit.HOUR)),
    *(Frequency(Unit.MINUTE, minutes) for minutes in (30, 15, 10, 5, 1)),
)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a table are called; `variate` is always called so."""

    id: str = "unique_id"
    time: str = "ds"
    target: str = "y"


@dataclass(frozen=True, kw_only=True)
class LongTable:
    """A checked long table.

    Attributes
    ----------
    rows : DataFrame
        Sorted by series and date: `unique_id` of the type it was given in, `variate` as text if there are
        any, `ds`, `y` (Float64, null where nothing was observed), `local` and `instant` of the stamp, and
        `number` and `place` of its period.
    frequency : Frequency
    style : StampStyle
        How stamps are written.
    has_variates : bool
    ignored : tuple of str
        Columns of the table that were not read.
    """

    rows: pl.DataFrame
    frequency: Frequency
    style: StampStyle
    has_variates: bool
    ignored: tuple[str, ...] = ()

    @property
    def keys(self) -> list[str]:
        """Columns that name a series."""
        return ["unique_id", "variate"] if self.has_variates else ["unique_id"]


def check_long_table(
    table: pl.DataFrame,
    *,
    frequency: Frequency | None,
    where: str,
    columns: Columns | None = None,
    with_lines: bool = False,
) -> LongTable:
    """Check a long table and bring it into order.

    Ids of text stay text to the letter: `0870`, `"007"` and `true` are three names; two that differ in a
    letter are two series. Ids of another type (integers of a Parquet file, say) keep it.

    Parameters
    ----------
    table : DataFrame
    frequency : Frequency, optional
        None takes the coarsest of `COARSEST_FIRST` that fits every series.
    where : str
        File, for messages.
    columns : Columns, optional
        What the columns are called.
    with_lines : bool
        Rows are lines of a text file after its header; messages then name the line too.

    Raises
    ------
    InputError
        For a missing column, a table without rows, dates that cannot be read or lie outside 1800 to 2200, two
        rows in one period, a value that is no finite number, a series with fewer than 3 observations, with
        other spacing than the frequency, or with a gap that is too long to be bridged. The sentence names
        series, date and row.
    """
    columns = columns or Columns()
    _check_columns(table, columns, where)
    has_variates = "variate" in table.columns
    keys = ["unique_id", "variate"] if has_variates else ["unique_id"]
    number = pl.int_range(1, pl.len() + 1)
    at = pl.format("row {} (line {})", number, number + 1) if with_lines else pl.format("row {}", number)
    named = table.select(
        at.alias("row"),
        pl.col(columns.id).alias("unique_id"),
        *([pl.col("variate").cast(pl.String)] if has_variates else []),
        pl.col(columns.time).alias("ds"),
        pl.col(columns.target).alias("y"),
    )
    if with_lines:  # a line of nothing is no row
        blank = table.select(pl.all_horizontal(pl.all().is_null())).to_series()
        named = named.filter(~blank)
    if named.is_empty():
        raise InputError("a table must hold at least one series", found="no rows", where=where)
    stamps, style = read_stamps(named["ds"], name=columns.time, rows=named["row"], where=where)
    rows = named.with_columns(_numbers(named, columns.target, where), *stamps)
    called = {"unique_id": columns.id, "ds": columns.time}
    for column in (*keys, "ds"):
        empty = rows.filter(pl.col(column).is_null())
        if empty.height:
            raise InputError(
                f"column {called.get(column, column)!r} must not be empty",
                found=f"{empty.height} nulls, the first in {empty['row'][0]}",
                where=where,
            )
    check_values(rows, keys=keys, where=where)
    rows = rows.sort(*keys, "instant")
    if frequency is None:
        frequency = _inferred(rows, keys, where)
    rows = _placed(rows, frequency)
    check_frequency(rows, keys=keys, frequency=frequency, style=style, where=where)
    last = (
        rows.sort("unique_id", "instant")
        .group_by("unique_id")
        .agg(offset=(pl.col("local") - pl.col("instant")).last())
    )
    return LongTable(
        rows=rows,
        frequency=frequency,
        style=style.with_last(last["offset"]),
        has_variates=has_variates,
        ignored=tuple(
            name
            for name in table.columns
            if name not in (columns.id, columns.time, columns.target, "variate")
        ),
    )


def _check_columns(table: pl.DataFrame, columns: Columns, where: str) -> None:
    wanted = (columns.id, columns.time, columns.target)
    if len({*wanted, "variate"}) < 4:
        raise InputError(
            "id, time and target are three columns, and none is the variate",
            found=", ".join(wanted),
            where=where,
        )
    for column in wanted:
        if column not in table.columns:
            near = difflib.get_close_matches(column, table.columns, n=1, cutoff=0.5)
            hint = f" (is it {near[0]!r}?)" if near else ""
            raise InputError(
                f"column {column!r} is missing{hint}",
                expected=f"{columns.id}, {columns.time}, {columns.target} and optionally variate",
                found=", ".join(table.columns),
                where=where,
            )
    if table[columns.id].dtype.is_nested():
        raise InputError(
            f"column {columns.id!r} must hold names", found=str(table[columns.id].dtype), where=where
        )
    if table.is_empty():
        raise InputError("a table must hold at least one series", found="no rows", where=where)


def _numbers(named: pl.DataFrame, name: str, where: str) -> pl.Series:
    """Values as Float64, null where nothing was observed."""
    values = named["y"]
    if values.dtype == pl.String:
        text = values.str.strip_chars()
        missing = text.is_null() | text.str.to_lowercase().is_in(MISSING)
        read = text.set(missing, None).cast(pl.Float64, strict=False)
        unread = read.is_null() & ~missing
        if unread.any():
            at = int(unread.arg_max() or 0)
            raise InputError(
                f"column {name!r} must hold numbers",
                expected="such as 1234.5, or nothing where none was observed",
                found=repr(values[at]),
                where=f"{where}, {named['row'][at]}",
            )
        return read
    if not (values.dtype.is_numeric() or values.dtype == pl.Null):
        raise InputError(f"column {name!r} must hold numbers", found=str(values.dtype), where=where)
    return values.cast(pl.Float64).fill_nan(None)


def _placed(rows: pl.DataFrame, frequency: Frequency) -> pl.DataFrame:
    number, within = place(frequency)
    return rows.with_columns(number=number, place=within)


def _inferred(rows: pl.DataFrame, keys: list[str], where: str) -> Frequency:
    """The coarsest frequency that every series fits, most of its dates one step apart.

    Business days only where Mondays follow on Fridays.

    A date that a series holds twice counts once here: `check_frequency` names its rows.
    """
    rows = rows.unique([*keys, "instant"], keep="first", maintain_order=True)
    style = StampStyle(dtype=rows["ds"].dtype)
    for frequency in COARSEST_FIRST:
        placed = _placed(rows, frequency)
        days = pl.col("local").dt.date().diff().dt.total_days().over(keys)
        over_weekend = (pl.col("number").diff().over(keys) == 1) & (days > 1)
        if frequency.unit is Unit.BUSINESS_DAY and not placed.select(over_weekend.any()).item():
            continue
        try:
            check_frequency(placed, keys=keys, frequency=frequency, style=style, where=where)
        except InputError:
            continue
        if is_mostly_dense(placed, keys=keys):
            return frequency
    tried = ", ".join(str(frequency) for frequency in COARSEST_FIRST)
    raise InputError(
        "no frequency fits all series",
        expected=f"one of {tried} throughout, most dates one step apart; with --freq the first row that "
        "does not fit it is named",
        where=where,
    )


def histories(table: LongTable) -> Iterator[tuple[History, pl.DataFrame]]:
    """Histories of all items, one for each set of variates, with what each item's future hangs on.

    Yields
    ------
    History
        [I, V, L]; item ids are those of the table as text.
    DataFrame
        unique_id (as in the table) and the columns of `stamps.grid_of`, in the order of the history.
    """
    rows = table.rows.with_columns(series_variate=pl.col("variate") if table.has_variates else pl.lit("y"))
    sets = rows.group_by("unique_id").agg(variates=pl.col("series_variate").unique().sort())
    rows = rows.join(sets, on="unique_id")
    for part in rows.sort("variates", "unique_id", "series_variate", "instant").partition_by(
        "variates", maintain_order=True
    ):
        yield _history(part, tuple(part["variates"][0]), table.frequency)


def _history(
    part: pl.DataFrame, variates: tuple[str, ...], frequency: Frequency
) -> tuple[History, pl.DataFrame]:
    last = (
        part.sort("unique_id", "instant", maintain_order=True)
        .group_by("unique_id", maintain_order=True)
        .agg(end=pl.col("number").last(), **grid_of(frequency))
    )
    stepped = part.join(last.select("unique_id", "end"), on="unique_id", maintain_order="left").with_columns(
        back=pl.col("end") - pl.col("number"),
        item=pl.col("unique_id").rle_id(),
        variate_index=pl.col("series_variate").replace_strict({name: v for v, name in enumerate(variates)}),
    )
    back = stepped["back"].to_numpy()
    length = int(back.max()) + 1
    values: Floats = np.full((last.height, len(variates), length), np.nan)
    index = (stepped["item"].to_numpy(), stepped["variate_index"].to_numpy(), length - 1 - back)
    values[index] = stepped["y"].fill_null(float("nan")).to_numpy()
    history = exact_history(
        values,
        item_ids=tuple(str(name) for name in last["unique_id"]),
        variates=variates,
        origins=tuple(_origin(moment, frequency) for moment in last["last_local"]),
        frequency=frequency,
    )
    return history, last.drop("end")


def _origin(moment: dt.datetime, frequency: Frequency) -> dt.date:
    return moment if frequency.is_within_days else moment.date()
