"""Dated, sourced statements: lead times as soft observations of the market's state, and what contradicts it.

A lead time was quoted with a range and by hearsay. In each state of the market a queue of some length is
expected, so a quoted one is more probable in one state than in another:

    log weeks ~ N(log expected, spread^2 + error^2),    error: the quoted range, and hearsay beside it,

with the expected weeks (short: the assumption `tight_lead_time_weeks`; ended: the same, for orders
wait; met: supply that was said to have eased had 8 to 12 weeks at most). It counts in the quarter
in which it was made, for vintages from that day on, for the item it names and the chips of a
family. The statements that judge the states (`saturation_checkpoints`) are listed beside the answer
and enter nothing.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from forecasting import reference
from forecasting.frequencies import Frequency, period_end
from forecasting.panel.history import Floats
from forecasting.panel.measurement_error import Z_95
from forecasting.panel.schema import as_of
from forecasting.public.assumptions import Assumption
from forecasting.reference.chips import catalogue

Row: TypeAlias = dict[str, Any]
MET_WEEKS, MET_SPREAD = 6.0, 0.5  # 95 % below 14 weeks
HEARSAY = 0.3  # log standard deviation of a quoted lead time beside its range
HALF = 0.5
COLUMNS = ("stated_on", "item_id", "kind", "statement", "publisher", "use", "p_met", "p_ended", "verdict")


def lead_times(statements: pl.DataFrame) -> pl.DataFrame:
    """Quoted lead times by item: item_id, timestamp (quarter), stated_on, weeks (log middle), error (log).

    Parameters
    ----------
    statements : DataFrame
        The reference table `statements`.
    """
    rows = []
    for row in statements.filter(use="state", kind="lead_time").iter_rows(named=True):
        low, high = math.log(row["low"]), math.log(row["high"])
        rows += [
            {
                "item_id": item,
                "timestamp": period_end(row["stated_on"], Frequency.QUARTER),
                "stated_on": row["stated_on"],
                "weeks": (low + high) / 2,
                "error": math.hypot((high - low) / 2 / Z_95, HEARSAY),
            }
            for item in _items(row["subject"])
        ]
    schema = {
        "item_id": pl.String,
        "timestamp": pl.Date,
        "stated_on": pl.Date,
        "weeks": pl.Float64,
        "error": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema)


def _items(subject: str) -> list[str]:
    """The subject, and where it is a family its chips."""
    return [subject, *(chip.chip_id for chip in catalogue().values() if chip.family == subject)]


def likelihood(weeks: Floats, error: Floats, lead_time: Assumption) -> Floats:
    """Density of quoted lead times (log weeks [N]) in each state [N, 3]: short, met, ended.

    Parameters
    ----------
    weeks, error : array [N]
        Logarithm of the weeks, and its error.
    lead_time : Assumption
        Weeks that orders wait in a market short of supply.
    """
    spread = math.log(lead_time.high / lead_time.low) / 2 / Z_95 if lead_time.low > 0 else MET_SPREAD
    short = math.log(max(lead_time.value, 1.0))
    means, spreads = np.array([short, math.log(MET_WEEKS), short]), np.array([spread, MET_SPREAD, spread])
    deviation = np.hypot(spreads, error[:, None])
    return np.asarray(np.exp(-(((weeks[:, None] - means) / deviation) ** 2) / 2) / deviation)


def judged(panel: pl.DataFrame, *, until: dt.date) -> pl.DataFrame:
    """Every statement known by a day, how it was used, and whether the states agree with it.

    Parameters
    ----------
    panel : DataFrame
        With all its vintages.
    until : date
        Later statements are left out.

    Returns
    -------
    DataFrame
        `COLUMNS`: `use` is state (a soft observation), listed, or held out (it judges the states); `p_met`
        and `p_ended` are those of the item's quarter in the newest panel; `verdict` is agrees, contradicts,
        or silent where nothing is said of US demand or the item has no such quarter.
    """
    known = as_of(panel.lazy(), dt.date.max).filter(pl.col("variate").is_in(["short", "ended"])).collect()
    states = {
        (item, end, name): value
        for item, end, name, value in known.select("item_id", "timestamp", "variate", "value").iter_rows()
    }
    rows = [
        _judged(row, states)
        for row in [*_facts(), *_held_out()]
        if row["stated_on"] <= until and row["item_id"] is not None
    ]
    schema = dict.fromkeys(COLUMNS, pl.String) | {
        "stated_on": pl.Date,
        "p_met": pl.Float64,
        "p_ended": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row").sort("stated_on", "item_id", "statement")


def _facts() -> list[Row]:
    sides = {"short": (0.0, 0.0), "met": (1.0, 1.0)}
    return [
        {**row, "item_id": row["subject"], "stated": sides.get(row["implies"] or "")}
        for row in reference.load("statements").collect().iter_rows(named=True)
    ]


def _held_out() -> list[Row]:
    rows = reference.load("saturation_checkpoints").collect().iter_rows(named=True)
    return [
        {
            **row,
            "use": "held out",
            "stated": None if row["met_low"] is None else (row["met_low"], row["met_high"]),
        }
        for row in rows
    ]


def _judged(row: Row, states: dict[tuple[str, dt.date, str], float]) -> Row:
    quarter = period_end(row["stated_on"], Frequency.QUARTER)
    short, ended = (states.get((row["item_id"], quarter, name)) for name in ("short", "ended"))
    p_met = None if short is None or ended is None else max(1 - short - ended, 0.0)
    verdict = _verdict(row["stated"], p_met)
    if row["kind"] == "supply" and ended is not None:  # supply was withdrawn
        verdict = "agrees" if ended >= HALF else "contradicts"
    changed = {"p_met": p_met, "p_ended": ended, "verdict": verdict}
    return {name: changed[name] if name in changed else row[name] for name in COLUMNS}


def _verdict(stated: object, p_met: float | None) -> str:
    """Whether P(met) lies on the side of one half that a statement says; a range around it says nothing."""
    if not isinstance(stated, tuple) or p_met is None or stated == (HALF, HALF):
        return "silent"
    return "agrees" if (p_met >= HALF if stated[0] >= HALF else p_met <= HALF) else "contradicts"
