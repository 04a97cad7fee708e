"""`overspill predict`: the plain forecaster for any long table of series."""

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
from forecasting.forecasters.settings import StatisticalSettings
from forecasting.panel.known_covariates import FutureTable
from pipelines.forecast.events import event_columns
from pipelines.forecast.forecasters import named_forecaster
from pipelines.forecast.long_table import ForecastOptions, ForecastTables, forecast_long_table
from pipelines.forecast.source import TableSource, series_count, weights_in_use, with_timestamps
from pipelines.forecast.table_file import read_long_table
from pipelines.forecast.wide_file import TWIN, check_own_twin, write_twin
from pipelines.runtime.config.model_names import DEFAULT_MODEL, ModelName, needs_network
from pipelines.runtime.files.artifacts import check_own, check_writable, write_marked
from pipelines.runtime.registry.weights import Weights, require_device

COMMAND = "predict"
TABLES = ("quantiles", "paths", "events")


@dataclass(frozen=True, kw_only=True)
class PredictRequest(TableSource):
    """What is asked of the plain forecaster, about which table, and of which model.

    Attributes
    ----------
    out : Path
        Folder for the answer.
    options : ForecastOptions
    future : Path, optional
        Table with the covariates of the horizon.
    wide : bool
        Whether `forecast.csv` is written too, one column a quantile level.
    model : Model
    checkpoint : Path, optional
        Folder with weights of the network.
    device : str
    """

    out: Path
    options: ForecastOptions
    future: Path | None = None
    wide: bool = False
    model: ModelName = DEFAULT_MODEL
    checkpoint: Path | None = None
    device: str = "auto"


def predict(request: PredictRequest, console: Console) -> dict[str, Any]:
    """Forecast every series of a long table; write `quantiles.parquet` and, if asked, `paths` and `events`.

    Ids, variates and labels of a text file are text to the letter; ids and dates of a Parquet file keep their
    type. Dates of a text file are timestamps in the answer, as pandas reads them. Files of these names that
    the command did not write itself are neither replaced nor removed.

    Returns
    -------
    dict
        Frequency, numbers of series, rows of quantiles, of paths and of events, and the weights that
        answered, if any.

    Raises
    ------
    InputError
        If the table is not in order, the weights or the device cannot be used, or a file of somebody else
        would be lost.
    StepError
        If the output folder cannot be written.
    """
    require_device(request.device)
    _check_names(request)
    _check_outputs(request)
    table, is_text = request.read(console)
    future = _future(request)
    weights = _weights(request)
    check_writable(request.out)
    watched = functools.partial(
        track, description="forecasting", console=console, transient=True, disable=not console.is_terminal
    )
    forecaster = named_forecaster(request.model, StatisticalSettings(), weights, floor=request.options.floor)
    given = forecast_long_table(table, forecaster, request.options, watched, future=future)
    tables = _named(given, request, as_timestamps=is_text)
    _write_together(request.out, tables, wide=request.wide)
    return {
        "frequency": str(table.frequency),
        "series": series_count(table),
        **{f"{name[:-1]}_rows": written.height for name, written in tables.items()},
        **({} if weights is None else {"weights": weights.label}),
    }


def _future(request: PredictRequest) -> FutureTable | None:
    if request.future is None:
        return None
    if not request.columns.covariates:
        raise InputError(
            "a future table holds covariates",
            expected="--covariates beside it",
            found="none",
            where="--future",
        )
    read = read_long_table(request.future, encoding=request.encoding, separator=request.separator)
    return FutureTable(rows=read.table, columns=request.columns, where=str(request.future))


def _named(given: ForecastTables, request: PredictRequest, *, as_timestamps: bool) -> dict[str, pl.DataFrame]:
    """The tables that are asked for, their columns called as in the source."""
    tables = {"quantiles": given.quantiles} | ({"paths": given.paths} if request.options.paths else {})
    if given.events is not None:
        tables["events"] = given.events
    written = {name: with_timestamps(table) if as_timestamps else table for name, table in tables.items()}
    return {name: request.called(table) for name, table in written.items()}


def _check_names(request: PredictRequest) -> None:
    """Refuse a name of the source's columns that the answer has for another one."""
    taken = ["variate", "quantile_level", "path", "value"]
    if request.options.events is not None:
        taken += event_columns(request.options.quantile_levels)[1:]
    for name in {request.columns.id, request.columns.time} & set(taken) - {"ds"}:
        raise InputError(
            "a column of the answer has that name already",
            expected="another name for the id or the time",
            found=name,
            where="--id-col or --time-col",
        )


def _check_outputs(request: PredictRequest) -> None:
    for name in TABLES:
        path = request.out / f"{name}.parquet"
        if path.exists() and request.source.exists() and path.samefile(request.source):
            raise InputError(
                "the table would be replaced by its own forecast",
                expected="another --out",
                found=path.name,
                where=str(request.out),
            )
        check_own(path, command=COMMAND)
    check_own_twin(request.out, command=COMMAND)


def _weights(request: PredictRequest) -> Weights | None:
    """Weights of the network where the model has one."""
    if not needs_network(request.model):
        if request.checkpoint is not None:
            raise InputError(
                "a checkpoint holds weights of the network, which this model does not use",
                expected="--model auto, network or ensemble beside it",
                found=f"--model {request.model}",
                where="--checkpoint",
            )
        return None
    return weights_in_use(request.checkpoint, request.device)


def _write_together(out: Path, tables: Mapping[str, pl.DataFrame], *, wide: bool) -> None:
    """Put all tables in place, and remove what an earlier forecast left that does not belong to them."""
    with tempfile.TemporaryDirectory(prefix=".part-", dir=out) as beside:
        for name, table in tables.items():
            write_marked(Path(beside) / f"{name}.parquet", table, command=COMMAND)
        for name in TABLES:
            check_own(out / f"{name}.parquet", command=COMMAND)
        check_own_twin(out, command=COMMAND)
        if wide:
            write_twin(Path(beside), tables["quantiles"])
            (Path(beside) / TWIN).replace(out / TWIN)
        else:
            (out / TWIN).unlink(missing_ok=True)
        for name in tables:
            (Path(beside) / f"{name}.parquet").replace(out / f"{name}.parquet")
    for name in {"paths", "events"} - tables.keys():
        (out / f"{name}.parquet").unlink(missing_ok=True)
