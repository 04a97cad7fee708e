"""`overspill predict`: the plain forecaster for any long table of series."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import polars as pl
from rich.console import Console
from rich.progress import track

from forecasting.errors import InputError
from forecasting.forecasters.settings import StatisticalSettings
from forecasting.panel.long_table import check_long_table
from forecasting.periods import Frequency
from pipelines.forecast.forecasters import named_forecaster, needs_network
from pipelines.forecast.long_table import ForecastOptions, forecast_long_table
from pipelines.runtime.config.settings import ModelName
from pipelines.runtime.files.artifacts import check_writable, read_table, write_atomic
from pipelines.runtime.registry.weights import Weights, folder_weights, require_device, shipped_weights
from pipelines.runtime.store.address import is_laid_out, resolve_uri


@dataclass(frozen=True, kw_only=True)
class PredictRequest:
    """What is asked of the plain forecaster, and of which one."""

    source: Path
    out: Path
    frequency: Frequency
    options: ForecastOptions
    model: ModelName = "auto"
    checkpoint: Path | None = None
    device: str = "auto"


def named_model(name: str) -> ModelName:
    """The model of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    for model in get_args(ModelName):
        if name == model:
            return cast("ModelName", model)
    *others, last = get_args(ModelName)
    known = f"{', '.join(others)} or {last}"
    raise InputError("unknown model", expected=known, found=repr(name), where="--model")


def read_long_table(source: Path) -> pl.DataFrame:
    """Read a CSV or Parquet file.

    Raises
    ------
    InputError
        If it is missing, empty, or cannot be read.
    """
    if source.suffix.lower() not in {".csv", ".txt", ".tsv"}:
        return read_table(source)
    if not source.is_file():
        raise InputError("the file does not exist", expected="a CSV or Parquet file", where=str(source))
    separator = "\t" if source.suffix.lower() == ".tsv" else ","
    try:
        return pl.read_csv(source, separator=separator, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise InputError(
            "the file is no CSV file that can be read", found=reason, where=str(source)
        ) from error


def predict(request: PredictRequest, console: Console) -> dict[str, Any]:
    """Forecast every series of a long table; write `quantiles.parquet` and, if asked, `paths.parquet`.

    Returns
    -------
    dict
        Numbers of series, rows of quantiles and rows of paths, and the weights that answered, if any.

    Raises
    ------
    InputError
        If the table is not in order, or the weights or the device cannot be used.
    StepError
        If the output folder cannot be written.
    """
    require_device(request.device)
    table = check_long_table(
        read_long_table(request.source), frequency=request.frequency, where=str(request.source)
    )
    weights = _weights(request)
    check_writable(request.out)
    watched = functools.partial(
        track, description="forecasting", console=console, transient=True, disable=not console.is_terminal
    )
    forecaster = named_forecaster(request.model, StatisticalSettings(), weights)
    given = forecast_long_table(table, forecaster, request.options, watched)
    tables = {"quantiles": given.quantiles} | ({"paths": given.paths} if request.options.paths else {})
    _write_together(request.out, tables)
    return {
        "series": table.rows.select(table.keys).unique().height,
        **{f"{name[:-1]}_rows": written.height for name, written in tables.items()},
        **({} if weights is None else {"weights": weights.label}),
    }


def _weights(request: PredictRequest) -> Weights | None:
    """Weights of the network where the model has one; a store that is not there is not laid out for it."""
    if not needs_network(request.model):
        if request.checkpoint is not None:
            raise InputError(
                "a checkpoint is one of the network",
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


def _write_together(out: Path, tables: Mapping[str, pl.DataFrame]) -> None:
    """Put all tables in place, and take away the paths of an earlier forecast that do not belong to them."""
    with tempfile.TemporaryDirectory(prefix=".part-", dir=out) as beside:
        for name, table in tables.items():
            write_atomic(Path(beside) / f"{name}.parquet", table.write_parquet)
        for name in tables:
            (Path(beside) / f"{name}.parquet").replace(out / f"{name}.parquet")
    if "paths" not in tables:
        (out / "paths.parquet").unlink(missing_ok=True)
