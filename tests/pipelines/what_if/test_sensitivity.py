"""Sensitivity of a whole run: each shortcut against the long way, what enters where, charts, bad input."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from forecasting.errors import InputError
from forecasting.public.assumptions import Assumption
from models.inference.checkpoint import PRETRAINED
from pipelines.cli.main import app
from pipelines.etl.step import run_etl
from pipelines.forecast.step import run_forecast
from pipelines.runtime.config.settings import FigureSettings
from pipelines.runtime.files.artifacts import read_table
from pipelines.runtime.registry.promotion import Verdict
from pipelines.runtime.registry.registry import MODEL, Registry, recorded_weights
from pipelines.runtime.registry.weights import ORIGIN_TAG, shipped_weights
from pipelines.runtime.tracking import STEP_TAG
from pipelines.what_if import evaluate, tornado
from pipelines.what_if.assumptions import assumptions_of, with_values
from pipelines.what_if.base_case import read_case, select_case
from pipelines.what_if.designs import indices, named_design, points
from pipelines.what_if.evaluate import Evaluator
from pipelines.what_if.sensitivity import SensitivityRequest, run_sensitivity
from pipelines.windows.step import run_windows

NAMES = ("capacity_decay", "error_correlation", "exports.H200.unsold_stock", "revenue.half_life_quarters")
NO_PART = "revenue.launch_price_usd_per_h100e.amd"  # of the answer for a chip of Nvidia


@pytest.fixture(scope="module")
def windows_run(whole_run):
    return whole_run.run_ids["windows"]


@pytest.fixture(scope="module")
def case(tracker, windows_run):
    return read_case(tracker, windows_run)


@pytest.fixture(scope="module")
def selection(case):
    return select_case(case, chip="H200", scope=None, policy=None)


@pytest.fixture(scope="module")
def evaluator(case, selection):
    return Evaluator(case=case, selection=selection, weights=shipped_weights("cpu"))


@pytest.fixture(scope="module")
def result(context, windows_run):
    return run_sensitivity(context, SensitivityRequest(windows_run=windows_run, names=(*NAMES, NO_PART)))


def rows_of_windows(table, policy="bis_2026_01", chip="H200"):
    rows = table.filter(pl.col("policy") == policy, pl.col("chip") == chip).to_dicts()
    return {row["scope"]: row for row in rows}


def agree(outcomes_by_scope, rows):
    assert outcomes_by_scope.keys() == rows.keys()
    for scope, one in outcomes_by_scope.items():
        row = rows[scope]
        assert one.figures["p_saturated"] == 1 - row["p_never"]
        assert one.figures["units_mean"] == row["units_mean"]
        assert float(np.median(one.value_usd)) == row["value_usd_q50"]
        assert one.p_any_window == row["p_any_window"]


def test_base_case_is_the_answer_of_the_windows_run(evaluator, whole_run):
    agree(evaluator.base, rows_of_windows(whole_run.windows.tables["windows"]))


@pytest.mark.parametrize(
    ("name", "value", "stage"),
    [
        ("capacity_decay", 0.6, "panel"),
        ("error_correlation", 0.3, "paths"),
        ("exports.H200.unsold_stock", 700000.0, "windows"),
    ],
)
def test_moved_answer_is_that_of_all_steps_run_with_the_moved_setting(context, evaluator, name, value, stage):
    changes = {"policies": context.settings.policies[:1], "figures": FigureSettings(pictures=False)}
    one_policy = context.settings.model_copy(update=changes)
    moved = replace(context, settings=with_values(one_policy, {name: value}))
    forecast = run_forecast(moved, run_etl(moved).run_id)
    found = evaluator.evaluate({name: value})
    agree(found.outcomes_by_scope, rows_of_windows(run_windows(moved, forecast.run_id).tables["windows"]))
    assert found.entered == stage


def test_nothing_is_sampled_again_where_the_panel_stays_the_same(evaluator, monkeypatch):
    def forbidden(*arguments):
        raise AssertionError("the forecaster was asked again")

    monkeypatch.setattr(evaluate, "named_forecaster", forbidden)
    assert evaluator.evaluate({"error_correlation": 0.95}).entered == "paths"
    assert evaluator.evaluate({"exports.H200.licence_limit": 750001.0}).entered in {"windows", "nothing"}
    with pytest.raises(AssertionError, match="asked again"):
        evaluator.evaluate({"capacity_decay": 0.61})


@pytest.fixture
def by_the_champion(context, own_tracker, tiny_checkpoint):
    """Context and windows run of a store whose champion drew the paths of a combination; and its registry."""
    registry = Registry(own_tracker)
    with own_tracker.step("train") as run:
        version = registry.register(run, tiny_checkpoint, {})
    registry.settle(version, lambda _: Verdict(incumbent="none", candidate_score=0.5, incumbent_score=1.0))
    forecast = context.settings.forecast.model_copy(update={"model": "auto"})
    changes = {"forecast": forecast, "figures": FigureSettings(pictures=False)}
    own = replace(context, settings=context.settings.model_copy(update=changes), tracker=own_tracker)
    run_windows(own, run_forecast(own, run_etl(own).run_id).run_id)
    return own, registry


def test_paths_of_a_network_are_drawn_again_by_the_weights_that_drew_them(by_the_champion, tiny_checkpoint):
    own, registry = by_the_champion
    with own.tracker.step("train") as run:
        other = registry.register(run, tiny_checkpoint, {})
    registry.settle(other, lambda _: Verdict(incumbent="x", candidate_score=0.5, incumbent_score=1.0))
    assert registry.champion().number == "2"
    forecast_run = own.tracker.newest("forecast")
    assert recorded_weights(own.tracker, forecast_run, own.settings).label == "overspill version 1"
    result = run_sensitivity(own, SensitivityRequest(names=("capacity_decay",)))
    assert set(result.tables["sensitivity"]["enters"]) == {"panel"}


def test_weights_that_are_not_those_of_the_run_are_refused(by_the_champion):
    own, registry = by_the_champion
    with own.tracker.step("train") as run:
        other = registry.register(run, PRETRAINED, {})
    forecast_run = own.tracker.newest("forecast")
    own.tracker.client.set_tag(forecast_run, ORIGIN_TAG, other.label)
    with pytest.raises(InputError, match="the weights are not those that the run used: expected overspill"):
        run_sensitivity(own, SensitivityRequest(names=("capacity_decay",)))
    own.tracker.client.set_tag(forecast_run, ORIGIN_TAG, f"{MODEL} version 9")
    with pytest.raises(InputError, match="no such version of the model: found 9"):
        run_sensitivity(own, SensitivityRequest(names=("capacity_decay",)))


def test_assumption_known_to_have_its_value_loses_its_width_alone(evaluator, case):
    stock = evaluator.evaluate({"exports.H200.unsold_stock": 500000.0})
    assert stock.entered == "windows"
    at = "product"
    assert stock.outcomes_by_scope[at].p_any_window == evaluator.base[at].p_any_window
    assert evaluator.evaluate({}).entered == "nothing"


def test_every_range_of_the_data_file_is_found(small_settings):
    def ranges(node):
        if isinstance(node, dict):
            return ("reason" in node) + sum(ranges(child) for child in node.values())
        return 0

    text = yaml.safe_dump(small_settings.model_dump(mode="json")["data"])
    found = assumptions_of(small_settings)
    assert len(found) == ranges(yaml.safe_load(text)) == 25
    assert {"capacity_decay", "exports.H200.licence_limit", "error_correlation", NO_PART} <= found.keys()


def test_moving_assumptions_moves_them_and_nothing_else(small_settings):
    assert with_values(small_settings, {}) == small_settings
    before = assumptions_of(small_settings)
    for name, a in before.items():
        after = assumptions_of(with_values(small_settings, {name: a.high}))
        assert after == before | {name: replace(a, value=a.high, low=a.high, high=a.high)}


def test_one_that_enters_nothing_has_an_effect_of_exactly_0(result):
    rows = result.tables["sensitivity"].filter(pl.col("assumption") == NO_PART)
    assert rows["enters"].unique().to_list() == ["nothing"]
    assert rows["reach"].to_list() == rows["swing"].to_list() == [0.0] * rows.height


def test_prices_move_the_value_and_neither_date_nor_units(result):
    rows = result.tables["sensitivity"].filter(
        pl.col("assumption") == "revenue.half_life_quarters", pl.col("scope") == "product"
    )
    reach = dict(rows.select("figure", "reach").iter_rows())
    assert reach["p_saturated"] == reach["p_any_window"] == reach["units_mean"] == 0
    assert reach["value_usd_mean"] > 0


def test_ranks_count_from_the_widest_reach_in_each_scope_and_figure(result):
    for part in result.tables["sensitivity"].partition_by("scope", "figure"):
        assert part["rank"].to_list() == list(range(1, len(NAMES) + 2))
        assert part["reach"].is_sorted(descending=True)


def test_each_assumption_has_a_run_of_its_own_under_the_step(result, tracker):
    runs = tracker.client.search_runs(
        [tracker.experiment_id], filter_string=f"tags.`mlflow.parentRunId` = '{result.run_id}'"
    )
    assert {run.info.run_name for run in runs} == {*NAMES, NO_PART}
    assert {run.info.status for run in runs} == {"FINISHED"}
    by_name = {run.info.run_name: run for run in runs}
    assert by_name["capacity_decay"].data.params["enters"] == "panel"
    history = tracker.client.get_metric_history(by_name["capacity_decay"].info.run_id, "units_mean/product")
    row = result.tables["sensitivity"].row(
        by_predicate=(pl.col("assumption") == "capacity_decay")
        & (pl.col("scope") == "product")
        & (pl.col("figure") == "units_mean"),
        named=True,
    )
    stored = {metric.step: metric.value for metric in history}
    assert stored == pytest.approx({0: row["at_low"], 1: row["base"], 2: row["at_high"]})


def test_step_leaves_its_table_and_charts_as_artifacts(result, tracker):
    found = {entry.path for entry in tracker.client.list_artifacts(result.run_id)}
    assert {"sensitivity.parquet", "sensitivity.csv", "tornado.html", "tornado.png"} <= found
    assert tracker.client.get_run(result.run_id).data.tags[STEP_TAG] == "sensitivity"
    with tracker.artifact(result.run_id, "sensitivity.parquet") as path:
        assert read_table(path).equals(result.tables["sensitivity"])


def test_chart_opens_without_a_network_and_names_what_moves_the_answer(result, tracker):
    with tracker.artifact(result.run_id, "tornado.html") as path:
        html = path.read_text()
    assert 'src="http' not in html
    for part in tornado.panels(result.tables["sensitivity"]):
        assert part["assumption"][0] in tornado.heading(part)
    with tracker.artifact(result.run_id, "tornado.png") as path:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_no_chart_is_drawn_where_nothing_moves(result, tmp_path):
    still = result.tables["sensitivity"].filter(pl.col("assumption") == NO_PART)
    tornado.write_tornado(tmp_path / "tornado.html", still, title="none")
    assert list(tmp_path.iterdir()) == []


def three_ranges():
    def a(low, high):
        return Assumption(value=low, low=low, high=high, unit="units", reason="for this test")

    return {"a": a(0, 1), "b": a(10, 30), "c": a(-1, 1)}


def linear(at):
    """3 a + 0.1 b: over the whole ranges it moves by 3 and 2, and c has no part in it."""
    return 3 * at[:, 0] + 0.1 * at[:, 1]


def test_morris_finds_the_slopes_of_a_linear_figure():
    ranges = three_ranges()
    at = points("morris", ranges, samples=4, seed=1)
    assert at.shape == (4 * (3 + 1), 3)
    found = indices("morris", ranges, at, linear(at), seed=1)
    np.testing.assert_allclose(found["mu_star"], [3, 2, 0], atol=1e-9)
    np.testing.assert_allclose(found["sigma"], 0, atol=1e-9)


def test_sobol_finds_the_shares_of_variance_of_a_linear_figure():
    ranges = three_ranges()
    at = points("sobol", ranges, samples=1024, seed=1)
    assert at.shape == (1024 * (3 + 2), 3)
    found = indices("sobol", ranges, at, linear(at), seed=1)
    np.testing.assert_allclose(found["ST"], [9 / 13, 4 / 13, 0], atol=0.02)
    np.testing.assert_allclose(found["S1"], [9 / 13, 4 / 13, 0], atol=0.02)


@pytest.mark.parametrize("design", ["morris", "sobol"])
def test_points_of_a_design_stay_within_the_ranges_to_the_last_bit(design, small_settings):
    ranges = assumptions_of(small_settings)
    at = points(design, ranges, samples=8, seed=1)
    for k, a in enumerate(ranges.values()):
        assert a.low <= at[:, k].min() < at[:, k].max() <= a.high


@pytest.mark.parametrize("design", ["morris", "sobol"])
def test_figure_that_never_changes_has_indices_of_0(design):
    ranges = three_ranges()
    at = points(design, ranges, samples=4, seed=1)
    found = indices(design, ranges, at, np.full(len(at), 7.0), seed=1)
    assert all((column == 0).all() for column in found.values())


def test_design_moves_what_enters_and_leaves_out_what_does_not(context, windows_run):
    names = ("capacity_decay", "error_correlation", NO_PART)
    request = SensitivityRequest(
        windows_run=windows_run, names=names, design="morris", samples=3, scope="product"
    )
    tables = run_sensitivity(context, request).tables
    assert tables["design"].height == 3 * (2 + 1)
    assert set(tables["indices"]["assumption"]) == set(names) - {NO_PART}
    assert tables["indices"].filter(pl.col("figure") == "p_saturated")["mu_star"].max() > 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"names": ["capacity_decai"]}, "no such assumption.*did you mean 'capacity_decay'"),
        ({"chip": "H300"}, "no such chip among the paths.*found 'H300'"),
        ({"chip": "B200"}, "the chip is not eligible under the policy.*TPP 36,000 is not below 21,000"),
        ({"scope": "world"}, "the policy does not use this scope: expected one of product, portfolio"),
        ({"policy": "nowhere"}, "no such policy file"),
        ({"windows_run": "nowhere"}, "no such run"),
        ({"design": "sobol", "samples": 3}, "Sobol's design needs a power of two"),
        ({"design": "morris", "samples": 1}, "a design needs at least 2 samples"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_no_run(context, windows_run, changes, sentence):
    tracker = context.tracker
    before = len(tracker.client.search_runs([tracker.experiment_id]))
    with pytest.raises(InputError, match=sentence):
        run_sensitivity(context, SensitivityRequest(**({"windows_run": windows_run} | changes)))
    assert len(tracker.client.search_runs([tracker.experiment_id])) == before


def test_unfinished_run_and_run_of_another_step_are_refused(context, whole_run):
    tracker = context.tracker
    open_run = tracker.client.create_run(tracker.experiment_id, tags={STEP_TAG: "windows"})
    try:
        with pytest.raises(InputError, match="the run did not finish: expected FINISHED, found RUNNING"):
            run_sensitivity(context, SensitivityRequest(windows_run=open_run.info.run_id))
    finally:
        tracker.client.delete_run(open_run.info.run_id)
    with pytest.raises(InputError, match="the run is of another step: expected windows, found forecast"):
        run_sensitivity(context, SensitivityRequest(windows_run=whole_run.run_ids["forecast"]))


def test_paths_that_the_settings_do_not_lead_to_are_refused(case, selection):
    other = replace(case, forecast=case.forecast.model_copy(update={"seed": case.forecast.seed + 1}))
    with pytest.raises(InputError, match="this version computes other paths from the run's settings"):
        Evaluator(case=other, selection=selection, weights=shipped_weights("cpu"))
    moved = replace(case, etl=with_values(case.etl, {"capacity_decay": 0.6}))
    with pytest.raises(InputError, match="this version computes another panel from the run's settings"):
        Evaluator(case=moved, selection=selection, weights=shipped_weights("cpu"))


def test_designs_are_known_by_name():
    assert named_design("oat", None) is None
    assert named_design("sobol", 8) == "sobol"
    with pytest.raises(InputError, match="no such design: expected oat, morris or sobol, found 'latin'"):
        named_design("latin", None)
    with pytest.raises(InputError, match="one at a time takes no samples"):
        named_design("oat", 8)


def test_command_prints_the_ranking_as_table_and_as_json(
    whole_run, store_uri, tmp_path, monkeypatch, windows_run
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    options = ["--windows-run", windows_run, "--set", "tracking.experiment=tests", "--scope", "product"]
    options += ["--assumption", "capacity_decay"]
    shown = CliRunner().invoke(app, ["sensitivity", *options, "--out", str(tmp_path / "out")])
    assert shown.exit_code == 0, shown.stderr
    assert "capacity_decay" in shown.stdout
    assert (tmp_path / "out" / "sensitivity.csv").is_file()
    design = ["--design", "sobol", "--samples", "2"]
    together = CliRunner().invoke(app, ["sensitivity", *options, *design])
    assert together.exit_code == 0, together.stderr
    assert "S1 conf" in together.stdout
    assert "P(saturated by horizon)" in together.stdout
    output = CliRunner().invoke(app, ["sensitivity", *options, "--json"])
    assert {row["assumption"] for row in json.loads(output.stdout)["sensitivity"]} == {"capacity_decay"}
    wrong = CliRunner().invoke(app, ["sensitivity", *options, "--design", "latin"])
    assert wrong.exit_code == 2
    assert wrong.stderr.strip().splitlines()[-1].startswith("error: --design: no such design")
