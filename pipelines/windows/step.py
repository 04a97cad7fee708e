"""The windows step: the paths of a forecast run to saturation dates and export windows, under each policy."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from forecasting.forecasters.base import PathSet
from forecasting.forecasters.path_table import from_table
from forecasting.policy.eligibility import check_policy_reaches
from forecasting.windows.headroom import headroom_table
from forecasting.windows.schema import (
    cap_readings_schema,
    lead_time_schema,
    saturation_schema,
    table_of,
    window_steps_schema,
    windows_schema,
)
from forecasting.windows.tables import Estimator, Row
from pipelines.figures.page import write_figures
from pipelines.runtime.step.context import Context
from pipelines.runtime.step.derived_settings import derived_tags
from pipelines.runtime.step.inputs import Input, read_input
from pipelines.runtime.step.selection import input_run
from pipelines.runtime.tracking import KNOWN_UNTIL_TAG, Tracker
from pipelines.windows.answer import Answer
from pipelines.windows.answer_from_tables import answer_of, basis_of, last_period
from pipelines.windows.answer_page import write_answer
from pipelines.windows.charts import windows_charts
from pipelines.windows.estimator import build_estimator, last_observed
from pipelines.windows.exports import derived_exports, with_exports_of_book
from pipelines.windows.metrics import answer_points
from pipelines.windows.run_page import answer_tags, last_of_kind, page_head, windows_page_text


@dataclass(frozen=True, kw_only=True)
class WindowsResult:
    """Result of the step: its run and its tables.

    `windows` has one row per policy, chip and scope; `saturation` one per policy, item and step;
    `window_steps` one per policy, chip, scope and step; `lead_time` one per item and step; `cap_readings` one
    per policy, chip and reading of the cap. `now` is the period end that "now" means, `answer` what people
    read of all this, `page` the head of the run's page.
    """

    run_id: str
    now: dt.date
    tables: dict[str, pl.DataFrame]
    answer: Answer
    page: str


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
    read = read_input(tracker, input_run(context, "forecast", forecast_run_id), step="forecast", name="paths")
    settings = with_exports_of_book(settings, tracker, read.run_id, items=read.table["item_id"].unique())
    derived = derived_tags(derived_exports(settings, stated=context.settings))
    context = replace(context, settings=settings)
    estimator = build_estimator(settings, *read_paths(tracker, read, context))
    any_market = next(iter(estimator.markets.values()))
    context.note(
        f"paths of forecast run {read.run_id}: {len(any_market.orders)} paths, {any_market.horizon} periods "
        f"from {any_market.origin}"
    )
    previous = last_of_kind(context, read.run_id)
    with context.step("windows", upstream_run_id=read.run_id) as (run, folder):
        read.log(run, tag=False)
        if derived:
            run.set_tags(derived)
        expected = len(estimator.chips()) * sum(len(policy.supply.scopes) for policy in settings.policies)
        rows = list(context.progress(estimator.window_rows(), "export windows", total=expected))
        tables = windows_tables(estimator, rows)
        context.write(run, folder, tables, inputs={read.name: read.digest}, in_one=True)
        end, basis = last_period(tables["saturation"]), basis_of(tracker, read.run_id, settings)
        answers = [
            answer_of(tables["windows"], settings, end=end, basis=basis, policy=policy)
            for policy in settings.policies
        ]
        answer = answers[0]
        run.log_dated(answer_points(answer, tables))
        run.set_tags(answer_tags(answer))
        run.rename(answer.name)
        head = page_head(tracker, run.run_id, answers)
        run.describe(windows_page_text(context, head, tables["windows"], read.run_id, previous))
        heading = f"When is US demand met, and how much may be exported? ({settings.policies[0].name})"
        charts = windows_charts(estimator, tables, source=basis.line)
        write_figures(folder, charts, heading=heading, pictures=settings.figures.pictures)
        write_answer(folder, answer, tables)
    return WindowsResult(run_id=run.run_id, now=estimator.now, tables=tables, answer=answer, page=head)


def windows_tables(
    estimator: Estimator, rows: Sequence[tuple[Row, Sequence[Row]]]
) -> dict[str, pl.DataFrame]:
    """Every table of the step by name.

    Parameters
    ----------
    estimator : Estimator
    rows : sequence
        What `Estimator.window_rows` gives.
    """
    return {
        "windows": table_of((row for row, _ in rows), windows_schema(estimator.levels)),
        "window_steps": table_of(
            (row for _, steps in rows for row in steps), window_steps_schema(estimator.levels)
        ),
        "saturation": table_of(estimator.saturation_rows(), saturation_schema()),
        "lead_time": table_of(estimator.lead_time_rows(), lead_time_schema(estimator.levels)),
        "cap_readings": table_of(estimator.cap_rows(), cap_readings_schema(estimator.levels)),
        "headroom": headroom_table(estimator),
    }


def read_paths(
    tracker: Tracker, read: Input, context: Context
) -> tuple[PathSet, dict[str, str], dt.date, dict[str, dt.date]]:
    """Paths of a forecast run, why items have none, the newest publication, how far each is observed."""
    choices = read_input(tracker, read.run_id, step="forecast", name="choices").table
    paths = from_table(
        read.table, frequency=context.settings.data.panel_frequency, where=f"paths of run {read.run_id}"
    )
    missing = dict(choices.drop_nulls("reason").select("item_id", "reason").iter_rows())
    tags = tracker.finished(read.run_id, "forecast").data.tags
    return paths, missing, dt.date.fromisoformat(tags[KNOWN_UNTIL_TAG]), last_observed(choices)
