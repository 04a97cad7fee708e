"""What the edition of April 2026 gave, held against what that of September says: writes a page of docs.

`python -m benchmarks.held_against_what_came` from the root writes docs/held-against-what-came.md. Each
forecaster stands on 30 April 2026, with the panel of that day and its nowcast, and is scored on the US
shipments of the two quarters that came. The dates on which demand is met are set beside what the newer
panel says of the same days.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from forecasting.evaluation.scores import crps
from forecasting.forecasters.base import PathForecaster
from forecasting.frequencies import Frequency, label
from forecasting.panel.history import Floats
from forecasting.panel.schema import estimates, forecastable, latest, newest_period, path_variates, to_history
from forecasting.saturation.first_passage import first_passage, quantile_steps
from forecasting.saturation.market import Market, market
from pipelines.etl.step import public_panel
from pipelines.forecast.forecasters import backtest_forecasters
from pipelines.forecast.paths import sample_paths
from pipelines.runtime.config.loader import resolve
from pipelines.runtime.config.settings import Settings

Score = dict[str, Any]
PAGE = Path("docs/held-against-what-came.md")
THEN = dt.date(2026, 4, 30)
LAST = dt.date(2025, 12, 31)
CAME = (dt.date(2026, 3, 31), dt.date(2026, 6, 30))
ITEMS = ("H100", "H200", "MI300X", "MI325X", "MI350X", "MI355X", "B200", "B300")
GROUPS = ("Hopper", "Blackwell", "CDNA3", "portfolio/nvidia", "portfolio/amd")


def markets_on(panel: pl.DataFrame, settings: Settings, forecaster: PathForecaster) -> dict[str, Market]:
    """Markets of all items that can be forecast from a panel."""
    known = latest(panel.lazy()).collect()
    items, _ = forecastable(known, settings.data.min_observations)
    history = to_history(
        known,
        items=items,
        origin=newest_period(known),
        frequency=Frequency.QUARTER,
        variates=path_variates(known),
    )
    paths = sample_paths(history, settings, forecaster)
    return {item: market(paths, item) for item in items}


def shipped(of: Market, end: dt.date) -> Floats:
    """US shipments of a quarter on every path: of the nowcast up to the origin, forecast after it."""
    values: Floats = of.shipments[:, of.all_timestamps.index(end)]
    return values


def came(panel: pl.DataFrame, item: str, end: dt.date) -> float | None:
    """Newest estimate of an item's shipments in a quarter."""
    rows = latest(estimates(panel.lazy())).filter(
        pl.col("item_id") == item, pl.col("timestamp") == end, pl.col("variate") == "shipments"
    )
    found = rows.collect()["value"]
    return float(found[0]) if len(found) else None


def met_dates(of: Market, settings: Settings) -> str:
    """Quarters by which demand is met with 10, 50 and 90 % probability."""
    passage = first_passage(of.demand_met(settings.policies[0].supply), of.origin_column)
    stamps = of.timestamps(0)
    steps = quantile_steps(passage, (0.1, 0.5, 0.9), of.horizon + 1)
    names = ["not by then" if np.isnan(s) else label(stamps[int(s)], Frequency.QUARTER) for s in steps]
    return " / ".join(names)


def met_on(of: Market, end: dt.date, settings: Settings) -> float:
    """P(demand met and held) in a quarter."""
    met = of.demand_met(settings.policies[0].supply)
    return float(met[:, of.all_timestamps.index(end)].mean())


def score_rows(
    markets: dict[str, Market], panel: pl.DataFrame, items: Sequence[str]
) -> list[dict[str, float]]:
    """Share of paths below what came, hit of the 10 to 90 % interval, and CRPS on the log scale."""
    rows = []
    for item in items:
        for end in CAME:
            actual = came(panel, item, end)
            if item not in markets or actual is None:
                continue
            paths = shipped(markets[item], end)
            low, middle, high = np.quantile(paths, (0.1, 0.5, 0.9))
            scored = crps(np.log(np.maximum(paths, 1.0))[:, None], np.log([max(actual, 1.0)]))
            rows.append(
                {
                    "item": item,
                    "end": end,
                    "low": low,
                    "middle": middle,
                    "high": high,
                    "came": actual,
                    "below": float((paths < actual).mean()),
                    "hit": bool(low <= actual <= high),
                    "crps": float(scored.mean()),
                }
            )
    return rows


