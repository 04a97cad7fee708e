"""The whole pipeline on the embedded data: lineage, artifacts, agreement with what is known of the world."""

from __future__ import annotations

import datetime as dt
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from forecasting import reference
from forecasting.errors import InputError
from forecasting.forecasters.path_table import from_table
from forecasting.frequencies import Frequency
from forecasting.saturation.market import market
from pipelines.cli.terminal.tables import print_cap_readings, print_windows_table
from pipelines.etl.step import run_etl
from pipelines.forecast.step import run_forecast
from pipelines.runtime.files.artifacts import read_table
from pipelines.runtime.tracking import STEP_TAG, UPSTREAM_TAG
from pipelines.windows.estimator import build_estimator
from pipelines.windows.step import run_windows

MODEL_STEPS = {"etl": None, "backtest": "etl", "forecast": "etl", "windows": "forecast"}


def artifact(tracker, run_id, name):
    with tracker.artifact(run_id, name) as path:
        return read_table(path)


def digest_of(tracker, run_id, name="panel"):
    return tracker.client.get_run(run_id).data.tags[f"overspill.sha256.{name}"]


def windows_of(whole_run, **keys):
    table = whole_run.windows.tables["windows"]
    return table.filter(*(pl.col(key) == value for key, value in keys.items()))


def estimate(metric):
    rows = reference.load("published_estimates").filter(pl.col("metric") == metric).collect()
    assert rows.height, metric
    return rows


def test_every_step_is_a_finished_run_under_the_parent_that_names_its_upstream(whole_run, tracker):
    for step, upstream in MODEL_STEPS.items():
        run = tracker.client.get_run(whole_run.run_ids[step])
        assert run.info.status == "FINISHED"
        assert run.data.tags[STEP_TAG] == step
        assert run.data.tags["mlflow.parentRunId"] == whole_run.run_ids["run"]
        assert run.data.tags.get(UPSTREAM_TAG) == (whole_run.run_ids[upstream] if upstream else None)


@pytest.mark.parametrize(
    ("step", "names"),
    [
        ("etl", ["panel"]),
        ("forecast", ["paths"]),
        ("windows", ["saturation", "windows"]),
        ("backtest", ["scores", "leaderboard", "known_case"]),
    ],
)
def test_artifacts_are_there_with_their_csv_twins(whole_run, tracker, step, names):
    found = {entry.path for entry in tracker.client.list_artifacts(whole_run.run_ids[step])}
    for name in names:
        assert f"{name}.parquet" in found
        assert {f"{name}.csv", f"{name}.csv.gz"} & found


def test_input_datasets_carry_the_digest_of_what_was_read(whole_run, tracker):
    digest = digest_of(tracker, whole_run.run_ids["etl"])
    inputs = tracker.client.get_run(whole_run.run_ids["forecast"]).inputs.dataset_inputs
    assert [(entry.dataset.name, entry.dataset.digest) for entry in inputs] == [("panel", digest[:36])]


def test_curves_have_the_period_as_step_and_its_end_as_time(whole_run, tracker):
    history = tracker.client.get_metric_history(whole_run.run_ids["windows"], "met/H200 own orders")
    table = whole_run.windows.tables["saturation"].filter(
        pl.col("item_id") == "H200", pl.col("policy") == "bis_2026_01"
    )
    days = dict(table.select("step", "timestamp").iter_rows())
    for metric in history:
        assert dt.datetime.fromtimestamp(metric.timestamp / 1000, dt.UTC).date() == days[metric.step]
    stored = {metric.step: metric.value for metric in history}
    assert stored == pytest.approx(dict(table.select("step", "p_saturated").iter_rows()))


def test_etl_is_idempotent(context, whole_run, tracker):
    again = run_etl(context)
    assert digest_of(tracker, again.run_id) == digest_of(tracker, whole_run.run_ids["etl"])


def test_windows_of_stored_paths_are_those_of_the_run(context, whole_run):
    again = run_windows(context, whole_run.run_ids["forecast"])
    assert again.tables["windows"].equals(whole_run.windows.tables["windows"])


def test_steps_refuse_runs_of_other_steps(context, whole_run):
    with pytest.raises(InputError, match="the run is of another step: expected forecast, found etl"):
        run_windows(context, whole_run.run_ids["etl"])
    with pytest.raises(InputError, match="the run is of another step: expected etl, found windows"):
        run_forecast(context, whole_run.run_ids["windows"])


