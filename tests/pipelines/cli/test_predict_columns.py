"""Wide tables, covariates, calendars, and answers that merge with pandas."""

from __future__ import annotations

import datetime as dt
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest

DAYS = [dt.date(2025, 1, 1) + dt.timedelta(days=n) for n in range(63)]
RNG = np.random.default_rng(5)
PROMO = (RNG.random(63) < 0.3).astype(int)
SOLD = 50 + 20 * PROMO + RNG.standard_normal(63)


def lines(rows, header):
    return "\n".join([header, *rows]) + "\n"


def refused(answer, sentence):
    status, error, _ = answer
    assert status == 2, error
    assert re.search(sentence, error), error


@pytest.fixture
def promoted(tmp_path):
    """A table whose covariate makes 20, and the file of its next three days."""
    rows = [f"{day},{SOLD[n]:.2f},{PROMO[n]},x" for n, day in enumerate(DAYS[:60])]
    future = [
        f"{name},{day},{promo}" for name in "y" for day, promo in zip(DAYS[60:], (1, 0, 1), strict=True)
    ]
    (tmp_path / "future.csv").write_text(lines(future, "unique_id,ds,promo"))
    return lines(rows, "ds,y,promo,colour")


def test_a_wide_table_is_the_long_one(predict):
    wide = [f"{day},{n % 7},{n}" for n, day in enumerate(DAYS)]
    long = [f"{name},{day},{value}" for n, day in enumerate(DAYS) for name, value in (("a", n % 7), ("b", n))]
    _, error, found = predict(lines(wide, "ds,a,b"))
    assert "note: a wide table: each of its 2 columns beside the dates is a series" in error
    assert found.equals(predict(lines(long, "unique_id,ds,y"))[2])


def test_a_table_without_ids_is_one_series(predict):
    status, _, found = predict(lines([f"{day},{n % 7}" for n, day in enumerate(DAYS)], "ds,y"))
    assert (status, found["unique_id"].unique().to_list()) == (0, ["y"])


def test_a_bad_value_of_a_wide_table_is_named_by_its_own_line(predict):
    rows = [f"{day},{n},inf" if n == 4 else f"{day},{n},{n}" for n, day in enumerate(DAYS)]
    refused(predict(lines(rows, "ds,a,b")), r"series b, .*row 5 \(line 6\): a value must be finite")


def test_a_covariate_moves_the_forecast_of_its_days(predict, promoted):
    options = ("--covariates", "promo", "--future", "future.csv")
    status, error, found = predict(promoted, *options)
    assert status == 0, error
    assert error.splitlines() == [
        "warning: columns that were not read: colour (--covariates or --statics reads them)"
    ]
    median = found.filter(pl.col("quantile_level") == 0.5)["value"].to_list()
    assert median == pytest.approx([70, 50, 70], abs=3)
    _, _, plain = predict(promoted)
    assert plain.filter(pl.col("quantile_level") == 0.5)["value"].max() < 63
    width = {
        name: table.group_by("ds").agg(pl.col("value").max() - pl.col("value").min())["value"].mean()
        for name, table in (("known", found), ("plain", plain))
    }
    assert width["known"] < width["plain"] / 2


def test_what_is_missing_of_covariates_is_named(predict, promoted, tmp_path):
    known = ("--covariates", "promo")
    refused(predict(promoted, *known), "--future: covariates need their values over the horizon")
    refused(predict(promoted, "--future", "future.csv"), "--future: a future table holds covariates")
    refused(
        predict(promoted, *known, "--future", "future.csv", "--horizon", 4),
        r"future\.csv: the future of the covariate 'promo' is not known for every step: expected .*4 steps.*"
        r"found 1 without, the first of series y on 2025-03-05",
    )
    refused(predict(promoted, "--covariates", "price"), "column 'price' is missing")
    holes = promoted.replace(f",{PROMO[2]},x", ",,x")
    refused(
        predict(holes, *known, "--future", "future.csv"),
        "the covariate 'promo' must be a number in every row",
    )
    twice = (tmp_path / "future.csv").read_text()
    (tmp_path / "future.csv").write_text(twice + twice.splitlines()[1] + "\n")
    refused(predict(promoted, *known, "--future", "future.csv"), "one future row per series and date")


def test_statics_must_not_change_and_alone_are_told_of(predict):
    rows = [f"a,{day},{n % 5},{'north' if n < 40 else 'south'}" for n, day in enumerate(DAYS)]
    refused(
        predict(lines(rows, "unique_id,ds,y,region"), "--statics", "region"),
        "a static covariate never changes within a series: expected one value of region, found 2",
    )
    steady = [row.replace("south", "north") for row in rows]
    _, error, _ = predict(lines(steady, "unique_id,ds,y,region"), "--statics", "region")
    assert "warning: statics say which series share the effects of covariates; there are none" in error


