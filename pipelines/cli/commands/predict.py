"""`overspill predict`: any long table of series."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.terminal.console import print_result, report_errors
from pipelines.cli.terminal.options import MODEL_HELP, Device, Json


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
    model: Annotated[str, typer.Option("--model", help=MODEL_HELP)] = "auto",
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="Folder with weights of the network to use.")
    ] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Forecast any long table of series: quantiles and joint sample paths."""
    with report_errors():
        from rich.console import Console

        from forecasting.errors import InputError
        from forecasting.periods import Frequency
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
            options=ForecastOptions(horizon=horizon, quantile_levels=levels, paths=paths, seed=seed),
            model=named_model(model),
            checkpoint=checkpoint,
            device=device or "auto",
        )
        figures: dict[str, Any] = {**carry_out(request, Console(stderr=True)), "out": str(out)}
        print_result(figures, as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(predict)
