"""What `overspill predict --event` shows of its events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from pipelines.cli.terminal.console import print_json, print_result, stdout
from pipelines.cli.terminal.tables import print_table
from pipelines.forecast.events import event_records
from pipelines.forecast.wide_file import midnights_as_dates

SHOWN = 20


def print_events(out: Path, figures: dict[str, Any], *, as_json: bool) -> None:
    """Print the figures of a forecast, and the events that it wrote to a folder."""
    events = midnights_as_dates(pl.read_parquet(out / "events.parquet"))
    if as_json:
        print_json({**figures, "events": list(event_records(events))})
        return
    print_result(figures, as_json=False)
    rows, console = _overview(events), stdout()
    print_table(console, rows.head(SHOWN), title="events: P(confirmed for the first time by a date)")
    if rows.height > SHOWN:
        console.print(f"and {rows.height - SHOWN} more in events.parquet", highlight=False)


def _overview(events: pl.DataFrame) -> pl.DataFrame:
    """One row per series and event: by the end of the horizon, and the outer and middle quantile dates."""
    dates = [name for name in events.columns if name.startswith("date_q")]
    chosen = dict.fromkeys([dates[0], dates[len(dates) // 2], dates[-1]])
    keys = events.columns[: events.columns.index("event") + 1]
    return events.group_by(keys, maintain_order=True).agg(
        pl.col("hold", "level").first(),
        true_now=pl.when(pl.col("true_at_origin").first()).then(pl.lit("yes")).otherwise(pl.lit("no")),
        by_horizon=pl.col("probability").last(),
        never=pl.col("p_never").first(),
        **{
            f"{name.removeprefix('date_q')} % by": pl.col(name).first().cast(pl.String).fill_null("censored")
            for name in chosen
        },
    )
