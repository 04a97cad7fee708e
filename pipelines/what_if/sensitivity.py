"""The sensitivity step: every assumption through its range, ranked; on request all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from forecasting.public.assumptions import Assumption
from forecasting.what_if.outcome import Outcome
from forecasting.what_if.sensitivity import (
    Stage,
    effects,
    first_stage,
    one_at_a_time,
    rank_effects,
    select_assumptions,
)
from pipelines.figures.number_format import percent
from pipelines.runtime.registry.registry import recorded_weights
from pipelines.runtime.step.context import Context
from pipelines.runtime.step.selection import input_run
from pipelines.runtime.tracking import NESTED_STEP, StepRun
from pipelines.what_if.assumptions import assumptions_of
from pipelines.what_if.base_case import BaseCase, CaseSelection, read_case, select_case
from pipelines.what_if.designs import COLUMNS, DEFAULT_SAMPLES, Design, check_samples, indices, points
from pipelines.what_if.evaluate import Evaluation, Evaluator
from pipelines.what_if.tornado import FIGURES, write_tornado

STEP = "sensitivity"
Moved = dict[tuple[str, str], Evaluation]


@dataclass(frozen=True, kw_only=True)
class SensitivityRequest:
    """A request: the run, chip, scope and policy, the assumptions (none: all), and the design.

    `design` is None for one at a time only.
    """

    windows_run: str | None = None
    chip: str = "H200"
    scope: str | None = None
    policy: str | None = None
    names: Sequence[str] = ()
    design: Design | None = None
    samples: int | None = None


@dataclass(frozen=True, kw_only=True)
class SensitivityResult:
    """Result of the step: its run and its tables.

    `sensitivity` has one row per assumption, scope and figure; `indices`, where a design was requested, one
    per assumption, scope and figure too; `design` one per point and scope.
    """

    run_id: str
    case: BaseCase
    selection: CaseSelection
    tables: dict[str, pl.DataFrame]


def run_sensitivity(context: Context, request: SensitivityRequest) -> SensitivityResult:
    """Move the assumptions behind a windows run, rank their effects, and record one run for each.

    Raises
    ------
    InputError
        If a run, the chip, scope, policy, an assumption or the number of samples is not in order.
    """
    design = request.design
    samples = None if design is None else (request.samples or DEFAULT_SAMPLES[design])
    if design is not None and samples is not None:
        check_samples(design, samples)
    case = read_case(context.tracker, input_run(context, "windows", request.windows_run))
    selection = select_case(case, chip=request.chip, scope=request.scope, policy=request.policy)
    assumptions = select_assumptions(assumptions_of(case.windows), request.names)
    weights = recorded_weights(context.tracker, case.paths_read.run_id, case.forecast)
    evaluator = Evaluator(case=case, selection=selection, weights=weights)
    inner = replace(context, settings=case.windows)
    with inner.step(STEP, upstream_run_id=case.windows_run_id) as (run, folder):
        case.panel.log(run)
        case.paths_read.log(run)
        moved, entered = _one_at_a_time(inner, run, evaluator, assumptions)
        tables = {"sensitivity": effect_table(assumptions, entered, evaluator.base, moved)}
        if design is not None and samples is not None:
            moving = {name: a for name, a in assumptions.items() if entered[name] != "nothing"}
            tables |= _together(inner, evaluator, moving, design, samples)
        inner.write(run, folder, tables)
        run.log_metrics(_metrics(tables["sensitivity"]))
        write_tornado(folder / "tornado.html", tables["sensitivity"], title=_title(selection))
        run.describe(page_text(tables["sensitivity"], selection, case.windows_run_id))
    return SensitivityResult(run_id=run.run_id, case=case, selection=selection, tables=tables)


def _one_at_a_time(
    context: Context, parent: StepRun, evaluator: Evaluator, assumptions: Mapping[str, Assumption]
) -> tuple[Moved, dict[str, Stage]]:
    """Evaluate both ends of each range, each assumption in a run of its own."""
    moves, moved, entered = one_at_a_time(assumptions), Moved(), dict[str, Stage]()
    for name, assumption in context.progress(list(assumptions.items()), "assumptions"):
        with context.tracker.step(NESTED_STEP, parent_run_id=parent.run_id) as run:
            run.client.update_run(run.run_id, name=name)
            for move in moves:
                if move.name == name:
                    moved[name, move.side] = evaluator.evaluate({name: move.value})
            entered[name] = first_stage(*(one.entered for key, one in moved.items() if key[0] == name))
            if entered[name] != "panel":
                evaluator.outside_panel.add(name)
            _record(run, name, assumption, entered[name], evaluator, moved)
    return moved, entered


def _record(
    run: StepRun, name: str, assumption: Assumption, stage: Stage, evaluator: Evaluator, moved: Moved
) -> None:
    ends = ("low", "value", "high")
    run.log_params(
        {"assumption": name, "unit": assumption.unit, "enters": stage}
        | {end: f"{getattr(assumption, end):g}" for end in ends}
    )
    curves = {
        f"{figure}/{scope}": [
            moved[name, end].outcomes_by_scope[scope].figures[figure] if (name, end) in moved else base
            for end in ends
        ]
        for scope, answer in evaluator.base.items()
        for figure, base in answer.figures.items()
    }
    run.log_curves(curves)
    run.describe(f"{name}: {assumption.reason} Steps of the curves: 0 low, 1 value, 2 high.")


def effect_table(
    assumptions: Mapping[str, Assumption],
    entered: Mapping[str, Stage],
    base: Mapping[str, Outcome],
    moved: Mapping[tuple[str, str], Evaluation],
) -> pl.DataFrame:
    """One row per scope, figure and assumption, the largest reach first."""
    rows = []
    for scope, answer in base.items():
        for figure, at_base in answer.figures.items():
            figures = {key: one.outcomes_by_scope[scope].figures[figure] for key, one in moved.items()}
            for rank, effect in enumerate(rank_effects(effects(assumptions, at_base, figures)), start=1):
                a = assumptions[effect.name]
                rows.append(
                    {
                        "scope": scope,
                        "figure": figure,
                        "rank": rank,
                        "assumption": effect.name,
                        "unit": a.unit,
                        "low": float(a.low),
                        "value": float(a.value),
                        "high": float(a.high),
                        "enters": entered[effect.name],
                        "at_low": effect.at_low,
                        "base": effect.base,
                        "at_high": effect.at_high,
                        "swing": effect.swing,
                        "reach": effect.reach,
                    }
                )
    return pl.DataFrame(rows)


def _together(
    context: Context, evaluator: Evaluator, moving: Mapping[str, Assumption], design: Design, samples: int
) -> dict[str, pl.DataFrame]:
    """Move the assumptions that enter at all together, over a design's points."""
    seed = context.settings.seed
    at = points(design, moving, samples=samples, seed=seed)
    found = [
        evaluator.evaluate(dict(zip(moving, point.tolist(), strict=True))).outcomes_by_scope
        for point in context.progress(at, f"{design}, {len(at)} points", total=len(at))
    ]
    index_rows, point_rows = [], []
    for scope, base in evaluator.base.items():
        figures = {name: np.array([one[scope].figures[name] for one in found]) for name in base.figures}
        for name, column in figures.items():
            by_name = indices(design, moving, at, column, seed=seed)
            index_rows += [
                {"scope": scope, "figure": name, "assumption": assumption}
                | {key: float(by_name[key][k]) for key in COLUMNS[design]}
                for k, assumption in enumerate(moving)
            ]
        for n, point in enumerate(at):
            point_rows.append(
                {"point": n, "scope": scope}
                | {name: float(column[n]) for name, column in figures.items()}
                | dict(zip(moving, point.tolist(), strict=True))
            )
    first = COLUMNS[design][0]
    ordered = pl.DataFrame(index_rows).sort(
        ["scope", "figure", first, "assumption"], descending=[False, False, True, False]
    )
    return {"indices": ordered, "design": pl.DataFrame(point_rows)}


