"""Any long table as histories: every bad input is refused by name, and no observation is lost or moved."""

import calendar
import datetime as dt
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.errors import InputError
from forecasting.panel import long_table
from forecasting.panel.long_table import check_long_table, histories
from forecasting.panel.stamps import future_dates
from forecasting.periods import Frequency

FEW = settings(deadline=None, max_examples=25)
MONTHS = {"M": 1, "Q": 3, "Y": 12}
FIXED = {"h": dt.timedelta(hours=1), "D": dt.timedelta(days=1), "W": dt.timedelta(days=7)}


def date_at(frequency, step, day=1):
    """Oracle: date of a step; `day` of the month, 31 standing for its last day."""
    if frequency in FIXED:
        start = dt.datetime(2024, 2, 27, 5) if frequency == "h" else dt.date(2024, 2, 27)  # noqa: DTZ001
        return start + step * FIXED[frequency]
    years, month = divmod(1 + step * MONTHS[frequency], 12)
    last = calendar.monthrange(2023 + years, month + 1)[1]
    return dt.date(2023 + years, month + 1, min(day, last))


def table(series, frequency="D", *, day=1, variate=False):
    """Long table of {name or (name, variate): {step: value}}."""
    rows = [
        {
            "unique_id": key[0] if variate else key,
            **({"variate": key[1]} if variate else {}),
            "ds": date_at(frequency, step, day),
            "y": value,
        }
        for key, values in series.items()
        for step, value in values.items()
    ]
    schema = {"y": pl.Float64}
    return pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)


def checked(frame, frequency="D"):
    return check_long_table(frame, frequency=Frequency.parse(frequency), where="sales.csv")


def following(long_table, last, horizon):
    return future_dates(last, horizon=horizon, frequency=long_table.frequency, style=long_table.style)


def refused(frame, sentence, frequency="D"):
    with pytest.raises(InputError, match=f"^sales.csv{sentence}$") as error:
        checked(frame, frequency)
    assert error.value.exit_code == 2


THREE = {0: 1.0, 1: 2.0, 2: 3.0}
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


def dated(*dates):
    return pl.DataFrame({"unique_id": "a", "ds": dates, "y": 1.0})


DAY = dt.date


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


VALUES = st.dictionaries(
    st.integers(0, 24), st.none() | st.floats(-1e9, 1e9), min_size=3, max_size=10
).filter(
    lambda values: (
        sum(value is not None for value in values.values()) >= 3
        and math.gcd(*(step - min(values) for step in values)) == 1
    )
)
NAMES = st.sampled_from(["a", "b", "c"])
FREQUENCIES = st.sampled_from(list("hDWMQY"))
DAYS = st.sampled_from([1, 15, 31])


def gathered(frame, frequency):
    """All histories of a table: {(item, variate): ({steps before the last date: value}, last date)}."""
    found = {}
    for history, last in histories(checked(frame, frequency)):
        assert str(history.frequency) == frequency
        assert history.item_ids == tuple(str(name) for name in last["unique_id"])
        for i, (item, end) in enumerate(last.select("unique_id", "last").iter_rows()):
            assert history.origins[i] == end
            for v, variate in enumerate(history.variates):
                row = history.values[i, v]
                observed = {
                    len(row) - 1 - c: row[c] for c in range(len(row)) if history.observed_mask[i, v, c]
                }
                assert (item, variate) not in found
                found[item, variate] = observed, end
    return found


@FEW
@given(
    series=st.dictionaries(NAMES, VALUES, min_size=1),
    frequency=FREQUENCIES,
    day=DAYS,
    order=st.randoms(use_true_random=False),
)
def test_histories_hold_exactly_the_observed_values(series, frequency, day, order):
    frame = table(series, frequency, day=day)
    places = list(range(frame.height))
    order.shuffle(places)
    found = gathered(frame[places], frequency)
    assert found.keys() == {(item, "y") for item in series}
    for item, values in series.items():
        last = max(values)
        expected = {last - step: value for step, value in values.items() if value is not None}
        assert found[item, "y"] == (expected, date_at(frequency, last, day))


@FEW
@given(
    series=st.dictionaries(st.tuples(NAMES, st.sampled_from(["price", "orders"])), VALUES, min_size=1),
    frequency=FREQUENCIES,
    day=DAYS,
)
def test_variates_of_an_item_are_aligned_with_each_other(series, frequency, day):
    found = gathered(table(series, frequency, day=day, variate=True), frequency)
    assert found.keys() == series.keys()
    for (item, variate), values in series.items():
        last = max(step for (name, _), others in series.items() if name == item for step in others)
        expected = {last - step: value for step, value in values.items() if value is not None}
        assert found[item, variate] == (expected, date_at(frequency, last, day))


