"""`overspill predict`: any long table of series."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from pipelines.cli.terminal.console import print_result, report_errors
from pipelines.cli.terminal.options import Device, Json
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
    freq: Annotated[
        str | None,
        typer.Option(
            "--freq",
            help="min, h, D, B, W, M, Q, Y, a multiple (15min) or a pandas alias (MS, QE, W-SUN). Without "
            "it: the coarsest that fits. The future continues the table's own dates.",
        ),
    ] = None,
    *,
    quantiles: Annotated[
        str, typer.Option("--quantiles", help="Levels between 0 and 1, comma-separated.")
    ] = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9",
    paths: Annotated[int, typer.Option("--paths", help="Joint sample paths to write; 0 for none.")] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the sampling.")] = 0,
    floor: Annotated[
        str,
        typer.Option(
            "--floor",
            help="auto: zero for series that were never negative; 0: zero for all; none: no floor.",
        ),
    ] = "auto",
    model: Annotated[str, typer.Option("--model", help=MODEL_HELP)] = DEFAULT_MODEL,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="Folder with weights of the network to use.")
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            help="When is a level first passed: 'above 120', 'below 80', or as a multiple of the last value "
            "'above 1.2x'; repeatable. Writes events.parquet.",
        ),
    ] = None,
    hold: Annotated[
        int | None,
        typer.Option("--hold", help="Periods in a row that an event must hold, past ones included; 1."),
    ] = None,
    event_of: Annotated[
        str | None,
        typer.Option(
            "--event-of",
            help="What events are about: series (each by itself); ratio (first variate over second); backlog "
            "(of orders, the first, served from capacity, the second); cover (that backlog over capacity). "
            "ratio:a,b names the two; else they are orders and capacity, or the two by name.",
        ),
    ] = None,
    id_col: Annotated[str, typer.Option("--id-col", help="Column that names the series.")] = "unique_id",
    time_col: Annotated[str, typer.Option("--time-col", help="Column of the dates.")] = "ds",
    target_col: Annotated[str, typer.Option("--target-col", help="Column of the values.")] = "y",
    covariates: Annotated[
        str,
        typer.Option(
            "--covariates",
            help="Columns of numbers known ahead, such as promo,price; --future has those of the horizon.",
        ),
    ] = "",
    future: Annotated[
        Path | None,
        typer.Option("--future", help="Table of id, time and the covariates over the horizon."),
    ] = None,
    statics: Annotated[
        str,
        typer.Option(
            "--statics",
            help="Columns that never change in a series, such as region: series alike in them share what "
            "their covariates do.",
        ),
    ] = "",
    calendar: Annotated[
        Path | None,
        typer.Option(
            "--calendar",
            help="Table with a column period_end: the periods of a fiscal calendar (4-4-5, 52/53 weeks) or "
            "trading days, up to the end of the horizon; instead of --freq.",
        ),
    ] = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="Write forecast.csv too, with a column for each quantile level.")
    ] = False,
    encoding: Annotated[
        str | None,
        typer.Option("--encoding", help="Of a CSV file, such as cp1252 or utf-16; UTF-8 without it."),
    ] = None,
    separator: Annotated[
        str | None, typer.Option("--separator", help="Between the fields of a CSV file; a comma without it.")
    ] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Forecast any long table of series: quantiles, joint sample paths, and when events come."""
    with report_errors():
        from rich.console import Console

        from forecasting.errors import InputError
        from forecasting.panel.layout import Columns
        from forecasting.periods import Frequency
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
            columns=Columns(
                id=id_col,
                time=time_col,
                target=target_col,
                covariates=_names(covariates),
                statics=_names(statics),
            ),
            future=future,
            calendar=calendar,
            wide=wide,
            encoding=encoding,
            separator=_one_byte(separator),
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


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _one_byte(separator: str | None) -> str | None:
    from forecasting.errors import InputError

    if separator is None or (len(separator) == 1 and separator.isascii()):
        return separator
    raise InputError("a separator is one ASCII character", found=repr(separator), where="--separator")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(predict)
