"""`overspill predict`: any long table of series."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from pipelines.cli.terminal.console import print_result, report_errors
from pipelines.cli.terminal.options import Device, Json
from pipelines.cli.terminal.series_options import (
    CalendarFile,
    Checkpoint,
    Covariates,
    Encoding,
    Event,
    EventOf,
    Freq,
    Hold,
    IdCol,
    Seed,
    Separator,
    Statics,
    TargetCol,
    TimeCol,
    one_byte,
    table_columns,
)
from pipelines.runtime.config.model_names import DEFAULT_MODEL, MODEL_HELP, named_model

if TYPE_CHECKING:
    from forecasting.forecasters.bounds import Floor


def predict(
    panel: Annotated[
        Path,
        typer.Argument(
            help="Long table unique_id, ds, y[, variate], one series ds, y, or a wide table with a column a "
            "series: Parquet or CSV, also packed (.gz, .zst, ...). Ids of CSV are text to the letter; ids of "
            "Parquet keep their type."
        ),
    ],
    horizon: Annotated[int, typer.Option("--horizon", help="Steps ahead.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="Folder for quantiles.parquet and paths.parquet; files of yours are never replaced."
        ),
    ],
    freq: Freq = None,
    *,
    quantiles: Annotated[
        str, typer.Option("--quantiles", help="Levels between 0 and 1, comma-separated.")
    ] = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9",
    paths: Annotated[int, typer.Option("--paths", help="Joint sample paths to write; 0 for none.")] = 0,
    seed: Seed = 0,
    floor: Annotated[
        str,
        typer.Option(
            "--floor",
            help="auto: zero for series that were never negative; 0: zero for all; none: no floor.",
        ),
    ] = "auto",
    model: Annotated[str, typer.Option("--model", help=MODEL_HELP)] = DEFAULT_MODEL,
    checkpoint: Checkpoint = None,
    event: Event = None,
    hold: Hold = None,
    event_of: EventOf = None,
    id_col: IdCol = "unique_id",
    time_col: TimeCol = "ds",
    target_col: TargetCol = "y",
    covariates: Covariates = "",
    future: Annotated[
        Path | None,
        typer.Option("--future", help="Table of id, time and the covariates over the horizon."),
    ] = None,
    statics: Statics = "",
    calendar: CalendarFile = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="Write forecast.csv too, with a column for each quantile level.")
    ] = False,
    encoding: Encoding = None,
    separator: Separator = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Forecast any long table of series: quantiles, joint sample paths, and when events come."""
    with report_errors():
        from rich.console import Console

        from forecasting.errors import InputError
        from forecasting.frequencies import Frequency
        from forecasting.saturation.events import EventQuery
        from pipelines.forecast.long_table import ForecastOptions
        from pipelines.forecast.predict import PredictRequest
        from pipelines.forecast.predict import predict as carry_out

        try:
            levels = [float(level) for level in quantiles.split(",")]
        except ValueError as error:
            raise InputError(
                "quantile levels are numbers", found=repr(quantiles), where="--quantiles"
            ) from error
        options = ForecastOptions(
            horizon=horizon,
            quantile_levels=levels,
            paths=paths,
            seed=seed,
            floor=cast("Floor", floor),
            events=EventQuery.parse(event or [], hold=hold, measure=event_of, horizon=horizon),
        )
        request = PredictRequest(
            source=panel,
            out=out,
            options=options,
            frequency=None if freq is None else Frequency.parse(freq),
            columns=table_columns(
                id_col=id_col,
                time_col=time_col,
                target_col=target_col,
                covariates=covariates,
                statics=statics,
            ),
            future=future,
            calendar=calendar,
            wide=wide,
            encoding=encoding,
            separator=one_byte(separator),
            model=named_model(model),
            checkpoint=checkpoint,
            device=device or "auto",
        )
        figures: dict[str, Any] = {**carry_out(request, Console(stderr=True)), "out": str(out)}
        if request.options.events is None:
            print_result(figures, as_json=as_json)
            return
        from pipelines.cli.terminal.event_table import print_events

        print_events(out, figures, as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(predict)
