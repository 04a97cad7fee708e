"""Five turns of the market as they could be known on the day: writes docs/dated-cases.md.

`python -m benchmarks.dated_cases` from the root. For each case: what the panel said with what had been
published by then, what rents and quoted lead times said, and what the newest panel says of the next quarters.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.checkpoints import series_of
from forecasting import reference
from forecasting.frequencies import Frequency, label
from forecasting.panel.schema import CHINA, as_of, latest
from pipelines.etl.step import public_panel
from pipelines.runtime.config.loader import resolve

PAGE = Path("docs/dated-cases.md")
YEAR = 365
FOLLOWED = 4  # quarters


@dataclass(frozen=True, kw_only=True)
class Case:
    """A turn of the market, the day on which one stands, and what is concluded from the figures beside it.

    `rents` is the line of chips whose rents are looked at, `about` the subjects of statements.
    """

    title: str
    item: str
    day: dt.date
    rents: str
    about: tuple[str, ...]
    follows: str


CASES = (
    Case(
        title="Hopper at the end of 2024: when is US demand met?",
        item="Hopper",
        day=dt.date(2024, 12, 31),
        rents="H100",
        about=("H100", "H200", "Hopper"),
        follows=(
            "Half knowable. Not from shipments, which had risen to the last known quarter. Lead times "
            "of 8 to 12 weeks (April), a gap of a single digit (July) and the rents of October said "
            "that the H100 had eased, while Nvidia called the H200 short in November; the family is "
            "both, and it was met two to three quarters later. It is not used: these statements are "
            "the ones that the states are held against, and the packaged rents are quotes of "
            "different providers, whose scatter is wider than their fall."
        ),
    ),
    Case(
        title="A100 in the middle of 2023: fading, or not made any more?",
        item="A100",
        day=dt.date(2023, 7, 1),
        rents="A100",
        about=("A100",),
        follows=(
            "Half knowable, and used: shipments had fallen by two thirds in two quarters, and the "
            "panel says met (0.67) rather than ended (0.08). Whether orders or supply had gone was "
            "not knowable: no statement is at hand, and there are no rents of the year before. The "
            "end shows two quarters later than the day, once the H100 outsells it."
        ),
    ),
    Case(
        title="H20 in April 2025: the licence requirement",
        item=f"{CHINA}H20",
        day=dt.date(2025, 4, 15),
        rents="H20",
        about=("H20",),
        follows=(
            "Knowable on the day, from the requirement itself (9 April), and in no series before it: "
            "shipments had risen to the end. It says nothing of US demand, for the H20 has no US "
            "market; it is listed beside the answer and bears on no state."
        ),
    ),
    Case(
        title="MI300X in the middle of 2025: fading, or going on?",
        item="MI300X",
        day=dt.date(2025, 7, 1),
        rents="MI300X",
        about=("MI300X", "MI308X"),
        follows=(
            "Not knowable: one quarter of falling shipments, no rent, no statement. The panel took it "
            "to go on, and it fell by half in the next quarter and to a tenth within a year. It then "
            "came back from what looked like an end (P(ended) 0.44), which no figure of that time "
            "says either."
        ),
    ),
    Case(
        title="Blackwell in November 2024: does the ramp meet demand?",
        item="Blackwell",
        day=dt.date(2024, 11, 20),
        rents="B200",
        about=("Blackwell", "B200"),
        follows=(
            "Knowable from statements alone (short since February, sold out for twelve months in "
            "October): no shipment was known yet, so the panel had nothing to read. It is not used, "
            "for these statements judge the states; the prior at launch (70 % short) stands for them, "
            "and was right."
        ),
    ),
)


def rents(line: str, day: dt.date) -> str:
    """Median on-demand quote of a line of chips in the year up to a day and in the year before it."""
    quotes = (
        reference.load("prices")
        .collect()
        .filter(pl.col("chip_line").cast(pl.String) == line, pl.col("kind").cast(pl.String) == "on_demand")
    )

    def year(until: dt.date) -> str:
        part = quotes.filter(
            pl.col("observed_on").is_between(until - dt.timedelta(days=YEAR), until, closed="right")
        )["price_usd_per_gpu_hour"]
        if part.is_empty():
            return "none"
        return f"{part.median():.2f} ({part.len()} quotes, {part.min():.2f} to {part.max():.2f})"

    return f"{year(day)}; the year before {year(day - dt.timedelta(days=YEAR))}"


def statements(case: Case) -> list[str]:
    """What others had said by then."""
    held = reference.load("saturation_checkpoints").collect().with_columns(pl.col("subject").cast(pl.String))
    facts = reference.load("statements").collect()
    rows = pl.concat([table.select("stated_on", "subject", "statement") for table in (held, facts)])
    mine = pl.any_horizontal(pl.col("subject").str.contains(rf"\b{name}\b") for name in case.about)
    known = rows.filter(mine, pl.col("stated_on") <= case.day).unique().sort("stated_on")
    return [f"- {day}: {said}" for day, _, said in known.iter_rows()]


def states(panel: pl.DataFrame, case: Case) -> list[str]:
    """Table of the quarters: as known on the day, and as the newest panel has them."""
    known = series_of(as_of(panel.lazy(), case.day).collect(), case.item)
    now = series_of(latest(panel.lazy()).collect(), case.item)
    if now.is_empty():
        return shipments(panel, case)
    last = known["timestamp"][-1] if known.height else dt.date.min
    after = now.filter(pl.col("timestamp") > last).head(FOLLOWED)
    lines = ["| quarter | known | shipments | P(met) | P(ended) |", "| --- | --- | --- | --- | --- |"]
    lines += [_line(row, "on the day") for row in known.tail(FOLLOWED).to_dicts()]
    return [*lines, *(_line(row, "now") for row in after.to_dicts())]


def shipments(panel: pl.DataFrame, case: Case) -> list[str]:
    """Table of the quarters of an item without a US market."""
    rows = latest(panel.lazy()).collect().filter(pl.col("item_id") == case.item).sort("timestamp")
    near = rows.filter(
        pl.col("timestamp").is_between(case.day - dt.timedelta(days=YEAR), case.day + dt.timedelta(days=YEAR))
    )
    return [
        "| quarter | shipments to China |",
        "| --- | --- |",
        *(
            f"| {label(end, Frequency.QUARTER)} | {value:,.0f} |"
            for end, value in near.select("timestamp", "value").iter_rows()
        ),
    ]


def _line(row: dict[str, Any], known: str) -> str:
    quarter = label(row["timestamp"], Frequency.QUARTER)
    return f"| {quarter} | {known} | {row['shipments']:,.0f} | {row['met']:.2f} | {row['ended']:.2f} |"


HEAD = """# Five turns of the market, as they could be known

Written by `python -m benchmarks.dated_cases` on {today}. What the panel said with what had been published
on the day (before April 2026 those days are hypothetical), what rents (USD per GPU-hour) and statements
of others said, and what the newest panel says of the next quarters. The conclusions are judgements on these
figures.
"""


def page(panel: pl.DataFrame, today: dt.date) -> str:
    """The page."""
    parts = [HEAD.format(today=today)]
    for case in CASES:
        said = statements(case) or ["- none"]
        parts += [
            f"## {case.title}\n\n{case.item}, as known on {case.day}.\n",
            "\n".join(states(panel, case)),
            f"\nRents of {case.rents} in the year up to then: {rents(case.rents, case.day)}.\n",
            "Statements by then:\n\n" + "\n".join(said),
            f"\n{case.follows}\n",
        ]
    return "\n".join(parts)


if __name__ == "__main__":
    built, _ = public_panel(resolve().data)  # type: ignore[arg-type]
    PAGE.write_text(page(built, dt.datetime.now(dt.UTC).date()), encoding="utf-8")
