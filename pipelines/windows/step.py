"""The windows step: the paths of a forecast run to saturation dates and export windows, under each policy."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace

import polars as pl

from forecasting.forecasters.base import PathSet
from forecasting.forecasters.path_table import from_table
from forecasting.policy.eligibility import check_policy_reaches
from pipelines.figures.page import write_figures
from pipelines.runtime.step.context import Context
from pipelines.runtime.step.inputs import Input, read_input
from pipelines.runtime.tracking import KNOWN_UNTIL_TAG, StepRun, Tracker
from pipelines.windows.charts import windows_charts
from pipelines.windows.exports import with_exports_of_book
from pipelines.windows.headroom import headroom_table
from pipelines.windows.run_page import windows_page_text
from pipelines.windows.tables import Row, build_estimator, q

QUANTILE_DATES = ("opening", "closing")
QUANTILE_FIGURES = ("units", "first_window_units", "tpp", "value_usd", "first_window_value_usd")


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
        If the run or its paths are not in order, a policy is met by no chip, or fewer units are stated as
        exported than the order book shows.
    """
    settings, tracker = context.settings, context.tracker
    for policy in settings.policies:
        check_policy_reaches(policy, settings.data.catalogue.values())
    read = read_input(tracker, forecast_run_id or tracker.newest("forecast"), step="forecast", name="paths")
    settings = with_exports_of_book(settings, tracker, read.run_id, items=read.table["item_id"].unique())
    context = replace(context, settings=settings)
    estimator = build_estimator(settings, *read_paths(tracker, read, context))
    any_market = next(iter(estimator.markets.values()))
    context.tell(
        f"paths of forecast run {read.run_id}: {len(any_market.orders)} paths, {any_market.horizon} periods "
        f"from {any_market.origin}"
    )
    previous = tracker.newest_or_none("windows")
    with context.step("windows", upstream_run_id=read.run_id) as (run, folder):
        read.log(run)
        expected = len(estimator.chips()) * sum(len(policy.supply.scopes) for policy in settings.policies)
        rows = list(context.progress(estimator.window_rows(), "export windows", total=expected))
        tables = {
            "windows": pl.DataFrame([row for row, _ in rows], schema=windows_schema(estimator.levels)),
            "window_steps": _table(row for _, steps in rows for row in steps),
            "saturation": _table(estimator.saturation_rows()),
            "lead_time": _table(estimator.lead_time_rows()),
            "cap_readings": _table(estimator.cap_rows()),
            "headroom": headroom_table(estimator),
        }
        context.write(run, folder, tables)
        _log_curves(run, tables)
        _log_window_metrics(run, tables["windows"])
        run.describe(windows_page_text(context, tables["windows"], read.run_id, previous))
        heading = f"When is US demand met, and how much may be exported? ({settings.policies[0].name})"
        write_figures(folder, windows_charts(estimator, tables), heading=heading)
    return WindowsResult(run_id=run.run_id, now=estimator.now, tables=tables)


def read_paths(tracker: Tracker, read: Input, context: Context) -> tuple[PathSet, dict[str, str], dt.date]:
    """Paths of a forecast run, items without paths (with the reason), and the newest publication known."""
    choices = read_input(tracker, read.run_id, step="forecast", name="choices").table
    paths = from_table(
        read.table, frequency=context.settings.data.panel_frequency, where=f"paths of run {read.run_id}"
    )
    missing = dict(choices.drop_nulls("reason").select("item_id", "reason").iter_rows())
    tags = tracker.finished(read.run_id, "forecast").data.tags
    return paths, missing, dt.date.fromisoformat(tags[KNOWN_UNTIL_TAG])


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


def _log_curves(run: StepRun, tables: dict[str, pl.DataFrame]) -> None:
    """Log curves of saturation, openness and lead time with the period as step; the item stands first."""
    for metric, name, keys, column in (
        ("p_saturated", "saturation", ["item_id", "policy"], "p_saturated"),
        ("p_open", "window_steps", ["chip", "scope", "policy"], "p_open"),
        ("lead_time_weeks", "lead_time", ["item_id"], f"weeks_{q(0.5)}"),
    ):
        table = tables[name].sort("step") if tables[name].height else tables[name]
        if table.height:
            parts = table.partition_by(keys, maintain_order=True)
            labels = ["/".join([metric, *(str(part[key][0]) for key in keys)]) for part in parts]
            values = [part[column].fill_null(float("nan")).to_list() for part in parts]
            run.log_curves(dict(zip(labels, values, strict=True)), first_step=table["step"][0])


def _log_window_metrics(run: StepRun, windows: pl.DataFrame) -> None:
    """Log the answer per chip, scope and policy as single figures, so that runs can be put side by side."""
    rows = windows.filter(pl.col("eligible"), pl.col("p_any_window").is_not_null())
    run.log_metrics(
        {
            f"{name}/{row['chip']}/{row['scope']}/{row['policy']}": row[name]
            for row in rows.iter_rows(named=True)
            for name in ("p_saturated_now", "p_never", "p_any_window", f"units_{q(0.5)}")
        }
    )
