"""Each figure says whether it is observed, a nowcast or a forecast: in tables, page and charts."""

import datetime as dt
from dataclasses import replace

import polars as pl
import pytest

from forecasting.saturation.market import market
from pipelines.runtime.step.inputs import read_input
from pipelines.windows.answer_page import answer_page
from pipelines.windows.estimator import last_observed
from pipelines.windows.fan_chart import NOWCAST_NOTE, fan_chart
from pipelines.windows.step import read_paths

OBSERVED, NOW = dt.date(2026, 6, 30), dt.date(2026, 9, 30)


@pytest.mark.parametrize("name", ["saturation", "lead_time", "window_steps"])
def test_now_is_a_nowcast_and_what_follows_a_forecast(whole_run, name):
    table = whole_run.windows.tables[name]
    by_day = table.group_by("timestamp").agg(pl.col("standing").unique())
    for day, standing in by_day.iter_rows():
        assert standing == (["nowcast"] if day == NOW else ["forecast"])


def test_the_answer_says_what_its_now_rests_on(whole_run):
    rows = whole_run.windows.tables["windows"].filter(pl.col("p_saturated_now").is_not_null())
    assert set(rows["now_is"]) == {"nowcast"}
    assert set(rows["observed_until"]) == {OBSERVED}
    answer = whole_run.windows.answer
    assert answer.now_stated == "2026Q3 (a nowcast; shipments observed to 2026Q2)"
    assert answer.now_stated in answer_page(answer, whole_run.windows.tables)


def test_where_nothing_is_a_nowcast_now_is_told_alone(whole_run):
    answer = whole_run.windows.answer
    observed = tuple(
        replace(chip, own=replace(chip.own, now_is="observed"), whole=replace(chip.whole, now_is="observed"))
        for chip in answer.chips
    )
    assert replace(answer, chips=observed).now_stated == "2026Q3"


def test_the_forecast_run_says_how_far_each_item_is_observed(whole_run, tracker):
    choices = read_input(tracker, whole_run.run_ids["forecast"], step="forecast", name="choices").table
    known = last_observed(choices)
    assert known["H200"] == known["portfolio/amd"] == OBSERVED
    # the second edition has no chips of Google and Amazon, and a sum that holds a nowcast is one
    assert known["portfolio/google"] == known["portfolio/us"] == dt.date(2025, 12, 31)
    assert known["A100"] == dt.date(2023, 12, 31)
    assert last_observed(choices.drop("observed_until")) == {}  # runs of earlier versions


def test_a_chart_marks_where_the_nowcast_begins(whole_run, tracker, context):
    read = read_input(tracker, whole_run.run_ids["forecast"], step="forecast", name="paths")
    paths, _, _, observed = read_paths(tracker, read, context)
    of = market(paths, "H200")
    chart = fan_chart(of, rule_weeks=10, observed_until=observed["H200"])
    assert {panel.observed for panel in chart.panels} == {of.origin_column - 1}
    assert NOWCAST_NOTE in chart.note
    plain = fan_chart(of, rule_weeks=10, observed_until=of.origin)
    assert {panel.observed for panel in plain.panels} == {None}
    assert NOWCAST_NOTE not in plain.note
