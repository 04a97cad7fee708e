"""The windows step: the paths of a forecast run to saturation dates and export windows, under each policy."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from forecasting.chips import catalogue
from forecasting.forecaster import PathSet
from forecasting.path_table import from_table
from forecasting.policy import check_policy_reaches
from pipelines.artifacts import read_table
from pipelines.context import Context
from pipelines.estimator import Row, estimator, q
from pipelines.tracking import Tracker

QUANTILE_DATES = ("opening", "closing")
QUANTILE_FIGURES = ("units", "first_window_units", "tpp", "value_usd")


@dataclass(frozen=True, kw_only=True)
class WindowsResult:
    """What the step leaves: its run and its tables.

    `windows` has one row per policy, chip and scope; `saturation` one per policy, item and step;
    `window_steps` one per policy, chip, scope and step; `lead_time` one per item and step; `cap_readings` one
    per policy, chip and reading of the cap. `now` is the period end that "now" means.
    """

    run_id: str
    now: dt.date
    tables: dict[str, pl.DataFrame]


def run_windows(context: Context, forecast_run_id: str | None = None) -> WindowsResult:
    """Estimate saturation and export windows from a forecast run's paths, and record the run.

    Raises
    ------
    InputError
        If the run or its paths are not in order, or a policy is met by no chip.
    """
    settings, tracker = context.settings, context.tracker
    for policy in settings.policies:
        check_policy_reaches(policy, catalogue().values())
    forecast_run_id = forecast_run_id or tracker.newest("forecast")
    paths, missing, published = load_paths(tracker, forecast_run_id, context)
    made = estimator(settings, paths, missing, published)
    with context.step("windows", upstream_run_id=forecast_run_id) as (run, folder):
        run.log_dataset(
            name="paths",
            digest=tracker.digest(forecast_run_id, "paths"),
            source=f"runs:/{forecast_run_id}/paths.parquet",
            context="windows",
        )
        expected = len(made.chips()) * sum(len(policy.supply.scopes) for policy in settings.policies)
        rows = list(context.progress(made.window_rows(), "export windows", total=expected))
        tables = {
            "windows": pl.DataFrame([row for row, _ in rows], schema=windows_schema(made.levels)),
            "window_steps": _table(row for _, steps in rows for row in steps),
            "saturation": _table(made.saturation_rows()),
            "lead_time": _table(made.lead_time_rows()),
            "cap_readings": _table(made.cap_rows()),
        }
        context.write(run, folder, tables)
        run.log_curves(_curves(tables, middle=q(sorted(made.levels)[len(made.levels) // 2])))
    return WindowsResult(run_id=run.run_id, now=made.now, tables=tables)


def load_paths(
    tracker: Tracker, forecast_run_id: str, context: Context
) -> tuple[PathSet, dict[str, str], dt.date]:
    """Paths of a forecast run, items without paths (with the reason), and the newest publication known."""
    upstream = tracker.finished(forecast_run_id, "forecast")
    with tracker.artifact(forecast_run_id, "paths.parquet") as path:
        table = read_table(path)
    with tracker.artifact(forecast_run_id, "choices.parquet") as path:
        choices = read_table(path)
    paths = from_table(table, frequency=context.settings.data.step, where=f"paths of run {forecast_run_id}")
    missing = dict(choices.drop_nulls("reason").select("item_id", "reason").iter_rows())
    return paths, missing, dt.date.fromisoformat(upstream.data.tags["overspill.published_at"])


def windows_schema(levels: Iterable[float]) -> dict[str, pl.DataType]:
    """Columns of `windows.parquet`; dates are null where censored, figures where there is no estimate."""
    text, date, number = pl.String(), pl.Date(), pl.Float64()
    names = [q(level) for level in levels]
    return {
        "policy": text,
        "chip": text,
        "scope": text,
        "scope_item": text,
        "eligible": pl.Boolean(),
        "reason": text,
        "no_estimate": text,
        "now": date,
        "p_saturated_now": number,
        **{f"saturated_{name}": date for name in names},
        "p_never": number,
        "p_any_window": number,
        "window_opens": date,
        "window_closes": date,
        **{f"{what}_{name}": date for what in QUANTILE_DATES for name in names},
        **{f"{what}_{name}": number for what in QUANTILE_FIGURES for name in names},
        "binding": text,
        "binding_share": number,
    }


def _table(rows: Iterable[Row]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), infer_schema_length=None)


def _curves(tables: dict[str, pl.DataFrame], *, middle: str) -> dict[str, list[float]]:
    """Metric curves by step: saturation, openness, lead time; what is sought stands first in the name."""
    curves: dict[str, list[float]] = {}
    for name, keys, column in (
        ("p_saturated", ["policy", "item_id"], "p_saturated"),
        ("p_open", ["policy", "scope", "chip"], "p_open"),
        ("lead_time_weeks", ["item_id"], f"weeks_{middle}"),
    ):
        table = tables[
            "window_steps" if name == "p_open" else "lead_time" if "weeks" in name else "saturation"
        ]
        for part in table.sort("step").partition_by(keys, maintain_order=True) if table.height else []:
            label = "/".join([name, *(str(part[key][0]) for key in reversed(keys))])
            curves[label] = part[column].fill_null(float("nan")).to_list()
    return curves
