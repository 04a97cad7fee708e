"""Any long table as histories: no observation is lost or moved, and the future continues its dates."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from long_tables import DAY, THREE, checked, date_at, dated, table

from forecasting.errors import InputError
from forecasting.panel import long_table
from forecasting.panel.long_table import histories
from forecasting.panel.stamps import future_dates

FEW = settings(deadline=None, max_examples=25)
VALUES = (
    st.dictionaries(st.integers(0, 24), st.none() | st.floats(-1e9, 1e9), min_size=2, max_size=9)
    .map(lambda values: {min(values) + 1: 0.5} | values)  # two dates one step apart: else it may be refused
    .filter(lambda values: sum(value is not None for value in values.values()) >= 3)
)
NAMES = st.sampled_from(["a", "b", "c"])
FREQUENCIES = st.sampled_from(list("hDWMQY"))
DAYS = st.sampled_from([1, 15, 31])


def following(long_table, last, horizon):
    return future_dates(last, horizon=horizon, frequency=long_table.frequency, style=long_table.style)


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
    ) as refusal:
        list(histories(checked(frame)))
    assert refusal.value.exit_code == 2