def test_step_copies_its_files_to_the_out_folder(context, tmp_path):
    run_etl(replace(context, out=tmp_path / "out"))
    names = {path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith(".overspill-pub")}
    assert names == {
        "panel.parquet",
        "panel.csv",
        "due_to_delivered.parquet",
        "due_to_delivered.csv",
        "statements.parquet",
        "statements.csv",
        "settings-etl.yaml",
    }


def test_paths_table_reads_back_as_the_paths_of_the_forecast(whole_run, tracker):
    table = artifact(tracker, whole_run.run_ids["forecast"], "paths.parquet")
    paths = from_table(table.sample(fraction=1, shuffle=True, seed=3), frequency=Frequency.QUARTER)
    assert (paths.paths, paths.horizon) == (60, 6)
    assert (paths.future[..., :2] >= 0).all()


def test_both_scopes_are_reported_for_every_chip(whole_run):
    scopes = windows_of(whole_run, policy="bis_2026_01").group_by("chip").agg(pl.col("scope").sort())
    assert scopes.height >= 8
    assert set(map(tuple, scopes["scope"].to_list())) == {("portfolio", "product")}


def test_eligibility_is_that_of_the_rule(whole_run):
    rows = windows_of(whole_run, policy="bis_2026_01", scope="product")
    eligible = dict(rows.select("chip", "eligible").iter_rows())
    assert {chip: eligible[chip] for chip in ("H200", "MI325X", "B200", "MI355X")} == {
        "H200": True,
        "MI325X": True,
        "B200": False,
        "MI355X": False,
    }
    assert "TPP 36,000 is not below 21,000" in rows.filter(pl.col("chip") == "B200")["reason"][0]


def test_portfolio_scope_is_not_saturated_in_2026(whole_run):
    # Vendor statements in published_estimates: supply-constrained into fiscal 2028 (CFO, 2026-08-26).
    assert estimate("vendor_statement_portfolio_supply").height == 1
    table = whole_run.windows.tables["saturation"].filter(
        pl.col("policy") == "bis_2026_01",
        pl.col("item_id").is_in(["portfolio/nvidia", "portfolio/us"]),
        pl.col("timestamp") <= dt.date(2026, 12, 31),
    )
    assert table.height == 2 * 2  # now, 2026Q3, and the quarter after it
    assert table["p_saturated"].max() < 0.35


def test_lead_time_of_the_portfolio_is_near_the_published_one_for_blackwell(whole_run, tracker):
    published = estimate("blackwell_lead_time")  # 3 to 7 months, press, January 2026
    low, high = published["value_low"][0] * 4.35, published["value_high"][0] * 4.35
    table = artifact(tracker, whole_run.run_ids["forecast"], "paths.parquet")
    of = market(from_table(table, frequency=Frequency.QUARTER), "portfolio/nvidia")
    then = of.all_timestamps.index(dt.date(2025, 12, 31))
    weeks = of.flow.backlog[:, then] / of.capacity[:, then] * Frequency.QUARTER.weeks
    assert low < np.median(weeks) < high


def cap_median(whole_run, counts, period):
    rows = whole_run.windows.tables["cap_readings"].filter(
        pl.col("policy") == "bis_2026_01",
        pl.col("chip") == "H200",
        pl.col("counts") == counts,
        pl.col("period") == period,
    )
    return rows["cap_units_q50"][0], rows["cap_units_q10"][0], rows["cap_units_q90"][0]


def test_cap_since_launch_for_hopper_is_near_the_published_figures(whole_run):
    # Published: 817,000 to 900,000 H200-equivalents for Hopper, 900,000 to 1,000,000 for H200 (2026). They
    # count Hopper shipments of the H200's time; so does the reading "family", after the launch quarter.
    published = pl.concat([estimate("cap_under_50pct_hopper_h200"), estimate("cap_under_50pct_h200")])
    middle, low, high = cap_median(whole_run, "family", "since_launch")
    assert published["value_low"].min() * 0.9 < middle < published["value_high"].max() * 1.1
    assert low < published["value_low"].min()
    assert high > published["value_high"].max()


