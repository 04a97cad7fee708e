"""Forecasts of any long table of series, given as a Polars or pandas frame."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import polars as pl

from forecasting.errors import InputError
from forecasting.forecasters.bounds import Floor
from forecasting.forecasters.settings import StatisticalSettings
from forecasting.frequencies import Frequency
from forecasting.panel.known_covariates import FutureTable
from forecasting.panel.layout import Columns
from forecasting.panel.long_table import check_long_table
from forecasting.panel.period_calendar import PeriodCalendar
from pipelines.forecast.forecasters import named_forecaster
from pipelines.forecast.long_table import ForecastOptions, forecast_long_table
from pipelines.runtime.config.model_names import DEFAULT_MODEL, ModelName, named_model, needs_network
from pipelines.runtime.registry.weights import shipped_weights

if TYPE_CHECKING:
    import pandas as pd

Frame = TypeVar("Frame", bound="pl.DataFrame | pd.DataFrame")
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
WHERE = "the data frame"


@dataclass(frozen=True, kw_only=True)
class Prediction(Generic[Frame]):
    """Forecasts of all series, as frames of the kind that was given.

    Attributes
    ----------
    quantiles : DataFrame
        unique_id, ds, variate (where given), quantile_level, value.
    paths : DataFrame
        Joint sample paths: unique_id, ds, variate (where given), path, value; no rows unless asked for.
    frequency : Frequency
        The one that was given or found.
    """

    quantiles: Frame
    paths: Frame
    frequency: Frequency


def predict(  # noqa: PLR0913 - all but the first two by name
    df: Frame,
    horizon: int,
    *,
    freq: str | None = None,
    quantiles: Sequence[float] = LEVELS,
    paths: int = 0,
    seed: int = 0,
    model: ModelName = DEFAULT_MODEL,
    floor: Floor = "auto",
    id_col: str = "unique_id",
    time_col: str = "ds",
    target_col: str = "y",
    covariates: Sequence[str] = (),
    future: Frame | None = None,
    statics: Sequence[str] = (),
    calendar: Sequence[dt.date] | None = None,
) -> Prediction[Frame]:
    """Forecast every series of a long table: quantiles and joint sample paths.

    Series may differ in length, have gaps and be constant; each goes on after its own last date.

    Parameters
    ----------
    df : polars or pandas DataFrame
        Columns unique_id, ds, y, and optionally variate: its rows of one date are one item, whose variates
        are forecast jointly. Other columns are ignored, with a warning. A table without ids is one series
        (`ds, y`) or a wide one: dates, and a column of numbers for each series.
    horizon : int
        Steps ahead.
    freq : str, optional
        As `--freq` of `overspill predict`; without it, the coarsest frequency that fits the dates.
    quantiles : sequence of float
        Levels between 0 and 1.
    paths : int
        Joint sample paths to return.
    seed : int
        Of the sampling; the same seed gives the same forecast.
    model : str
        As `--model` of `overspill predict`. The network has the weights of the package, whatever a store
        calls its champion.
    floor : {"auto", "0", "none"}
        `auto`: a series that was never negative is not forecast below zero.
    id_col, time_col, target_col : str
        What the columns are called; the answer calls the first two alike.
    covariates : sequence of str
        Columns of numbers or words that are known ahead.
    future : DataFrame, optional
        Ids, dates and covariates of the horizon.
    statics : sequence of str
        Columns that never change in a series; series alike in them share what their covariates do.
    calendar : sequence of date, optional
        Period ends of a fiscal calendar or trading days, up to the end of the horizon; instead of `freq`.

    Raises
    ------
    InputError
        If the table is not in order, no frequency fits it, or an argument is out of range.

    Examples
    --------
    >>> import datetime as dt
    >>> import polars as pl
    >>> import overspill
    >>> sales = pl.DataFrame(
    ...     {
    ...         "unique_id": ["a"] * 24,
    ...         "ds": pl.date_range(dt.date(2024, 1, 31), dt.date(2025, 12, 31), "1mo", eager=True),
    ...         "y": [100.0 + 10 * (month % 12) for month in range(24)],
    ...     }
    ... )
    >>> forecast = overspill.predict(sales, 3, quantiles=[0.1, 0.5, 0.9], paths=20, seed=1)
    >>> forecast.quantiles.columns, forecast.quantiles.height
    (['unique_id', 'ds', 'quantile_level', 'value'], 9)
    >>> forecast.quantiles["ds"].unique().sort().to_list()[0], forecast.paths.height
    (datetime.date(2026, 1, 31), 60)

    A pandas frame gives pandas frames:

    >>> type(overspill.predict(sales.to_pandas(), 3).quantiles).__module__.split(".")[0]
    'pandas'
    """
    options = ForecastOptions(horizon=horizon, quantile_levels=quantiles, paths=paths, seed=seed, floor=floor)
    columns = Columns(
        id=id_col, time=time_col, target=target_col, covariates=tuple(covariates), statics=tuple(statics)
    )
    table = check_long_table(
        as_polars(df),
        frequency=None if freq is None else Frequency.parse(freq),
        where=WHERE,
        columns=columns,
        calendar=None if calendar is None else PeriodCalendar.of(calendar, where="the calendar"),
    )
    if table.ignored:
        warnings.warn(f"columns that were not read: {', '.join(table.ignored)}", UserWarning, stacklevel=2)
    name = named_model(model)
    weights = shipped_weights() if needs_network(name) else None
    forecaster = named_forecaster(name, StatisticalSettings(), weights, floor=floor)
    ahead = (
        None if future is None else FutureTable(rows=as_polars(future), columns=columns, where="the future")
    )
    given = forecast_long_table(table, forecaster, options, future=ahead)
    called = {"unique_id": id_col, "ds": time_col}
    return Prediction(
        quantiles=like(given.quantiles.rename(called), df),
        paths=like(given.paths.rename(called), df),
        frequency=table.frequency,
    )


def as_polars(df: Any) -> pl.DataFrame:  # noqa: ANN401 - pandas has no types here
    """The frame as one of Polars; an index with a name is a column.

    Raises
    ------
    InputError
        If it is no data frame.
    """
    if isinstance(df, pl.DataFrame):
        return df
    if _is_pandas(df):
        return pl.from_pandas(df, include_index=df.index.name is not None)
    raise InputError(
        "a table of series is a data frame", expected="a Polars or pandas DataFrame", found=type(df).__name__
    )


def _is_pandas(df: object) -> bool:
    return type(df).__module__.partition(".")[0] == "pandas" and type(df).__name__ == "DataFrame"


def like(table: pl.DataFrame, df: Frame) -> Any:  # noqa: ANN401 - pandas has no types here
    """The table as a frame of the kind of `df`."""
    return table.to_pandas() if _is_pandas(df) else table