def peer_lines(settings: Settings, then: pl.DataFrame, now: pl.DataFrame) -> list[str]:
    """One line for each forecaster, and one for carrying the last estimate forward."""
    lines = []
    for forecaster in backtest_forecasters(settings):
        rows = score_rows(markets_on(then, settings, forecaster), now, (*ITEMS, *GROUPS))
        hits, score = sum(row["hit"] for row in rows), float(np.mean([row["crps"] for row in rows]))
        lines.append(f"| {forecaster.name} | {len(rows)} | {hits / len(rows):.0%} | {score:.3f} |")
    errors = [
        abs(np.log(level(now, item, end) / level(then, item, LAST)))
        for item in (*ITEMS, *GROUPS)
        for end in CAME
    ]
    carried = "the last estimate (2025Q4), carried forward as a point"
    return [*lines, f"| {carried} | {len(errors)} | | {np.mean(errors):.3f} |"]


def level(panel: pl.DataFrame, item: str, end: dt.date) -> float:
    """Newest estimate of an item's shipments in a quarter, at least one unit."""
    return max(came(panel, item, end) or 0.0, 1.0)


HEAD = """# What April said, held against what came

Written by `python -m benchmarks.held_against_what_came` on {today}: {paths} paths. The answer is that of
`overspill run --as-of {then}`; what came are the central estimates of the edition of 24 September 2026.
2026Q1 was a nowcast on that day, 2026Q2 a forecast. The figure of H100 and H200 in 2026Q1 is an
assumption (`data.unreported`), and so is how their pool is parted.

| item | quarter | US shipments, 10 / 50 / 90 % | came | share of paths below | in the interval |
| --- | --- | --- | --- | --- | --- |
{shipments}

Dates on which US demand is met (10 / 50 / 90 %), and P(met) in 2026Q2, as said in April and as the newest
panel says with its nowcast to now (whose first date means: then or earlier).

| item | said in April | said now | P(met in 2026Q2) in April | now |
| --- | --- | --- | --- | --- |
{dates}

Peers on the same items and quarters: share of outcomes in the 10 to 90 % interval (80 % wanted), and CRPS
of the logarithm of units (less is better). All share the nowcast and the drawn states.

| forecaster | outcomes | in the interval | CRPS of the logarithm |
| --- | --- | --- | --- |
{peers}
"""


def page(settings: Settings, then: pl.DataFrame, now: pl.DataFrame, today: dt.date) -> str:
    """The page."""
    auto = next(each for each in backtest_forecasters(settings) if each.name == settings.forecast.model)
    early, late = markets_on(then, settings, auto), markets_on(now, settings, auto)
    return HEAD.format(
        today=today,
        then=THEN,
        paths=settings.forecast.paths,
        shipments="\n".join(shipment_line(row) for row in score_rows(early, now, (*ITEMS, *GROUPS))),
        dates="\n".join(
            date_line(item, early[item], late[item], settings)
            for item in (*ITEMS, *GROUPS)
            if item in early and item in late
        ),
        peers="\n".join(peer_lines(settings, then, now)),
    )


def shipment_line(row: Score) -> str:
    """What was said of one item and quarter, and what came."""
    points = " / ".join(f"{row[name]:,.0f}" for name in ("low", "middle", "high"))
    hit = "yes" if row["hit"] else "no"
    quarter = label(row["end"], Frequency.QUARTER)
    return f"| {row['item']} | {quarter} | {points} | {row['came']:,.0f} | {row['below']:.2f} | {hit} |"


def date_line(item: str, early: Market, late: Market, settings: Settings) -> str:
    """When demand for one item is met, as said then and now."""
    before, after = (met_on(of, CAME[1], settings) for of in (early, late))
    dates = f"{met_dates(early, settings)} | {met_dates(late, settings)}"
    return f"| {item} | {dates} | {before:.0%} | {after:.0%} |"


def main() -> None:
    """Write the page."""
    settings = resolve(overrides=["forecast.horizon=16", "forecast.paths=1000"])
    earlier = resolve(overrides=[f"data.as_of={THEN}"])
    panels = public_panel(earlier.data)[0], public_panel(settings.data)[0]  # type: ignore[arg-type]
    PAGE.write_text(page(settings, *panels, dt.datetime.now(dt.UTC).date()), encoding="utf-8")


if __name__ == "__main__":
    main()
