"""Figures of a real run: their titles agree with the tables, one page holds them all and needs no network."""

from __future__ import annotations

import base64
import gzip
import json
import re

import numpy as np
import plotly.graph_objects
import polars as pl
import pytest
from PIL import Image
from plotly.offline import get_plotlyjs

from forecasting.errors import StepError
from forecasting.forecasters.path_table import from_table
from forecasting.frequencies import Frequency, label
from pipelines.backtest.charts import backtest_charts
from pipelines.figures.chart import Band, Bars, Cells, Chart, Line, Panel
from pipelines.figures.interactive import draw
from pipelines.figures.page import write_figures
from pipelines.figures.theme import Meaning
from pipelines.runtime.files.artifacts import read_table
from pipelines.runtime.step.inputs import read_input
from pipelines.windows.answer import SCOPES
from pipelines.windows.charts import windows_charts
from pipelines.windows.estimator import build_estimator
from pipelines.windows.fan_chart import LEVELS
from pipelines.windows.step import read_paths

QUARTER = Frequency.QUARTER
SOURCE = "Source: estimates; data as known on 2026-08-27; weights of the network: pretrained"


@pytest.fixture(scope="module")
def charts(context, tracker, whole_run):
    read = read_input(tracker, whole_run.run_ids["forecast"], step="forecast", name="paths")
    estimator = build_estimator(context.settings, *read_paths(tracker, read, context))
    tables = whole_run.windows.tables
    return {chart.name: chart for chart in windows_charts(estimator, tables, source=SOURCE)}


@pytest.fixture(scope="module")
def page(tmp_path_factory, charts):
    folder = tmp_path_factory.mktemp("figures")
    names = write_figures(folder, charts.values(), heading="Answer & more")
    return folder, names, (folder / names[0]).read_text()


@pytest.fixture(scope="module")
def rows(whole_run):
    table = whole_run.windows.tables["windows"]
    return table.filter(pl.col("policy") == "bis_2026_01", pl.col("p_any_window").is_not_null())


def test_every_kind_of_figure_is_there(charts):
    kinds = {name.split("-")[0] for name in charts if name != "first-passage"} | {"first-passage"}
    assert kinds == {"first-passage", "windows", "headroom", "fan"}
    assert {"fan-H200", "fan-portfolio-nvidia", "fan-portfolio-us", "headroom-H200"} <= charts.keys()


def test_title_of_the_first_passage_says_by_when_each_chip_is_met_on_half_of_the_paths(charts, rows):
    title = charts["first-passage"].title.partition("half of the paths: ")[2].partition(";")[0]
    own = rows.filter(pl.col("scope") == "product")
    for chip, date in own.select("chip", "saturated_q50").iter_rows():
        expected = "not within the horizon" if date is None else f"by {label(date, QUARTER)}"
        named = next(part for part in title.split(", ") if re.search(rf"\b{chip}\b", part))
        following = title[title.index(named) :]
        assert re.search(r"by \d{4}Q\d|not within the horizon", following)[0] == expected


def test_first_passage_ends_where_the_censored_mass_begins(charts, rows):
    chart = charts["first-passage"]
    for panel in chart.panels:
        chip = panel.title.split(",")[0]
        for scope in ("product", "portfolio"):
            lines = {mark.name: mark for mark in panel.marks if isinstance(mark, Line)}
            never = rows.filter(pl.col("chip") == chip, pl.col("scope") == scope)["p_never"][0]
            assert lines[SCOPES[scope]].y[-1] == pytest.approx(1 - never)
            assert list(lines[f"never within the horizon, {SCOPES[scope]}"].y) == pytest.approx(
                [1 - never, 1.0]
            )
            assert np.all(np.diff(lines[SCOPES[scope]].y) >= 0)


