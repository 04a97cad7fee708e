"""The cover page of the evidence: the answer in one paragraph, and one chart that loads nothing."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.figures.number_format import share_of_paths

WIDTH, HEIGHT = 760, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 150, 14, 48
DASHES = ("", "7 4", "2 3", "9 3 2 3")
TICKS = 8
KNOWN = {
    "public": "From what had been published by {0}",
    "order_book": "As recorded in the order book by {0}",
}


def answer_text(
    content: Mapping[str, Any],
    *,
    period: Callable[[str | None], str],
    dates: Callable[[Mapping[str, str | None] | None], str],
) -> str:
    """The answer in one paragraph, a sentence or two for each chip and scope with an estimate."""
    basis = content["basis"]
    rows = [row for row in content["headline"] if row["steps"]]
    said = [KNOWN[basis["data"]].format(basis["known_until"]) + ":"]
    if not rows:
        return f"{said[0]} no chip is both let through by the policy and forecast."
    for row in rows:
        p_open = share_of_paths(row["steps"][0]["p_open"], spaced=True)
        whose = "the product itself" if row["scope"] == "product" else "the whole vendor"
        said.append(
            f"{row['chip']} (orders of {whose}): the computed conditions that open a window hold in "
            f"{period(basis['next_period'])} on {p_open} of the sampled paths (threshold "
            f"{100 * basis['verdict_threshold']:g} %); all conditions together: "
            f"{row['all_conditions_next_period']}; US demand is met by {dates(row['saturated'])}; up to "
            f"{period(basis['horizon_end'])} {_amount(row['units'])} units may go, of them "
            f"{_amount(row['stock_units'])} stock on hand and {_amount(row['new_units'])} made anew."
        )
    said += [content["overall"]["sentence"], *_outside(content)]
    levels = " / ".join(f"{100 * level:g}" for level in basis["quantile_levels"])
    return " ".join([*said, f"Several values are quantiles at {levels} %."])


def _amount(quantiles: Mapping[str, float | None]) -> str:
    return " / ".join(f"{each:,.0f}" for each in quantiles.values() if each is not None)


def _outside(content: Mapping[str, Any]) -> list[str]:
    """A sentence on chips that are eligible but in no duty band."""
    chips = [each["chip"] for each in content["duty"]["rates"] if each["outside_bands"]]
    return [f"Eligible by the letter, but outside every duty band: {', '.join(chips)}."] if chips else []


def open_chart(rows: Sequence[Mapping[str, Any]], periods: Sequence[str]) -> str:
    """P(all conditions hold) by period, a line for each chip and scope, as SVG in shades that print."""
    across, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    step = across / max(len(periods) - 1, 1)
    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="P(open) by period">']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = TOP + high * (1 - share)
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + across}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ccc"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 3:.1f}" text-anchor="end">{100 * share:.0f} %</text>')
    every = -(-len(periods) // TICKS)
    for place in range(0, len(periods), every):
        x = LEFT + place * step
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - 14}" text-anchor="middle">{html.escape(periods[place])}</text>'
        )
    labels = _apart([TOP + high * (1 - row["steps"][-1]["p_open"]) for row in rows])
    for number, (row, label) in enumerate(zip(rows, labels, strict=True)):
        points = " ".join(
            f"{LEFT + place * step:.1f},{TOP + high * (1 - each['p_open']):.1f}"
            for place, each in enumerate(row["steps"])
        )
        dash = DASHES[number % len(DASHES)]
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="#111" stroke-width="1.6" '
            f'stroke-dasharray="{dash}"/>'
        )
        name = html.escape(f"{row['chip']}, {row['scope']}")
        parts.append(f'<text x="{LEFT + across + 8}" y="{label + 3:.1f}">{name}</text>')
    return "".join([*parts, "</svg>"])


def _apart(heights: Sequence[float]) -> list[float]:
    """Heights of labels moved down until none covers another."""
    moved: dict[int, float] = {}
    lowest = -1e9
    for place in sorted(range(len(heights)), key=heights.__getitem__):
        lowest = max(heights[place], lowest + 13)
        moved[place] = lowest
    return [moved[place] for place in range(len(heights))]
