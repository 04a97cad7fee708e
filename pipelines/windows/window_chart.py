"""Export windows by policy, chip and scope over time: P(open) per period, a number in each window."""

from __future__ import annotations

import polars as pl

from forecasting.frequencies import Frequency, label
from pipelines.figures.chart import Cells, Chart, Panel
from pipelines.figures.number_format import units_text
from pipelines.figures.theme import join_names


def window_chart(
    windows: pl.DataFrame, steps: pl.DataFrame, *, confidence: float, frequency: Frequency
) -> Chart | None:
    """One row per policy, chip and scope that can be open; None if there is none.

    Parameters
    ----------
    windows, steps : DataFrame
        `windows` and `window_steps` of the windows step.
    confidence : float
        P(open) from which a period belongs to a window.
    """
    if steps.is_empty():
        return None
    parts = [part.sort("step") for part in steps.partition_by("policy", "chip", "scope", maintain_order=True)]
    ticks = tuple(label(end, frequency) for end in parts[0]["timestamp"])
    shares = [part["p_open"].to_list() for part in parts]
    cells = Cells(
        name="P(open)",
        rows=tuple("  ".join(part.row(0)[:3]) for part in parts),
        values=shares,
        texts=[[f"{100 * p:.0f}" if p >= confidence else "" for p in row] for row in shares],
    )
    panel = Panel(
        title=f"P(open) in % where it is at least {100 * confidence:.0f} %: these periods are a window",
        x_title="period",
        y_title="",
        marks=(cells,),
        ticks=ticks,
        kind="share",
    )
    return Chart(
        name="windows", title=_finding(windows, frequency), note=_shut(windows, steps), panels=(panel,)
    )


def _finding(windows: pl.DataFrame, frequency: Frequency) -> str:
    policy = windows["policy"][0]
    rows = windows.filter(pl.col("policy") == policy, pl.col("window_opens").is_not_null())
    if rows.is_empty():
        return f"No export window opens under {policy} within the horizon"
    lead = rows.sort("units_q50", descending=True).row(0, named=True)
    open_chips = rows["chip"].unique(maintain_order=True).to_list()
    closes = lead["window_closes"]
    until = "past the horizon" if closes is None else f"until {label(closes, frequency)}"
    return (
        f"Under {policy} windows open for {join_names(open_chips)} ({lead['scope']} scope); the widest, "
        f"{lead['chip']}, from {label(lead['window_opens'], frequency)} {until}: "
        f"{units_text(lead['units_q50'])} units at the median"
    )


def _shut(windows: pl.DataFrame, steps: pl.DataFrame) -> str:
    """Policies that let no chip through, so that their absence is seen."""
    present = set(steps["policy"])
    absent = [name for name in windows["policy"].unique(maintain_order=True) if name not in present]
    note = "dark: open on many paths; product: only this chip's US orders count; portfolio: all its vendor's"
    return f"{note}; no chip passes {join_names(absent)}" if absent else note
