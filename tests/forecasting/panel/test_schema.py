"""The canonical panel: every rule refuses its bad input in one sentence; vintages and arrays."""

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from panel_rows import START, Q, checked, good_rows, row

from forecasting.errors import InputError
from forecasting.frequencies import Frequency, add_periods
from forecasting.panel.schema import (
    COLUMNS,
    KEY,
    TYPES,
    PanelSchema,
    as_of,
    check_panel,
    latest,
    newest_period,
    to_history,
)

FEW = settings(deadline=None, max_examples=50)


def refused(rows, sentence):
    with pytest.raises(InputError, match=f"^panel{sentence}$") as error:
        checked(rows)
    assert error.value.exit_code == 2


def test_a_checked_panel_keeps_its_schema_and_is_sorted_by_key():
    panel = checked(good_rows()[::-1])
    PanelSchema.validate(panel)
    assert tuple(panel.columns) == COLUMNS
    assert panel.equals(panel.sort(*KEY, "published_at"))
    assert panel.height == 9


@FEW
@given(order=st.permutations(range(9)), columns=st.permutations(COLUMNS))
def test_the_order_of_rows_and_columns_is_irrelevant(order, columns):
    rows = good_rows()
    shuffled = pl.DataFrame([rows[place] for place in order]).select(columns)
    assert check_panel(shuffled, frequency=Q).equals(checked(rows))


def test_columns_beyond_the_schema_are_left_out():
    assert checked([{**given_row, "remark": "x"} for given_row in good_rows()]).columns == list(COLUMNS)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named(column):
    panel = pl.DataFrame(good_rows()).drop(column)
    with pytest.raises(
        InputError, match=f"^my file: column '{column}' is missing: found .*(item_id|timestamp)"
    ):
        check_panel(panel, frequency=Q, where="my file")


def test_a_misspelt_column_is_recognised():
    panel = pl.DataFrame(good_rows()).rename({"published_at": "publishd_at"})
    with pytest.raises(
        InputError, match=r"'published_at' is missing: found .*; the nearest is 'publishd_at'$"
    ):
        check_panel(panel, frequency=Q)


@pytest.mark.parametrize(
    ("column", "value", "expected", "found"),
    [
        ("value", "many", "Float64", "String"),
        ("timestamp", "2025-03-31", "Date", "String"),
        ("timestamp", dt.datetime(2025, 3, 31), "Date", r"Datetime\(.*\)"),  # noqa: DTZ001
        ("item_id", 200, "String", "Int64"),
        ("variate", 1, r"Enum\(.*\)", "Int64"),
    ],
)
def test_a_column_of_the_wrong_type_is_refused(column, value, expected, found):
    rows = [{**given_row, column: value} for given_row in good_rows()]
    refused(rows, f": column '{column}' is of the wrong type: expected {expected}, found {found}")


def test_whole_numbers_serve_as_figures():
    figures = dict.fromkeys(["value", "value_p05", "value_p95"], 3)
    assert checked([row(**figures)])["value"].dtype == pl.Float64


@pytest.mark.parametrize("column", COLUMNS)
def test_nulls_are_refused_and_counted(column):
    rows = good_rows()
    rows[3][column] = rows[5][column] = None
    refused(rows, f": column '{column}' must not be empty: found 2 nulls")


@pytest.mark.parametrize(("column", "word"), [("variate", "order"), ("kind", "guessed")])
def test_a_word_outside_the_vocabulary_is_refused(column, word):
    refused([row(**{column: word})], f": a value is outside its column's words: found .*{word}.*")


def test_an_item_needs_a_name():
    refused([row(item_id="")], ": an item must have a name: expected text in 'item_id', found 1 rows without")


AT = ", H200 orders 2025-06-30"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"value": -3.0},
            r"value must not be negative: expected 0 or more, found value -3 \(1 such rows\)",
        ),
        (
            {"value_p05": -0.5},
            r"value_p05 must not be negative: expected 0 or more, found value_p05 -0.5 \(1 such rows\)",
        ),
        (
            {"value": math.inf},
            r"value must be a finite number: expected a number, found value inf \(1 such rows\)",
        ),
        (
            {"value_p95": math.nan},
            r"value_p95 must be a finite number: expected a number, found value_p95 nan \(1 such rows\)",
        ),
        (
            {"value_p05": 101.0},
            (
                r"the 5 % point must not lie above the central figure: expected p05 <= value, "
                r"found value_p05 101, value 100 \(1 such rows\)"
            ),
        ),
        (
            {"value_p95": 99.0},
            (
                r"the 95 % point must not lie below the central figure: expected value <= p95, "
                r"found value 100, value_p95 99 \(1 such rows\)"
            ),
        ),
    ],
)
def test_a_bad_figure_is_refused_with_its_item_and_period(changes, sentence):
    refused([row(step=0), row(step=1, **changes), row(step=2)], f"{AT}: {sentence}")


@FEW
@given(value=st.floats(0, 1e12))
def test_rounding_in_the_ninth_digit_is_not_disorder(value):
    panel = checked([row(value=value, value_p05=value * (1 + 5e-10), value_p95=value * (1 - 5e-10))])
    PanelSchema.validate(panel)


def test_a_key_may_stand_once_per_publication_date():
    rows = [row(), row(value=7.0), row(late=200, value=7.0)]
    refused(
        rows,
        ", H200 orders 2025-03-31: an item may have one figure per period, variate and publication date: "
        r"expected 1 row, found 2 rows \(1 such keys\)",
    )
    assert checked(rows[1:]).height == 2


