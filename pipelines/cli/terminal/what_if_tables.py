"""What people read of sensitivities and scenarios on the terminal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import polars as pl
from rich.console import Console

from forecasting.frequencies import Frequency, label
from pipelines.cli.terminal.fitted import print_fitted
from pipelines.figures.number_format import share_of_paths, units_text

LEVELS = ("q10", "q50", "q90")
INDEX_DIGITS = 3
HEADS = {
    "units_mean": "units, mean",
    "p_any_window": "P(any window)",
    "p_saturated": "P(saturated by horizon)",
    "value_usd_mean": "USD, mean",
}


def print_effects(console: Console, table: pl.DataFrame, *, title: str) -> None:
    """Print one table per scope: what each assumption does to each figure, the widest reach on top.

    Rows are sorted by the effect on the mean units, ties by that on P(saturated). A figure is shown at the
    low and at the high end; blank means that both equal the base case.
    """
    for part in table.partition_by("scope", maintain_order=True):
        by_figure = {
            figure: {row["assumption"]: row for row in part.filter(pl.col("figure") == figure).to_dicts()}
            for figure in part["figure"].unique(maintain_order=True)
        }
        first, then = by_figure["units_mean"], by_figure["p_saturated"]
        order = sorted(first, key=lambda name: (-first[name]["reach"], then[name]["rank"]))
        base = {figure: next(iter(rows.values()))["base"] for figure, rows in by_figure.items()}
        figures = [figure for figure in HEADS if figure in base]
        rows = [
            [
                name,
                *(f"{first[name][end]:.10g}" for end in ("low", "value", "high")),
                first[name]["enters"],
                *(_ends(by_figure[figure][name], figure) for figure in figures),
            ]
            for name in order
        ]
        heads = ["assumption", "low", "value", "high", "enters"]
        heads += [f"{HEADS[figure]}\nbase {_text(figure, base[figure])}" for figure in figures]
        right = [1, 2, 3, *range(5, len(heads))]
        print_fitted(console, rows, title=f"{title}, {part['scope'][0]} scope", heads=heads, right=right)


def _text(figure: str, number: float) -> str:
    return f"{100 * number:.1f} %" if figure.startswith("p_") else units_text(number)


def _ends(row: dict[str, float], figure: str) -> str:
    if row["reach"] == 0:
        return ""
    return f"{_text(figure, row['at_low'])} / {_text(figure, row['at_high'])}"


def print_indices(console: Console, table: pl.DataFrame, *, title: str) -> None:
    """Print the indices of a design, one table per scope and figure, without what does not move it."""
    columns = table.columns[3:]
    moving = table.filter(pl.col(columns[0]) != 0)
    for part in moving.partition_by(["scope", "figure"], maintain_order=True):
        print_fitted(
            console,
            [
                [row["assumption"], *(f"{row[name]:.{INDEX_DIGITS}g}" for name in columns)]
                for row in part.iter_rows(named=True)
            ],
            title=f"{title}, {part['scope'][0]} scope, {HEADS[part['figure'][0]]}",
            heads=["assumption", *(name.replace("_", " ") for name in columns)],
            right=range(1, len(columns) + 1),
        )


def print_scenarios(console: Console, table: pl.DataFrame, *, frequency: Frequency, end: dt.date) -> None:
    """Print one table per chip and scope, the base case first."""
    for part in table.partition_by(["chip", "scope"], maintain_order=True):
        row = part.row(0, named=True)
        print_fitted(
            console,
            [
                _scenario(each, each["scenario"] == row["scenario"], frequency, end)
                for each in part.to_dicts()
            ],
            title=f"{row['chip']}, {row['scope']} scope, {row['policy']}",
            heads=(
                "scenario",
                "P(saturated\nby horizon)",
                "saturated by\n10 / 50 / 90 %",
                "sooner / later\non paths",
                "P(any\nwindow)",
                "exportable units\n10 / 50 / 90 %",
                "more / fewer\non paths",
            ),
            right=(1, 3, 4, 6),
        )


def _scenario(row: dict[str, Any], is_base: bool, frequency: Frequency, end: dt.date) -> list[str]:  # noqa: FBT001
    return [
        row["title"],
        share_of_paths(row["p_saturated"]),
        _dates([row[f"saturated_{level}"] for level in LEVELS], frequency, end),
        "" if is_base else f"{_share(row['p_sooner'])} / {_share(row['p_later'])}",
        share_of_paths(row["p_any_window"]),
        " / ".join(units_text(row[f"units_{level}"]) for level in LEVELS),
        "" if is_base else f"{_share(row['p_more_units'])} / {_share(row['p_fewer_units'])}",
    ]


def _share(share: float) -> str:
    return "none" if share == 0 else share_of_paths(share)


def _dates(days: Sequence[dt.date | None], frequency: Frequency, end: dt.date) -> str:
    known = [label(day, frequency) for day in days if day is not None]
    return " / ".join(known + ([f"not before {label(end, frequency)}"] if len(known) < len(days) else []))
