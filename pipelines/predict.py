"""`overspill predict`: the plain forecaster for any long table of series."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

import numpy as np
import polars as pl
from rich.console import Console
from rich.progress import track

from forecasting.errors import InputError
from forecasting.forecaster import PathForecaster
from forecasting.history import Floats, History
from forecasting.long_table import LongTable, check_long_table, future_dates, histories
from forecasting.periods import Frequency
from forecasting.statistical import StatisticalForecaster
from pipelines.artifacts import check_writable, read_table, write_atomic
from pipelines.network import NetworkPathForecaster

Model: TypeAlias = Literal["statistical", "network"]
PATHS_FOR_QUANTILES = 1000
HORIZON_LIMIT = 4096
ITEMS_PER_BLOCK = 200


@dataclass(frozen=True, kw_only=True)
class PredictRequest:
    """What is asked of the plain forecaster."""

    source: Path
    out: Path
    horizon: int
    frequency: Frequency
    quantile_levels: Sequence[float]
    paths: int
    seed: int
    model: Model = "statistical"


def named_model(name: str) -> Model:
    """The model of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    for model in get_args(Model):
        if name == model:
            return cast("Model", model)
    raise InputError(
        "unknown model", expected=" or ".join(get_args(Model)), found=repr(name), where="--model"
    )


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


def predict(request: PredictRequest, console: Console) -> dict[str, int]:
    """Forecast every series of a long table; write `quantiles.parquet` and, if asked, `paths.parquet`.

    Returns
    -------
    dict
        Numbers of series, rows of quantiles and rows of paths.

    Raises
    ------
    InputError
        If the request or the table is not in order.
    StepError
        If the output folder cannot be written.
    """
    _check_request(request)
    table = check_long_table(
        read_long_table(request.source), frequency=request.frequency, where=str(request.source)
    )
    check_writable(request.out)
    blocks = [block for history, last in histories(table) for block in _blocks(history, last)]
    forecaster = NetworkPathForecaster() if request.model == "network" else StatisticalForecaster()
    parts = [
        _forecast(forecaster, history, last, table, request)
        for history, last in track(
            blocks,
            description="forecasting",
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
    ]
    tables = {"quantiles": pl.concat([part[0] for part in parts]).sort(*table.keys, "ds", "quantile_level")}
    if request.paths:
        tables["paths"] = pl.concat([part[1] for part in parts]).sort(*table.keys, "path", "ds")
    _write_together(request.out, tables)
    return {
        "series": table.rows.select(table.keys).unique().height,
        **{f"{name[:-1]}_rows": written.height for name, written in tables.items()},
    }


def _blocks(history: History, last: pl.DataFrame) -> Iterator[tuple[History, pl.DataFrame]]:
    """Cut the items into blocks whose paths fit into memory."""
    for start in range(0, len(history.item_ids), ITEMS_PER_BLOCK):
        rows = list(range(start, min(start + ITEMS_PER_BLOCK, len(history.item_ids))))
        yield history.select(rows), last[rows]


def _write_together(out: Path, tables: Mapping[str, pl.DataFrame]) -> None:
    """Put all tables in place, and take away the paths of an earlier forecast that do not belong to them."""
    with tempfile.TemporaryDirectory(prefix=".part-", dir=out) as beside:
        for name, table in tables.items():
            write_atomic(Path(beside) / f"{name}.parquet", table.write_parquet)
        for name in tables:
            (Path(beside) / f"{name}.parquet").replace(out / f"{name}.parquet")
    if "paths" not in tables:
        (out / "paths.parquet").unlink(missing_ok=True)


def _check_request(request: PredictRequest) -> None:
    if not 1 <= request.horizon <= HORIZON_LIMIT:
        raise InputError(
            "the horizon is out of range",
            expected=f"1 to {HORIZON_LIMIT} steps",
            found=str(request.horizon),
            where="--horizon",
        )
    if request.paths < 0:
        raise InputError(
            "the number of paths must not be negative", found=str(request.paths), where="--paths"
        )
    if request.seed < 0:
        raise InputError("the seed must not be negative", found=str(request.seed), where="--seed")
    for level in request.quantile_levels:
        if not 0 < level < 1:
            raise InputError(
                "a quantile level must lie between 0 and 1", found=f"{level:g}", where="--quantiles"
            )
    if len(set(request.quantile_levels)) < len(request.quantile_levels) or not request.quantile_levels:
        raise InputError("quantile levels must be given, each once", where="--quantiles")


def _forecast(
    forecaster: PathForecaster,
    history: History,
    last: pl.DataFrame,
    table: LongTable,
    request: PredictRequest,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Quantiles and paths of the items that share one set of variates."""
    sampled = forecaster.fit(history).sample(
        request.horizon, max(request.paths, PATHS_FOR_QUANTILES), request.seed
    )
    dates = future_dates(last, horizon=request.horizon, frequency=request.frequency).sort("unique_id", "step")
    levels = np.sort(np.asarray(request.quantile_levels, dtype=np.float64))
    quantiles = np.moveaxis(np.quantile(sampled, levels, axis=1), 0, 1)  # [I, Q, H, V]
    of = _Layout(dates=dates, variates=history.variates if table.has_variates else None)
    return (
        of.table(quantiles, "quantile_level", levels),
        of.table(sampled[:, : request.paths], "path", np.arange(request.paths, dtype=np.int32)),
    )


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Lays arrays [I, K, H, V] out as rows, K being what `name` counts."""

    dates: pl.DataFrame
    variates: tuple[str, ...] | None

    def table(self, values: Floats, name: str, labels: np.typing.NDArray[np.generic]) -> pl.DataFrame:
        items, count, horizon, variates = values.shape
        rows = np.arange(items * horizon).reshape(items, 1, horizon, 1)
        shape = (items, count, horizon, variates)
        dates = self.dates[np.broadcast_to(rows, shape).ravel()]
        columns = {"unique_id": dates["unique_id"], "ds": dates["ds"]}
        if self.variates is not None:
            columns["variate"] = pl.Series(np.broadcast_to(np.array(self.variates), shape).ravel())
        columns[name] = pl.Series(np.broadcast_to(labels.reshape(1, count, 1, 1), shape).ravel())
        return pl.DataFrame({**columns, "value": values.ravel()})
