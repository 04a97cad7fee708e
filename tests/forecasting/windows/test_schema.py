"""The declared columns of an answer: every one is described, and a table that breaks them is refused."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from forecasting.errors import StepError
from forecasting.windows.schema import (
    cap_readings_schema,
    headroom_schema,
    lead_time_schema,
    q,
    saturation_schema,
    scenarios_schema,
    table_of,
    window_steps_schema,
    windows_schema,
)

LEVELS = (0.1, 0.5, 0.9)
ALL = [
    *(of(LEVELS) for of in (windows_schema, window_steps_schema, lead_time_schema, cap_readings_schema)),
    *(scenarios_schema(LEVELS), saturation_schema(), headroom_schema()),
]
SCENARIO = {
    "policy": "mine",
    "chip": "H200",
    "scope": "product",
    "scenario": "base",
    "title": "base case",
    "p_saturated": 0.5,
    "p_any_window": 0.25,
    "p_sooner": 0.0,
    "p_later": 0.0,
    "p_more_units": 0.0,
    "p_fewer_units": 0.0,
    **{f"saturated_{q(level)}": dt.date(2027, 3, 31) for level in LEVELS},
    **{f"units_{q(level)}": 10.0 for level in LEVELS},
    "value_usd_q50": None,
}


@pytest.mark.parametrize("schema", ALL)
def test_every_column_is_described_and_every_figure_has_a_unit(schema):
    for name, column in schema.columns().items():
        assert column.description, name
        if column.dtype == pl.Float64():
            assert column.metadata["unit"], name


def test_quantile_columns_follow_the_levels():
    names = windows_schema((0.05, 0.975)).column_names()
    assert {"saturated_q5", "opening_q97.5", "units_q5", "first_window_value_usd_q97.5"} <= set(names)
    assert not any(name.endswith("_q50") for name in names)


def test_a_column_without_any_value_keeps_its_type():
    table = table_of([SCENARIO], scenarios_schema(LEVELS))
    assert table.schema["value_usd_q50"] == pl.Float64
    assert table_of([], scenarios_schema(LEVELS)).schema == table.schema


@pytest.mark.parametrize(
    "change",
    [
        {"p_saturated": 1.2},
        {"p_later": -0.1},
        {"units_q50": float("nan")},
        {"scope": "everything"},
        {"scenario": None},
    ],
)
def test_a_figure_that_cannot_be_is_never_handed_out(change):
    with pytest.raises(StepError, match=f"breaks its schema ScenariosSchema: .*{next(iter(change))}"):
        table_of([SCENARIO | change], scenarios_schema(LEVELS))


def test_two_answers_to_one_question_are_refused():
    with pytest.raises(StepError, match="ScenariosSchema: .*primary_key"):
        table_of([SCENARIO, SCENARIO], scenarios_schema(LEVELS))
