"""Hold the inferred states of the market against dated statements by others: writes docs/checkpoints.md.

`python -m benchmarks.checkpoints` from the root. The statements (the reference table
`saturation_checkpoints`) are read here alone; nothing was fitted to them.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl

from forecasting import reference
from forecasting.frequencies import Frequency, period_end
from forecasting.panel.schema import as_of, latest
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


def verdict(row: dict[str, Any], column: str) -> str:
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


HEAD = """# The market's state held against dated statements

Written by `python -m benchmarks.checkpoints` on {today}. {all} statements by others, of which {usable}
speak of US demand for an item of the panel in a quarter that it covers. They were used for nothing else.
A hit lies on the side of one half that the statement says; for supply withdrawn, P(ended) does. *Former
rule*: met as soon as shipments fall 10 % below the decaying peak. *As known*: with what had been
published on that day, whose newest quarter lies two to three quarters back (before April 2026 those days
are hypothetical). Score: mean squared distance from the stated probability or range; less is better.

| kind | statements | hits | score | former rule: hits | score | as known: hits | score | always 0.5: score |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
{scores}

| date | about | kind | statement | stated P(met) | P(met) | P(ended) | verdict | as known |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
{statements}
"""


def page(rows: pl.DataFrame, today: dt.date) -> str:
    """The page with scores by kind and the table of all statements."""
    usable = rows.drop_nulls(["met", "met_low"])
    kinds = [*usable["kind"].unique(maintain_order=True).cast(pl.String), "all"]
    parts = [
        (kind, usable if kind == "all" else usable.filter(pl.col("kind").cast(pl.String) == kind))
        for kind in kinds
    ]
    return HEAD.format(
        today=today,
        all=rows.height,
        usable=usable.height,
        scores="\n".join(score_line(kind, part) for kind, part in parts),
        statements="\n".join(statement_line(row) for row in rows.iter_rows(named=True)),
    )


def score_line(kind: str, rows: pl.DataFrame) -> str:
    """Hits and scores of the statements of one kind."""
    early = rows.drop_nulls("met_as_known")
    half = brier(rows.with_columns(half=pl.lit(HALF)), "half")
    known = f"{brier(early, 'met_as_known'):.3f}" if early.height else ""
    own, former = (f"{hits(rows, name)} | {brier(rows, name):.3f}" for name in ("met", "former"))
    as_known = f"{hits(early, 'met_as_known')} of {early.height} | {known}"
    return f"| {kind} | {rows.height} | {own} | {former} | {as_known} | {half:.3f} |"


def statement_line(row: dict[str, Any]) -> str:
    """One statement beside the state of its quarter."""
    low, high = row["met_low"], row["met_high"]
    said = "" if low is None else f"{low:g}" if low == high else f"{low:g} to {high:g}"
    met, ended, known = (
        "" if row[name] is None else f"{row[name]:.2f}" for name in ("met", "ended", "met_as_known")
    )
    cells = [row["stated_on"], row["subject"], row["kind"], row["statement"], said, met, ended]
    return "| " + " | ".join(map(str, [*cells, verdict(row, "met"), known])) + " |"


def hits(rows: pl.DataFrame, column: str) -> int:
    """Number of statements that a probability agrees with."""
    return sum(verdict(row, column) == "hit" for row in rows.iter_rows(named=True))


if __name__ == "__main__":
    panel, _ = public_panel(resolve().data)  # type: ignore[arg-type]
    PAGE.write_text(page(judged(panel), dt.datetime.now(dt.UTC).date()), encoding="utf-8")
