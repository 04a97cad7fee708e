"""The page of a run: the answer in numbers, what changed since the last run of its kind, what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from forecasting.errors import OverspillError
from forecasting.frequencies import Frequency, label
from pipelines.figures.number_format import share_of_paths, units_text
from pipelines.figures.page import FOLDER, PAGE
from pipelines.runtime.config.loader import flatten
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.step.context import Context
from pipelines.runtime.step.inputs import read_input
from pipelines.runtime.store.tags import ANSWER_TAGS
from pipelines.runtime.tracking import PARAM_LENGTH, UI_MODE, UPSTREAM_TAG, Tracker, what_if_of
from pipelines.windows.answer import SCOPES, Answer, ChipAnswer, Reading

ANSWER_PAGE = "answer.html"
KEYS = ("policy", "chip", "scope")
MAX_LINES = 12
MIN_SHIFT = 0.01  # probability: smaller differences are noise of the paths
MIN_RELATIVE_SHIFT = 0.05  # units, relative
CANDIDATES = 100  # runs among which the last one of the same kind is looked for
GAP = "&emsp;"  # MLflow sets the columns of a table without any space between them


def page_head(tracker: Tracker, run_id: str, answers: Sequence[Answer]) -> str:
    """The answer in numbers with links to the figures, then a table of each policy that lets a chip through.

    Parameters
    ----------
    tracker : Tracker
    run_id : str
        The windows run.
    answers : sequence of Answer
        One per policy, the first one leading.
    """
    first = answers[0]
    figures = artifact_link(tracker, run_id, f"{FOLDER}/{PAGE}", "all figures")
    one_page = artifact_link(tracker, run_id, ANSWER_PAGE, "one card a chip")
    parts = [f"{_badge(first)}**{first.sentence}** {figures} · {one_page}"]
    shut = []
    for answer in answers:
        if answer.chips:
            parts.append(f"{answer.policy.title}\n\n{answer_table(answer)}")
        else:
            shut.append(answer.policy.title)
    if shut:
        parts.append(f"No chip can be exported under: {'; '.join(shut)}.")
    return "\n\n".join([*parts, f"{first.basis.line}."])


def _badge(answer: Answer) -> str:
    if not answer.deviating:
        return ""
    return f"**WHAT-IF**: {', '.join(f'`{each}`' for each in answer.deviating)}. "


def answer_table(answer: Answer) -> str:
    """Chips of a policy as a Markdown table: periods, rounded units."""
    heads = ("chip", "own met now", "vendor met now", "exports open", "units 10 / 50 / 90 %", "limit")
    rows = [heads, ["---"] * len(heads), *(_cells(answer, chip) for chip in answer.chips)]
    return "\n".join(
        f"| {' | '.join(cell if cell == '---' else _spaced(cell) for cell in row)} |" for row in rows
    )


def _spaced(cell: str) -> str:
    return cell.replace(" %", "&nbsp;%") + GAP


def _cells(answer: Answer, chip: ChipAnswer) -> tuple[str, ...]:
    first = chip.first
    limit = f"{first.limit} ({share_of_paths(first.limit_share)})"
    return chip.chip, _met(chip.own), _met(chip.whole), answer.window(first), first.units_shown, limit


def _met(reading: Reading | None) -> str:
    return "not asked" if reading is None else share_of_paths(reading.met_now)


def answer_tags(answer: Answer) -> dict[str, str]:
    """What matters of the answer, as tags of the run: columns of the runs table."""
    leader = answer.leader
    facts = dict.fromkeys(ANSWER_TAGS, "none")
    facts |= {"data known on": str(answer.basis.known_until), "what-if": ", ".join(answer.deviating) or "no"}
    if leader is not None:
        facts |= {
            "chip": leader.chip,
            "exports open": answer.window(leader.first),
            "limit": leader.first.limit,
            "own met": _met(leader.own),
            "units 10-50-90": leader.first.units_shown,
            "vendor met": _met(leader.whole),
        }
    return facts


def run_link(tracker: Tracker, run_id: str, name: str) -> str:
    """Markdown link to a run's page, relative to the MLflow UI that shows it."""
    return f"[{name} {run_id[:8]}](#/experiments/{tracker.experiment_id}/runs/{run_id}{UI_MODE})"


def artifact_link(tracker: Tracker, run_id: str, path: str, name: str) -> str:
    """Markdown link to an artifact as the MLflow UI shows it."""
    page = f"#/experiments/{tracker.experiment_id}/runs/{run_id}/artifacts/{path}{UI_MODE}"
    return f"[{name}]({page})"


