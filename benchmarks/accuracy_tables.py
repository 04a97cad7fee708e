"""The tables of `accuracy.py`, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from panel_scores import JOINT, MARGINAL, geometric_mean, relative

BASELINE = "SeasonalNaive"
EXTRA = "M1"  # panels of this competition are shown and not counted
Row = Mapping[str, object]
Table = Mapping[str, Mapping[str, Mapping[str, float]]]  # forecaster, panel, score


def report(rows: Iterable[Row], *, notes: Sequence[str]) -> str:
    """All tables: overall, by panel, coverage, and what could not be had."""
    table = by_forecaster(rows)
    counted = [panel for panel in table[BASELINE] if not panel.startswith(EXTRA)]
    parts = [
        overall(table, counted or list(table[BASELINE])),
        *(by_panel(table, score) for score in ("sql", "wql", "mase", *JOINT)),
        by_panel(table, "coverage"),
        "\n".join(f"- {note}" for note in dict.fromkeys(notes)),
    ]
    return "\n\n".join(parts)


def by_forecaster(rows: Iterable[Row]) -> Table:
    """Scores by forecaster and panel."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        scores = {key: float(value) for key, value in row.items() if isinstance(value, float)}
        table.setdefault(str(row["forecaster"]), {})[str(row["panel"])] = scores
    return table


def overall(table: Table, panels: Sequence[str]) -> str:
    """Geometric means over the panels, and the smallest and largest coverage, best SQL first."""
    lines = []
    for name, scores in table.items():
        if not all(panel in scores for panel in panels):
            continue
        means = [
            geometric_mean([relative(scores[panel], table[BASELINE][panel], score) for panel in panels])
            for score in (*MARGINAL, *JOINT)
        ]
        covered = [scores[panel]["coverage"] for panel in panels]
        lines.append((means[1], [name, *map(figure, means), f"{min(covered):.2f} to {max(covered):.2f}"]))
    heads = ["forecaster", *(name.upper() for name in MARGINAL), *JOINT, "coverage of 80 %"]
    title = f"Relative to {BASELINE}, geometric mean over {len(panels)} panels: {', '.join(panels)}"
    return f"{title}\n\n{markdown(heads, [cells for _, cells in sorted(lines, key=lambda line: line[0])])}"


def by_panel(table: Table, score: str) -> str:
    """One score on each panel: relative to the baseline, but coverage as it is."""
    panels = list(table[BASELINE])
    lines = []
    for name, scores in table.items():
        cells = [
            scores.get(panel, {}).get(score, float("nan"))
            if score == "coverage"
            else relative(scores.get(panel, {}), table[BASELINE][panel], score)
            for panel in panels
        ]
        if not np.isnan(cells).all():
            lines.append([name, *map(figure, cells)])
    return f"{score}\n\n{markdown(['forecaster', *panels], lines)}"


def figure(value: float) -> str:
    """Three decimals, or a dash where there is none."""
    return "-" if np.isnan(value) else f"{value:.3f}"


def markdown(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    rule = ["---"] * len(heads)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, rule, *lines])
