"""Where the surplus of a chip goes: from what is left over to what may be exported, and what binds."""

from __future__ import annotations

import numpy as np
import polars as pl

from forecasting.periods import Frequency, label
from forecasting.windows.schema import LOSSES, SUPPLY
from pipelines.figures.chart import Bars, Chart, Line, Mark, Panel
from pipelines.figures.number_format import share_of_paths, units_text
from pipelines.figures.theme import Tone

STAGES = {
    "lost_not_in_effect": "rule not yet in effect",
    "lost_not_eligible": "not eligible",
    "lost_not_saturated": "US demand not met",
    "lost_surplus": "under one unit",
    "lost_cap": "over the cap",
    "lost_licence": "over the licence",
    "stock_left": "still in stock",
}
TERMS = {
    "binding_not_in_effect": ("rule not yet in effect", Tone.INK),
    "binding_not_eligible": ("not eligible", Tone.INK),
    "binding_not_saturated": ("US demand not met", Tone.DEEP),
    "binding_surplus": ("surplus limits the units", Tone.SAND),
    "binding_cap": ("cap limits the units", Tone.PALE),
    "binding_licence": ("licence limits the units", Tone.MIDDLE),
}
NOTE = (
    "means over paths, since means add up and medians do not; line on the last bar: 10 to 90 % of the paths"
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
    marks: tuple[Mark, ...] = (
        Bars(name="left over", x=[0], size=[supply], base=[0], tone=Tone.DEEP, texts=[units_text(supply)]),
        Bars(
            name="taken away",
            x=range(1, last),
            size=[size for _, size in losses],
            base=left.tolist(),
            tone=Tone.SAND,
            texts=[f"-{units_text(size)}" for _, size in losses],
        ),
        Bars(
            name="may be exported", x=[last], size=[units], base=[0], tone=Tone.INK, texts=[units_text(units)]
        ),
        Line(
            name="10 to 90 % of the paths",
            x=[last + 0.25] * 2,
            y=[float(row["units_q10"]), float(row["units_q90"])],
            tone=Tone.MIDDLE,
        ),
    )
    return Panel(
        title=f"{row['scope']} scope: {units_text(units)} of {units_text(supply)} may go",
        x_title="",
        y_title="units, from now to the horizon",
        marks=marks,
        ticks=("surplus and stock", *(name for name, _ in losses), "exportable"),
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
        title=f"{scope} scope, mostly: {most} ({share_of_paths(means[most])})",
        x_title="period",
        y_title="share of paths",
        marks=tuple(marks),
        ticks=tuple(label(end, frequency) for end in steps["timestamp"]),
        kind="share",
    )


def _finding(row: dict[str, float | str]) -> str:
    losses = {STAGES[name]: float(row[name]) for name in LOSSES}
    most = max(losses, key=lambda name: losses[name])
    units, supply = float(row["units_mean"]), float(row[SUPPLY])
    text = (
        f"{row['chip']}: {units_text(units)} of {units_text(supply)} surplus units may be exported on average"
    )
    return f"{text}; the largest loss: {most} ({units_text(losses[most])})" if losses[most] >= 1 else text
