"""Backtests of a table: no model sees what it is scored on, scores are those of an oracle, fans are drawn."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from forecasting.errors import InputError
from forecasting.forecasters.seasonal_bootstrap import SeasonalBootstrapForecaster
from forecasting.panel.layout import Columns
from forecasting.panel.long_table import check_long_table
from forecasting.saturation.events import EventQuery
from pipelines.backtest.fans import read_fans, write_fans
from pipelines.backtest.own_series import FLOOR_MODEL, BacktestOptions, backtest_series
from pipelines.cli.main import app

DAYS = [dt.date(2026, 1, 1) + dt.timedelta(days=n) for n in range(70)]
WEEK = np.array([5.0, 1, 2, 3, 2, 1, 0])


def table_of(values, **columns):
    frame = pl.concat(
        [pl.DataFrame({"unique_id": name, "ds": DAYS[: len(v)], "y": v}) for name, v in values.items()]
    )
    return check_long_table(frame.with_columns(**columns), frequency=None, where="t")


class Remembers:
    """A forecaster that repeats the last value and keeps every history that it was shown."""

    name = "remembers"

    def __init__(self):
        self.shown = []

    def fit(self, history):
        self.shown.append(history)
        return self

    def sample(self, horizon, paths, seed):  # noqa: ARG002 - it draws nothing
        last = self.shown[-1].values[:, None, None, :, -1]
        return np.broadcast_to(last, (len(last), paths, horizon, last.shape[-1])).copy()


def test_a_model_sees_nothing_of_what_it_is_scored_on():
    values = np.arange(70.0)
    model = Remembers()
    options = BacktestOptions(horizon=5, origins=3, step=4)
    found = backtest_series(table_of({"a": values}), {"remembers": model}, options)
    assert [history.values[0, 0, -1] for history in model.shown] == [56.0, 60.0, 64.0]
    assert found.scores["origin"].to_list() == [DAYS[56], DAYS[60], DAYS[64]]
    errors = found.quantiles.with_columns(step=pl.col("actual") - pl.col("q50"))
    assert errors["step"].to_list() == [1.0, 2.0, 3.0, 4.0, 5.0] * 3
    assert errors.filter(pl.col("origin") == DAYS[64])["ds"].to_list() == DAYS[65:70]
    assert found.scores["crps"].to_list() == pytest.approx([3.0] * 3)
    assert found.scores["mase"].to_list() == pytest.approx([3.0 / 7] * 3)  # a week apart it moves by 7


def test_series_of_different_lengths_and_gaps_are_scored_where_something_came():
    whole = np.tile(WEEK, 10)
    short = whole[:9].copy()
    gappy = whole.copy()
    gappy[[66, 68]] = np.nan
    table = table_of({"a": whole, "short": short, "gappy": gappy})
    options = BacktestOptions(horizon=4, origins=3, step=4)
    found = backtest_series(table, {FLOOR_MODEL: SeasonalBootstrapForecaster()}, options)
    counts = dict(found.scores.group_by("unique_id").len().iter_rows())
    assert counts == {"a": 3, "short": 1, "gappy": 3}
    newest = found.scores.filter(pl.col("unique_id") == "gappy").sort("origin")["steps"].to_list()
    assert newest == [4, 4, 2]
    assert found.quantiles.filter(pl.col("actual").is_null()).height == 2


def test_a_perfect_model_leads_and_has_the_skill_of_one():
    table = table_of({"a": np.tile(WEEK, 10)})
    options = BacktestOptions(horizon=7, origins=2, step=7)
    models = {"remembers": Remembers(), FLOOR_MODEL: SeasonalBootstrapForecaster()}
    board = backtest_series(table, models, options).leaderboard
    assert board["model"].to_list() == [FLOOR_MODEL, "remembers"]
    assert board["scaled_crps"][0] == pytest.approx(0, abs=1e-9)
    assert board["coverage_80"][0] == 1.0


def test_events_are_scored_against_what_came():
    values = np.concatenate([np.full(66, 10.0), [10, 12, 10, 10]])
    values[::2] += 0.5  # not constant
    table = table_of({"a": values})
    query = EventQuery.parse(["above 11"], hold=None, measure=None, horizon=4)
    options = BacktestOptions(horizon=4, origins=1, events=query)
    events = backtest_series(table, {"remembers": Remembers()}, options).events
    row = events.row(0, named=True)
    assert (row["probability"], row["came"]) == (0.0, 1.0)
    assert row["brier"] == pytest.approx(3 / 4)  # said never, came in the second of four steps


def test_effects_of_covariates_are_found_before_each_origin_alone():
    promo = (np.arange(70) % 6 == 1).astype(float)
    promo[63:] = 1.0
    values = 20 + 8 * promo + np.random.default_rng(1).standard_normal(70)
    frame = pl.DataFrame({"unique_id": "a", "ds": DAYS, "y": values, "promo": promo})
    scores = {}
    for name, columns in (("plain", Columns()), ("known", Columns(covariates=("promo",)))):
        table = check_long_table(
            frame.select("unique_id", "ds", "y", *columns.covariates),
            frequency=None,
            where="t",
            columns=columns,
        )
        options = BacktestOptions(horizon=7, origins=1)
        found = backtest_series(table, {FLOOR_MODEL: SeasonalBootstrapForecaster()}, options)
        scores[name] = found.leaderboard["mase"][0]
    assert scores["known"] < scores["plain"] / 2


def test_a_table_that_is_too_short_and_bad_numbers_are_refused():
    table = table_of({"a": np.arange(9.0)})
    with pytest.raises(InputError, match="--horizon: no series is long enough for a backtest"):
        backtest_series(table, {}, BacktestOptions(horizon=7))
    with pytest.raises(InputError, match="origins"):
        backtest_series(table, {}, BacktestOptions(horizon=2, origins=0))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    rows = [f"{name},{day},{WEEK[n % 7] + n / 10}" for name in "ab" for n, day in enumerate(DAYS)]
    (tmp_path / "sales.csv").write_text("\n".join(["unique_id,ds,y", *rows]) + "\n")
    return tmp_path


def command(*arguments):
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_the_command_writes_its_tables_and_fans(folder):
    options = ("--horizon", 7, "--origins", 2, "--models", "bank", "--event", "above 9", "--out", "bt")
    done = command("backtest", "sales.csv", *options)
    assert done.exit_code == 0, done.stderr
    assert "seasonal naive" in done.stdout
    assert "above 9" in done.stdout
    names = {path.name for path in (folder / "bt").iterdir()}
    expected = ("leaderboard", "backtest_scores", "backtest_quantiles", "backtest_events")
    assert names == {f"{name}.parquet" for name in expected}
    done = command("plot", "sales.csv", "--from", "bt", "--series", "b")
    assert done.exit_code == 0, done.stderr
    page = (folder / "bt" / "figures" / "figures.html").read_text()
    assert "b: " in page
    assert "past values lay within the band of" in page
    assert (folder / "bt" / "figures" / "fan-0.png").is_file()
    assert command("backtest", "sales.csv", *options).exit_code == 0


def test_fans_of_a_forecast_go_on_from_the_past(folder):
    assert command("predict", "sales.csv", "--horizon", 5, "--model", "bank", "--out", "pr").exit_code == 0
    table = check_long_table(pl.read_csv("sales.csv"), frequency=None, where="t")
    fans = read_fans(folder / "pr", table, id_column="unique_id", time_column="ds")
    assert [fan.name for fan in fans] == ["a", "b"]
    assert fans[0].forecasts[0]["moment"].dt.date().to_list() == [
        DAYS[-1] + dt.timedelta(days=n) for n in range(1, 6)
    ]
    assert write_fans(folder / "pr", fans, source="sales.csv")[1:] == [
        "figures/fan-0.png",
        "figures/fan-1.png",
    ]
    (folder / "pr" / "figures" / "figures.html").write_text("<title>mine</title>")
    with pytest.raises(InputError, match="a page of something else would be lost"):
        write_fans(folder / "pr", fans, source="sales.csv")
    other = table_of({"z": np.arange(70.0)})
    with pytest.raises(InputError, match="the forecast is of another table"):
        read_fans(folder / "pr", other, id_column="unique_id", time_column="ds")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--horizon", 3), "--horizon: the option is about a TABLE"),
        (("sales.csv", "--horizon", 3), "--out: a backtest of a TABLE needs the option"),
        (("sales.csv", "--out", "x"), "--horizon: a backtest of a TABLE needs the option"),
        (("sales.csv", "--set", "a=b"), "--set: the option is about the panel, not about a TABLE"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(folder, arguments, sentence):
    done = command("backtest", *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {sentence}")


def test_a_folder_without_a_forecast_and_an_unknown_series_are_refused(folder):
    (folder / "none").mkdir()
    done = command("plot", "sales.csv", "--from", "none")
    assert (done.exit_code, "holds no forecast to be drawn" in done.stderr) == (2, True)
