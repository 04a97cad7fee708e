"""`overspill predict --event`: its files, what it prints, what it refuses, and the example of the docs."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app

DOCS = Path(__file__).parents[3] / "docs" / "predict-events.md"
MONTHS = pl.date_range(pl.date(2022, 1, 31), pl.date(2024, 12, 31), "1mo", eager=True)


@pytest.fixture(scope="module")
def table():
    """Two items with two variates; the orders of the second have long been above 50."""
    rng = np.random.default_rng(4)
    parts = []
    for item, variate, level in (
        ("a", "orders", 30),
        ("a", "capacity", 30),
        ("b", "orders", 80),
        ("b", "capacity", 60),
    ):
        values = level + rng.normal(0, 2, len(MONTHS)).cumsum().clip(-15, 15)
        parts.append(pl.DataFrame({"unique_id": item, "ds": MONTHS, "variate": variate, "y": values}))
    return pl.concat(parts)


@pytest.fixture
def cli(tmp_path, monkeypatch, table):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    table.write_csv("flows.csv")
    table.filter(pl.col("variate") == "orders").drop("variate").write_csv("orders.csv")

    def invoke(*arguments: object):
        result = CliRunner().invoke(app, ["predict", *map(str, arguments)])
        return result.exit_code, result.stdout, result.stderr

    return invoke


def predict(cli, *options, panel="orders.csv", model="network"):
    return cli(panel, "--horizon", 6, "--freq", "M", "--out", "out", "--model", model, *options)


def dated(path):
    """A table whose timestamps, all of midnight, are read as dates."""
    table = pl.read_parquet(path)
    return table.with_columns(pl.col(pl.Datetime).dt.date())


def test_events_are_counted_on_the_paths_that_are_written(cli, table):
    status, _, error = predict(
        cli,
        "--event",
        "above 35",
        "--event",
        "below 0.9x",
        "--hold",
        2,
        "--paths",
        200,
        "--quantiles",
        "0.1,0.5",
    )
    assert status == 0, error
    events, paths = (dated(f"out/{name}.parquet") for name in ("events", "paths"))
    assert events.columns == [
        *("unique_id", "event", "level", "hold", "true_at_origin", "ds", "probability", "p_never"),
        *("date_q10", "date_q50"),
    ]
    assert events.height == 2 * 2 * 6
    for (item, event), rows in events.group_by("unique_id", "event"):
        series = table.filter(pl.col("unique_id") == item, pl.col("variate") == "orders")["y"].to_list()
        level = 35.0 if event == "above 35" else 0.9 * series[-1]
        assert rows["level"].unique().to_list() == pytest.approx([level])
        confirmed = []
        for _, path in paths.filter(pl.col("unique_id") == item).group_by("path"):
            whole = [*series, *path.sort("ds")["value"]]
            held = [value > level if event.startswith("above") else value < level for value in whole]
            both = [one and other for one, other in zip(held[-8:-1], held[-7:], strict=True)]  # origin first
            confirmed.append([any(both[: step + 1]) for step in range(7)])
        expected = np.mean(confirmed, axis=0)
        np.testing.assert_allclose(rows.sort("ds")["probability"], expected[1:])
        assert rows["true_at_origin"].unique().to_list() == [expected[0] == 1]
        np.testing.assert_allclose(rows["p_never"], 1 - expected[-1])
        dates = [MONTHS[-1], *rows.sort("ds")["ds"]]
        for name, quantile in (("date_q10", 0.1), ("date_q50", 0.5)):
            reached = [day for day, share in zip(dates, expected, strict=True) if share >= quantile]
            assert rows[name].unique().to_list() == [reached[0] if reached else None]


def test_what_holds_at_the_origin_is_flagged_and_dated_there(cli):
    assert predict(cli, "--event", "above 50", "--hold", 3)[0] == 0
    events = dated("out/events.parquet")
    held = events.filter(pl.col("unique_id") == "b")
    assert held["true_at_origin"].all()
    assert (held["probability"] == 1).all()
    assert held["date_q90"].unique().to_list() == [MONTHS[-1]]
    assert not events.filter(pl.col("unique_id") == "a")["true_at_origin"].any()


def test_events_leave_quantiles_and_paths_as_they_are(cli):
    assert predict(cli, "--paths", 7)[0] == 0
    plain = [pl.read_parquet(f"out/{name}.parquet") for name in ("quantiles", "paths")]
    assert predict(cli, "--paths", 7, "--event", "above 35")[0] == 0
    for name, before in zip(("quantiles", "paths"), plain, strict=True):
        assert pl.read_parquet(f"out/{name}.parquet").equals(before)


def test_without_paths_a_thousand_are_drawn_and_none_is_written(cli):
    assert predict(cli, "--event", "above 31")[0] == 0
    shares = pl.read_parquet("out/events.parquet")["probability"].to_numpy() * 1000
    np.testing.assert_allclose(shares, shares.round(), atol=1e-9)
    assert ((shares > 0) & (shares < 1000)).any()
    assert not Path("out/paths.parquet").exists()


def test_a_forecast_without_events_removes_those_of_an_earlier_one(cli):
    assert predict(cli, "--event", "above 31")[0] == 0
    assert predict(cli)[0] == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["quantiles.parquet"]


@pytest.mark.parametrize(
    ("of", "label"),
    [
        ("ratio", "orders/capacity"),
        ("backlog", "backlog orders/capacity"),
        ("cover", "cover orders/capacity"),
    ],
)
def test_events_of_two_variates_name_what_they_are_about(cli, of, label):
    status, _, error = predict(cli, "--event", "above 1", "--event-of", of, panel="flows.csv")
    assert status == 0, error
    events = pl.read_parquet("out/events.parquet")
    assert events["variate"].unique().to_list() == [label]
    assert events.height == 2 * 6


def test_events_of_each_variate_stand_apart(cli):
    assert predict(cli, "--event", "above 50", panel="flows.csv")[0] == 0
    events = (
        pl.read_parquet("out/events.parquet").group_by("unique_id", "variate").agg(pl.col("p_never").first())
    )
    assert events.height == 4


def test_the_terminal_shows_a_row_per_series_and_event(cli):
    status, text, _ = predict(cli, "--event", "above 50")
    assert status == 0
    assert re.search(r"a +above 50 +1 +50\.000 +no", text)
    assert re.search(r"b +above 50 +1 +50\.000 +yes +1\.000 +0\.000 +2024-12-31", text)


def test_json_holds_each_event_with_its_probabilities(cli):
    status, text, _ = predict(cli, "--event", "above 50", "--json")
    assert status == 0
    records = json.loads(text)["events"]
    assert [(record["unique_id"], record["true_at_origin"]) for record in records] == [
        ("a", False),
        ("b", True),
    ]
    assert [step["ds"] for step in records[1]["by"]][:2] == ["2025-01-31", "2025-02-28"]
    assert records[1]["by"][0]["probability"] == 1
    assert records[1]["date_q50"] == "2024-12-31"


def test_events_call_id_and_time_as_the_source_and_write_dates_as_it_does(cli):
    hours = [f"2026-03-28T{hour:02d}:00:00+05:30" for hour in range(24)]
    pl.DataFrame({"name": "x", "at": hours, "v": [10 + k % 5 for k in range(24)]}).write_csv("hours.csv")
    columns = ("--id-col", "name", "--time-col", "at", "--target-col", "v")
    options = ("--horizon", 2, "--out", "out", *columns, "--event", "above 5", "--quantiles", "0.5")
    status, text, error = cli("hours.csv", *options, "--json")
    assert status == 0, error
    (record,) = json.loads(text)["events"]
    assert record["name"] == "x"
    assert record["date_q50"] == hours[-1]  # true at the origin already
    assert [step["at"] for step in record["by"]] == ["2026-03-29T00:00:00+05:30", "2026-03-29T01:00:00+05:30"]


def test_a_source_may_not_call_its_columns_as_the_answer_calls_others(cli):
    pl.read_csv("orders.csv").rename({"unique_id": "level"}).write_csv("renamed.csv")
    status, _, error = predict(cli, "--event", "above 50", "--id-col", "level", panel="renamed.csv")
    assert status == 2
    assert "--id-col or --time-col: a column of the answer has that name already" in error
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--event", "over 50"], "a side and a level"),
        (["--event", "above nan"], "a finite number"),
        (["--event", "above 50", "--hold", "0"], "expected 1 to 6 periods, found 0"),
        (["--event", "above 50", "--hold", "7"], "expected 1 to 6 periods, found 7"),
        (["--event", "above 50", "--event-of", "ratio"], r"needs two variates.*found 1 \(y\)"),
        (["--event", "above 50", "--event-of", "queue"], "unknown measure"),
        (["--event-of", "ratio"], "the option is about an event"),
        (["--hold", "2"], "the option is about an event"),
    ],
)
def test_what_is_no_question_is_refused_in_one_sentence_and_nothing_is_written(cli, options, sentence):
    status, _, error = predict(cli, *options)
    assert status == 2, error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert re.search(sentence, error), error
    assert not list(Path("out").glob("*"))


def test_the_example_of_the_docs_runs_and_answers_what_it_shows(cli):
    text = DOCS.read_text(encoding="utf-8")
    for name, content in re.findall(r"```csv (\S+)\n(.*?)```", text, flags=re.DOTALL):
        Path(name).write_text(content, encoding="utf-8")
    ((command, shown),) = re.findall(
        r"```console\n\$ overspill predict (.*?)\n(.*?)```", text, flags=re.DOTALL
    )
    status, printed, error = cli(*shlex.split(command))
    assert status == 0, error
    row = r"^ *(\w+) +(above|below) (\S+) +(\d+) +(\S+) +(yes|no) "  # its figures depend on the weights
    rows = re.findall(row, shown, flags=re.MULTILINE)
    assert len(rows) == 2
    assert re.findall(row, printed, flags=re.MULTILINE) == rows
    columns = re.findall(r"^- `(\w+)`", text, flags=re.MULTILINE)
    assert set(columns) == {*pl.read_parquet("out/events.parquet").columns, "variate"} - {
        "date_q10",
        "date_q90",
    }
