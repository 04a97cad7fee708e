"""Backtests of any table of series, given as a Polars or pandas frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

from forecasting.forecasters.base import PathForecaster
from forecasting.forecasters.seasonal_bootstrap import SeasonalBootstrapForecaster
from forecasting.forecasters.settings import StatisticalSettings
from forecasting.frequencies import Frequency
from forecasting.panel.layout import Columns
from forecasting.panel.long_table import check_long_table
from forecasting.saturation.events import EventQuery
from overspill.prediction import WHERE, Frame, as_polars, like
from pipelines.backtest.own_series import FLOOR_MODEL, BacktestOptions, backtest_series
from pipelines.forecast.forecasters import named_forecaster
from pipelines.runtime.config.model_names import ModelName, named_model, needs_network
from pipelines.runtime.registry.weights import shipped_weights


@dataclass(frozen=True, kw_only=True)
class Backtest(Generic[Frame]):
    """How models did on the past, as frames of the kind that was given.

    Attributes
    ----------
    leaderboard : DataFrame
        A row per model, the best first: model, forecasts, scaled_crps, mase, wql, coverage_80, and skill, the
        share of the seasonal naive model's scaled CRPS that is saved.
    scores : DataFrame
        A row per model, series and origin.
    quantiles : DataFrame
        model, unique_id, origin, ds, q10, q50, q90, actual.
    events : DataFrame, optional
        A row per model and event: Brier score, mean probability, and how often it came.
    """

    leaderboard: Frame
    scores: Frame
    quantiles: Frame
    events: Frame | None


def backtest(  # noqa: PLR0913 - all but the first two by name
    df: Frame,
    horizon: int,
    *,
    origins: int = 3,
    step: int = 1,
    models: Sequence[ModelName] = ("auto", "network", "bank", "statistical"),
    freq: str | None = None,
    events: Sequence[str] = (),
    hold: int | None = None,
    seed: int = 0,
    columns: Columns | None = None,
) -> Backtest[Frame]:
    """Forecast the last steps of every series from several origins, and score the models on what came.

    Parameters
    ----------
    df : polars or pandas DataFrame
        As for `predict`; covariates are named by `columns`.
    horizon : int
        Steps ahead.
    origins, step : int
        Origins of each series, and steps between two of them.
    models : sequence of str
        Beside the seasonal naive model.
    freq : str, optional
    events : sequence of str
        Such as `above 120`: P(come by t) is scored too.
    hold : int, optional
        Periods in a row that an event must hold; 1.
    seed : int
    columns : Columns, optional
        What the columns are called.

    Raises
    ------
    InputError
        If the table is not in order or too short, or an argument is out of range.

    Examples
    --------
    >>> import datetime as dt
    >>> import polars as pl
    >>> import overspill
    >>> days = pl.date_range(dt.date(2026, 1, 1), dt.date(2026, 3, 31), "1d", eager=True)
    >>> sales = pl.DataFrame({"ds": days, "y": [10.0 + (day.weekday() == 5) * 8 for day in days]})
    >>> found = overspill.backtest(sales, 7, origins=2, step=7, models=["bank"])
    >>> found.leaderboard["model"].sort().to_list(), found.scores.height
    (['bank', 'seasonal naive'], 4)
    """
    table = check_long_table(
        as_polars(df), frequency=None if freq is None else Frequency.parse(freq), where=WHERE, columns=columns
    )
    names = [named_model(name) for name in models]
    weights = shipped_weights() if any(map(needs_network, names)) else None
    forecasters: dict[str, PathForecaster] = {
        name: named_forecaster(name, StatisticalSettings(), weights) for name in names
    }
    options = BacktestOptions(
        horizon=horizon,
        origins=origins,
        step=step,
        seed=seed,
        events=EventQuery.parse(list(events), hold=hold, measure=None, horizon=horizon),
    )
    found = backtest_series(table, forecasters | {FLOOR_MODEL: SeasonalBootstrapForecaster()}, options)
    called = columns or Columns()
    names_back = {"unique_id": called.id, "ds": called.time}
    return Backtest(
        leaderboard=like(found.leaderboard, df),
        scores=like(found.scores.rename(names_back, strict=False), df),
        quantiles=like(found.quantiles.rename(names_back, strict=False), df),
        events=None if found.events is None else like(found.events, df),
    )
