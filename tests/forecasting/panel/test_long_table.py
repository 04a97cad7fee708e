"""Any long table is checked: every bad input is refused by name, and what can be read for sure is read."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from long_tables import DAY, THREE, checked, dated, table

from forecasting.errors import InputError


def refused(frame, sentence, frequency="D"):
    with pytest.raises(InputError, match=f"^sales.csv{sentence}$") as error:
        checked(frame, frequency)
    assert error.value.exit_code == 2


GOOD = table({"a": THREE, "b": THREE})


@pytest.mark.parametrize("column", ["unique_id", "ds", "y"])
def test_a_missing_column_is_named(column):
    refused(
        GOOD.drop(column),
        f": column '{column}' is missing: expected unique_id, ds, y and optionally variate, found .*",
    )


def test_a_misspelt_column_is_recognised():
    refused(
        GOOD.rename({"unique_id": "uniqueid"}), r": column 'unique_id' is missing \(is it 'uniqueid'\?\): .*"
    )


def test_a_table_without_rows_is_refused():
    refused(GOOD.clear(), ": a table must hold at least one series: found no rows")


@pytest.mark.parametrize("column", ["unique_id", "ds"])
def test_an_empty_name_or_date_is_refused(column):
    holed = GOOD.with_columns(pl.when(pl.col("y") < 3).then(pl.col(column)))
    refused(holed, f": column '{column}' must not be empty: found 2 nulls, the first in row 3")


def test_an_empty_variate_is_refused():
    refused(
        GOOD.with_columns(variate=pl.lit(None, pl.String)),
        ": column 'variate' must not be empty: found 6 nulls, the first in row 1",
    )


@pytest.mark.parametrize(
    ("texts", "bad", "row"),
    [
        (["hello", "2026-01-02", "2026-01-03"], "hello", 1),
        (["2026-01-01", "2026-02-30", "2026-03-01"], "2026-02-30", 2),
        (["no", "dates", "here"], "no", 1),
        (["01/02/2026", "02/02/2026", "03/02/2026"], "01/02/2026", 1),
        (["2024", "2025", "2026"], "2024", 1),
        (["2026-01-01", "2026-01-02", "2026-01-03T12:00:00"], "2026-01-03T12:00:00", 3),
    ],
    ids=["a word", "no such day", "words alone", "day or month first", "years alone", "two ways"],
)
def test_a_date_that_cannot_be_read_for_sure_is_refused(texts, bad, row):
    frame = pl.DataFrame({"unique_id": ["a"] * 3, "ds": texts, "y": [1.0, 2.0, 3.0]})
    refused(
        frame,
        f", row {row}: a date cannot be read: expected 2026-03-31 or 2026-03-31T12:00:00, "
        f"one way throughout, found '{bad}'",
    )


@pytest.mark.parametrize("dates", [[1, 2, 3], [None] * 3, [1.5, 2.5, 3.5]])
def test_dates_of_another_type_are_refused(dates):
    frame = pl.DataFrame({"unique_id": ["a"] * 3, "ds": dates, "y": [1.0, 2.0, 3.0]})
    refused(frame, ": column 'ds' must hold dates: found (Int64|Null|Float64)")


@pytest.mark.parametrize("value", ["many", "2026-01-01", "1,5", "1_000", "true"])
def test_text_that_is_no_number_is_named_with_its_row(value):
    texts = pl.Series(["1", " 2.5e1 ", "NA", "", "nan", value])
    refused(
        GOOD.with_columns(y=texts),
        ", row 6: column 'y' must hold numbers: expected such as 1234.5, "
        f"or nothing where none was observed, found '{value}'",
    )


def test_values_of_another_type_are_refused():
    refused(GOOD.with_columns(y=pl.lit(value=True)), ": column 'y' must hold numbers: found Boolean")


def test_numbers_in_text_are_read_and_what_stands_for_none_is_missing():
    texts = pl.Series(["1", " 2.5e1 ", "+3", "NA", "4", "5", "", "nan", "NULL", "6"])
    frame = pl.concat([table({"a": dict.fromkeys(range(10), 0.0)})]).with_columns(y=texts)
    found = checked(frame).rows["y"].to_list()
    assert found == [1.0, 25.0, 3.0, None, 4.0, 5.0, None, None, None, 6.0]


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_value_is_refused(value):
    refused(
        table({"a": THREE, "b": {**THREE, 3: value}}),
        f", series b, 2024-03-01, row 7: a value must be finite: found {value}",
    )


def test_a_date_that_stands_twice_is_refused():
    refused(
        pl.concat([GOOD, GOOD.filter((pl.col("unique_id") == "b") & (pl.col("y") == 2))]),
        r", series b: a series may have one row per date: expected one row in 2024-02-28 \(--freq D\): "
        r"aggregate the rows of a period first, found 2024-02-28 \(row 5\) and 2024-02-28 \(row 7\)",
    )


def test_a_series_needs_three_observations():
    refused(
        table({"a": THREE, "b": {0: 1.0, 1: None, 2: float("nan"), 3: 4.0}}),
        ", series b: a series needs observations to be forecast from: expected at least 3, found 2",
    )
    refused(
        table({("a", "x"): THREE, ("a", "y"): {0: 1.0}}, variate=True),
        ", series a, y: a series needs observations to be forecast from: expected at least 3, found 1",
    )


@pytest.mark.parametrize(
    ("frequency", "dates", "bad", "before"),
    [
        (
            "h",
            [dt.datetime(2026, 1, 1, h, h // 2) for h in range(4)],  # noqa: DTZ001
            "2026-01-01 02:01:00",
            "2026-01-01 01:00:00",
        ),
        ("W", [DAY(2026, 1, 4), DAY(2026, 1, 11), DAY(2026, 1, 19)], "2026-01-19", "2026-01-11"),
        ("M", [DAY(2026, 1, 31), DAY(2026, 2, 28), DAY(2026, 3, 30)], "2026-03-30", "2026-02-28"),
        ("M", [DAY(2026, 1, 15), DAY(2026, 2, 16), DAY(2026, 3, 16)], "2026-02-16", "2026-01-15"),
        ("Q", [DAY(2026, 1, 1), DAY(2026, 4, 1), DAY(2026, 8, 1)], "2026-08-01", "2026-04-01"),
        ("Y", [DAY(2024, 1, 1), DAY(2025, 1, 1), DAY(2026, 7, 1)], "2026-07-01", "2025-01-01"),
    ],
)
def test_spacing_that_does_not_fit_the_frequency_is_refused(frequency, dates, bad, before):
    step = {"h": "hour", "W": "week", "M": "month", "Q": "quarter", "Y": "year"}[frequency]
    refused(
        dated(*dates),
        rf", series a, {bad}, row \d: dates must be spaced by whole steps of the frequency: "
        rf"expected steps of 1 {step} \(--freq {frequency}\), found a date after {before}",
        frequency,
    )


def test_variates_of_an_item_must_lie_on_one_grid():
    mondays, sundays = ([DAY(2026, 1, day + 7 * n) for n in range(3)] for day in (5, 4))
    frame = pl.DataFrame(
        {"unique_id": "a", "variate": ["x"] * 3 + ["y"] * 3, "ds": mondays + sundays, "y": 1.0}
    )
    refused(
        frame,
        ", series a, x, 2026-01-05, row 1: dates must be spaced by whole steps of the frequency: .*",
        "W",
    )
    apart = frame.with_columns(unique_id="variate").drop("variate")
    assert checked(apart, "W").rows.height == 6


@pytest.mark.parametrize(
    ("frequency", "form"),
    [
        ("D", "%Y-%m-%d"),
        ("h", "%Y-%m-%d %H:%M:%S"),
        ("h", "%Y-%m-%dT%H:%M:%S%.6f"),
        ("h", "%Y-%m-%d %H:%M"),
        ("h", "%Y-%m-%dT%H:%M:%SZ"),
    ],
)
def test_dates_in_text_are_read(frequency, form):
    frame = table({"a": THREE}, frequency)
    read = checked(frame.with_columns(pl.col("ds").dt.to_string(form)), frequency).rows["ds"]
    zone = "UTC" if form.endswith("Z") else None
    expected = frame["ds"].dt.replace_time_zone(zone) if frequency == "h" else frame["ds"]
    assert read.to_list() == expected.to_list()
