"""`overspill backtest TABLE` as a command carries it out: read, forecast the past, score, write."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.progress import track

from forecasting.errors import InputError
from forecasting.forecasters.base import PathForecaster
from forecasting.forecasters.seasonal_bootstrap import SeasonalBootstrapForecaster
from forecasting.forecasters.settings import StatisticalSettings
from pipelines.backtest.own_series import FLOOR_MODEL, BacktestOptions, SeriesBacktest, backtest_series
from pipelines.forecast.forecasters import named_forecaster
from pipelines.forecast.source import TableSource, series_count, weights_in_use, with_timestamps
from pipelines.runtime.config.model_names import ModelName, needs_network
from pipelines.runtime.files.artifacts import check_own, check_writable, write_marked
from pipelines.runtime.registry.weights import Weights, require_device

COMMAND = "backtest"
TABLES = ("backtest_scores", "backtest_quantiles", "leaderboard", "backtest_events")  # as in SeriesBacktest


@dataclass(frozen=True, kw_only=True)
class BacktestRequest(TableSource):
    """What is asked of a backtest, about which table, and of which models beside the seasonal naive one.

    Attributes
    ----------
    out : Path
        Folder for the tables.
    options : BacktestOptions
    models : tuple of ModelName
    checkpoint : Path, optional
        Folder with weights of the network.
    device : str
    """

    out: Path
    options: BacktestOptions
    models: tuple[ModelName, ...]
    checkpoint: Path | None = None
    device: str = "auto"


def backtest_table(request: BacktestRequest, console: Console) -> tuple[SeriesBacktest, dict[str, Any]]:
    """Backtest a table of series; writes leaderboard, scores, quantiles and, if asked, events as Parquet.

    Returns
    -------
    SeriesBacktest
    dict
        Frequency, numbers of series and of rows, and the weights that answered, if any.

    Raises
    ------
    InputError
        If the table is not in order or too short, or a file of somebody else would be lost.
    StepError
        If the output folder cannot be written.
    """
    require_device(request.device)
    for name in TABLES:
        check_own(request.out / f"{name}.parquet", command=COMMAND)
    table, is_text = request.read(console)
    weights = None
    if any(needs_network(model) for model in request.models):
        weights = weights_in_use(request.checkpoint, request.device)
    elif request.checkpoint is not None:
        raise InputError("a checkpoint needs a model with the network", where="--checkpoint")
    check_writable(request.out)
    watched = functools.partial(
        track, description="backtest", console=console, transient=True, disable=not console.is_terminal
    )
    found = backtest_series(table, _forecasters(request, weights), request.options, watched)
    tables = dict(zip(TABLES, found, strict=True))
    written = {name: each for name, each in tables.items() if each is not None}
    _write(request, {name: with_timestamps(each) if is_text else each for name, each in written.items()})
    figures = {"frequency": str(table.frequency), "series": series_count(table)}
    figures |= {"forecasts": found.scores.height}
    return found, figures | ({} if weights is None else {"weights": weights.label})


def _forecasters(request: BacktestRequest, weights: Weights | None) -> dict[str, PathForecaster]:
    floor = request.options.floor
    chosen: dict[str, PathForecaster] = {
        model: named_forecaster(model, StatisticalSettings(), weights, floor=floor)
        for model in request.models
    }
    return chosen | {FLOOR_MODEL: SeasonalBootstrapForecaster(floor=floor)}


def _write(request: BacktestRequest, tables: Mapping[str, pl.DataFrame]) -> None:
    with tempfile.TemporaryDirectory(prefix=".part-", dir=request.out) as beside:
        for name, table in tables.items():
            write_marked(Path(beside) / f"{name}.parquet", request.called(table), command=COMMAND)
        for name in tables:
            (Path(beside) / f"{name}.parquet").replace(request.out / f"{name}.parquet")
    for name in set(TABLES) - tables.keys():
        (request.out / f"{name}.parquet").unlink(missing_ok=True)
