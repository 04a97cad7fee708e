"""Floors, constants and levels: every model of `predict` keeps to zero and goes by the moves alone."""

from __future__ import annotations

import re

import polars as pl
import pytest

MODELS = ["statistical", "network", "auto", "ensemble"]
DEMAND = [0, 1, 0, 2, 0, 0, 1, 3, 0, 0, 1, 0, 0, 2, 0, 1, 0]
MOVES = [0, 9, 4, 12, 20, 17, 25, 16, 30, 28, 41, 33, 35, 47, 52, 44, 58, 61, 55, 70]


def lines(rows, header="unique_id,ds,y"):
    return "\n".join([header, *rows]) + "\n"


def refused(answer, *parts):
    status, error, _ = answer
    assert status == 2, error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    for part in parts:
        assert re.search(part, error), error


@pytest.mark.parametrize("model", MODELS)
def test_demand_is_never_below_zero_unless_the_floor_is_lifted(predict, tmp_path, model):
    demand = lines(f"a,2024-01-{day:02d},{y}" for day, y in enumerate(DEMAND, 1))
    asked = ("--freq", "D", "--paths", "50")
    _, _, found = predict(demand, *asked, model=model)
    assert found["value"].min() == 0.0
    assert pl.read_parquet(tmp_path / "out/paths.parquet")["value"].min() == 0.0
    _, _, free = predict(demand, *asked, "--floor", "none", model=model)
    assert free["value"].min() < 0.0
    assert pl.read_parquet(tmp_path / "out/paths.parquet")["value"].min() < 0.0
    refused(
        predict(demand, "--floor", "1", model=model),
        "--floor: unknown floor: expected auto, 0 or none, found '1'",
    )


@pytest.mark.parametrize("model", MODELS)
def test_a_constant_series_is_forecast_exactly(predict, tmp_path, model):
    rows = [f"a,2024-01-{d:02d},7.3" for d in range(1, 6)]
    _, _, found = predict(lines(rows), "--freq", "D", "--paths", "9", model=model)
    assert set(found["value"]) == {7.3}
    assert set(pl.read_parquet(tmp_path / "out/paths.parquet")["value"]) == {7.3}


@pytest.mark.parametrize("model", MODELS)
def test_a_high_level_with_small_moves_has_a_range_of_the_moves(predict, model):
    rows = [f"a,2024-{1 + k // 28:02d}-{1 + k % 28:02d},{1_000_000 + k}" for k in range(28)]
    _, _, found = predict(lines(rows), "--freq", "D", model=model)
    low, high = (found.filter(pl.col("quantile_level") == level)["value"] for level in (0.1, 0.9))
    assert (high - low).max() < 10
    assert low.min() > 1_000_025
    assert high.max() < 1_000_040


@pytest.mark.parametrize("model", MODELS)
def test_a_series_and_the_same_series_plus_a_constant_are_forecast_alike(predict, model):
    def forecast(level):
        rows = [f"a,2024-01-{day:02d},{512 + level + move / 8}" for day, move in enumerate(MOVES, 1)]
        return predict(lines(rows), "--freq", "D", model=model)[2]["value"]

    one, other = forecast(0), forecast(2**20)
    gap = (other - 2**20 - one).abs().max()
    assert gap < 1e-5 * (one.max() - one.min())
