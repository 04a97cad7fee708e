"""First passage: P(demand met by t) per chip, with the mass that is censored at the horizon."""

from __future__ import annotations

import datetime as dt

import polars as pl

from forecasting.frequencies import Frequency, label
from pipelines.figures.chart import Chart, Dash, Line, Mark, Panel
from pipelines.figures.number_format import share_of_paths
from pipelines.figures.theme import Meaning, join_names
from pipelines.windows.answer import SCOPES

NOTE = (
    "own orders: only those for this chip count; whole vendor: those for all its chips; "
    "steps: share of paths on which US demand has been met by then, each path counted once; at the right: "
    "censored mass, paths that never get there within the horizon"
)
LOOKS: tuple[tuple[str, Meaning, Dash], ...] = (
    ("product", Meaning.OWN, "solid"),
    ("portfolio", Meaning.VENDOR, "dash"),
)


def first_passage_chart(
    windows: pl.DataFrame, saturation: pl.DataFrame, *, policy: str, frequency: Frequency
) -> Chart | None:
    """One panel per chip that is eligible under the policy; None if there is none.

    Parameters
    ----------
    windows, saturation : DataFrame
        Tables of the windows step.
    """
    rows = windows.filter(
        pl.col("policy") == policy, pl.col("eligible"), pl.col("p_any_window").is_not_null()
    )
    if rows.is_empty():
        return None
    panels = [_panel(part, saturation, frequency) for part in rows.partition_by("chip", maintain_order=True)]
    return Chart(
        name="first-passage",
        title=_finding(rows, frequency, saturation.sort("step")["timestamp"][0]),
        note=f"policy {policy}; {NOTE}",
        panels=tuple(panels),
        columns=2 if len(panels) > 1 else 1,
    )


def _panel(part: pl.DataFrame, saturation: pl.DataFrame, frequency: Frequency) -> Panel:
    marks: list[Mark] = []
    ticks: tuple[str, ...] = ()
    parts = []
    for place, (scope, tone, dash) in enumerate(LOOKS):
        row = part.filter(pl.col("scope") == scope).to_dicts()
        if not row:
            continue
        curve = saturation.filter(
            pl.col("policy") == row[0]["policy"], pl.col("item_id") == row[0]["scope_item"]
        ).sort("step")
        ticks = tuple(label(end, frequency) for end in curve["timestamp"])
        reached = curve["p_reached_by"].to_list()
        edge = len(reached) + 0.4 * (place + 1)
        marks += [
            Line(
                name=SCOPES[scope],
                x=[*range(len(reached)), edge],
                y=[*reached, reached[-1]],
                tone=tone,
                dash=dash,
                steps=True,
            ),
            Line(
                name=f"never within the horizon, {SCOPES[scope]}",
                x=[edge, edge],
                y=[reached[-1], 1.0],
                tone=tone,
                dash="dot",
            ),
        ]
        date = _date(row[0]["saturated_q50"], frequency, curve["timestamp"][0])
        parts.append(f"{SCOPES[scope]} {date} (never: {share_of_paths(row[0]['p_never'])})")
    return Panel(
        title=f"{part['chip'][0]}, met on half of the paths: {'; '.join(parts)}",
        x_title="period",
        y_title="P(demand met by then)",
        marks=tuple(marks),
        ticks=ticks,
        kind="share",
    )


def _date(day: dt.date | None, frequency: Frequency, first: dt.date) -> str:
    """When something is met; nothing is known of when before the first period it was."""
    if day is None:
        return "not within the horizon"
    return f"by {label(day, frequency)}" + (" or earlier" if day == first else "")


def _finding(rows: pl.DataFrame, frequency: Frequency, first: dt.date) -> str:
    """Median date of each chip in product scope; least censored mass in the other."""
    own, wider = (rows.filter(pl.col("scope") == scope) for scope in ("product", "portfolio"))
    parts = []
    if own.height:
        dates = [
            f"{join_names(chips['chip'].to_list())} {_date(day, frequency, first)}"
            for (day,), chips in own.sort("saturated_q50", nulls_last=True).group_by(
                "saturated_q50", maintain_order=True
            )
        ]
        parts.append(f"US demand for each chip alone is met on half of the paths: {', '.join(dates)}")
    if wider.height:
        least = share_of_paths(float(wider["p_never"].min()))  # type: ignore[arg-type]
        parts.append(
            f"for all chips of a vendor it is not met within the horizon on {least} of the paths or more"
        )
    return "; ".join(parts)
