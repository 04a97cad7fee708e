"""`overspill predict`: any long table of series."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.terminal.console import print_result, report_errors
from pipelines.cli.terminal.options import Device, Json


def predict(
    panel: Annotated[Path, typer.Argument(help="Long table unique_id, ds, y[, variate]; CSV or Parquet.")],
    horizon: Annotated[int, typer.Option("--horizon", help="Steps ahead.")],
    freq: Annotated[str, typer.Option("--freq", help="h, D, W, M, Q or Y.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for quantiles.parquet and paths.parquet.")],
    *,
    quantiles: Annotated[
        str, typer.Option("--quantiles", help="Levels between 0 and 1, comma-separated.")
    ] = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9",
    paths: Annotated[int, typer.Option("--paths", help="Joint sample paths to write; 0 for none.")] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the sampling.")] = 0,
    model: Annotated[
        str, typer.Option("--model", help="Forecaster: statistical, network or blend.")
    ] = "network",
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
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Forecast any long table of series: quantiles, joint sample paths, and when events come."""
    with report_errors():
        from rich.console import Console

        from forecasting.errors import InputError
        from forecasting.periods import Frequency
        from forecasting.saturation.events import EventQuery
        from pipelines.forecast.long_table import ForecastOptions
        from pipelines.forecast.predict import PredictRequest, named_model
        from pipelines.forecast.predict import predict as carry_out

        try:
            levels = [float(level) for level in quantiles.split(",")]
        except ValueError as error:
            raise InputError(
                "quantile levels are numbers", found=repr(quantiles), where="--quantiles"
            ) from error
        request = PredictRequest(
            source=panel,
            out=out,
            frequency=Frequency.parse(freq),
            options=ForecastOptions(
                horizon=horizon,
                quantile_levels=levels,
                paths=paths,
                seed=seed,
                events=EventQuery.parse(event or [], hold=hold, measure=event_of, horizon=horizon),
            ),
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