def _metrics(table: pl.DataFrame) -> dict[str, float]:
    return {
        f"reach_{row['figure']}/{row['scope']}/{row['assumption']}": row["reach"]
        for row in table.iter_rows(named=True)
    }


def _title(selection: CaseSelection) -> str:
    return f"Which assumptions matter for the {selection.chip.chip_id} under {selection.policy.name}"


def page_text(table: pl.DataFrame, selection: CaseSelection, windows_run_id: str) -> str:
    """The ranked effects as Markdown: what the run's page shows."""
    lines = [f"{_title(selection)} (windows run {windows_run_id})? Figures at the low and the high end.", ""]
    for part in table.filter(pl.col("figure") != "value_usd_mean").partition_by(
        ["scope", "figure"], maintain_order=True
    ):
        shown = FIGURES[part["figure"][0]]
        text = _share_text if shown.kind == "share" else _units_text
        lines += [f"**{part['scope'][0]} scope, {shown.title}**: base {text(part['base'][0])}", ""]
        lines += ["| assumption | low | high | at low | at high |", "|---|---|---|---|---|"]
        for row in part.filter(pl.col("reach") > 0).head(8).iter_rows(named=True):
            ends = " | ".join(text(row[end]) for end in ("at_low", "at_high"))
            lines.append(f"| {row['assumption']} | {row['low']:g} | {row['high']:g} | {ends} |")
        lines.append("")
    return "\n".join(lines)


def _share_text(share: float) -> str:
    return percent(share, digits=1, spaced=False)


def _units_text(units: float) -> str:
    return f"{units:,.0f}"
