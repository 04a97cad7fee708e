"""Scenarios of a whole run: the base beside them, the laws on real paths, files that ship, and bad files."""

from __future__ import annotations

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from forecasting.errors import InputError
from pipelines.cli.main import app
from pipelines.runtime.config.loader import load_scenario, packaged_scenarios
from pipelines.runtime.tracking import STEP_TAG
from pipelines.what_if.scenario import ScenarioRequest, run_scenarios

KEYS = ["policy", "chip", "scope", "scenario", "title"]


@pytest.fixture(scope="module")
def windows_run(whole_run):
    return whole_run.run_ids["windows"]


@pytest.fixture(scope="module")
def result(context, windows_run):
    """All scenarios that ship, for a chip of Nvidia and one of AMD."""
    return run_scenarios(context, ScenarioRequest(windows_run=windows_run, chips=["H200", "MI300X"]))


def scenario_file(folder, name, text):
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return str(path)


def of(table, scenario):
    return table.filter(pl.col("scenario") == scenario)


def test_base_rows_are_the_answer_of_the_windows_run(result, whole_run):
    answers = whole_run.windows.tables["windows"]
    for row in of(result.table, "base").iter_rows(named=True):
        stated = answers.row(
            by_predicate=(pl.col("policy") == row["policy"])
            & (pl.col("chip") == row["chip"])
            & (pl.col("scope") == row["scope"]),
            named=True,
        )
        assert row["p_saturated"] == 1 - stated["p_never"]
        for name in (
            "saturated_q10",
            "saturated_q50",
            "saturated_q90",
            "units_q10",
            "units_q50",
            "units_q90",
        ):
            assert row[name] == stated[name]
        assert row["value_usd_q50"] == stated["value_usd_q50"]


def test_scenario_of_no_change_equals_the_base_bit_for_bit(context, windows_run, tmp_path):
    still = scenario_file(tmp_path, "still", "title: nothing\ncapacity: {factor: 1.0}\n")
    table = run_scenarios(context, ScenarioRequest(names=[still], windows_run=windows_run)).table
    assert of(table, "still").drop(KEYS).equals(of(table, "base").drop(KEYS))


def test_each_chip_and_scope_has_the_base_first_and_then_every_scenario(result):
    for part in result.table.partition_by("chip", "scope"):
        assert part["scenario"].to_list() == ["base", *packaged_scenarios()]


def test_more_capacity_delays_saturation_on_no_path_and_hastens_it_on_some(result):
    more = of(result.table, "capacity_up")
    assert more["p_later"].to_list() == [0.0] * more.height
    assert more["p_sooner"].max() > 0


def test_another_reading_of_the_cap_moves_units_and_no_date(result):
    tight, base = of(result.table, "cap_same_period"), of(result.table, "base")
    assert tight["p_saturated"].to_list() == base["p_saturated"].to_list()
    assert tight["p_sooner"].sum() == tight["p_later"].sum() == 0
    assert tight["p_fewer_units"].max() > 0


def test_late_successor_of_one_vendor_leaves_the_other_alone(result):
    late, base = of(result.table, "successor_late"), of(result.table, "base")
    for chip, same in (("MI300X", True), ("H200", False)):
        here, there = (part.filter(pl.col("chip") == chip).drop(KEYS) for part in (late, base))
        assert here.equals(there) is same


def test_step_is_recorded_with_its_table_and_a_curve_per_scenario(result, tracker):
    run = tracker.client.get_run(result.run_id)
    assert run.data.tags[STEP_TAG] == "scenario"
    assert run.data.params["scenario.capacity_up"] == "Capacity +20 %"
    history = tracker.client.get_metric_history(result.run_id, "p_reached/H200/product/capacity_up")
    assert len(history) == result.case.paths.horizon + 1
    assert {"scenarios.parquet", "scenarios.csv"} <= {
        entry.path for entry in tracker.client.list_artifacts(result.run_id)
    }


@pytest.mark.parametrize("name", packaged_scenarios())
def test_scenarios_that_ship_are_valid(name):
    assert load_scenario(name).title


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("title: x\ncapcity: {factor: 1.2}\n", "unknown key: found 'capcity'; did you mean 'capacity'?"),
        ("title: x\ncapacity: {factr: 1.2}\n", "unknown key: found 'factr'; did you mean 'factor'?"),
        ("capacity: {factor: 1.2}\n", "a required key is missing: expected title"),
        ("title: x\ncapacity: {factor: -1}\n", "a factor must not be negative"),
        ("title: x\ncap_period: weekly\n", "since_launch"),
        ("title: x\ntitle: y\n", "a key may be given once"),
        ("title: [\n", "the file is not valid YAML"),
        ("title: x\nsuccessor: {chip: R300, periods: 2}\n", "no such chip"),
        ("title: x\nsuccessor: {chip: B200, periods: 2}\n", "only a future launch"),
    ],
)
def test_bad_scenario_file_is_one_sentence_with_exit_status_2(
    text, sentence, tmp_path, store_uri, windows_run, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    path = scenario_file(tmp_path, "mine", text)
    options = ["--windows-run", windows_run, "--set", "tracking.experiment=tests"]
    output = CliRunner().invoke(app, ["scenario", path, *options])
    assert output.exit_code == 2
    assert output.stderr.count("error: ") == 1
    assert sentence in output.stderr.strip().splitlines()[-1]


def test_unknown_scenario_chip_and_run_are_refused(context, windows_run):
    with pytest.raises(InputError, match="no such scenario file: expected a path, or one of cap_same_period"):
        run_scenarios(context, ScenarioRequest(names=["nowhere"], windows_run=windows_run))
    with pytest.raises(InputError, match="no such chip among the paths"):
        run_scenarios(context, ScenarioRequest(windows_run=windows_run, chips=["H300"]))
    with pytest.raises(InputError, match="no such run"):
        run_scenarios(context, ScenarioRequest(windows_run="nowhere"))
    with pytest.raises(InputError, match="each scenario needs a name of its own"):
        run_scenarios(context, ScenarioRequest(names=["capacity_up", "capacity_up"], windows_run=windows_run))


def test_policy_without_a_cap_cannot_be_read_in_another_way(context, windows_run):
    with pytest.raises(InputError, match="a policy without a cap has no other reading of it"):
        run_scenarios(
            context,
            ScenarioRequest(names=["cap_same_period"], windows_run=windows_run, policy="gain_ai_no_backlog"),
        )


def test_command_prints_the_scenarios_side_by_side_and_as_json(store_uri, windows_run, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    options = ["capacity_up", "--windows-run", windows_run, "--set", "tracking.experiment=tests"]
    shown = CliRunner().invoke(app, ["scenario", *options])
    assert shown.exit_code == 0, shown.stderr
    assert "base case" in shown.stdout
    assert "Capacity +20 %" in shown.stdout
    output = json.loads(CliRunner().invoke(app, ["scenario", *options, "--json"]).stdout)
    assert [row["scenario"] for row in output["scenarios"]] == ["base", "capacity_up"] * 2
