"""The first screen says the answer in twenty lines of eighty characters, and no table cuts a word."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from forecasting.frequencies import Frequency, label
from pipelines.cli.main import app
from pipelines.cli.terminal.answer import LINES, WIDTH, answer_lines
from pipelines.cli.terminal.fitted import print_fitted
from pipelines.cli.terminal.tables import print_cap_readings, print_table, print_windows_table
from pipelines.figures.number_format import share_of_paths, units_text
from pipelines.windows.answer_from_tables import deviating

ESCAPE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


def shown(answer, **options):
    lines = answer_lines(answer, run_id="0123456789abcdef", **options)
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= WIDTH
    return lines


def test_first_screen_has_one_line_a_chip_with_the_figures_of_the_table(whole_run):
    lines = shown(whole_run.windows.answer)
    windows = whole_run.windows.tables["windows"].filter(policy="bis_2026_01")
    rows = windows.filter(pl.col("p_any_window").is_not_null())
    for chip in rows["chip"].unique():
        own, whole = (rows.filter(chip=chip, scope=scope).to_dicts()[0] for scope in ("product", "portfolio"))
        [line] = [line for line in lines if line.split()[:1] == [chip]]
        units = " / ".join(units_text(own[f"units_{q}"]) for q in ("q10", "q50", "q90"))
        opens = "on " if own["window_opens"] is None else label(own["window_opens"], Frequency.QUARTER)
        figures = [
            share_of_paths(own["p_saturated_now"]),
            share_of_paths(whole["p_saturated_now"]),
            opens,
            units,
        ]
        places = [line.index(figure, len(chip)) for figure in figures]
        assert places == sorted(places)


def test_first_screen_says_the_answer_its_basis_and_what_to_do_next(whole_run):
    lines = shown(whole_run.windows.answer, out="out")
    text = " ".join(lines)
    assert whole_run.windows.answer.sentence in text
    assert f"as known on {whole_run.windows.answer.basis.known_until}" in text
    assert sum(line.startswith("overspill ") for line in lines) == 3
    assert "not eligible: B200, B300, MI350X, MI355X; not forecast: A100, MI250X" in text


def test_first_screen_says_which_reading_the_text_supports_in_one_line(whole_run):
    answer = whole_run.windows.answer
    [line] = [line for line in shown(answer) if line.startswith("reading that the text supports")]
    assert line == "reading that the text supports: own orders (certainty M: one good source)"
    silent = replace(answer, policy=replace(answer.policy, reading=None))
    assert not any(line.startswith("reading") for line in shown(silent))


def test_a_screen_that_is_too_long_gives_up_its_blank_lines_before_its_chips(whole_run):
    answer = whole_run.windows.answer
    few = replace(answer, chips=answer.chips[:1] * 7, refused=(), missing=())
    lines = shown(few)
    assert sum(line.startswith(f"{answer.chips[0].chip} ") for line in lines) == 7
    assert "" not in lines


def test_first_screen_says_what_now_rests_on_and_where_supply_has_ended(whole_run):
    answer = whole_run.windows.answer
    assert "now 2026Q3 (a nowcast; shipments observed to 2026Q2)" in " ".join(shown(answer))
    [h200] = [chip for chip in answer.chips if chip.chip == "H200"]
    ended = replace(h200, own=replace(h200.own, limit="supply ended", limit_share=0.78))
    lines = shown(replace(answer, chips=(ended,)))
    assert any(line.startswith("H200") and line.endswith("supply ended 78 %") for line in lines)
    assert "dated statements: " in " ".join(shown(replace(answer, chips=(ended,), deviating=())))


def test_a_chip_without_a_window_says_on_how_many_paths_exports_open(whole_run):
    answer = whole_run.windows.answer
    shut = replace(answer.chips[0].own, opens=None, any_window=0.48)
    [chip] = [replace(answer.chips[0], own=shut)]
    alone = replace(answer, chips=(chip,))
    assert "exports open by 2028Q1 on 48 %" in alone.sentence
    assert alone.window(shut) == "on 48 % of paths"


def test_no_assumption_differs_from_the_default_or_each_is_named(whole_run, small_settings):
    as_default = replace(whole_run.windows.answer, deviating=())
    assert "assumptions that differ from the default: none" in shown(as_default)
    candidates = "statistical.candidates = ['AutoETS', 'AutoTheta']"
    assert deviating(small_settings) == ("forecast.horizon = 6", "forecast.paths = 60", candidates)
    text = " ".join(shown(whole_run.windows.answer))
    assert "default: forecast.horizon = 6, forecast.paths = 60" in text


@pytest.mark.parametrize("count", [0, 1, 12, 60])
@pytest.mark.parametrize("name", ["H200", "A chip whose name takes more than the half of a line"])
def test_first_screen_stays_short_with_any_number_of_chips(whole_run, count, name):
    first = whole_run.windows.answer.chips[0]
    many = tuple(replace(first, chip=f"{name}-{place}") for place in range(count))
    stated = tuple(f"a rather long name of a setting {place} = 0.123456789" for place in range(count))
    answer = replace(whole_run.windows.answer, chips=many, deviating=stated)
    lines = shown(answer, out="a/folder/with/a/long/name/for/the/results", rows="4 of 5 rows accepted")
    if count > 20:
        assert any(line.endswith("overspill show windows") for line in lines)


def printed(width, show, *arguments, **options):
    console = Console(width=width, file=io.StringIO())
    show(console, *arguments, **options)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    return text


def words(table):
    return {word for cell in table for word in cell.split()}


TEXTS = st.text("abcdefgh %/", max_size=30)


@settings(deadline=None)
@given(st.lists(st.tuples(*[TEXTS] * 6), min_size=1, max_size=4), st.integers(50, 120))
def test_fitted_table_keeps_every_word_whole_at_any_width(rows, width):
    heads = ["key", "first", "second", "third", "fourth", "fifth"]
    rows = [("k", *row[1:]) for row in rows]
    text = printed(width, print_fitted, rows, title="t", heads=heads)
    assert words([*heads, *(cell for row in rows for cell in row)]) <= set(text.split())


def test_tables_of_a_run_keep_every_word_whole_at_80_columns(whole_run):
    tables, leaderboard = whole_run.windows.tables, whole_run.backtest.leaderboard
    text = printed(
        80,
        print_windows_table,
        tables["windows"],
        frequency=Frequency.QUARTER,
        end=tables["saturation"]["timestamp"].max(),
    )
    rows = tables["windows"].filter(pl.col("units_q50").is_not_null())
    for row in rows.iter_rows(named=True):
        assert " / ".join(units_text(row[f"units_{q}"]) for q in ("q10", "q50", "q90")) in text
        assert {row["chip"], row["scope"], row["binding"].split("_")[-1]} <= set(text.split())
        assert " / ".join(units_text(row[f"new_units_{q}"]) for q in ("q10", "q50", "q90")) in text
    outside = "eligible by the letter, but outside every duty band: A100, H100, MI250X, MI300A, MI300X"
    assert outside in " ".join(text.split())
    caps = printed(80, print_cap_readings, tables["cap_readings"], policy="bis_2026_01")
    assert "same period" in caps
    board = printed(80, print_table, leaderboard, title="backtest")
    assert set(leaderboard["forecaster"]) | {"skill", "variogram"} <= set(board.split())


class Screen:
    """What a terminal shows of what was written to it: lines, returns, and the erasing that rich does."""

    def __init__(self, written):
        self.lines, self.at, self.column = [""], 0, 0
        for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\r|\n)", written):
            self._take(part)

    def _take(self, part):
        if part == "\n":
            self.at += 1
            self.lines += [""] * (self.at + 1 - len(self.lines))
        elif part == "\r":
            self.column = 0
        elif found := ESCAPE.fullmatch(part):
            if found[2] == "K":
                self.lines[self.at] = ""
            elif found[2] == "A":
                self.at -= int(found[1] or 1)
        elif part:
            line = self.lines[self.at].ljust(self.column)
            self.lines[self.at] = line[: self.column] + part + line[self.column + len(part) :]
            self.column += len(part)


@pytest.mark.slow
def test_run_leaves_at_most_twenty_lines_on_a_terminal_of_80_columns(tmp_path):
    sets = [
        "forecast.paths=60",
        "forecast.horizon=6",
        "backtest.paths=40",
        *("backtest.first_origin=2025-09-30", "figures.pictures=false"),
        "statistical.candidates=[AutoETS,AutoTheta]",
    ]
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli.main", "run", *(w for each in sets for w in ("--set", each))],
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "80", "LINES": "24", "TERM": "xterm", "MLFLOW_TRACKING_URI": ""},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    written = b""
    try:
        while piece := os.read(master, 65536):
            written += piece
    except OSError:  # the other end is closed
        pass
    assert process.wait(300) == 0, written.decode()
    lines = [line.rstrip() for line in Screen(written.decode()).lines]
    while lines and not lines[-1]:
        lines.pop()
    assert len(lines) <= LINES, "\n".join(lines)
    assert max(map(len, lines)) <= WIDTH
    assert any(line.startswith("H200 ") for line in lines)
    assert lines[-1].startswith("overspill sensitivity --chip ")


@pytest.fixture
def show(whole_run, store_uri, monkeypatch, tmp_path):
    """Run `overspill show` on the store of the whole run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)

    def invoke(*arguments):
        result = CliRunner().invoke(app, ["show", *arguments, "--set", "tracking.experiment=tests"])
        return result.exit_code, result.stdout, result.stderr

    return invoke


