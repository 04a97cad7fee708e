"""How well the nowcast does one quarter ahead, and which indicator pays: writes docs/nowcast.md.

`python -m benchmarks.nowcast` from the root. Central estimates of the newest panel; each rule sees the
quarters before the one it is scored on. (One real pair of editions is at hand: see
docs/held-against-what-came.md.)
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from forecasting import reference
from forecasting.frequencies import calendar_quarter
from forecasting.panel.schema import estimates, latest
from forecasting.public.nowcast import LARGEST_CHANGE, REVENUE
from forecasting.saturation.market import PORTFOLIO
from pipelines.etl.step import public_panel
from pipelines.runtime.config.loader import resolve

PAGE = Path("docs/nowcast.md")
PERSISTENCE = (0.0, 0.25, 0.35, 0.5, 0.75)
SETTLED = 2  # changes of a chip before the first that is scored: a launch is no growth
POOLS = r"^(A100|B200|B300|MI\d+\w+|TPU v\d\w*|Trainium\d|Hopper)$"


def changes(panel: pl.DataFrame) -> dict[str, dict[dt.date, float]]:
    """Log change of shipments of each item by quarter."""
    rows = latest(estimates(panel.lazy())).filter(pl.col("variate") == "shipments").collect()
    found = {}
    for (item,), part in rows.partition_by("item_id", as_dict=True).items():
        levels = part.filter(pl.col("value") > 0).sort("timestamp").select("timestamp", "value").rows()
        found[item] = {end: float(np.log(after / before)) for (_, before), (end, after) in pairwise(levels)}
    return found


def revenue_changes(vendor: str) -> dict[dt.date, float]:
    """Log change of a vendor's data-centre revenue by calendar quarter."""
    table = reference.load("vendors").filter(pl.col("vendor") == vendor, pl.col("metric") == REVENUE[vendor])
    levels = [
        (calendar_quarter(end), value)
        for end, value in table.sort("period_end").select("period_end", "value").collect().iter_rows()
    ]
    return {
        end: float(np.log(after / before))
        for (start, before), (end, after) in pairwise(levels)
        if (end - start).days < 100
    }


def root_mean_square(errors: Sequence[float]) -> float:
    """Root mean square of errors."""
    return float(np.sqrt(np.mean(np.square(errors))))


def chip_lines(by_item: dict[str, dict[dt.date, float]]) -> list[str]:
    """Error of each persistence over all chips."""
    series = [list(own.values()) for item, own in by_item.items() if pl.Series([item]).str.contains(POOLS)[0]]
    lines = []
    for persistence in PERSISTENCE:
        errors = [
            after - persistence * float(np.clip(before, -LARGEST_CHANGE, LARGEST_CHANGE))
            for own in series
            for before, after in pairwise(own[SETTLED - 1 :])
        ]
        scores = f"{root_mean_square(errors):.3f} | {np.mean(np.abs(errors)):.3f}"
        lines.append(f"| {persistence:g} | {len(errors)} | {scores} |")
    return lines


def portfolio_lines(by_item: dict[str, dict[dt.date, float]]) -> list[str]:
    """Errors for the vendors that report revenue: carried, with persistence, and as revenue grew."""
    lines = []
    for vendor in REVENUE:
        own, revenue = by_item[PORTFOLIO + vendor], revenue_changes(vendor)
        rows = [
            (after, before, revenue[end])
            for (_, before), (end, after) in pairwise(own.items())
            if end in revenue
        ]
        rules: list[Callable[[float, float], float]] = [
            lambda _before, _revenue: 0.0,
            lambda before, _revenue: 0.35 * before,
            lambda _before, revenue: revenue,
        ]
        scores = [root_mean_square([after - rule(before, r) for after, before, r in rows]) for rule in rules]
        lines.append(f"| {vendor} | {len(rows)} | " + " | ".join(f"{score:.3f}" for score in scores) + " |")
    return lines


HEAD = """# The nowcast

Written by `python -m benchmarks.nowcast` on {today}. Errors of the logarithm of US shipments, one quarter
ahead; 0 is carrying the last estimate forward.

Chips (and the pool of H100 and H200), past their first two changes:

| share of the last change that goes on | quarters | root mean square | mean absolute |
| --- | --- | --- | --- |
{chips}

Vendors that report data-centre revenue (it is out 40 days after the quarter, shipments after 86 and
more), root mean square:

| portfolio | quarters | carried forward | 35 % of the last change | as revenue grew |
| --- | --- | --- | --- | --- |
{portfolios}

So revenue is read where it is ahead of the shipments, and 35 % of the last change where nothing is.
Google's and Amazon's chips have no such figure. TSMC's monthly revenue overlaps for two quarters only;
rents and M3 move with the market as a whole and were not tried; none is read.
"""


def page(panel: pl.DataFrame, today: dt.date) -> str:
    """The page."""
    by_item = changes(panel)
    chips, portfolios = "\n".join(chip_lines(by_item)), "\n".join(portfolio_lines(by_item))
    return HEAD.format(today=today, chips=chips, portfolios=portfolios)


if __name__ == "__main__":
    panel, _ = public_panel(resolve().data)  # type: ignore[arg-type]
    PAGE.write_text(page(panel, dt.datetime.now(dt.UTC).date()), encoding="utf-8")
