"""Where the surplus of a chip goes: from what is left over to what may be exported, and what binds."""

from __future__ import annotations

import numpy as np
import polars as pl

from forecasting.frequencies import Frequency, label
from forecasting.windows.schema import LOSSES, SUPPLY
from pipelines.figures.chart import Bars, Chart, Line, Mark, Panel
from pipelines.figures.number_format import share_of_paths, units_text
from pipelines.figures.theme import Meaning
from pipelines.windows.answer import SCOPES

STAGES = {  # what takes units away: as the axis says it, as the legend does, its colour
    "lost_not_in_effect": ("rule not yet in effect", "rule not yet in effect", Meaning.REFUSED),
    "lost_not_eligible": ("not eligible", "not eligible", Meaning.REFUSED),
    "lost_not_saturated": ("US demand not met", "US demand not met", Meaning.UNMET),
    "lost_surplus": ("under one unit", "left in stock", Meaning.STOCK),
    "lost_cap": ("over the cap", "cap", Meaning.CAP),
    "lost_licence": ("over the licence", "licence", Meaning.LICENCE),
    "stock_left": ("still in stock", "left in stock", Meaning.STOCK),
}
TERMS = {
    "binding_not_in_effect": ("rule not yet in effect", Meaning.REFUSED),
    "binding_not_eligible": ("not eligible", Meaning.REFUSED),
    "binding_not_saturated": ("US demand not met", Meaning.UNMET),
    "binding_surplus": ("surplus", Meaning.SURPLUS),
    "binding_cap": ("cap", Meaning.CAP),
    "binding_licence": ("licence", Meaning.LICENCE),
}
NOTE = (
    "above: where the surplus goes; below: what closes a period or limits its units; means over paths, since "
    "means add up and medians do not; line on the last bar: 10 to 90 % of the paths"
)


def headroom_charts(headroom: pl.DataFrame, steps: pl.DataFrame, *, frequency: Frequency) -> list[Chart]:
    """One chart per chip of the policy in `headroom`: a waterfall and the binding condition, for each scope.

    Parameters
    ----------
    headroom, steps : DataFrame
        `headroom` and `window_steps` of the windows step.
    """
    charts = []
    for part in headroom.partition_by("chip", maintain_order=True) if headroom.height else []:
        rows = part.to_dicts()
        own = [
            steps.filter(*(pl.col(key) == row[key] for key in ("policy", "chip", "scope"))).sort("step")
            for row in rows
        ]
        panels = [_waterfall(row) for row in rows]
        panels += [_binding(row["scope"], found, frequency) for row, found in zip(rows, own, strict=True)]
        charts.append(
            Chart(
                name=f"headroom-{rows[0]['chip']}".replace(" ", "-"),
                title=_finding(rows[0]),
                note=f"policy {rows[0]['policy']}, from now to the horizon; {NOTE}",
                panels=tuple(panels),
                columns=len(rows),
            )
        )
    return charts


def _waterfall(row: dict[str, float | str]) -> Panel:
    losses = [(STAGES[name], float(row[name])) for name in LOSSES if float(row[name]) >= 1]
    supply, units = float(row[SUPPLY]), float(row["units_mean"])
    left = supply - np.cumsum([size for _, size in losses])
    last = len(losses) + 1
    marks: list[Mark] = [
        Bars(
            name="surplus",
            x=[0],
            size=[supply],
            base=[0],
            tone=Meaning.SURPLUS,
            texts=[units_text(supply)],
        )
    ]
    marks += [
        Bars(name=name, x=[place], size=[size], base=[base], tone=tone, texts=[f"-{units_text(size)}"])
        for place, (((_, name, tone), size), base) in enumerate(zip(losses, left.tolist(), strict=True), 1)
    ]
    marks += [
        Bars(
            name="may be exported",
            x=[last],
            size=[units],
            base=[0],
            tone=Meaning.EXPORT,
            texts=[units_text(units)],
        ),
        Line(
            name="10 to 90 % of the paths",
            x=[last + 0.25] * 2,
            y=[float(row["units_q10"]), float(row["units_q90"])],
            tone=Meaning.MEDIAN,
        ),
    ]
    return Panel(
        title=f"{SCOPES[str(row['scope'])]}: {units_text(units)} of {units_text(supply)} may go",
        x_title="",
        y_title="units, from now to the horizon",
        marks=tuple(marks),
        ticks=("surplus and stock", *(stage for (stage, *_), _ in losses), "exportable"),
    )


def _binding(scope: str, steps: pl.DataFrame, frequency: Frequency) -> Panel:
    base = np.zeros(steps.height)
    marks: list[Mark] = []
    for column, (name, tone) in TERMS.items():
        share = steps[column].to_numpy()
        if share.max(initial=0) > 0:
            marks.append(
                Bars(name=name, x=range(steps.height), size=share.tolist(), base=base.tolist(), tone=tone)
            )
            base = base + share
    means = {name: float(steps[column].mean() or 0) for column, (name, _) in TERMS.items()}  # type: ignore[arg-type]
    most = max(means, key=lambda name: means[name])
    return Panel(
        title=f"{SCOPES[scope]}, what mostly binds: {most} ({share_of_paths(means[most])})",
        x_title="period",
        y_title="share of paths",
        marks=tuple(marks),
        ticks=tuple(label(end, frequency) for end in steps["timestamp"]),
        kind="share",
    )


def _finding(row: dict[str, float | str]) -> str:
    losses = {STAGES[name][0]: float(row[name]) for name in LOSSES}
    most = max(losses, key=lambda name: losses[name])
    units, supply = float(row["units_mean"]), float(row[SUPPLY])
    text = (
        f"{row['chip']}: {units_text(units)} of {units_text(supply)} surplus units may be exported on average"
    )
    return f"{text}; the largest loss: {most} ({units_text(losses[most])})" if losses[most] >= 1 else text
