"""What people read on the terminal: the answer table, the readings of the cap, scores, checks."""

from __future__ import annotations

import datetime as dt
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
from rich.console import Console

from forecasting.frequencies import Frequency, label
from pipelines.cli.terminal.fitted import print_fitted
from pipelines.figures.number_format import share_of_paths, units_text

Row = dict[str, Any]


def print_windows_table(
    console: Console, windows: pl.DataFrame, *, frequency: Frequency, end: dt.date
) -> None:
    """Print one row per chip, scope and policy; chips without an estimate follow with the reason.

    Parameters
    ----------
    windows : DataFrame
        `windows.parquet` with the quantile levels 10, 50 and 90 %.
    end : date
        Last period of the horizon.
    """
    now = windows["now"].drop_nulls()
    at = label(now[0], frequency) if now.len() else "now"
    heads = (
        "chip",
        "scope",
        f"P(saturated\n{at})",
        "saturated by\n10 / 50 / 90 %",
        "P(never by\nhorizon)",
        "next window",
        "exportable units\n10 / 50 / 90 %",
        "made anew\n10 / 50 / 90 %",
        "binding",
    )
    for part in windows.partition_by("policy", maintain_order=True):
        found = part.to_dicts()
        rows = [_cells(row, frequency, end) for row in found if _is_estimated(row)]
        if rows:
            print_fitted(console, rows, title=part["policy"][0], heads=heads, keys=2, right=(2, 4))
        else:
            console.print(part["policy"][0], style="bold", highlight=False)
        for line in [*_absent([row for row in found if not _is_estimated(row)]), *_outside(found)]:
            print_wrapped(console, line)
        console.print()


def print_wrapped(console: Console, text: str) -> None:
    """Print a text with breaks between words."""
    lines = textwrap.wrap(
        text, console.width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _is_estimated(row: Row) -> bool:
    return bool(row["eligible"]) and row["p_any_window"] is not None


def _absent(rows: Sequence[Row]) -> Iterator[str]:
    """Chips without an estimate, by the reason: a policy rules them out, or they were not forecast."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        refused = row["reason"] if not row["eligible"] else row["no_estimate"]
        why = refused.split("; ")[0].removeprefix(f"{row['chip']}: ")
        chips = reasons.setdefault(f"{'not forecast' if row['eligible'] else 'not eligible'}: {why}", [])
        if row["chip"] not in chips:
            chips.append(row["chip"])
    for why, chips in sorted(reasons.items(), key=lambda each: each[0].startswith("not forecast")):
        kind, _, reason = why.partition(": ")
        yield f"{kind}: {', '.join(chips)} ({reason})"


def _outside(rows: Sequence[Row]) -> Iterator[str]:
    """Chips that are let through though they lie in no duty band."""
    chips = list(dict.fromkeys(row["chip"] for row in rows if row.get("outside_duty_bands")))
    if chips:
        yield f"eligible by the letter, but outside every duty band: {', '.join(chips)}"


def _cells(row: Row, frequency: Frequency, end: dt.date) -> list[str]:
    return [
        row["chip"],
        row["scope"],
        share_of_paths(row["p_saturated_now"]),
        _dates([row[f"saturated_{q}"] for q in ("q10", "q50", "q90")], frequency, end),
        share_of_paths(row["p_never"]),
        _window(row, frequency, end),
        " / ".join(units_text(row[f"units_{q}"]) for q in ("q10", "q50", "q90")),
        " / ".join(units_text(row[f"new_units_{q}"]) for q in ("q10", "q50", "q90")),
        f"{row['binding'].replace('_', ' ')} ({share_of_paths(row['binding_share'])})",
    ]


def _dates(days: Sequence[dt.date | None], frequency: Frequency, end: dt.date) -> str:
    """Quantile dates; from the first censored one on, "not before" the end of the horizon."""
    known = [label(day, frequency) for day in days if day is not None]
    censored = [f"not before {label(end, frequency)}"] if len(known) < len(days) else []
    return " / ".join(known + censored)


def _window(row: Row, frequency: Frequency, end: dt.date) -> str:
    if row["window_opens"] is None:
        return f"on {share_of_paths(row['p_any_window'])} of paths"
    closes = row["window_closes"]
    until = f"past {label(end, frequency)}" if closes is None else f"to {label(closes, frequency)}"
    return f"{label(row['window_opens'], frequency)} {until}"


def print_cap_readings(console: Console, readings: pl.DataFrame, *, policy: str) -> None:
    """Print what each reading of one policy's cap allows."""
    rows = readings.filter(pl.col("policy") == policy) if readings.height else readings
    if rows.is_empty():
        return
    cells = [
        [
            row["chip"],
            row["counts"],
            row["period"].replace("_", " ") + (" (stated)" if row["stated"] else ""),
            " / ".join(units_text(row[f"cap_units_{q}"]) for q in ("q10", "q50", "q90")),
            " / ".join(units_text(row[f"units_{q}"]) for q in ("q10", "q50", "q90")),
        ]
        for row in rows.iter_rows(named=True)
    ]
    print_fitted(
        console,
        cells,
        title=f"readings of the cap, {policy}",
        heads=(
            "chip",
            "counts",
            "period",
            "cap by now 10/50/90 %",
            "exportable by the horizon 10/50/90 %",
        ),
    )


def print_statements(console: Console, statements: Sequence[Mapping[str, Any]]) -> None:
    """Print the dated statements of others: how each was used, and whether the states agree with it."""
    if not statements:
        console.print("no dated statements: the data are not the public figures", highlight=False)
        return
    print_fitted(
        console,
        [
            [
                str(each["stated_on"]),
                each["item_id"],
                each["statement"],
                each["publisher"],
                each["use"],
                "" if each["p_met"] is None else share_of_paths(each["p_met"]),
                each["verdict"],
            ]
            for each in statements
        ],
        title="dated statements, and the state of the market in their quarter",
        heads=("stated on", "item", "statement", "by", "use", "P(met)", "verdict"),
        keys=2,
        right=(5,),
        widest=60,
    )


def print_table(console: Console, table: pl.DataFrame, *, title: str, digits: int = 3) -> None:
    """Print a small table as it is."""
    numeric = [place for place, dtype in enumerate(table.dtypes) if dtype.is_numeric()]
    print_fitted(
        console,
        [[_text(value, digits) for value in row] for row in table.iter_rows()],
        title=title,
        heads=[name.replace("_", " ") for name in table.columns],
        right=numeric,
    )


def _text(value: object, digits: int) -> str:
    if value is None:
        return ""
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)
