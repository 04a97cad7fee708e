"""The page of a run: question, answer, changes since the previous run, and the runs it is based on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping

import polars as pl

from forecasting.errors import OverspillError
from pipelines.figures.number_format import share_of_paths, units_text
from pipelines.runtime.config.loader import flatten
from pipelines.runtime.step.context import Context
from pipelines.runtime.step.inputs import read_input
from pipelines.runtime.tracking import PARAM_LENGTH, UI_MODE, UPSTREAM_TAG, Tracker

QUESTION = "When is US demand saturated, and how much may then be exported?"
KEYS = ("policy", "chip", "scope")
MAX_LINES = 12
MIN_SHIFT = 0.01  # probability: smaller differences are noise of the paths
MIN_RELATIVE_SHIFT = 0.05  # units, relative


def markdown(windows: pl.DataFrame) -> str:
    """The question and the answer: what the page of `overspill run` shows."""
    return f"{QUESTION} **{headline(windows)}**\n\n{windows_markdown_table(windows)}"


def headline(windows: pl.DataFrame) -> str:
    """The answer in one sentence, for the first policy and each scope: the page folds longer text."""
    policy = windows["policy"][0]
    rows = windows.filter(pl.col("policy") == policy, pl.col("units_q50").is_not_null())
    told = []
    for scope in rows["scope"].unique(maintain_order=True):
        opened = rows.filter(pl.col("scope") == scope, pl.col("window_opens").is_not_null())["chip"].to_list()
        told.append(f"{scope} scope: {'windows for ' + ', '.join(opened) if opened else 'no window'}")
    return f"Under {policy}, {'; '.join(told)}." if told else f"Under {policy} no chip can be exported."


def windows_markdown_table(windows: pl.DataFrame) -> str:
    """The answer for eligible chips as a Markdown table."""
    lines = [
        "| policy | chip | scope | P(saturated now) | median date | P(never) | opens | units, median |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = windows.filter(pl.col("eligible"), pl.col("units_q50").is_not_null())
    for row in rows.iter_rows(named=True):
        cells = [
            row["policy"],
            row["chip"],
            row["scope"],
            share_of_paths(row["p_saturated_now"]),
            str(row["saturated_q50"] or "after the horizon"),
            share_of_paths(row["p_never"]),
            str(row["window_opens"] or "none"),
            f"{row['units_q50']:,.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def run_link(tracker: Tracker, run_id: str, name: str) -> str:
    """Markdown link to a run's page, relative to the MLflow UI that shows it."""
    return f"[{name} {run_id[:8]}](#/experiments/{tracker.experiment_id}/runs/{run_id}{UI_MODE})"


def links(tracker: Tracker, runs: Mapping[str, str]) -> str:
    """One line of links to runs, by step name."""
    return " · ".join(run_link(tracker, run_id, name) for name, run_id in runs.items())


def windows_page_text(
    context: Context, windows: pl.DataFrame, forecast_run_id: str, previous: str | None
) -> str:
    """Description of a windows run.

    Parameters
    ----------
    context : Context
    windows : DataFrame
        The run's `windows`.
    forecast_run_id : str
    previous : str, optional
        The newest windows run that had finished before this one began.
    """
    tracker = context.tracker
    upstream = {"forecast": forecast_run_id}
    etl = tracker.finished(forecast_run_id, "forecast").data.tags.get(UPSTREAM_TAG)
    if etl is not None:
        upstream["etl"] = etl
    head = f"{QUESTION} **{headline(windows)}**\n\nComputed from {links(tracker, upstream)}"
    parts = [f"{head}; figures in `figures/figures.html`.", windows_markdown_table(windows)]
    if previous is not None:
        parts.append(f"Since {run_link(tracker, previous, 'windows')}: {_since(context, windows, previous)}")
    return "\n\n".join(parts)


def _since(context: Context, windows: pl.DataFrame, previous: str) -> str:
    try:
        before = read_input(context.tracker, previous, step="windows", name="windows").table
        params = context.tracker.finished(previous, "windows").data.params
    except OverspillError as error:
        return f"cannot be compared ({error})"
    lines = [*settings_changed(params, flatten(context.settings)), *windows_changed(before, windows)]
    if not lines:
        return "nothing changed."
    more = [f"- and {len(lines) - MAX_LINES} more"] if len(lines) > MAX_LINES else []
    return "\n\n" + "\n".join([*(f"- {line}" for line in lines[:MAX_LINES]), *more])


def settings_changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Settings that differ, as `key: before -> after`."""
    return [
        f"`{key}`: {before.get(key, 'not set')} → {after.get(key, 'not set')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key, "")[:PARAM_LENGTH]
    ]


def windows_changed(before: pl.DataFrame, after: pl.DataFrame) -> list[str]:
    """What changed in the answer, one line per policy, chip and scope.

    Parameters
    ----------
    before, after : DataFrame
        `windows` of two runs.
    """
    old = {tuple(row[key] for key in KEYS): row for row in before.iter_rows(named=True)}
    lines = []
    for row in after.iter_rows(named=True):
        key = tuple(row[name] for name in KEYS)
        if key not in old:
            lines.append(f"{' '.join(key)}: new")
            continue
        moves = list(_moves(old[key], row))
        if moves:
            lines.append(f"{' '.join(key)}: {', '.join(moves)}")
    return lines


def _moves(old: dict[str, object], new: dict[str, object]) -> Iterator[str]:
    for name, said in (("p_saturated_now", "P(saturated now)"), ("p_never", "P(never)")):
        was, now = old.get(name), new.get(name)
        if isinstance(was, float) and isinstance(now, float) and abs(now - was) >= MIN_SHIFT:
            yield f"{said} {share_of_paths(was)} → {share_of_paths(now)}"
    for name, said in (("saturated_q50", "median date"), ("window_opens", "opens")):
        if old.get(name) != new.get(name):
            yield f"{said} {_day(old.get(name))} → {_day(new.get(name))}"
    was, now = old.get("units_q50"), new.get("units_q50")
    if (
        isinstance(was, float)
        and isinstance(now, float)
        and abs(now - was) > MIN_RELATIVE_SHIFT * max(was, now, 1.0)
    ):
        yield f"median units {units_text(was)} → {units_text(now)}"


def _day(day: object) -> str:
    return day.isoformat() if isinstance(day, dt.date) else "none"
