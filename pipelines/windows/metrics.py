"""A dozen metrics of a windows run, dated: what a planner compares between runs, with intervals.

Everything else is in the tables. A point's time is the end of its period, so that MLflow's time axis is the
calendar; its step counts the periods.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping

import polars as pl

from forecasting.windows.schema import q
from pipelines.windows.answer import OWN, SCOPES, VENDOR, Answer, ChipAnswer

LEVELS = (0.1, 0.5, 0.9)
OTHERS = 3  # chips besides the leading one, of which there is one curve each
Point = tuple[str, int, dt.date, float]


def answer_points(answer: Answer, tables: Mapping[str, pl.DataFrame]) -> Iterator[Point]:
    """Name, step, date and figure of each point.

    Parameters
    ----------
    answer : Answer
    tables : mapping
        `windows`, `window_steps`, `saturation` and `lead_time` of the run.
    """
    leader = answer.leader
    if leader is None:
        return
    for scope in (OWN, VENDOR):
        yield from _met(answer, leader, scope, tables)
    for scope in (OWN, VENDOR):
        steps = _steps(answer, leader, scope, tables)
        yield from _curve(f"window open/{leader.chip} {SCOPES[scope]}", steps, "p_open")
        if scope == OWN or leader.own is None:
            for level in LEVELS:
                name = f"units per period/{leader.chip} {q(level)}"
                yield from _curve(name, steps, f"units_{q(level)}")
    waits = tables["lead_time"].filter(item_id=leader.chip)
    for level in LEVELS:
        yield from _curve(f"weeks of waiting/{leader.chip} {q(level)}", waits, f"weeks_{q(level)}")
    others = [chip for chip in answer.chips if chip is not leader and chip.own is not None]
    for chip in others[:OTHERS]:
        yield from _met(answer, chip, OWN, tables)


def _met(answer: Answer, chip: ChipAnswer, scope: str, tables: Mapping[str, pl.DataFrame]) -> Iterator[Point]:
    row = tables["windows"].filter(policy=answer.policy.name, chip=chip.chip, scope=scope)
    if row.height:
        curve = tables["saturation"].filter(policy=answer.policy.name, item_id=row["scope_item"][0])
        yield from _curve(f"met/{chip.chip} {SCOPES[scope]}", curve, "p_saturated")


def _steps(answer: Answer, chip: ChipAnswer, scope: str, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    steps = tables["window_steps"]
    return steps.filter(policy=answer.policy.name, chip=chip.chip, scope=scope) if steps.height else steps


def _curve(name: str, table: pl.DataFrame, column: str) -> Iterator[Point]:
    if table.is_empty():
        return
    for step, day, figure in table.sort("step").select("step", "timestamp", column).iter_rows():
        if figure is not None:
            yield name, step, day, figure
