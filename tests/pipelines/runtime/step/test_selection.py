"""The run that a step reads from by default: never a what-if in place of the defaults, and always printed."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from forecasting.errors import InputError
from pipelines.runtime.config.deviations import deviations, lines, relevant, what_if
from pipelines.runtime.config.loader import flatten, resolve
from pipelines.runtime.step.context import Context
from pipelines.runtime.step.selection import input_run
from pipelines.runtime.store.tags import DERIVED_TAG
from pipelines.runtime.tracking.ui import list_runs

DECAY = "data.assumptions.capacity_decay.value"
STOCK = "data.exports.H200.unsold_stock.value"


@pytest.fixture
def context_of(own_tracker):
    """Contexts with some overrides on one store; what they print is kept."""

    def build(*overrides):
        settings = resolve(overrides=overrides)
        return Context(settings=settings, tracker=own_tracker, console=Console(file=io.StringIO(), width=200))

    return build


def recorded(context, step, upstream=None):
    """A finished run of a step with the context's settings."""
    with context.opened(step, upstream_run_id=upstream) as run:
        context.log_settings(run)
    return run.run_id


def printed(context):
    return context.console.file.getvalue()


def test_the_newest_panel_is_the_newest_with_the_same_data_whatever_was_tried_since(context_of):
    plain = recorded(context_of(), "etl")
    changed = recorded(context_of("data.assumptions.capacity_decay=0.7"), "etl")
    quick = recorded(context_of("forecast.paths=60", "forecast.horizon=6"), "etl")
    assert input_run(context_of(), "etl", None) == quick
    assert input_run(context_of("data.assumptions.capacity_decay=0.7"), "etl", None) == changed
    assert plain not in {quick, changed}


def test_what_only_a_later_step_reads_does_not_decide_over_the_panel(context_of):
    etl = recorded(context_of(), "etl")
    later = context_of("data.exports.H200.unsold_stock=450000")
    assert input_run(later, "etl", None) == etl
    forecast = recorded(context_of(), "forecast", etl)
    assert input_run(later, "forecast", None) == forecast
    recorded(context_of(), "windows", forecast)
    with pytest.raises(InputError, match="no finished windows run has these settings"):
        input_run(later, "windows", None)


def test_without_a_run_of_these_settings_the_message_says_how_to_get_or_name_one(context_of):
    changed = recorded(context_of("data.assumptions.capacity_decay=0.7"), "etl")
    with pytest.raises(InputError) as refused:
        input_run(context_of(), "etl", None)
    sentence = str(refused.value)
    assert refused.value.exit_code == 2
    assert "no finished etl run has these settings" in sentence
    assert f"`overspill etl` first with the same --config and --set, or --etl-run {changed[:8]}" in sentence
    assert f"{DECAY} = 0.7 (here 0.85)" in sentence


def test_without_any_run_the_message_says_which_command_comes_first(context_of):
    with pytest.raises(InputError, match="no finished etl run: expected `overspill etl` first, or --etl-run"):
        input_run(context_of(), "etl", None)


def test_what_was_computed_from_a_what_if_is_one_too_and_is_not_taken_by_default(context_of):
    etl = recorded(context_of(), "etl")
    forecast = recorded(context_of(), "forecast", etl)
    changed = recorded(context_of("data.assumptions.capacity_decay=0.7"), "etl")
    default = context_of()
    hidden = recorded(default, "forecast", changed)  # its own settings are the defaults
    tags = default.tracker.client.get_run(hidden).data.tags
    assert json.loads(tags["overspill.what_if"]) == {DECAY: "0.7"}
    assert input_run(context_of(), "forecast", None) == forecast
    given = context_of()
    assert input_run(given, "forecast", hidden[:10]) == hidden
    assert f"of that run: {DECAY} = 0.7 (here none)" in printed(given)


def test_a_what_if_carries_a_tag_and_a_visible_name_and_a_plain_run_neither(context_of):
    client = context_of().tracker.client
    plain = client.get_run(recorded(context_of("forecast.paths=60"), "etl"))
    assert plain.info.run_name == "etl"
    assert "overspill.what_if" not in plain.data.tags
    changed = client.get_run(recorded(context_of("data.assumptions.capacity_decay=0.7"), "etl"))
    assert changed.info.run_name == "etl (what-if: capacity_decay=0.7)"
    assert json.loads(changed.data.tags["overspill.what_if"]) == {DECAY: "0.7"}
    listed = {row.run: row.what_if for row in list_runs(context_of().tracker, step="etl", limit=5)}
    assert listed == {plain.info.run_id: None, changed.info.run_id: "capacity_decay=0.7"}


def test_input_and_every_deviation_from_the_defaults_are_printed_one_line_each(context_of):
    etl = recorded(context_of(), "etl")
    context = context_of("forecast.paths=60", "windows.confidence=0.9")
    input_run(context, "etl", None)
    recorded(context, "forecast", etl)
    output = printed(context).splitlines()
    assert output[0].startswith(f"input: etl run {etl} of ")
    assert output[1:] == [
        "not the default: forecast.paths = 60 (default 2000)",
        "not the default: windows.confidence = 0.9 (default 0.5)",
    ]


