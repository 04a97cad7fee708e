"""The short form of the reliability benchmark: a few bad inputs, kills and signals on a small order book."""

from __future__ import annotations

import random

import pytest
from reliability import Case, inputs, kills, signals, table
from reliability_command import Workplace
from reliability_inputs import bad_inputs
from reliability_tables import bad_tables

FEW_INPUTS = (
    "Parquet cut",
    "Parquet with nested quantities",
    "Parquet with formulas as articles",
    "Parquet with two readings of numbers",
    "CSV of random bytes",
    "CSV of an open quote",
    "Parquet called CSV",
    "a pipe",
    "/dev/zero called CSV",
    "mapping: YAML with a bomb of anchors",
    "mapping: YAML with a key that is a number",
    "--set 'data.columns={0123: x}'",
)
FEW_TABLES = ("predict: two values of a day", "predict: gzip cut short", "predict: --horizon=100000000")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Workplace.built(tmp_path_factory.mktemp("place"), ("etl",))


@pytest.mark.slow
def test_bad_inputs_end_in_one_sentence_and_leave_the_earlier_result_whole(place, monkeypatch):
    def few(folder, source, *, lines):
        cases = list(bad_inputs(folder, source, lines=lines, torn=2))
        return [next(case for case in cases if case[0].startswith(name)) for name in FEW_INPUTS]

    def few_tables(folder, *, out):
        return [case for case in bad_tables(folder, out=out) if case[0] in FEW_TABLES]

    monkeypatch.setattr("reliability.bad_inputs", few)
    monkeypatch.setattr("reliability.bad_tables", few_tables)
    found = list(inputs(place, 0, random.Random(1)))  # noqa: S311
    assert [case for case in found if not case.passed] == []
    assert len(found) == len(FEW_INPUTS) + len(FEW_TABLES)


@pytest.mark.slow
def test_kills_and_signals_leave_the_earlier_result_or_the_new_one(place):
    found = [*kills(place, 1, random.Random(2)), *signals(place, 2, random.Random(3))]  # noqa: S311
    assert [case for case in found if not case.passed] == []


def test_at_least_150_bad_inputs_are_tried_each_by_a_name_of_its_own(tmp_path):
    from reliability_command import order_book

    names = [name for name, _ in bad_inputs(tmp_path / "bad", random.Random(0), lines=order_book(), torn=40)]  # noqa: S311
    names += [name for name, _ in bad_tables(tmp_path / "tables", out=tmp_path)]
    assert len(names) >= 200
    assert len(set(names)) == len(names)


def test_table_counts_cases_and_passes_of_each_section():
    cases = [
        Case(section="kills", name="a", passed=True, why="", seconds=1.0),
        Case(section="kills", name="b", passed=False, why="x", seconds=2.5),
        Case(section="inputs", name="c", passed=True, why="", seconds=0.1),
    ]
    assert table(cases).splitlines()[2:] == ["| kills | 2 | 1 | 2.5 |", "| inputs | 1 | 1 | 0.1 |"]