def test_a_fiscal_calendar_gives_its_own_dates(predict, tmp_path):
    weeks = np.cumsum([0, *([4, 4, 5] * 9)])
    ends = [dt.date(2023, 1, 28) + dt.timedelta(weeks=int(n)) for n in weeks]
    (tmp_path / "periods.csv").write_text(lines([str(day) for day in ends], "period_end"))
    table = lines([f"a,{day},{n % 3}" for n, day in enumerate(ends[:24])], "unique_id,ds,y")
    status, error, found = predict(table, "--calendar", "periods.csv")
    assert status == 0, error
    assert found["ds"].dt.date().unique().sort().to_list() == ends[24:27]
    refused(
        predict(table, "--calendar", "periods.csv", "--freq", "M"), "a calendar has a frequency of its own"
    )
    refused(predict(table, "--calendar", "periods.csv", "--horizon", 5), "must reach the end of the horizon")


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ("08-30 09-30 10-31 11-29 12-31", "2025-01-31 2025-02-28 2025-03-31"),
        ("06-03 07-01 08-01 09-02 10-01", "2024-11-01 2024-12-02 2025-01-01"),
        ("01-17 02-17 03-17 04-17 05-17", "2024-06-17 2024-07-17 2024-08-17"),
    ],
    ids=["last workdays", "first workdays", "a fixed day"],
)
def test_months_go_on_where_their_stamps_lie(predict, stamps, expected):
    rows = [f"a,2024-{day},{n}" for n, day in enumerate(stamps.split())]
    _, error, found = predict(lines(rows, "unique_id,ds,y"))
    assert found is not None, error
    assert found["ds"].dt.date().cast(pl.String).unique().sort().to_list() == expected.split()


def test_the_answer_merges_with_what_pandas_reads(predict, tmp_path):
    predict(lines([f"a,{day},{n % 7}" for n, day in enumerate(DAYS[:60])], "unique_id,ds,y"), "--wide")
    actual = pd.DataFrame({"unique_id": "a", "ds": pd.to_datetime(DAYS[60:]), "y": [1.0, 2.0, 3.0]})
    for forecast in (
        pd.read_parquet(tmp_path / "out" / "quantiles.parquet"),
        pd.read_csv(tmp_path / "out" / "forecast.csv", parse_dates=["ds"]),
    ):
        assert pd.api.types.is_datetime64_any_dtype(forecast["ds"])
        joined = actual.merge(forecast, on=["unique_id", "ds"])
        assert len(joined) in {9, 3}
    assert list(forecast.columns) == ["unique_id", "ds", "0.1", "0.5", "0.9"]


def test_a_csv_of_ones_own_is_not_replaced(predict, tmp_path):
    table = lines([f"a,{day},{n % 7}" for n, day in enumerate(DAYS)], "unique_id,ds,y")
    assert predict(table, "--wide")[0] == 0
    assert predict(table, "--wide", "--seed", 4)[0] == 0
    (tmp_path / "out" / "forecast.csv").write_text("mine\n")
    refused(predict(table, "--wide"), r"was changed since.*found forecast\.csv")
    (tmp_path / "out" / "forecast.csv").unlink()
    assert predict(table)[0] == 0
    assert not (tmp_path / "out" / "forecast.csv").exists()


def coloured(days, *, start=0):
    """Words of the days: red adds 20, blue takes 15, plain days are white."""
    words = ["red" if n % 5 == 1 else "blue" if n % 7 == 3 else "white" for n in range(start, start + days)]
    effect = {"red": 20, "blue": -15, "white": 0}
    return words, [50 + effect[word] + RNG.standard_normal() for word in words]


def test_a_covariate_of_words_has_an_effect_for_each_category(predict, tmp_path):
    words, sold = coloured(60)
    table = lines([f"{day},{y:.2f},{w}" for day, y, w in zip(DAYS, sold, words, strict=False)], "ds,y,colour")
    options = ("--covariates", "colour", "--future", "ahead.csv")
    ahead = [f"y,{day},{word}" for day, word in zip(DAYS[60:], ("blue", "white", "red"), strict=True)]
    (tmp_path / "ahead.csv").write_text(lines(ahead, "unique_id,ds,colour"))
    status, error, found = predict(table, *options)
    assert status == 0, error
    median = found.filter(pl.col("quantile_level") == 0.5)["value"].to_list()
    assert median == pytest.approx([35, 50, 70], abs=4)
    (tmp_path / "ahead.csv").write_text(lines([*ahead[:2], f"y,{DAYS[62]},green"], "unique_id,ds,colour"))
    refused(
        predict(table, *options),
        r"ahead\.csv, row 3: the covariate 'colour' has a category that the history does not have: expected "
        r"white, red, blue, found 'green'",
    )


def test_a_covariate_of_words_must_be_known_and_few(predict, tmp_path):
    words, sold = coloured(60)
    rows = [f"{day},{y:.2f},{w}" for day, y, w in zip(DAYS, sold, words, strict=False)]
    (tmp_path / "ahead.csv").write_text(lines([f"y,{day},red" for day in DAYS[60:]], "unique_id,ds,colour"))
    options = ("--covariates", "colour", "--future", "ahead.csv")
    holes = [rows[0].rpartition(",")[0] + ",", *rows[1:]]
    refused(
        predict(lines(holes, "ds,y,colour"), *options),
        r"row 1: the covariate 'colour' must have a word in every row: found 1 rows",
    )
    names = [f"{row.rpartition(',')[0]},name {n}" for n, row in enumerate(rows)]
    refused(
        predict(lines(names, "ds,y,colour"), *options),
        "'colour' has too many categories: expected numbers, or at most 50 different words, found 60",
    )
