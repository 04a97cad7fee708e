"""What people read on the terminal: the answer table, the readings of the cap, scores, checks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table

from forecasting.periods import Frequency, label
from pipelines.figures.number_format import share_of_paths, units_text

Row = dict[str, Any]


def print_windows_table(
    console: Console, windows: pl.DataFrame, *, frequency: Frequency, end: dt.date
) -> None:
    """Print one row per chip, scope and policy.

    A chip that is not eligible is listed once for both scopes; if none is, for one reason, they share a row.

    Parameters
    ----------
    windows : DataFrame
        `windows.parquet` with the quantile levels 10, 50 and 90 %.
    end : date
        Last period of the horizon.
    """
    now = windows["now"].drop_nulls()
    at = label(now[0], frequency) if now.len() else "now"
    for part in windows.partition_by("policy", maintain_order=True):
        table = Table(title=part["policy"][0], title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        table.add_column("chip")
        table.add_column("scope")
        table.add_column("eligible", max_width=31)
        table.add_column(f"P(saturated\n{at})", justify="right")
        table.add_column("saturated by\n10 / 50 / 90 %")
        table.add_column("P(never by\nhorizon)", justify="right")
        table.add_column("next window")
        table.add_column("exportable units\n10 / 50 / 90 %")
        table.add_column("binding")
        for row in _merged(part):
            table.add_row(*_cells(row, frequency, end))
        for column in table.columns:
            column.overflow = "fold"  # a date that is cut is worse than one on two lines
        console.print(table)


def _merged(part: pl.DataFrame) -> list[Row]:
    """Rows of one policy: chips with an estimate, then those without, then the refused, each once."""
    rows = part.to_dicts()
    lacking = {row["chip"] for row in rows if row["eligible"] and row["p_any_window"] is None}
    kept = [row for row in rows if row["eligible"] and row["chip"] not in lacking]
    absent = {row["chip"]: row for row in rows if row["chip"] in lacking}
    refused = {row["chip"]: row for row in rows if not row["eligible"]}
    if len(refused) > 1 and len({row["reason"] for row in refused.values()}) == 1:
        one = next(iter(refused.values()))
        refused = {"": {**one, "chip": "all others" if kept or absent else "all chips"}}
    return [*kept, *absent.values(), *refused.values()]


def _cells(row: Row, frequency: Frequency, end: dt.date) -> list[str]:
    if not row["eligible"]:
        return [row["chip"], "any", f"no: {row['reason'].split('; ')[0]}", *[""] * 6]
    if row["p_any_window"] is None:
        why = row["no_estimate"].split("; ")[0].removeprefix(f"{row['chip']}: ")
        return [row["chip"], "any", f"yes, not forecast: {why}", *[""] * 6]
    return [
        row["chip"],
        row["scope"],
        "yes",
        share_of_paths(row["p_saturated_now"]),
        _dates([row[f"saturated_{q}"] for q in ("q10", "q50", "q90")], frequency, end),
        share_of_paths(row["p_never"]),
        _window(row, frequency, end),
        " / ".join(units_text(row[f"units_{q}"]) for q in ("q10", "q50", "q90")),
        f"{row['binding'].replace('_', ' ')} ({share_of_paths(row['binding_share'])})",
    ]


def _dates(days: Sequence[dt.date | None], frequency: Frequency, end: dt.date) -> str:
    """Quantile dates; from the first censored one on, "not before" the end of the horizon."""
    known = [label(day, frequency) for day in days if day is not None]
    censored = [f"not before {label(end, frequency)}"] if len(known) < len(days) else []
    return " / ".join(known + censored)


def _window(row: Row, frequency: Frequency, end: dt.date) -> str:
    if row["window_opens"] is None:
        return f"none (any: {share_of_paths(row['p_any_window'])})"
    closes = row["window_closes"]
    until = f"past {label(end, frequency)}" if closes is None else f"to {label(closes, frequency)}"
    return f"{label(row['window_opens'], frequency)} {until}"


def print_cap_readings(console: Console, readings: pl.DataFrame, *, policy: str) -> None:
    """Print what each reading of one policy's cap allows."""
    rows = readings.filter(pl.col("policy") == policy) if readings.height else readings
    if rows.is_empty():
        return
    table = Table(
        title=f"readings of the cap, {policy}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    for name in ("chip", "counts", "period", "cap by now 10/50/90 %", "exportable by the horizon 10/50/90 %"):
        table.add_column(name)
    for row in rows.iter_rows(named=True):
        table.add_row(
            row["chip"],
            row["counts"],
            row["period"].replace("_", " ") + (" (stated)" if row["stated"] else ""),
            " / ".join(units_text(row[f"cap_units_{q}"]) for q in ("q10", "q50", "q90")),
            " / ".join(units_text(row[f"units_{q}"]) for q in ("q10", "q50", "q90")),
        )
    console.print(table)


def print_table(console: Console, table: pl.DataFrame, *, title: str, digits: int = 3) -> None:
    """Print a small table as it is."""
    shown = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for name, dtype in table.schema.items():
        shown.add_column(name.replace("_", " "), justify="right" if dtype.is_numeric() else "left")
    for row in table.iter_rows():
        shown.add_row(*(_text(value, digits) for value in row))
    console.print(shown)


def _text(value: object, digits: int) -> str:
    if value is None:
        return ""
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)
