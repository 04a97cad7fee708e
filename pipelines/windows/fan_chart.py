"""Fan charts of one item: what is known of orders, capacity and backlog, and what may come.

P paths, T periods of the item from its own start to the horizon, Q quantile levels.
"""

from __future__ import annotations

import datetime as dt

import numpy as np

from forecasting.frequencies import label
from forecasting.panel.history import Floats
from forecasting.saturation.market import PORTFOLIO, US_PORTFOLIO, Market
from pipelines.figures.chart import Band, Chart, Line, Mark, Panel
from pipelines.figures.number_format import units_text
from pipelines.figures.theme import Meaning, format_figure

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
NOWCAST_NOTE = "between the dashed line and the dotted one a nowcast, no observation; "
NOTE = (
    "up to the dotted line the past, from the draws of its measurement error; after it the paths of the "
    "forecast; both with the same intervals"
)


def fan_chart(market: Market, *, rule_weeks: float, observed_until: dt.date | None = None) -> Chart:
    """Orders, capacity and backlog of an item, with history and future.

    Parameters
    ----------
    market : Market
    rule_weeks : float
        Normal lead time of the policy, weeks, with which the backlog is compared.
    observed_until : date, optional
        Last period that is no nowcast; by default the origin.
    """
    observed = None
    if observed_until is not None and observed_until < market.origin:
        observed = market.all_timestamps.index(observed_until)
    ticks = tuple(label(end, market.frequency) for end in market.all_timestamps)
    unit = "H100e" if _pooled(market.item_id) else "units"
    flows = {"orders": market.orders, "capacity": market.capacity, "backlog": market.flow.backlog}
    panels = []
    for name, values in flows.items():
        quantiles = np.nanquantile(values, LEVELS, axis=0)
        marks = _marks(quantiles)
        if name == "backlog":
            normal = np.nanmedian(market.capacity, axis=0) * rule_weeks / market.frequency.weeks
            x = range(len(ticks))
            marks += (
                Line(
                    name=f"normal backlog ({rule_weeks:g} weeks of median capacity)",
                    x=x,
                    y=normal.tolist(),
                    tone=Meaning.NORMAL,
                    dash="dash",
                ),
            )
        per = "" if name == "backlog" else " per period"
        panels.append(
            Panel(
                title=f"US {name}: {_change(quantiles, market.origin_column, ticks)}",
                x_title="period" if name == "backlog" else "",
                y_title=f"{unit}{per}",
                marks=marks,
                ticks=ticks,
                split=market.origin_column,
                observed=observed,
            )
        )
    slug = market.item_id.replace("/", "-").replace(" ", "-")
    note = NOTE if observed is None else NOWCAST_NOTE + NOTE
    return Chart(name=f"fan-{slug}", title=_finding(market, ticks), note=note, panels=tuple(panels))


def _pooled(item_id: str) -> bool:
    return item_id.startswith(PORTFOLIO)


def _marks(quantiles: Floats) -> tuple[Mark, ...]:
    """Marks of one variate from its quantiles [Q, T], the same for past and future."""
    low, q25, middle, q75, high = (row.tolist() for row in quantiles)
    x = range(quantiles.shape[1])
    return (
        Band(name="10 to 90 %", x=x, low=low, high=high, tone=Meaning.MOST),
        Band(name="25 to 75 %", x=x, low=q25, high=q75, tone=Meaning.HALF),
        Line(name="median", x=x, y=middle, tone=Meaning.MEDIAN),
    )


def _change(quantiles: Floats, origin: int, ticks: tuple[str, ...]) -> str:
    middle = quantiles[LEVELS.index(0.5)]
    low, high = (quantiles[LEVELS.index(level), -1] for level in (0.1, 0.9))
    return (
        f"{units_text(middle[origin])} in {ticks[origin]}, {units_text(middle[-1])} in {ticks[-1]} "
        f"(80 % of paths: {units_text(low)} to {units_text(high)})"
    )


def item_title(item_id: str) -> str:
    """What an item is called above a chart: a chip or family by its name, portfolios in words."""
    if item_id == US_PORTFOLIO:
        return "All vendors together"
    if not _pooled(item_id):
        return item_id
    vendor = item_id.removeprefix(PORTFOLIO)
    return f"All chips of {vendor.upper() if len(vendor) == 3 else vendor.title()}"


def _finding(market: Market, ticks: tuple[str, ...]) -> str:
    backlog = np.median(market.flow.backlog, axis=0)
    origin = market.origin_column
    cleared = [t for t in range(origin, market.periods) if backlog[t] < 1]
    share = format_figure(float((market.flow.backlog[:, -1] >= 1).mean()), "share")
    item = item_title(market.item_id)
    if not cleared:
        waiting = units_text(backlog[origin])
        remains = f"a backlog remains to {ticks[-1]} on {share} of the paths"
        return f"{item}: {remains}; {waiting} are waiting in {ticks[origin]}"
    when = f"{ticks[cleared[0]]} or earlier" if cleared[0] == origin else ticks[cleared[0]]
    return f"{item}: half of the paths have no backlog by {when}, {share} have one in {ticks[-1]}"