def test_items_are_grouped_by_the_variates_they_have():
    frame = table(
        {("a", "x"): THREE, ("a", "y"): THREE, ("b", "x"): THREE, ("c", "y"): THREE, ("c", "x"): THREE},
        variate=True,
    )
    parts = {history.variates: history.item_ids for history, _ in histories(checked(frame))}
    assert parts == {("x",): ("b",), ("x", "y"): ("a", "c")}


def test_lengths_differ_and_gaps_become_nan():
    frame = table({"short": {3: 7.0, 4: 8.0, 5: 9.0}, "long": {0: 1.0, 1: None, 4: 5.0, 5: 6.0}})
    ((history, _),) = histories(checked(frame))
    nan = np.nan
    np.testing.assert_array_equal(
        history.values[:, 0], [[1.0, nan, nan, nan, 5.0, 6.0], [nan, nan, nan, 7.0, 8.0, 9.0]]
    )
    assert history.item_ids == ("long", "short")


def test_names_may_be_numbers_and_values_whole():
    frame = pl.DataFrame(
        {"unique_id": [10, 10, 10, 9, 9, 9], "ds": [DAY(2026, 1, d) for d in (1, 2, 3)] * 2, "y": 3}
    )
    ((history, last),) = histories(checked(frame))
    assert history.item_ids == ("9", "10")
    assert last["unique_id"].to_list() == [9, 10]
    assert (history.values == 3.0).all()


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_time_stamps_of_any_resolution_are_dates(unit, zone):
    frame = table({"a": THREE}, "h").with_columns(
        pl.col("ds").cast(pl.Datetime(unit)).dt.replace_time_zone(zone)
    )
    ((history, last),) = histories(checked(frame, "h"))
    np.testing.assert_array_equal(history.values, [[[1.0, 2.0, 3.0]]])
    assert last.schema["last"] == pl.Datetime(unit, zone)


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


@FEW
@given(
    lasts=st.lists(st.integers(3, 40), min_size=1, max_size=3),
    frequency=FREQUENCIES,
    day=DAYS,
    horizon=st.integers(1, 14),
)
def test_the_future_continues_the_dates_as_they_are(lasts, frequency, day, horizon):
    series = {f"s{n}": {last - k: 1.0 for k in range(4)} for n, last in enumerate(lasts)}
    long_table = checked(table(series, frequency, day=day), frequency)
    ((_, last),) = histories(long_table)
    future = following(long_table, last, horizon)
    expected = {
        (f"s{n}", step): date_at(frequency, end + step + 1, day)
        for n, end in enumerate(lasts)
        for step in range(horizon)
    }
    assert {(r["unique_id"], r["step"]): r["ds"] for r in future.iter_rows(named=True)} == expected


def test_month_ends_continue_at_month_ends():
    long_table = checked(dated(DAY(2023, 12, 31), DAY(2024, 1, 31), DAY(2024, 2, 29)), "M")
    ((_, last),) = histories(long_table)
    future = following(long_table, last, 3)
    assert future["ds"].to_list() == [DAY(2024, 3, 31), DAY(2024, 4, 30), DAY(2024, 5, 31)]


def test_a_day_of_the_month_is_kept_where_not_all_dates_are_month_ends():
    long_table = checked(dated(DAY(2024, 1, 28), DAY(2024, 2, 28), DAY(2024, 3, 28)), "M")
    ((_, last),) = histories(long_table)
    future = following(long_table, last, 2)
    assert future["ds"].to_list() == [DAY(2024, 4, 28), DAY(2024, 5, 28)]


def test_each_series_continues_as_its_own_dates_do():
    starts = [DAY(2024, 2, 1), DAY(2024, 3, 1), DAY(2024, 4, 1)]
    ends = [DAY(2024, 2, 29), DAY(2024, 3, 31), DAY(2024, 4, 30)]
    rows = pl.concat([dated(*starts).with_columns(unique_id=pl.lit("starts")), dated(*ends)])
    long_table = checked(rows, "M")
    ((_, last),) = histories(long_table)
    future = following(long_table, last, 1)
    assert set(future["ds"]) == {DAY(2024, 5, 1), DAY(2024, 5, 31)}


def test_series_too_many_for_the_longest_are_refused_with_its_name(monkeypatch):
    frame = table({"short": {0: 1.0, 1: 2.0, 2: 3.0}, "long": dict.fromkeys(range(30), 1.0)})
    monkeypatch.setattr(long_table, "MAX_VALUES", 60)
    assert list(histories(checked(frame)))
    monkeypatch.setattr(long_table, "MAX_VALUES", 59)
    with pytest.raises(
        InputError, match=r"^series long: .*at most 59 values.*found 2 items of y x 30 steps"
    ) as told:
        list(histories(checked(frame)))
    assert told.value.exit_code == 2
