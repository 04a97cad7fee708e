"""Missing values at the end of a series are steps ahead like others: they widen what follows."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from forecasting.errors import InputError
from forecasting.forecasters.flow_bank import FlowBankForecaster
from forecasting.forecasters.statistical import SeasonalNaiveForecaster, StatisticalForecaster
from forecasting.frequencies import Frequency
from forecasting.panel.history import exact_history
from forecasting.panel.long_table import check_long_table
from forecasting.panel.schema import FLOWS
from pipelines.forecast import long_table
from pipelines.forecast.long_table import ForecastOptions, forecast_long_table
from pipelines.forecast.uneven_ends import ended, paired, trailing_gaps

NAN = float("nan")
WALK = 500 + np.random.default_rng(2).normal(size=60).cumsum()
OTHER = 300 + np.random.default_rng(3).normal(size=60).cumsum()
MODELS = [StatisticalForecaster, FlowBankForecaster, lambda: SeasonalNaiveForecaster(1)]


def forecast(series, forecaster, *, horizon=1, paths=300):
    """Forecast of {(item, variate): values from the first day on, None where missing}."""
    rows = [
        {"unique_id": item, "variate": variate, "ds": dt.date(2025, 1, 1) + dt.timedelta(days=n), "y": value}
        for (item, variate), values in series.items()
        for n, value in enumerate(values)
    ]
    table = check_long_table(
        pl.DataFrame(rows, infer_schema_length=None), frequency=Frequency.DAY, where="t.csv"
    )
    options = ForecastOptions(horizon=horizon, quantile_levels=[0.1, 0.5, 0.9], paths=paths, seed=1)
    return forecast_long_table(table, forecaster, options)


def values(frame, item, variate):
    chosen = frame.filter(pl.col("unique_id") == item, pl.col("variate") == variate)
    width = chosen["ds"].n_unique()
    return chosen["value"].to_numpy().reshape(-1, width)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("missing", [1, 20])
def test_a_forecast_after_missing_values_is_that_from_the_last_observation(model, missing):
    found = forecast({("a", "y"): [*WALK, *[None] * missing]}, model(), horizon=3)
    expected = forecast({("a", "y"): WALK}, model(), horizon=missing + 3)
    np.testing.assert_array_equal(
        found.paths["ds"], expected.paths.filter(pl.col("ds") >= found.paths["ds"].min())["ds"]
    )
    np.testing.assert_allclose(
        values(found.paths, "a", "y"), values(expected.paths, "a", "y")[:, missing:], rtol=1e-9
    )


@pytest.mark.parametrize("missing", [3, 15, 60])
def test_the_first_step_of_a_walk_widens_about_with_the_root_of_the_missing_steps(missing):
    def width(series):
        low, _, high = forecast(series, SeasonalNaiveForecaster(1), paths=4000).quantiles["value"]
        return high - low

    ratio = width({("a", "y"): [*WALK, *[None] * missing]}) / width({("a", "y"): WALK})
    assert 0.9 < ratio / np.sqrt(missing + 1) < 1.4


def test_a_series_that_has_its_last_value_does_not_hang_on_one_that_has_not():
    alone = forecast({("a", "y"): WALK}, StatisticalForecaster())
    beside = forecast({("a", "y"): WALK, ("b", "y"): [*OTHER, None, None]}, StatisticalForecaster())
    np.testing.assert_array_equal(values(alone.paths, "a", "y"), values(beside.paths, "a", "y"))


@pytest.mark.parametrize("model", MODELS)
def test_a_variate_that_ended_before_its_item_is_forecast_from_its_own_end(model):
    found = forecast({("a", "x"): WALK, ("a", "z"): OTHER[:40]}, model(), horizon=3, paths=1000)
    own = values(forecast({("a", "z"): OTHER[:40]}, model(), horizon=23, paths=1000).paths, "a", "z")[:, 20:]
    drawn = values(found.paths, "a", "z")
    order, expected = np.lexsort(drawn.T), np.lexsort(own.T)
    np.testing.assert_allclose(drawn[order], own[expected], rtol=1e-9, atol=1e-9)


def test_paths_of_a_variate_that_ended_earlier_move_with_the_others():
    rng = np.random.default_rng(4)
    moves = rng.normal(size=200)
    one = 500 + moves.cumsum()
    other = 300 + (moves + 0.1 * rng.normal(size=200)).cumsum()
    drawn = forecast({("a", "x"): one, ("a", "z"): other[:195]}, SeasonalNaiveForecaster(1), horizon=30).paths
    ends = [values(drawn, "a", variate)[:, -1] for variate in ("x", "z")]
    assert np.corrcoef(*ends)[0, 1] > 0.7


def test_pairing_keeps_whole_paths_and_takes_the_ranks_of_the_moves():
    rng = np.random.default_rng(5)
    own, together = rng.normal(size=(2, 50, 4)), rng.normal(size=(2, 50, 3))
    found = paired(own, together)
    for item in range(2):
        moves = {tuple(path[1:]): path[-1] - path[0] for path in own[item]}
        assert {tuple(path) for path in found[item]} == moves.keys()
        by_move = sorted(range(50), key=lambda p: moves[tuple(found[item, p])])
        assert by_move == sorted(range(50), key=lambda p: together[item, p, -1])


def history(rows, variates):
    return exact_history(
        np.array([rows]),
        item_ids=("s",),
        variates=variates,
        origins=(dt.date(2026, 1, 9),),
        frequency=Frequency.DAY,
    )


def test_orders_and_capacity_end_together_and_other_variates_each_by_itself():
    rows = [[1.0, 2.0, NAN, NAN], [1.0, NAN, 3.0, NAN]]
    assert trailing_gaps(history(rows, ("x", "z"))).tolist() == [[2, 1]]
    assert trailing_gaps(history(rows, FLOWS)).tolist() == [[3, 3]]


def test_a_history_that_ends_earlier_has_an_earlier_origin():
    moved = ended(history([[1.0, 2.0, NAN, NAN]], ("y",)), np.array([2]))
    np.testing.assert_array_equal(moved.values, [[[NAN, NAN, 1.0, 2.0]]])
    assert moved.origins == (dt.date(2026, 1, 7),)


def test_steps_beyond_the_reach_of_the_model_are_refused():
    rule = (
        "a series ends too long before .*expected at most 256 steps .*found 300, 200 of them without a value"
    )
    with pytest.raises(InputError, match=rule):
        forecast({("a", "y"): [*WALK, *[None] * 200]}, FlowBankForecaster(), horizon=100)


def test_smaller_blocks_for_many_steps_forecast_the_same_where_items_are_drawn_for_themselves(monkeypatch):
    series = {(name, "y"): WALK + place for place, name in enumerate("abc")}
    at_once = forecast(series, FlowBankForecaster(), horizon=4)
    monkeypatch.setattr(long_table, "MAX_PATH_VALUES", 4000)  # 1000 paths of 4 steps: an item to a block
    one_by_one = forecast(series, FlowBankForecaster(), horizon=4)
    for name in "abc":
        np.testing.assert_allclose(
            values(at_once.paths, name, "y"), values(one_by_one.paths, name, "y"), rtol=1e-9
        )


def test_more_paths_than_a_table_holds_are_refused_before_anything_is_forecast(monkeypatch):
    monkeypatch.setattr(long_table, "MAX_PATH_ROWS", 1000)
    with pytest.raises(InputError, match=r"^--paths: .*at most 1,000 rows.*found 1 x 300 x 4 = 1,200"):
        forecast({("a", "y"): WALK}, None, horizon=4)
