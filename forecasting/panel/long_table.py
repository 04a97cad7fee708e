"""Any long table of series (`unique_id, ds, y`, optionally `variate`) as histories, and back.

Series may differ in length, have gaps and be constant. A date may lie anywhere in its period: the future
continues the dates as they are.

I items, V variates, L context steps.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from forecasting.errors import InputError
from forecasting.frequencies import STANDARD, Frequency, Unit
from forecasting.panel.categories import (
    Categories,
    categories_of,
    expanded_columns,
    with_categories,
)
from forecasting.panel.history import Floats, History, exact_history
from forecasting.panel.layout import MISSING, Columns, covariate, lay_out
from forecasting.panel.period_calendar import PeriodCalendar
from forecasting.panel.stamps import StampStyle, future_dates, grid_of, place, read_stamps
from forecasting.panel.table_checks import check_frequency, check_values, is_mostly_dense

MAX_VALUES = 1 << 28  # of all series side by side, each as long as the longest: 2 GiB
COARSEST_FIRST = (
    *(STANDARD[unit] for unit in (Unit.YEAR, Unit.QUARTER, Unit.MONTH, Unit.WEEK)),
    *(STANDARD[unit] for unit in (Unit.BUSINESS_DAY, Unit.DAY, Unit.HOUR)),
    *(Frequency(Unit.MINUTE, minutes) for minutes in (30, 15, 10, 5, 1)),
)


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
    wide : bool
        The table had a column for each series.
    calendar : PeriodCalendar, optional
        Where dates are those of a calendar, `local` and `instant` lie on its regular grid.
    covariates : tuple of str
        Columns with numbers known ahead, in the order of `covariate_0` and so on among the rows; one for each
        category but the first where a covariate is words.
    categories : mapping
        Of the covariates that are words, see `categories_of`.
    statics : tuple of str
        Columns that `group` joins among the rows.
    """

    rows: pl.DataFrame
    frequency: Frequency
    style: StampStyle
    has_variates: bool
    ignored: tuple[str, ...] = ()
    wide: bool = False
    calendar: PeriodCalendar | None = None
    covariates: tuple[str, ...] = ()
    categories: Categories = field(default_factory=dict)
    statics: tuple[str, ...] = ()

    @property
    def keys(self) -> list[str]:
        """Columns that name a series."""
        return ["unique_id", "variate"] if self.has_variates else ["unique_id"]

    def future(self, last: pl.DataFrame, *, horizon: int, first: int = 0) -> pl.DataFrame:
        """Stamps of the horizon per item as the table writes them, see `future_dates`."""
        dates = future_dates(last, horizon=horizon, frequency=self.frequency, style=self.style, first=first)
        if self.calendar is None:
            return dates
        return dates.with_columns(ds=self.calendar.restored(dates["ds"]))


def check_long_table(
    table: pl.DataFrame,
    *,
    frequency: Frequency | None,
    where: str,
    columns: Columns | None = None,
    with_lines: bool = False,
    calendar: PeriodCalendar | None = None,
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
    calendar : PeriodCalendar, optional
        Whose periods the dates are; it has a frequency of its own.

    Raises
    ------
    InputError
        For a missing column, a table without rows, dates that cannot be read or lie outside 1800 to 2200, two
        rows in one period, a value that is no finite number, a series with fewer than 3 observations, with
        other spacing than the frequency, or with a gap that is too long to be bridged. The sentence names
        series, date and row.
    """
    columns = columns or Columns()
    categories = categories_of(table, columns, where=where)
    table = with_categories(table, columns, categories, where=where)
    columns = expanded_columns(columns, categories)
    laid = lay_out(table, columns, where=where, with_lines=with_lines)
    named = laid.rows
    has_variates = "variate" in named.columns
    keys = ["unique_id", "variate"] if has_variates else ["unique_id"]
    if named.is_empty():
        raise InputError("a table must hold at least one series", found="no rows", where=where)
    stamps, style = read_stamps(named["ds"], name=columns.time, rows=named["row"], where=where)
    if calendar is not None:
        stamps, calendar = calendar.placed(stamps, rows=named["row"], where=where)
        frequency, style = calendar.frequency, StampStyle(dtype=pl.Date())
    numbers = [_numbers(named, "y", columns.target, where)]
    numbers += [
        _known(_numbers(named, covariate(k), name, where), name, named["row"], where)
        for k, name in enumerate(columns.covariates)
    ]
    rows = named.with_columns(*numbers, *stamps)
    _check_keys(rows, keys=keys, columns=columns, where=where)
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
        ignored=laid.ignored,
        wide=laid.wide,
        calendar=calendar,
        covariates=columns.covariates,
        categories=categories,
        statics=columns.statics,
    )


def _check_keys(rows: pl.DataFrame, *, keys: list[str], columns: Columns, where: str) -> None:
    called = {"unique_id": columns.id, "ds": columns.time}
    for column in (*keys, "ds"):
        empty = rows.filter(pl.col(column).is_null())
        if empty.height:
            raise InputError(
                f"column {called.get(column, column)!r} must not be empty",
                found=f"{empty.height} nulls, the first in {empty['row'][0]}",
                where=where,
            )
    if not columns.statics:
        return
    groups = rows.group_by("unique_id", maintain_order=True).agg(pl.col("group").n_unique())
    for row in groups.filter(pl.col("group") > 1).head(1).iter_rows(named=True):
        raise InputError(
            "a static covariate never changes within a series",
            expected=f"one value of {', '.join(columns.statics)}",
            found=f"{row['group']} of them",
            where=f"{where}, series {row['unique_id']}",
        )


def _known(values: pl.Series, name: str, rows: pl.Series, where: str) -> pl.Series:
    """Values of a covariate, all of which must be there."""
    unknown = values.is_null() | ~values.is_finite()
    if unknown.any():
        at = int(unknown.arg_max() or 0)
        raise InputError(
            f"the covariate {name!r} must be a number in every row",
            found=f"{int(unknown.sum())} rows without",
            where=f"{where}, {rows[at]}",
        )
    return values


def _numbers(named: pl.DataFrame, column: str, name: str, where: str) -> pl.Series:
    """Values as Float64, null where nothing was observed."""
    values = named[column]
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

    Raises
    ------
    InputError
        If the series side by side, each as long as the longest, are more than `MAX_VALUES` values.
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
    _check_size(last.height, variates, length, longest=str(stepped["unique_id"][int(back.argmax())]))
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


def _check_size(items: int, variates: tuple[str, ...], length: int, *, longest: str) -> None:
    """Refuse series that do not fit into memory side by side: a table of its own serves the long ones."""
    if items * len(variates) * length > MAX_VALUES:
        raise InputError(
            "the series are too many for the longest of them",
            expected=f"at most {MAX_VALUES:,} values (series x steps of the longest); forecast long series "
            "from a table of their own",
            found=f"{items:,} items of {', '.join(variates)} x {length:,} steps",
            where=f"series {longest}",
        )


def _origin(moment: dt.datetime, frequency: Frequency) -> dt.date:
    return moment if frequency.is_within_days else moment.date()
