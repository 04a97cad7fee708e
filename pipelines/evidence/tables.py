"""Tables of the stored runs compared with the same tables derived again, value by value."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl

from forecasting.errors import StepError
from forecasting.public.statements import judged
from pipelines.backtest.step import rank
from pipelines.evidence.stored import STATEMENTS, StoredArtifacts

CLOSE = 1e-9  # relative, and absolute near zero: another processor's arithmetic may differ in the last digits
KEYS = ("policy", "chip", "scope", "item_id", "counts", "period", "step", "forecaster")


def check_tables(derived: Mapping[str, pl.DataFrame], artifacts: StoredArtifacts) -> int:
    """Compare the tables of the windows run, backtest scores and statements; returns how many values.

    Raises
    ------
    StepError
        Naming the table, row and column that does not follow from panel, paths and settings.
    """
    expected = dict(derived)
    if "backtest" in artifacts.steps:
        baselines = artifacts.settings("backtest").statistical.candidates
        expected["leaderboard"] = rank(artifacts.table("scores"), baselines=baselines)
    known_until = artifacts.steps["etl"].known_until
    if known_until is not None and artifacts.path_if_recorded("etl", STATEMENTS) is not None:
        expected["statements"] = judged(artifacts.table("panel"), until=known_until)
    return sum(check_same(artifacts.table(name), table, name) for name, table in expected.items())


def check_same(stated: pl.DataFrame, derived: pl.DataFrame, name: str) -> int:
    """Refuse a table that is not the derived one; returns the number of values.

    Raises
    ------
    StepError
        Naming the first value that differs.
    """
    where = f"{name}.parquet"
    if stated.columns != derived.columns or stated.height != derived.height:
        raise StepError(
            f"{where}: the table does not follow from the stored artifacts: stated {stated.height} rows of "
            f"{', '.join(stated.columns)}; derived {derived.height} rows of {', '.join(derived.columns)}"
        )
    rows = zip(stated.iter_rows(named=True), derived.iter_rows(named=True), strict=True)
    for place, (mine, again) in enumerate(rows):
        for column, value in mine.items():
            if not same(value, again[column]):
                keys = ", ".join(str(mine[key]) for key in KEYS if key in mine)
                raise StepError(
                    f"{where}: row {place + 1} ({keys}), {column} does not follow from the stored artifacts: "
                    f"stated {value}, derived {again[column]}"
                )
    return stated.height * stated.width


def same(stated: object, derived: object) -> bool:
    """Whether two values are equal, numbers within what arithmetic leaves."""
    if isinstance(stated, float) and isinstance(derived, float):
        return math.isclose(stated, derived, rel_tol=CLOSE, abs_tol=CLOSE)
    return type(stated) is type(derived) and stated == derived