def test_show_prints_the_answer_of_a_run_by_its_prefix_and_by_that_of_its_parent(show, whole_run):
    windows, parent = whole_run.run_ids["windows"], whole_run.run_ids["run"]
    expected = "\n".join(answer_lines(whole_run.windows.answer, run_id=windows))
    for found in (show("answer", "--run", windows[:10]), show(windows[:10]), show(parent)):
        assert found[0] == 0
        assert found[1].rstrip() == expected


def test_show_has_the_windows_the_caps_and_the_backtest(show, whole_run):
    windows = whole_run.run_ids["windows"]
    assert "gain_ai_no_backlog" in show("windows", "--run", windows)[1]
    assert "trailing 12m" in show("caps", "--run", windows)[1]
    text = show("backtest", "--run", whole_run.run_ids["run"])[1]
    assert set(whole_run.backtest.leaderboard["forecaster"]) <= set(text.split())
    everything = show("--all", "--run", windows)[1]
    assert "gain_ai_no_backlog" in everything
    assert whole_run.windows.answer.policy.title in everything


def test_show_lists_the_statements_and_those_that_contradict_the_states(show, whole_run):
    windows = whole_run.run_ids["windows"]
    text = show("statements", "--run", windows)[1]
    assert {"contradicts", "agrees", "silent", "Blackwell"} <= set(text.split())
    rows = json.loads(show("statements", "--run", windows, "--json")[1])["statements"]
    assert {row["use"] for row in rows} == {"state", "listed", "held out"}
    assert {"stated_on", "statement", "publisher", "p_met", "verdict"} <= rows[0].keys()