def test_cap_of_the_same_period_is_one_to_three_orders_smaller(whole_run):
    since_launch = cap_median(whole_run, "family", "since_launch")[0]
    same_period = cap_median(whole_run, "family", "same_period")[0]
    assert 10 <= since_launch / same_period <= 1000


def test_terminal_table_has_a_row_for_every_forecast_chip_and_scope_and_says_why_others_have_none(whole_run):
    console = Console(width=200, record=True, file=io.StringIO())
    tables = whole_run.windows.tables
    print_windows_table(console, tables["windows"], frequency=Frequency.QUARTER, end=dt.date(2027, 6, 30))
    print_cap_readings(console, tables["cap_readings"], policy="bis_2026_01")
    text = console.export_text()
    for name in ("bis_2026_01", "presumption_of_denial", "since launch (stated)", "same period"):
        assert name in text
    for chip in ("H200", "MI325X", "MI300X", "H100"):
        lines = [line.split() for line in text.splitlines() if line.split()[:1] == [chip]]
        assert {"product", "portfolio"} <= {line[1] for line in lines}
    for chip in ("B200", "B300", "MI350X", "MI355X"):
        assert f"not eligible: {chip} (TPP " in text
    assert "(licences are reviewed under a presumption of denial)" in text
    assert "not before 2027Q2" in text


def test_windows_open_after_now_only(whole_run):
    steps, windows = whole_run.windows.tables["window_steps"], whole_run.windows.tables["windows"]
    assert steps["timestamp"].min() > whole_run.windows.now
    opens = pl.concat([windows["window_opens"], windows["opening_q10"]]).drop_nulls()
    assert opens.len() > 0
    assert (opens > whole_run.windows.now).all()


def test_backtest_stands_at_every_origin_once_and_scores_items_that_have_ended_since(whole_run, tracker):
    scores = artifact(tracker, whole_run.run_ids["backtest"], "scores.parquet")
    one = scores.filter(pl.col("forecaster") == "statistical")
    assert not one.select("origin", "item_id").is_duplicated().any()
    assert one["origin"].n_unique() == 4  # 2026Q1 came out together with 2026Q2, so no day stands on it
    assert (scores["as_of"] - scores["origin"]).dt.total_days().min() >= 90
    assert "TPU v5p" in one["item_id"]  # its last shipments are those of 2025Q2


def test_altered_artifact_is_refused(context, tracker, whole_run):
    run = run_etl(context)
    path = (
        Path(tracker.client.get_run(run.run_id).info.artifact_uri.removeprefix("file://")) / "panel.parquet"
    )
    pl.read_parquet(path).with_columns(pl.col("value", "value_p05", "value_p95") * 2).write_parquet(path)
    with pytest.raises(
        InputError, match=r"panel\.parquet: the artifact is not what its run wrote: expected content SHA-256"
    ):
        run_forecast(context, run.run_id)


def test_horizon_that_does_not_reach_beyond_now_is_refused(context, whole_run):
    short = context.settings.forecast.model_copy(update={"horizon": 2})
    shortened = replace(context, settings=context.settings.model_copy(update={"forecast": short}))
    forecast = run_forecast(shortened, whole_run.run_ids["etl"])
    late = dt.date(2027, 6, 30)
    with pytest.raises(InputError, match="the horizon must reach beyond the last period that has ended"):
        build_estimator(context.settings, forecast.paths, {}, late)


def test_network_answers_where_it_is_asked_for_and_stands_in_the_leaderboard(context, whole_run, tracker):
    assert {"network", "statistical", "AutoETS"} <= set(whole_run.backtest.leaderboard["forecaster"])
    asked = context.settings.forecast.model_copy(update={"model": "network"})
    result = run_forecast(
        replace(context, settings=context.settings.model_copy(update={"forecast": asked})),
        whole_run.run_ids["etl"],
    )
    assert set(artifact(tracker, result.run_id, "choices.parquet")["model"].drop_nulls()) == {"network"}
    assert (result.paths.future[..., :2] >= 0).all()


def test_answer_is_told_on_the_page_of_the_parent_run(whole_run, tracker):
    note = tracker.client.get_run(whole_run.run_ids["run"]).data.tags["mlflow.note.content"]
    assert note.startswith(whole_run.windows.page)
    for step in MODEL_STEPS:
        assert f"/runs/{whole_run.run_ids[step]}?" in note
    assert "| H200&emsp; |" in note