def test_a_gap_in_a_series_is_refused():
    refused(
        [row(step=0), row(step=1), row(step=3)],
        ", H200 orders: a series must not have gaps: "
        "expected 4 periods from 2025-03-31 to 2025-12-31, found 3",
    )


def test_a_timestamp_that_ends_no_period_is_refused():
    refused(
        [row(timestamp=dt.date(2025, 5, 31))],
        ": a timestamp must be the last day of its period: expected 2025-06-30, found 2025-05-31",
    )
    assert check_panel(pl.DataFrame([row(timestamp=dt.date(2025, 5, 31))]), frequency=Frequency.MONTH).height


REVISIONS = st.lists(
    st.tuples(
        st.sampled_from(["H100", "H200"]),
        st.integers(0, 3),
        st.sampled_from(["orders", "capacity"]),
        st.integers(0, 40),
        st.floats(0, 1e6),
    ),
    max_size=25,
    unique_by=lambda revision: revision[:4],
)
DAY = st.integers(0, 400).map(lambda days: START + dt.timedelta(days=days))


def revised(revisions):
    rows = [row(item, step, v, late=late, value=value) for item, step, v, late, value in revisions]
    return pl.DataFrame(rows or [row()], schema=TYPES).head(len(rows))


@FEW
@given(revisions=REVISIONS, day=DAY)
def test_as_of_a_day_each_key_shows_the_newest_figure_published_by_then(revisions, day):
    known = {}
    for revision in revised(revisions).sort("published_at").iter_rows(named=True):
        if revision["published_at"] <= day:
            known[tuple(revision[name] for name in KEY)] = revision
    seen = as_of(revised(revisions).lazy(), day).collect()
    assert {tuple(r[name] for name in KEY): r for r in seen.iter_rows(named=True)} == known
    assert seen.height == len(known)
    assert seen.filter(pl.col("published_at") > day).is_empty()


@FEW
@given(revisions=REVISIONS, day=DAY)
def test_what_is_published_later_changes_nothing_of_what_was_known(revisions, day):
    panel = revised(revisions)
    past = panel.filter(pl.col("published_at") <= day)
    assert as_of(panel.lazy(), day).collect().equals(latest(past.lazy()).collect())


def test_the_origin_is_the_newest_period_with_flows_context_and_china_apart():
    rows = [
        row(step=1),
        row(step=2, variate="shipments"),
        row("china/H20", step=4),
        row("context/census_m3", step=5),
        row("H100", step=0, variate="capacity"),
    ]
    panel = pl.DataFrame(rows)
    assert newest_period(panel) == dt.date(2025, 6, 30)
    assert newest_period(panel, ["H100"]) == dt.date(2025, 3, 31)
    with pytest.raises(InputError, match="holds no orders and capacity to forecast from"):
        newest_period(panel, ["china/H20"])


@FEW
@given(data=st.data())
def test_arrays_hold_each_figure_in_its_period_and_nothing_else(data):
    spans = st.tuples(st.integers(0, 4), st.integers(0, 4))
    items = ["H200", "H100", "portfolio/us"]
    starts = {
        (item, variate): data.draw(st.integers(0, 5))
        for item in items
        for variate in ("orders", "capacity", "shipments")
    }
    beyond = data.draw(spans)[0]
    rows = [
        row(item, step, variate, value=1000.0 * place + step)
        for place, ((item, variate), start) in enumerate(starts.items())
        for step in range(start, 6 + beyond)
    ]
    chosen = data.draw(st.lists(st.sampled_from(items), min_size=1, unique=True))
    variates = data.draw(st.lists(st.sampled_from(["orders", "capacity"]), min_size=1, unique=True))
    origin = add_periods(START, 5, Q)
    history = to_history(
        pl.DataFrame(data.draw(st.permutations(rows))),
        items=chosen,
        origin=origin,
        frequency=Q,
        variates=variates,
    )
    assert (history.item_ids, history.variates) == (tuple(chosen), tuple(variates))
    assert history.origins == (origin,) * len(chosen)
    assert history.context_length == 6 - min(starts[i, v] for i in chosen for v in variates)
    figures = {(r["item_id"], r["variate"], r["timestamp"]): r for r in rows}
    for i, item in enumerate(chosen):
        for v, variate in enumerate(variates):
            for column in range(history.context_length):
                end = add_periods(origin, column - history.context_length + 1, Q)
                found = [
                    history.values[i, v, column],
                    history.value_p05[i, v, column],
                    history.value_p95[i, v, column],
                ]
                figure = figures.get((item, variate, end))
                names = ("value", "value_p05", "value_p95")
                expected = [figure[name] for name in names] if figure else [math.nan] * 3
                np.testing.assert_array_equal(found, expected)


def test_an_item_that_does_not_reach_the_origin_is_refused():
    orders = [row("H100", step, "orders") for step in range(3)]
    capacity = [row("H100", step, "capacity") for step in range(2)]
    whole = [row("H200", step, variate) for step in range(3) for variate in ("orders", "capacity")]
    panel = pl.DataFrame(orders + capacity + whole)
    sentence = (
        "^panel, H100: an item must have a figure at the forecast origin: "
        "expected capacity at 2025-09-30, found none$"
    )
    with pytest.raises(InputError, match=sentence):
        to_history(panel, items=["H200", "H100"], origin=dt.date(2025, 9, 30), frequency=Q)


def test_items_without_any_figure_are_refused():
    with pytest.raises(InputError, match=r"^panel: none of the items has a figure: found H20, B200$"):
        to_history(pl.DataFrame(good_rows()), items=["H20", "B200"], origin=START, frequency=Q)