def test_a_given_run_says_in_what_it_differs(context_of):
    changed = recorded(context_of("data.assumptions.capacity_decay=0.7"), "etl")
    context = context_of()
    assert input_run(context, "etl", changed) == changed
    assert f"  of that run: {DECAY} = 0.7 (here 0.85)" in printed(context).splitlines()


def test_how_the_paths_of_a_forecast_were_drawn_is_printed_and_does_not_decide(context_of):
    forecast = recorded(context_of("forecast.paths=60", "forecast.device=cpu"), "forecast")
    context = context_of()
    assert input_run(context, "forecast", None) == forecast
    assert printed(context).splitlines()[1:] == ["  of that run: forecast.paths = 60 (here 2000)"]


def test_evidence_after_windows_under_one_policy_reads_these_windows_and_says_so(context_of):
    windows = recorded(context_of("policies=[bis_2026_01]"), "windows")
    context = context_of()
    assert input_run(context, "windows", None) == windows
    output = printed(context)
    assert "of that run: policies.gain_ai_no_backlog" in output
    assert "policies.bis_2026_01" not in output


def test_what_a_step_took_from_its_input_does_not_make_its_run_another(context_of):
    context = context_of("data=order_book", "data.path=orders.csv")
    key = "data.exports.H200.exported_so_far.value"
    with context.opened("windows") as run:
        context.log_settings(run)
        run.log_params({key: "100"})
    with pytest.raises(InputError, match=f"{key} = 100 .here none."):
        input_run(context, "windows", None)
    for derived in (key, "data.exports.H200.exported_so_far"):
        context.tracker.client.set_tag(run.run_id, DERIVED_TAG, json.dumps([derived]))
        assert input_run(context, "windows", None) == run.run_id
    context.tracker.client.set_tag(run.run_id, DERIVED_TAG, json.dumps([key])[:-5])
    with pytest.raises(InputError, match=f"{key} = 100 .here none."):
        input_run(context, "windows", None)


def test_beginnings_of_ids_name_a_run_and_ambiguous_or_unknown_ones_list_candidates(context_of):
    context = context_of()
    first, second = recorded(context, "etl"), recorded(context, "etl")
    assert input_run(context, "etl", first[:12]) == first
    common = next(n for n in range(32) if first[n] != second[n])
    if common:
        with pytest.raises(InputError, match="several runs begin with these characters") as refused:
            input_run(context, "etl", first[:common])
        assert first[:8] in str(refused.value)
    unknown = next(f"{n:012x}" for n in range(2) if not first.startswith(f"{n:012x}"))
    with pytest.raises(InputError, match="no such run: expected a run id of the step etl: ") as refused:
        input_run(context, "etl", unknown)
    assert second[:8] in str(refused.value)
    with pytest.raises(InputError, match="the run is of another step: expected forecast, found etl"):
        input_run(context, "forecast", first[:12])


def test_several_runs_that_begin_alike_are_listed(context_of, monkeypatch):
    context = context_of()
    runs = [context.tracker.client.get_run(recorded(context, "etl")) for _ in range(2)]
    monkeypatch.setattr(context.tracker.client, "search_runs", lambda *_, **__: runs)
    with pytest.raises(InputError, match="several runs begin with these characters") as refused:
        input_run(context, "etl", "a")
    assert all(run.info.run_id[:8] in str(refused.value) for run in runs)


def test_each_deviation_is_found_with_its_default():
    settings = resolve(overrides=["forecast.paths=60", "data.assumptions.capacity_decay=0.7", "seed=3"])
    assert deviations(settings) == {
        "seed": ("3", "20260115"),
        DECAY: ("0.7", "0.85"),
        "forecast.paths": ("60", "2000"),
    }
    assert what_if(settings) == {DECAY: "0.7"}
    assert deviations(resolve(overrides=["tracking.experiment=mine", "cluster.waiting_hours=1"])) == {}


def test_an_order_book_is_no_what_if_for_being_read_but_for_a_moved_assumption():
    own = ["data=order_book", "data.path=orders.csv", "data.columns={sku: ARTICLE}"]
    assert what_if(resolve(overrides=own)) == {}
    moved = what_if(resolve(overrides=[*own, "data.capacity_decay=0.7"]))
    assert moved == {"data.capacity_decay.value": "0.7"}


def test_many_deviations_of_one_section_are_one_line():
    many = {f"data.skus.A{n}": (f"B{n}", None) for n in range(100)}
    assert lines(many, other="default") == ["data.skus: 100 settings differ (default)"]
    assert lines({"seed": ("3", None)}, other="default") == ["seed = 3 (default none)"]


def test_what_matters_to_each_step_grows_along_the_chain():
    flat = flatten(resolve())
    etl, forecast, windows = (set(relevant(flat, step)) for step in ("etl", "forecast", "windows"))
    assert etl < forecast < windows
    assert DECAY in etl
    assert "data.error_correlation.value" in forecast - etl
    assert {STOCK, "windows.confidence"} <= windows - forecast
    assert not any(key.startswith(("tracking", "cluster", "train", "backtest")) for key in windows)
