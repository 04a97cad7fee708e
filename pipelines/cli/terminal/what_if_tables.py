"""What people read of sensitivities and scenarios on the terminal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table

from forecasting.periods import Frequency, label
from pipelines.figures.number_format import share_of_paths, units_text

LEVELS = ("q10", "q50", "q90")
INDEX_DIGITS = 3
HEADS = {
    "p_saturated": "P(saturated by horizon)",
    "units": "units, median",
    "value_usd": "USD, median",
}


def print_effects(console: Console, table: pl.DataFrame, *, title: str) -> None:
    """Print one table per scope: what each assumption does to each figure, the widest reach on top.

    Rows are sorted by the effect on P(saturated), ties by that on units. A figure is shown at the low and at
    the high end; blank means that both equal the base case.
    """
    for part in table.partition_by("scope", maintain_order=True):
        by_figure = {
            figure: {row["assumption"]: row for row in part.filter(pl.col("figure") == figure).to_dicts()}
            for figure in part["figure"].unique(maintain_order=True)
        }
        first = by_figure["p_saturated"]
        order = sorted(first, key=lambda name: (-first[name]["reach"], by_figure["units"][name]["rank"]))
        base = {figure: next(iter(rows.values()))["base"] for figure, rows in by_figure.items()}
        shown = _table(f"{title}, {part['scope'][0]} scope")
        shown.add_column("assumption")
        for head in ("low", "value", "high"):
            shown.add_column(head, justify="right")
        shown.add_column("enters")
        for figure, head in HEADS.items():
            if figure in base:
                shown.add_column(f"{head}\nbase {_text(figure, base[figure])}", justify="right")
        for name in order:
            row = first[name]
            cells = [name, *(f"{row[end]:.10g}" for end in ("low", "value", "high")), row["enters"]]
            shown.add_row(
                *cells, *(_ends(by_figure[figure][name], figure) for figure in HEADS if figure in base)
            )
        console.print(shown)


def _text(figure: str, number: float) -> str:
    return f"{100 * number:.1f} %" if figure == "p_saturated" else units_text(number)


def _ends(row: dict[str, float], figure: str) -> str:
    if row["reach"] == 0:
        return ""
    return f"{_text(figure, row['at_low'])} / {_text(figure, row['at_high'])}"


def print_indices(console: Console, table: pl.DataFrame, *, title: str) -> None:
    """Print the indices of a design, one table per scope and figure, without what does not move it."""
    columns = table.columns[3:]
    moving = table.filter(pl.col(columns[0]) != 0)
    for part in moving.partition_by(["scope", "figure"], maintain_order=True):
        shown = _table(f"{title}, {part['scope'][0]} scope, {HEADS[part['figure'][0]]}")
        shown.add_column("assumption")
        for name in columns:
            shown.add_column(name.replace("_", " "), justify="right")
        for row in part.iter_rows(named=True):
            shown.add_row(row["assumption"], *(f"{row[name]:.{INDEX_DIGITS}g}" for name in columns))
        console.print(shown)


def print_scenarios(console: Console, table: pl.DataFrame, *, frequency: Frequency, end: dt.date) -> None:
    """Print one table per chip and scope, the base case first."""
    for part in table.partition_by(["chip", "scope"], maintain_order=True):
        row = part.row(0, named=True)
        shown = _table(f"{row['chip']}, {row['scope']} scope, {row['policy']}")
        shown.add_column("scenario")
        shown.add_column("P(saturated\nby horizon)", justify="right")
        shown.add_column("saturated by\n10 / 50 / 90 %")
        shown.add_column("sooner / later\non paths", justify="right")
        shown.add_column("P(any\nwindow)", justify="right")
        shown.add_column("exportable units\n10 / 50 / 90 %")
        shown.add_column("more / fewer\non paths", justify="right")
        for each in part.iter_rows(named=True):
            is_base = each["scenario"] == row["scenario"]
            shown.add_row(
                each["title"],
                share_of_paths(each["p_saturated"]),
                _dates([each[f"saturated_{level}"] for level in LEVELS], frequency, end),
                "" if is_base else f"{_share(each['p_sooner'])} / {_share(each['p_later'])}",
                share_of_paths(each["p_any_window"]),
                " / ".join(units_text(each[f"units_{level}"]) for level in LEVELS),
                "" if is_base else f"{_share(each['p_more_units'])} / {_share(each['p_fewer_units'])}",
            )
        console.print(shown)


def _share(share: float) -> str:
    return "none" if share == 0 else share_of_paths(share)


def _dates(days: Sequence[dt.date | None], frequency: Frequency, end: dt.date) -> str:
    known = [label(day, frequency) for day in days if day is not None]
    return " / ".join(known + ([f"not before {label(end, frequency)}"] if len(known) < len(days) else []))


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
