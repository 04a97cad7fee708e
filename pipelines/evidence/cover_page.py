"""The cover page of the evidence: the answer in one paragraph, and one chart that loads nothing."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from pipelines.figures.number_format import share_of_paths

Row: TypeAlias = "Mapping[str, Any]"

WIDTH, HEIGHT = 760, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 150, 14, 48
DASHES = ("", "7 4", "2 3", "9 3 2 3")
TICKS = 8
LABEL = 13  # height of a label
IN_FULL = 2  # findings of which the paragraph has room for every figure
WHOSE = {"product": "the product itself", "portfolio": "the whole vendor"}
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
    """The answer in one paragraph: of one or two findings all figures, of more what matters of each."""
    basis = content["basis"]
    rows = [row for row in content["headline"] if row["steps"]]
    known = KNOWN[basis["data"]].format(basis["known_until"]) + ":"
    if not rows:
        return f"{known} no chip is both let through by the policy and forecast."
    said = (
        [_finding(row, basis, period, dates) for row in rows]
        if len(rows) <= IN_FULL
        else _summary(rows, basis, period)
    )
    levels = " / ".join(f"{100 * level:g}" for level in basis["quantile_levels"])
    end = f"Several values are quantiles at {levels} %."
    return " ".join([known, *said, content["overall"]["sentence"], *_outside(content), end])


def _finding(
    row: Row, basis: Row, period: Callable[[str | None], str], dates: Callable[[Row | None], str]
) -> str:
    """All figures of a chip and scope."""
    return (
        f"{row['chip']} (orders of {WHOSE[row['scope']]}): the computed conditions that open a window hold "
        f"in {period(basis['next_period'])} on {_open_share(row)} of the sampled paths "
        f"({_threshold(basis)}); all conditions together: {row['all_conditions_next_period']}; US demand is "
        f"met by {dates(row['saturated'])}; up to {period(basis['horizon_end'])} {_amount(row['units'])} "
        f"units may go, of them {_amount(row['stock_units'])} stock on hand and "
        f"{_amount(row['new_units'])} made anew."
    )


def _summary(rows: Sequence[Row], basis: Row, period: Callable[[str | None], str]) -> list[str]:
    """For which chips a window opens next, or for which that is most likely; then the units of all."""
    best = max(rows, key=lambda row: row["steps"][0]["p_open"])
    open_now = [row for row in rows if row["steps"][0]["p_open"] >= basis["verdict_threshold"]]
    named = [
        f"{row['chip']} (orders of {WHOSE[row['scope']]}), {_open_share(row)}" for row in open_now or [best]
    ]
    which = "; ".join(named) if open_now else f"no chip; most often for {named[0]} of the sampled paths"
    opening = f"in {period(basis['next_period'])} the computed conditions that open a window hold"
    said = [f"{opening} ({_threshold(basis)}) for {which}."]
    until = f"Units that may go up to {period(basis['horizon_end'])}, counting the orders of"
    for scope, whose in WHOSE.items():
        units = [f"{row['chip']} {_amount(row['units'])}" for row in rows if row["scope"] == scope]
        said += [f"{until} {whose}: {'; '.join(units)}."] if units else []
    return said


def _open_share(row: Row) -> str:
    return share_of_paths(row["steps"][0]["p_open"], spaced=True)


def _threshold(basis: Row) -> str:
    return f"threshold {100 * basis['verdict_threshold']:g} %"


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
    """Heights of labels moved apart until none covers another, and none leaves the chart below."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    moved = dict(enumerate(heights))
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + LABEL)
    lowest = HEIGHT + LABEL - 4.0
    for place in reversed(order):
        lowest = moved[place] = min(moved[place], lowest - LABEL)
    return [moved[place] for place in range(len(heights))]
