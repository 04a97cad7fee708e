"""Any long table of series (`unique_id, ds, y`, optionally `variate`) as histories, and back.

Series may differ in length, have gaps and be constant. A date may be the start or the end of its period: the
future continues the dates as they are.
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
from forecasting.periods import Frequency

STEP = {"h": "1h", "D": "1d", "W": "1w", "M": "1mo", "Q": "3mo", "Y": "12mo"}
SECONDS = {"h": 3600, "D": 86400, "W": 7 * 86400}
MIN_OBSERVATIONS = 3
DATE_FORMATS = {  # year first: with day or month first a date could be read in two ways
    "%Y-%m-%d": pl.Date(),
    "%Y-%m-%d %H:%M:%S%.f": pl.Datetime("us"),
    "%Y-%m-%d %H:%M": pl.Datetime("us"),
    "%Y-%m-%d %H:%M:%S%.f%#z": pl.Datetime("us"),
}


@dataclass(frozen=True, kw_only=True)
class LongTable:
    """A checked long table: sorted by series and date, `y` Float64 with null where nothing was observed."""

    rows: pl.DataFrame
    frequency: Frequency
    has_variates: bool

    @property
    def keys(self) -> list[str]:
        """Columns that name a series."""
        return ["unique_id", "variate"] if self.has_variates else ["unique_id"]


def check_long_table(table: pl.DataFrame, *, frequency: Frequency, where: str) -> LongTable:
    """Check a long table and bring it into order.

    Raises
    ------
    InputError
        For a missing column, a table without rows, dates that cannot be read, a date that stands twice,
        spacing within an item that does not fit the frequency, an infinite value, or a series with fewer than
        3 observations; the sentence names the series and the date.
    """
    for column in ("unique_id", "ds", "y"):
        if column not in table.columns:
            near = difflib.get_close_matches(column, table.columns, n=1, cutoff=0.5)
            hint = f" (is it {near[0]!r}?)" if near else ""
            raise InputError(
                f"column {column!r} is missing{hint}",
                expected="unique_id, ds, y and optionally variate",
                found=", ".join(table.columns),
                where=where,
            )
    if table.is_empty():
        raise InputError("a table must hold at least one series", found="no rows", where=where)
    has_variates = "variate" in table.columns
    keys = ["unique_id", "variate"] if has_variates else ["unique_id"]
    table = table.select(*keys, "ds", "y").with_columns(_dates(table, where), _numbers(table, where))
    for column in (*keys, "ds"):
        if nulls := table[column].null_count():
            raise InputError(f"column {column!r} must not be empty", found=f"{nulls} nulls", where=where)
    if has_variates:
        table = table.with_columns(pl.col("variate").cast(pl.String))
    rows = table.sort(*keys, "ds")
    checked = LongTable(rows=rows, frequency=frequency, has_variates=has_variates)
    _check_rows(checked, where)
    _check_any_step(checked, where)
    return checked


def _dates(table: pl.DataFrame, where: str) -> pl.Series:
    dates = table["ds"]
    if dates.dtype == pl.String:
        text = dates.str.replace("T", " ", literal=True)
        readings = [text.str.strptime(dtype, form, strict=False) for form, dtype in DATE_FORMATS.items()]
        best = min(readings, key=pl.Series.null_count)
        unread = dates.filter(best.is_null() & dates.is_not_null())
        if unread.len():
            raise InputError(
                "a date cannot be read",
                expected="2026-03-31 or 2026-03-31T12:00:00, one way throughout",
                found=repr(unread[0]),
                where=where,
            )
        return best
    if not isinstance(dates.dtype, pl.Date | pl.Datetime):
        raise InputError("column 'ds' must hold dates", found=str(dates.dtype), where=where)
    return dates


def _numbers(table: pl.DataFrame, where: str) -> pl.Series:
    values = table["y"]
    if not (values.dtype.is_numeric() or values.dtype == pl.Null):
        raise InputError("column 'y' must hold numbers", found=str(values.dtype), where=where)
    return values.cast(pl.Float64).fill_nan(None)


def _check_rows(table: LongTable, where: str) -> None:
    rows, keys = table.rows, table.keys

    def refuse(bad: pl.DataFrame, rule: str, *, expected: str = "", found: str = "") -> None:
        if bad.height:
            row = bad.row(0, named=True)
            series = ", ".join(str(row[key]) for key in keys)
            at = f"{where}, series {series}" + (f", {row['ds']}" if "ds" in row else "")
            shown = found.format(**row) if found else ""
            raise InputError(rule, expected=expected, found=shown, where=at)

    refuse(
        rows.filter(pl.struct(*keys, "ds").is_duplicated()),
        "a series may have one row per date",
        found="two or more",
    )
    refuse(rows.filter(pl.col("y").is_infinite()), "a value must be finite", found="{y}")
    counts = rows.group_by(keys, maintain_order=True).agg(n=pl.col("y").count())
    refuse(
        counts.filter(pl.col("n") < MIN_OBSERVATIONS),
        "a series needs observations to be forecast from",
        expected=f"at least {MIN_OBSERVATIONS}",
        found="{n}",
    )
    gaps = rows.sort("unique_id", "ds").with_columns(
        fits=_fits(table.frequency), before=pl.col("ds").shift(1).over("unique_id")
    )
    refuse(
        gaps.filter(~pl.col("fits")),
        "dates must be spaced by whole steps of the frequency",
        expected=f"steps of {STEP[table.frequency.value]} (--freq {table.frequency.value})",
        found="a date after {before}",
    )


def _check_any_step(table: LongTable, where: str) -> None:
    """Refuse a frequency finer than the dates: somewhere two of them must be one step apart."""
    steps = table.rows.select(
        _steps(pl.col("ds").shift(1), pl.col("ds"), table.frequency).over(table.keys, order_by="ds")
    ).to_series()
    if not (steps == 1).any():
        raise InputError(
            "no two dates are one step of the frequency apart",
            expected=f"steps of {STEP[table.frequency.value]} (--freq {table.frequency.value})",
            found=f"at least {steps.drop_nulls().sort()[0]} steps",
            where=where,
        )


def _fits(frequency: Frequency) -> pl.Expr:
    """Whether each date lies whole steps after the one before it of its item (true for the first)."""
    ds = pl.col("ds")
    if frequency.months == 0:
        gap = ds.cast(pl.Datetime("us")).diff().over("unique_id").dt.total_seconds()
        return (gap % SECONDS[frequency.value] == 0).fill_null(value=True)
    months = ds.dt.year().cast(pl.Int64) * 12 + ds.dt.month()
    whole = months.diff().over("unique_id") % frequency.months == 0
    before = ds.shift(1).over("unique_id")
    same_day = (ds.dt.day() == before.dt.day()) | (_is_month_end(ds) & _is_month_end(before))
    return (whole & same_day).fill_null(value=True)


def _is_month_end(ds: pl.Expr) -> pl.Expr:
    return ds.cast(pl.Date) == ds.cast(pl.Date).dt.month_end()


def histories(table: LongTable) -> Iterator[tuple[History, pl.DataFrame]]:
    """Histories of all items, one for each set of variates, with each item's last date.

    Yields
    ------
    History
        [I, V, L]; item ids are those of the table as text.
    DataFrame
        unique_id (as in the table), `last` (date) and `month_ends` (all its dates are ends of months), in the
        order of the history.
    """
    rows = table.rows.with_columns(series_variate=pl.col("variate") if table.has_variates else pl.lit("y"))
    sets = rows.group_by("unique_id").agg(variates=pl.col("series_variate").unique().sort())
    rows = rows.join(sets, on="unique_id")
    for part in rows.sort("variates", "unique_id", "series_variate", "ds").partition_by(
        "variates", maintain_order=True
    ):
        yield _history(part, tuple(part["variates"][0]), table.frequency)


def _history(
    part: pl.DataFrame, variates: tuple[str, ...], frequency: Frequency
) -> tuple[History, pl.DataFrame]:
    last = part.group_by("unique_id", maintain_order=True).agg(
        last=pl.col("ds").max(), month_ends=_is_month_end(pl.col("ds")).all()
    )
    stepped = part.join(last, on="unique_id", maintain_order="left").with_columns(
        back=_steps(pl.col("ds"), pl.col("last"), frequency),
        item=pl.col("unique_id").rle_id(),
        place=pl.col("series_variate").replace_strict({name: v for v, name in enumerate(variates)}),
    )
    length = int(stepped["back"].to_numpy().max()) + 1
    values: Floats = np.full((last.height, len(variates), length), np.nan)
    index = (stepped["item"].to_numpy(), stepped["place"].to_numpy(), length - 1 - stepped["back"].to_numpy())
    values[index] = stepped["y"].fill_null(float("nan")).to_numpy()
    history = exact_history(
        values,
        item_ids=tuple(str(name) for name in last["unique_id"]),
        variates=variates,
        origins=tuple(_as_date(day) for day in last["last"]),
        frequency=frequency,
    )
    return history, last


def _as_date(day: dt.date) -> dt.date:
    return day.date() if isinstance(day, dt.datetime) else day


def _steps(first: pl.Expr, last: pl.Expr, frequency: Frequency) -> pl.Expr:
    if frequency.months:
        months = (last.dt.year() - first.dt.year()).cast(pl.Int64) * 12 + (
            last.dt.month().cast(pl.Int64) - first.dt.month().cast(pl.Int64)
        )
        return months // frequency.months
    seconds = (last.cast(pl.Datetime("us")) - first.cast(pl.Datetime("us"))).dt.total_seconds()
    return seconds // SECONDS[frequency.value]


def future_dates(last: pl.DataFrame, *, horizon: int, frequency: Frequency) -> pl.DataFrame:
    """Dates of the horizon per item: unique_id, step (0 to H - 1), ds.

    Where all of an item's dates are ends of months, a step from 28 February leads to 31 March.

    Parameters
    ----------
    last : DataFrame
        unique_id, last (date) and month_ends, as `histories` gives them.
    horizon : int
    frequency : Frequency
    """
    steps = pl.DataFrame({"step": np.arange(horizon, dtype=np.int32)})
    count = int(STEP[frequency.value].rstrip("hdwmo"))
    unit = STEP[frequency.value].lstrip("0123456789")
    ds = pl.col("last").dt.offset_by(pl.format("{}{}", (pl.col("step") + 1) * count, pl.lit(unit)))
    if frequency.months:
        ds = pl.when("month_ends").then(ds.dt.month_end()).otherwise(ds)
    return last.join(steps, how="cross").with_columns(ds=ds).select("unique_id", "step", "ds")