def test_waterfall_falls_from_what_is_left_over_to_what_may_be_exported(charts):
    for panel in charts["headroom-H200"].panels[:2]:
        first, *taken, last = [mark for mark in panel.marks if isinstance(mark, Bars)]
        left = first.size[0] - sum(bar.size[0] for bar in taken)
        assert (first.name, last.name) == ("surplus", "may be exported")
        assert left == pytest.approx(last.size[0], rel=1e-6, abs=5)
        assert len(panel.ticks) == 2 + len(taken)


def test_binding_shares_fill_every_period(charts):
    for panel in charts["headroom-H200"].panels[2:]:
        top = np.sum([mark.size for mark in panel.marks], axis=0)
        assert top == pytest.approx(np.ones(len(panel.ticks)))


def test_window_cells_are_numbered_exactly_where_a_window_is_shown(charts, whole_run):
    cells = charts["windows"].panels[0].marks[0]
    steps = whole_run.windows.tables["window_steps"]
    for name, shares, texts in zip(cells.rows, cells.values, cells.texts, strict=True):
        policy, chip, scope = name.split("  ")
        own = steps.filter(pl.col("policy") == policy, pl.col("chip") == chip, pl.col("scope") == scope)
        assert list(shares) == own.sort("step")["p_open"].to_list()
        assert [bool(text) for text in texts] == [share >= 0.5 for share in shares]


def test_fan_of_the_history_holds_the_published_estimate_and_its_quantiles_are_ordered(
    charts, tracker, whole_run
):
    with tracker.artifact(whole_run.run_ids["forecast"], "paths.parquet") as path:
        paths = from_table(read_table(path), frequency=QUARTER)
    item = paths.item_ids.index("H200")
    drawn = paths.values[item, :, paths.context_length - 1, paths.variates.index("orders")]
    panel = charts["fan-H200"].panels[0]
    history, now = panel.marks[0], int(panel.split)
    low, high = np.quantile(drawn, (LEVELS[0], LEVELS[-1]))
    assert (history.low[now], history.high[now]) == pytest.approx((low, high))
    assert all(a <= b for a, b in zip(history.low, history.high, strict=True))


def test_intervals_of_past_and_future_are_of_the_same_levels(charts):
    for name in ("fan-H200", "fan-portfolio-nvidia"):
        for panel in charts[name].panels:
            bands = {mark.name: mark for mark in panel.marks if isinstance(mark, Band)}
            assert bands.keys() == {"10 to 90 %", "25 to 75 %"}
            assert all(len(band.x) == len(panel.ticks) for band in bands.values())
            wide, half = bands["10 to 90 %"], bands["25 to 75 %"]
            assert all(a <= b for a, b in zip(wide.low, half.low, strict=True))


def test_one_colour_has_one_meaning_in_all_figures(charts):
    names = {}
    for chart in charts.values():
        for panel in chart.panels:
            for mark in panel.marks:
                if not isinstance(mark, Cells):
                    names.setdefault(mark.tone, set()).add(
                        mark.name.removeprefix("never within the horizon, ")
                    )
    same = {
        Meaning.MEDIAN: {"median", "10 to 90 % of the paths"},
        Meaning.REFUSED: {"rule not yet in effect", "not eligible"},
    }
    for tone, found in names.items():
        kinds = {"normal backlog" if name.startswith("normal backlog") else name for name in found}
        assert len(kinds) == 1 or kinds <= same[tone], (tone, kinds)


def test_source_data_date_and_weights_stand_under_every_chart(page, charts):
    assert page[2].count(f'<p class="source">{SOURCE}</p>') == len(charts)


def test_every_axis_has_a_title_or_shares_the_one_below(charts):
    for chart in charts.values():
        assert chart.title
        assert chart.note
        for panel in chart.panels:
            assert panel.y_title or chart.name == "windows"
        assert any(panel.x_title for panel in chart.panels)