def test_show_as_json_holds_the_tables(show, whole_run):
    found = json.loads(show("windows", "--run", whole_run.run_ids["windows"], "--json")[1])
    assert len(found["windows"]) == whole_run.windows.tables["windows"].height
    assert found["answer"] == whole_run.windows.answer.sentence
    reading = found["readings"]["bis_2026_01"]
    assert (reading["scope"], reading["certainty"]) == ("product", "M")
    assert reading["reason"]
    assert found["readings"]["presumption_of_denial"] is None
    by_chip = {row["chip"]: row for row in found["windows"] if row["policy"] == "bis_2026_01"}
    assert [by_chip[chip]["outside_duty_bands"] for chip in ("H100", "H200")] == [True, False]
    assert by_chip["H200"]["duty_rate"] == 0.25


def test_show_prints_what_is_known_of_any_other_run(show, whole_run):
    status, text, _ = show(whole_run.run_ids["forecast"])
    assert status == 0
    assert "joint paths of orders and capacity" in text
    assert whole_run.run_ids["etl"] in text


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            ["everything"],
            "no such thing to show: expected answer, windows, caps, statements, backtest or the id of a run",
        ),
        (["00000000000000000000000000000000"], "no such run: expected one run: "),
        (["windows", "--run", "zz"], "no such run: expected one run: "),
    ],
)
def test_show_of_what_is_not_there_exits_2_with_one_sentence(show, asked, sentence):
    status, _, error = show(*asked)
    assert status == 2
    assert sentence in error
    assert error.count("\n") == 1
