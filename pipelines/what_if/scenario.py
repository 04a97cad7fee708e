"""The scenario step: named what-ifs side by side with the base case, on common random numbers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from forecasting.errors import InputError
from forecasting.frequencies import period_ends
from forecasting.saturation.first_passage import probability_by_step
from forecasting.what_if.outcome import MEDIAN_LEVEL, Outcome
from forecasting.what_if.scenario import Scenario, apply_scenario, delay_launches, modify_policy
from forecasting.windows.schema import q, scenarios_schema, table_of
from pipelines.figures.number_format import percent
from pipelines.runtime.config.loader import load_scenario, packaged_scenarios
from pipelines.runtime.step.context import Context
from pipelines.runtime.step.selection import input_run
from pipelines.runtime.tracking import StepRun
from pipelines.what_if.base_case import BaseCase, CaseSelection, read_case, select_case
from pipelines.what_if.evaluate import outcomes_by_scope

STEP, BASE = "scenario", "base"
Row = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class ScenarioRequest:
    """A request: scenarios (none: all packaged ones), the run, chips, scope and policy."""

    names: Sequence[str] = ()
    windows_run: str | None = None
    chips: Sequence[str] = ("H200",)
    scope: str | None = None
    policy: str | None = None


@dataclass(frozen=True, kw_only=True)
class ScenarioResult:
    """Result of the step: its run and a table with one row per chip, scope and scenario, the base first."""

    run_id: str
    case: BaseCase
    table: pl.DataFrame

    @property
    def end(self) -> dt.date:
        """Last period of the horizon."""
        return _stamps(self.case)[-1]


def run_scenarios(context: Context, request: ScenarioRequest) -> ScenarioResult:
    """Evaluate the base case of a windows run and each scenario, and record the run.

    Raises
    ------
    InputError
        If a scenario file, the run, a chip, the scope or the policy is not in order.
    """
    scenarios = _named(request.names or packaged_scenarios())
    case = read_case(context.tracker, input_run(context, "windows", request.windows_run))
    selection = [
        select_case(case, chip=chip, scope=request.scope, policy=request.policy)
        for chip in dict.fromkeys(request.chips)
    ]
    inner = replace(context, settings=case.windows)
    with inner.step(STEP, upstream_run_id=case.windows_run_id) as (run, folder):
        case.paths_read.log(run)
        rows: list[Row] = []
        for each in inner.progress(selection, "scenarios"):
            rows += _outcome_rows(run, case, each, scenarios)
        table = table_of(rows, scenarios_schema(case.windows.windows.quantile_levels))
        inner.write(run, folder, {"scenarios": table})
        run.log_params({f"scenario.{name}": scenario.title for name, scenario in scenarios.items()})
        run.describe(page_text(table, case.windows_run_id))
    return ScenarioResult(run_id=run.run_id, case=case, table=table)


def _named(names: Sequence[str]) -> dict[str, Scenario]:
    """Scenarios by the name of their file; all are read before any work."""
    scenarios: dict[str, Scenario] = {}
    for name in names:
        short = Path(name).stem if name.endswith((".yaml", ".yml")) else name
        if short in scenarios or short == BASE:
            raise InputError(
                "each scenario needs a name of its own, other than that of the base case", found=repr(short)
            )
        scenarios[short] = load_scenario(name)
    return scenarios


def _outcome_rows(
    run: StepRun, case: BaseCase, selection: CaseSelection, scenarios: Mapping[str, Scenario]
) -> list[Row]:
    """Rows of one chip: in each scope the base case, then the scenarios."""
    base = outcomes_by_scope(case, selection, case.paths, case.windows)
    found = {BASE: base}
    for name, scenario in scenarios.items():
        chips = case.windows.data.catalogue
        found[name] = outcomes_by_scope(
            case,
            selection,
            apply_scenario(case.paths, scenario, chips),
            case.windows,
            policy=modify_policy(selection.policy, scenario),
            chips=delay_launches(chips, scenario, case.paths),
        )
    titles = {BASE: "base case"} | {name: scenario.title for name, scenario in scenarios.items()}
    stamps = _stamps(case)
    rows = []
    for scope in selection.scopes:
        for name, by_scope in found.items():
            one = by_scope[scope]
            keys: Row = {
                "policy": selection.policy.name,
                "chip": selection.chip.chip_id,
                "scope": scope,
                "scenario": name,
                "title": titles[name],
            }
            rows.append(keys | _figures(one, base[scope], stamps))
            reached = probability_by_step(one.passage, one.steps)
            run.log_curves({f"p_reached/{selection.chip.chip_id}/{scope}/{name}": reached.tolist()})
    return rows


def _stamps(case: BaseCase) -> list[dt.date]:
    return period_ends(case.paths.origins[0], range(case.paths.horizon + 1), case.paths.frequency)


def _figures(one: Outcome, base: Outcome, stamps: Sequence[dt.date]) -> Row:
    """Figures of an outcome, and how it differs from the base case path by path."""
    dates = [None if np.isnan(step) else stamps[int(step)] for step in one.saturated_steps]
    levels = [q(level) for level in one.quantile_levels]
    value = one.value_usd
    return {
        "p_saturated": one.p_saturated,
        **{f"saturated_{name}": date for name, date in zip(levels, dates, strict=True)},
        "p_any_window": one.p_any_window,
        **{f"units_{name}": float(u) for name, u in zip(levels, one.units_quantiles, strict=True)},
        "value_usd_q50": None if value is None else float(np.quantile(value, MEDIAN_LEVEL)),
        "p_sooner": float((one.passage < base.passage).mean()),
        "p_later": float((one.passage > base.passage).mean()),
        "p_more_units": float((one.units > base.units).mean()),
        "p_fewer_units": float((one.units < base.units).mean()),
    }


def page_text(table: pl.DataFrame, windows_run_id: str) -> str:
    """The scenarios as a Markdown table: what the run's page shows."""
    lines = [
        f"What if? The paths of windows run {windows_run_id}, each changed as the scenario says.",
        "",
        "| chip | scope | scenario | P(saturated by horizon) | units, median | paths sooner | paths later |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table.iter_rows(named=True):
        saturated = percent(row["p_saturated"], digits=1, spaced=False)
        sooner, later = (percent(row[name], spaced=False) for name in ("p_sooner", "p_later"))
        lines.append(
            f"| {row['chip']} | {row['scope']} | {row['title']} | {saturated} | {row['units_q50']:,.0f} | "
            f"{sooner} | {later} |"
        )
    return "\n".join(lines)
