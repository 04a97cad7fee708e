"""Rules that the rows of a long table must keep: values, one row per period, spacing, and gaps.

Rows carry `row` (where each stands), the keys, `ds`, `local` and `instant`, `y`, and the `number` and `place`
of the period at a frequency; they are sorted by series and time.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import polars as pl

from forecasting.errors import InputError
from forecasting.frequencies import Frequency, Unit, label, period_end
from forecasting.panel.stamps import StampStyle, in_zone, is_first_workday, is_last_workday, is_month_end

MIN_OBSERVATIONS = 3
# A gap is bridged by interpolation. Ten steps of it for each row that there is, and 25 years, are more than
# any use of that; beyond lies a stray date such as 1900-01-01 or 1970-01-01, the zero of many systems.
GAP_STEPS_PER_ROW = 10
GAP_YEARS = 25
# All gaps of a series together: of every 20 steps one is there, or the series is short anyway.
STEPS_PER_ROW = 20
SHORT_SERIES = 1000
# Dates of a coarser calendar (months among days, quarters among weeks) lie nearly evenly apart: 3 in 4 of
# them within a quarter of their median distance, which is 4 steps or more.
# Fewer than 6 distances may be chance.
EVEN_STEPS, EVEN_WITHIN, EVEN_SHARE, EVEN_NUMBER = 4, 0.25, 0.75, 6


def _series(row: dict[str, Any], keys: list[str], where: str) -> str:
    return f"{where}, series {', '.join(str(row[key]) for key in keys)}"


def check_values(rows: pl.DataFrame, *, keys: list[str], where: str) -> None:
    """Refuse infinite values, and series of fewer than 3 observations.

    Raises
    ------
    InputError
        With the series and the row.
    """
    for row in rows.filter(pl.col("y").is_infinite()).head(1).iter_rows(named=True):
        raise InputError(
            "a value must be finite",
            found=str(row["y"]),
            where=f"{_series(row, keys, where)}, {row['ds']}, {row['row']}",
        )
    counts = rows.group_by(keys, maintain_order=True).agg(n=pl.col("y").count())
    for row in counts.sort(keys).filter(pl.col("n") < MIN_OBSERVATIONS).head(1).iter_rows(named=True):
        raise InputError(
            "a series needs observations to be forecast from",
            expected=f"at least {MIN_OBSERVATIONS}",
            found=str(row["n"]),
            where=_series(row, keys, where),
        )


def check_frequency(
    rows: pl.DataFrame, *, keys: list[str], frequency: Frequency, style: StampStyle, where: str
) -> None:
    """Refuse what does not fit a frequency: each series is judged by itself.

    Raises
    ------
    InputError
        Two rows in one period; a weekend among business days; a gap that is too long; dates that do not lie
        at the same place of their periods; a series all of whose dates lie several steps apart.
    """
    rows = rows.with_columns(
        before=pl.col("ds").shift(1).over(keys),
        row_before=pl.col("row").shift(1).over(keys),
        steps=pl.col("number").diff().over(keys),
    )
    _check_periods(rows, keys, frequency, where)
    if frequency.unit is Unit.BUSINESS_DAY:
        _check_workdays(rows, keys, where)
    _check_gaps(rows, keys, frequency, where)
    _check_places(rows, keys, frequency, style, where)
    _check_steps(rows, keys, frequency, where)


def _check_periods(rows: pl.DataFrame, keys: list[str], frequency: Frequency, where: str) -> None:
    twice = rows.filter(pl.col("steps") == 0)
    for row in twice.head(1).iter_rows(named=True):
        moment = row["local"] if frequency.is_within_days else row["local"].date()
        same = row["ds"] == row["before"]
        more = f", and {twice.height - 1} more such rows" if twice.height > 1 else ""
        raise InputError(
            f"a series may have one row per {'date' if same else 'period'}",
            expected=f"one row in {label(period_end(moment, frequency), frequency)} (--freq {frequency}): "
            "aggregate the rows of a period first" + ("" if same else ", or give a finer --freq"),
            found=f"{row['before']} ({row['row_before']}) and {row['ds']} ({row['row']}){more}",
            where=_series(row, keys, where),
        )


def _check_workdays(rows: pl.DataFrame, keys: list[str], where: str) -> None:
    weekends = rows.filter(pl.col("local").dt.weekday() > 5)
    for row in weekends.head(1).iter_rows(named=True):
        raise InputError(
            "a business day is no Saturday or Sunday",
            expected="Monday to Friday (--freq B), or --freq D",
            found=f"{row['ds']}, {row['local']:%A}",
            where=f"{_series(row, keys, where)}, {row['row']}",
        )


def _check_gaps(rows: pl.DataFrame, keys: list[str], frequency: Frequency, where: str) -> None:
    gaps = rows.with_columns(count=pl.len().over(keys), nth=pl.int_range(pl.len()).over(keys))
    years = pl.col("steps") / frequency.periods_per_year
    too_long = gaps.filter(
        ((pl.col("steps") - 1 > GAP_STEPS_PER_ROW * pl.col("count")) | (years > GAP_YEARS))
        & (pl.col("steps") > 1)
    )
    for row in too_long.head(1).iter_rows(named=True):
        early = row["nth"] <= row["count"] - row["nth"]
        stray, at = (row["before"], row["row_before"]) if early else (row["ds"], row["row"])
        raise InputError(
            "a gap is too long to be bridged; is a date wrong?",
            expected=f"at most {GAP_STEPS_PER_ROW} missing steps for each of the series' "
            f"{row['count']} rows, and {GAP_YEARS} years",
            found=f"{row['steps'] - 1} missing steps of {frequency.step_name} "
            f"between {row['before']} and {row['ds']}",
            where=f"{_series(row, keys, where)}, {stray}, {at}",
        )
    to_end = pl.col("number").max().over("unique_id") - pl.col("number") + 1
    spans = (
        rows.with_columns(span=to_end)
        .group_by(keys, maintain_order=True)
        .agg(count=pl.len(), span=pl.col("span").first())
    )
    sparse = spans.filter(
        (pl.col("span") > SHORT_SERIES) & (pl.col("span") > STEPS_PER_ROW * pl.col("count"))
    )
    for row in sparse.head(1).iter_rows(named=True):
        raise InputError(
            "a series is almost all gaps",
            expected=f"a row in one step of {STEPS_PER_ROW}, or a coarser --freq",
            found=f"{row['count']} rows in {row['span']} steps of {frequency.step_name}",
            where=_series(row, keys, where),
        )


def _check_places(
    rows: pl.DataFrame, keys: list[str], frequency: Frequency, style: StampStyle, where: str
) -> None:
    """Variates of an item lie on one grid; the rows of an item are judged together."""
    ordered = rows.sort("unique_id", "instant").with_columns(
        before=pl.col("ds").shift(1).over("unique_id"), place_before=pl.col("place").first().over("unique_id")
    )
    fits = _fits_months() if frequency.months else pl.lit(value=True)
    shift = pl.duration(microseconds=pl.col("place_before") - pl.col("place"))
    same = pl.col("place") == pl.col("place_before")
    if style.zone is not None and not (frequency.months or frequency.is_within_days):
        same |= in_zone(pl.col("local") + shift, style.zone).is_null()  # a clock change skips that hour
    for row in ordered.filter(~(same & fits)).head(1).iter_rows(named=True):
        raise InputError(
            "dates must be spaced by whole steps of the frequency",
            expected=f"steps of {frequency.step_name} (--freq {frequency})",
            found=f"a date after {row['before']}",
            where=f"{_series(row, keys, where)}, {row['ds']}, {row['row']}",
        )


def _fits_months() -> pl.Expr:
    """Whether each date lies on the day of those before it, or on the last of a shorter month.

    Else all of an item lie on the first workday of their month, or on the last.
    """
    day, length = pl.col("local").dt.day(), pl.col("local").dt.month_end().dt.day()
    highest = day.cum_max().shift(1).over("unique_id")
    all_ends = is_month_end(pl.col("local")).cum_min().shift(1).over("unique_id")
    kept = day == pl.min_horizontal(highest, length)
    first, last = (
        each(pl.col("local")).all().over("unique_id") for each in (is_first_workday, is_last_workday)
    )
    return (kept | (all_ends & (day > highest)) | first | last).fill_null(value=True)


def _check_steps(rows: pl.DataFrame, keys: list[str], frequency: Frequency, where: str) -> None:
    """Refuse a frequency finer than a series: its dates lie several steps apart, all or nearly evenly."""
    gaps = rows.filter(pl.col("steps").is_not_null()).group_by(keys, maintain_order=True)
    for names, steps in gaps.agg("steps").select(pl.struct(keys), "steps").iter_rows():
        apart = _steps_apart(steps)
        if apart > 1:
            raise InputError(
                "no two dates are one step of the frequency apart",
                expected=f"steps of {frequency.step_name} (--freq {frequency}) in every series",
                found=f"at least {apart} steps, so that its frequency is coarser: forecast it by itself",
                where=_series(names, keys, where),
            )


def _steps_apart(steps: Sequence[int]) -> int:
    """Least distance of dates whose frequency is coarser, such as the 28 days of months; else 1."""
    divisor, least, usual = math.gcd(*steps), min(steps), statistics.median(steps)
    near = sum(abs(each - usual) <= EVEN_WITHIN * usual for each in steps)
    even = usual >= EVEN_STEPS and len(steps) >= EVEN_NUMBER and near >= EVEN_SHARE * len(steps)
    return least if divisor > 1 or (even and least > 1) else 1


def is_mostly_dense(rows: pl.DataFrame, *, keys: list[str]) -> bool:
    """Whether in every series more than half of the dates follow one step after the date before."""
    steps = pl.col("number").diff()
    return bool(rows.group_by(keys).agg(dense=(steps == 1).mean() > 0.5)["dense"].all())