def test_page_holds_the_javascript_once_and_asks_for_nothing_from_elsewhere(page, charts):
    text = page[2]
    packed = re.findall(r'<script type="text/plain" id="plotly">([^<]+)</script>', text)
    assert len(packed) == 1
    assert gzip.decompress(base64.b64decode(packed[0])).decode() == get_plotlyjs()
    assert len(re.findall(r'class="chart panels" id="chart-[^"]+"', text)) == len(charts)
    panels = sum(len(chart.panels) for chart in charts.values())
    contents = re.findall(r'<script type="application/json">([^<]+)</script>', text)
    assert all({"data", "layout"} <= json.loads(content).keys() for content in contents)
    assert len(contents) == panels
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", text)
    assert text.count("<section") == len(charts)
    assert "Answer &amp; more" in text


def test_pictures_stand_beside_the_page_and_are_as_wide_as_it(page, charts):
    folder, names, _ = page
    assert set(names) == {"figures/figures.html"} | {f"figures/{name}.png" for name in charts}
    for name in names[1:]:
        with Image.open(folder / name) as picture:
            assert picture.width == 1080
            assert len(picture.convert("L").getcolors(256) or range(256)) > 20
    total = sum(path.stat().st_size for path in (folder / "figures").iterdir())
    assert total < 5e6


def test_every_figure_is_one_that_plotlys_schema_knows(charts):
    for chart in [*charts.values(), *backtest_figures()]:
        for figure in draw(chart):
            known = plotly.graph_objects.Figure(figure)  # refuses names and values that are not in the schema
            assert len(known.data) == len(figure["data"]) > 0
            assert known.layout.height == chart.panel_height(chart.panels[0])


def test_a_gap_is_null_and_a_break_of_the_past_is_an_upright_line():
    line = Line(name="a", x=[0, 1, 2], y=[1.0, float("nan"), 2.0])
    panel = Panel(title="t", x_title="x", y_title="y", marks=(line,), split=1.5)
    (figure,) = draw(Chart(name="c", title="t", note="n", panels=(panel,)))
    assert figure["data"][0]["y"] == [1.0, None, 2.0]
    assert [(shape["x0"], shape["x1"]) for shape in figure["layout"]["shapes"]] == [(1.5, 1.5)]


def test_figures_are_artifacts_of_the_windows_and_the_backtest_run(tracker, whole_run):
    for step, names in (
        ("windows", {"figures.html", "first-passage.png"}),
        ("backtest", {"backtest.html", "reliability.png", "leaderboard.png"}),
    ):
        found = {entry.path for entry in tracker.client.list_artifacts(whole_run.run_ids[step], "figures")}
        assert {f"figures/{name}" for name in names} <= found


def backtest_figures():
    leaderboard = pl.DataFrame(
        {
            "forecaster": ["good", "worse"],
            "crps": [0.9, 1.0],
            "coverage_80": [0.79, 0.6],
            "date_crps": [0.1, 0.2],
            "skill_flows": [0.1, 0.0],
            "skill_date": [-0.2, 0.0],
            "forecasts": [30, 30],
        }
    )
    bins = pl.DataFrame(
        {
            "forecaster": ["good", "good", "worse"],
            "stated": [0.1, 0.9, 0.5],
            "observed": [0.0, 1.0, 0.25],
            "count": [30, 10, 40],
        }
    )
    return backtest_charts(bins, leaderboard)


def test_backtest_titles_agree_with_the_tables():
    board, reliability = backtest_figures()
    assert "good is best by flows and dates together" in board.title
    assert "10 % lower (orders and capacity) and 20 % higher (date)" in board.title
    assert "held 79 %" in board.title
    assert reliability.title == (
        "good stated 30 % on average that demand is met by t; it was in 25 % of the cases"
    )


def test_folder_that_cannot_be_written_is_one_sentence(tmp_path, charts):
    (tmp_path / "figures").write_text("a file where the folder should be")
    with pytest.raises(StepError, match=r"figures\.html: the file cannot be written"):
        write_figures(tmp_path, charts.values(), heading="x")
