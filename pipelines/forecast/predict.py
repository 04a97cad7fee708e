"""`overspill predict`: the plain forecaster for any long table of series."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.progress import track

from forecasting.errors import InputError
from forecasting.forecasters.settings import StatisticalSettings
from forecasting.panel.known_covariates import FutureTable
from forecasting.panel.layout import Columns
from forecasting.panel.long_table import LongTable, check_long_table
from forecasting.panel.period_calendar import PeriodCalendar
from forecasting.periods import Frequency
from pipelines.forecast.events import event_columns
from pipelines.forecast.forecasters import named_forecaster
from pipelines.forecast.long_table import ForecastOptions, ForecastTables, forecast_long_table
from pipelines.forecast.table_file import read_long_table
from pipelines.forecast.wide_file import TWIN, check_own_twin, write_twin
from pipelines.runtime.config.model_names import DEFAULT_MODEL, ModelName, needs_network
from pipelines.runtime.files.artifacts import check_own, check_writable, write_marked
from pipelines.runtime.registry.weights import Weights, folder_weights, require_device, shipped_weights
from pipelines.runtime.store.address import is_laid_out, resolve_uri

COMMAND = "predict"
TABLES = ("quantiles", "paths", "events")


@dataclass(frozen=True, kw_only=True)
class PredictRequest:
    """What is asked of the plain forecaster, and of which one.

    Attributes
    ----------
    source : Path
        Table, see `read_long_table`.
    out : Path
        Folder for the answer.
    options : ForecastOptions
    frequency : Frequency, optional
        None finds it in the dates.
    columns : Columns
        What the columns of the table are called; the answer calls id and time alike.
    future : Path, optional
        Table with the covariates of the horizon.
    calendar : Path, optional
        Table of period ends, see `PeriodCalendar`.
    wide : bool
        Whether `forecast.csv` is written too, one column a quantile level.
    encoding, separator : str, optional
        Of a text file.
    model : Model
    checkpoint : Path, optional
        Folder with weights of the network.
    device : str
    """

    source: Path
    out: Path
    options: ForecastOptions
    frequency: Frequency | None = None
    columns: Columns = field(default_factory=Columns)
    future: Path | None = None
    calendar: Path | None = None
    wide: bool = False
    encoding: str | None = None
    separator: str | None = None
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
    read = read_long_table(request.source, encoding=request.encoding, separator=request.separator)
    table = check_long_table(
        read.table,
        frequency=request.frequency,
        where=str(request.source),
        columns=request.columns,
        with_lines=read.is_text,
        calendar=_calendar(request),
    )
    future = _future(request)
    for note in _notes(table):
        console.print(note, soft_wrap=True, highlight=False)
    weights = _weights(request)
    check_writable(request.out)
    watched = functools.partial(
        track, description="forecasting", console=console, transient=True, disable=not console.is_terminal
    )
    forecaster = named_forecaster(request.model, StatisticalSettings(), weights, floor=request.options.floor)
    given = forecast_long_table(table, forecaster, request.options, watched, future=future)
    tables = _named(given, request, as_timestamps=read.is_text)
    _write_together(request.out, tables, wide=request.wide)
    return {
        "frequency": str(table.frequency),
        "series": _count(table),
        **{f"{name[:-1]}_rows": written.height for name, written in tables.items()},
        **({} if weights is None else {"weights": weights.label}),
    }


def _count(table: LongTable) -> int:
    return table.rows.select(table.keys).unique().height


def _notes(table: LongTable) -> list[str]:
    """What a reader of the answer should know about how the table was read."""
    notes = []
    if table.ignored:
        hint = "--covariates or --statics reads them"
        notes.append(f"warning: columns that were not read: {', '.join(table.ignored)} ({hint})")
    if table.wide:
        notes.append(f"note: a wide table: each of its {_count(table)} columns beside the dates is a series")
    if table.statics and not table.covariates:
        notes.append("warning: statics say which series share the effects of covariates; there are none")
    return notes


def _calendar(request: PredictRequest) -> PeriodCalendar | None:
    if request.calendar is None:
        return None
    if request.frequency is not None:
        raise InputError(
            "a calendar has a frequency of its own",
            expected="--calendar or --freq",
            found="both",
            where="--calendar",
        )
    return PeriodCalendar.read(read_long_table(request.calendar).table, where=str(request.calendar))


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
    called = {"unique_id": request.columns.id, "ds": request.columns.time}
    tables = {"quantiles": given.quantiles} | ({"paths": given.paths} if request.options.paths else {})
    if given.events is not None:
        tables["events"] = given.events
    if as_timestamps:  # pandas reads dates of Parquet as objects, which match none of its own
        tables = {name: table.cast({pl.Date: pl.Datetime("us")}) for name, table in tables.items()}
    return {name: table.rename(called) for name, table in tables.items()}


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
    """Weights of the network where the model has one; a store that is not there is not laid out for it."""
    if not needs_network(request.model):
        if request.checkpoint is not None:
            raise InputError(
                "a checkpoint holds weights of the network, which this model does not use",
                expected="--model auto, network or ensemble beside it",
                found=f"--model {request.model}",
                where="--checkpoint",
            )
        return None
    if request.checkpoint is not None:
        return folder_weights(request.checkpoint, device=request.device)
    uri = resolve_uri(None)
    if not is_laid_out(uri):
        return shipped_weights(request.device)
    from pipelines.runtime.registry.registry import chosen_weights  # noqa: PLC0415 - MLflow takes seconds to import
    from pipelines.runtime.tracking import Store  # noqa: PLC0415

    return chosen_weights(Store(uri), checkpoint=None, device=request.device)


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