def links(tracker: Tracker, runs: Mapping[str, str]) -> str:
    """One line of links to runs, by step name."""
    return " · ".join(run_link(tracker, run_id, name) for name, run_id in runs.items())


def windows_page_text(
    context: Context, head: str, windows: pl.DataFrame, forecast_run_id: str, previous: str | None
) -> str:
    """Description of a windows run.

    Parameters
    ----------
    context : Context
    head : str
        What `page_head` says.
    windows : DataFrame
        The run's `windows`.
    forecast_run_id : str
    previous : str, optional
        The newest windows run of the same kind that had finished before this one began.
    """
    tracker = context.tracker
    upstream = {"forecast": forecast_run_id}
    etl = tracker.finished(forecast_run_id, "forecast").data.tags.get(UPSTREAM_TAG)
    if etl is not None:
        upstream["etl"] = etl
    parts = [head]
    if previous is not None:
        since = run_link(tracker, previous, "windows")
        parts.append(f"What changed since {since}: {_since(context, windows, previous)}")
    return "\n\n".join([*parts, f"Computed from {links(tracker, upstream)}."])


def last_of_kind(context: Context, forecast_run_id: str) -> str | None:
    """Newest finished windows run on the same kind of data under the same first policy; None without one.

    Runs with the default assumptions are compared with such runs, what-ifs with what-ifs.
    """
    tracker, settings = context.tracker, context.settings
    forecast: Any = tracker.finished(forecast_run_id, "forecast")
    is_what_if = bool(what_if_of(forecast))
    name = settings.policies[0].name
    for run in tracker.runs(step="windows", finished=True, limit=CANDIDATES):
        params = run.data.params
        same = params.get("data.kind") == settings.data.kind and f"policies.{name}.name" in params
        if same and bool(what_if_of(run)) == is_what_if:
            return str(run.info.run_id)
    return None


def _since(context: Context, windows: pl.DataFrame, previous: str) -> str:
    try:
        before = read_input(context.tracker, previous, step="windows", name="windows").table
        params = context.tracker.finished(previous, "windows").data.params
    except OverspillError as error:
        return f"cannot be compared ({error})"
    lines = [
        *windows_changed(before, windows, settings=context.settings),
        *settings_changed(params, flatten(context.settings)),
    ]
    if not lines:
        return "nothing."
    more = [f"- and {len(lines) - MAX_LINES} more"] if len(lines) > MAX_LINES else []
    return "\n\n" + "\n".join([*(f"- {line}" for line in lines[:MAX_LINES]), *more])


def settings_changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Settings that differ, as `key: before -> after`."""
    return [
        f"`{key}`: {before.get(key, 'not set')} → {after.get(key, 'not set')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key, "")[:PARAM_LENGTH]
    ]


def windows_changed(before: pl.DataFrame, after: pl.DataFrame, *, settings: Settings) -> list[str]:
    """What changed in the answer, one line per chip, reading and policy, those of the first policy first.

    Parameters
    ----------
    before, after : DataFrame
        `windows` of two runs.
    settings : Settings
        Those of the later run.
    """
    old = {tuple(row[key] for key in KEYS): row for row in before.iter_rows(named=True)}
    titles = {policy.name: policy.title for policy in settings.policies[1:]}
    lines = []
    for row in after.iter_rows(named=True):
        under = f", {titles[row['policy']]}" if row["policy"] in titles else ""
        what = f"{row['chip']}, {SCOPES.get(row['scope'], row['scope'])}{under}"
        was = old.get(tuple(row[name] for name in KEYS))
        moves = ["new"] if was is None else list(_moves(was, row, settings.data.panel_frequency))
        if moves:
            lines.append(f"{what}: {', '.join(moves)}")
    return lines


def _moves(old: dict[str, Any], new: dict[str, Any], frequency: Frequency) -> Iterator[str]:
    for name, said in (("p_saturated_now", "met now"), ("p_never", "never met")):
        was, now = old.get(name), new.get(name)
        if isinstance(was, float) and isinstance(now, float) and abs(now - was) >= MIN_SHIFT:
            yield f"{said} {share_of_paths(was)} → {share_of_paths(now)}"
    for name, said in (("saturated_q50", "met with 50 %"), ("window_opens", "opens")):
        if old.get(name) != new.get(name):
            before, after = (
                "none" if row.get(name) is None else label(row[name], frequency) for row in (old, new)
            )
            yield f"{said} {before} → {after}"
    was, now = old.get("units_q50"), new.get("units_q50")
    if (
        isinstance(was, float)
        and isinstance(now, float)
        and abs(now - was) > MIN_RELATIVE_SHIFT * max(was, now, 1.0)
    ):
        yield f"median units {units_text(was)} → {units_text(now)}"
