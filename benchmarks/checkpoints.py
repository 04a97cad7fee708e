"""Hold the inferred states of the market against dated statements by others: writes docs/checkpoints.md.

`python -m benchmarks.checkpoints` from the root. The statements (`forecasting/reference/saturation_checkpoints.csv`)
are read here alone; nothing was fitted to them.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl

from forecasting import reference
from forecasting.panel.schema import as_of, latest
from forecasting.periods import Frequency, period_end
from pipelines.etl.step import public_panel
from pipelines.runtime.config.loader import resolve

PAGE = Path("docs/checkpoints.md")
TOLERANCE, DECAY = 0.10, 0.85  # the former rule: tight while shipments stay within 10 % of the decaying peak
HALF = 0.5


def series_of(panel: pl.DataFrame, item: str) -> pl.DataFrame:
    """P(met), P(ended) and shipments of an item by quarter."""
    own = panel.filter(pl.col("item_id") == item)
    columns = {
        name: pl.col("value").filter(pl.col("variate") == name).first()
        for name in ("short", "ended", "shipments")
    }
    wide = own.group_by("timestamp").agg(**columns).drop_nulls("short").sort("timestamp")
    return wide.with_columns(met=1 - pl.col("short") - pl.col("ended"))


def slack_by_former_rule(rows: pl.DataFrame) -> list[float]:
    """1 where shipments had fallen below the decaying peak, else 0."""
    found, envelope = [], 0.0
    for shipped in rows["shipments"]:
        envelope = max(shipped, DECAY * envelope)
        found.append(float(shipped < (1 - TOLERANCE) * envelope))
    return found


def judged(panel: pl.DataFrame) -> pl.DataFrame:
    """Every statement on an item with what the state was in its quarter, and as known on its day."""
    newest = latest(panel.lazy()).collect()
    rows = []
    for row in reference.load("saturation_checkpoints").collect().sort("stated_on").iter_rows(named=True):
        quarter = period_end(row["stated_on"], Frequency.QUARTER)
        then = series_of(newest, row["item_id"] or "")
        then = then.with_columns(former=pl.Series(slack_by_former_rule(then), dtype=pl.Float64))
        now = then.filter(pl.col("timestamp") == quarter)
        known = series_of(as_of(panel.lazy(), row["stated_on"]).collect(), row["item_id"] or "")
        rows.append(
            {
                **row,
                "met": now["met"][0] if now.height else None,
                "ended": now["ended"][0] if now.height else None,
                "former": now["former"][0] if now.height else None,
                "met_as_known": known["met"][-1] if known.height else None,
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def verdict(row: dict[str, object], column: str) -> str:
    """Whether a probability lies on the side that the statement says, or within its range."""
    p, low, high = row[column], row["met_low"], row["met_high"]
    if row["kind"] == "supply" and column == "met":
        return "hit" if isinstance(row["ended"], float) and row["ended"] >= HALF else "miss"
    if not isinstance(p, float) or not isinstance(low, float) or not isinstance(high, float):
        return ""
    if low == high == HALF:
        return "hit" if abs(p - HALF) <= HALF / 2 else "miss"
    return "hit" if (p >= HALF if low >= HALF else p <= HALF) else "miss"


def brier(rows: pl.DataFrame, column: str) -> float:
    """Mean squared distance of a probability from the nearest point of the stated range."""
    p = pl.col(column)
    off = pl.max_horizontal(pl.col("met_low") - p, p - pl.col("met_high"), pl.lit(0.0))
    return float(rows.select((off**2).mean()).item())


def page(rows: pl.DataFrame, today: dt.date) -> str:
    """The page with the table of all statements, and scores by kind."""
    usable = rows.drop_nulls(["met", "met_low"])
    lines = [
        "# The market's state held against dated statements",
        "",
        f"Written by `python -m benchmarks.checkpoints` on {today}. {rows.height} statements by others, of which "
        f"{usable.height} speak of US demand for an item of the panel in a quarter that it covers. They were used for "
        "nothing else. A hit lies on the side of one half that the statement says; for supply withdrawn, P(ended) does. *Former rule*: met as soon as "
        "shipments fall 10 % below the decaying peak. *As known*: with what had been published on that day, whose "
        "newest quarter lies two to three quarters back (before April 2026 those days are hypothetical).",
        "",
        "| kind | statements | hits | score | hits of the former rule | its score | hits as known | score | always 0.5 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    kinds = [*usable["kind"].unique(maintain_order=True).cast(pl.String), "all"]
    for kind in kinds:
        part = usable if kind == "all" else usable.filter(pl.col("kind").cast(pl.String) == kind)
        early = part.drop_nulls("met_as_known")
        half = part.with_columns(half=pl.lit(HALF))
        lines.append(
            f"| {kind} | {part.height} | {hits(part, 'met')} | {brier(part, 'met'):.3f} | {hits(part, 'former')} | "
            f"{brier(part, 'former'):.3f} | {hits(early, 'met_as_known')} of {early.height} | "
            f"{brier(early, 'met_as_known') if early.height else float('nan'):.3f} | {brier(half, 'half'):.3f} |"
        )
    lines += [
        "",
        "Score: mean squared distance from the stated probability or range; less is better.",
        "",
        "| date | about | kind | statement | stated P(met) | P(met) | P(ended) | verdict | as known |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows.iter_rows(named=True):
        low, high = row["met_low"], row["met_high"]
        said = "" if low is None else f"{low:g}" if low == high else f"{low:g} to {high:g}"
        figures = [
            "" if row[name] is None else f"{row[name]:.2f}" for name in ("met", "ended", "met_as_known")
        ]
        lines.append(
            f"| {row['stated_on']} | {row['subject']} | {row['kind']} | {row['statement']} | {said} | {figures[0]} | "
            f"{figures[1]} | {verdict(row, 'met')} | {figures[2]} |"
        )
    return "\n".join(lines) + "\n"


def hits(rows: pl.DataFrame, column: str) -> int:
    """Number of statements that a probability agrees with."""
    return sum(verdict(row, column) == "hit" for row in rows.iter_rows(named=True))


if __name__ == "__main__":
    panel, _ = public_panel(resolve().data)
    PAGE.write_text(page(judged(panel), dt.datetime.now(dt.UTC).date()), encoding="utf-8")
