"""The command line. Heavy imports live inside the commands, so that `--help` answers at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.console import (
    check_reference_tables,
    fail,
    print_backtest,
    print_json,
    print_result,
    print_ui,
    print_windows,
    resolved_settings,
    stdout,
    step_context,
    told_in_one_sentence,
    with_options,
)

app = typer.Typer(
    name="overspill",
    help="When is US demand for an AI accelerator saturated, and how much may be exported then?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Config = Annotated[
    str | None,
    typer.Option("--config", help="Experiment on top of the defaults: a packaged name, or a path."),
]
Override = Annotated[
    list[str] | None, typer.Option("--set", help="Override one setting, key=value; may be given again.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder that receives a copy of the step's files.")]
Model = Annotated[str | None, typer.Option("--model", help="Forecaster: statistical, network or blend.")]
Device = Annotated[str | None, typer.Option("--device", help="Where the network computes: auto, cpu or gpu.")]
EtlRun = Annotated[str | None, typer.Option("--etl-run", help="Run whose panel is used.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of tables.")]


@app.command()
def run(
    config: Config = None,
    override: Override = None,
    out: Out = None,
    model: Model = None,
    device: Device = None,
    *,
    as_json: Json = False,
) -> None:
    """All steps: etl, backtest, forecast and export windows, ending with the answer."""
    options = {"forecast.model": model, "forecast.device": device}
    settings = resolved_settings(config, with_options(override, options))
    with step_context(settings, out) as context:
        from pipelines.run import run_all

        result = run_all(context)
        if as_json:
            tables = result.windows.tables
            print_json(
                {
                    "runs": result.run_ids,
                    **({"etl": result.etl.told} if result.etl.told else {}),
                    "now": result.windows.now,
                    "windows": tables["windows"].to_dicts(),
                    "cap_readings": tables["cap_readings"].to_dicts(),
                    "leaderboard": result.backtest.leaderboard.to_dicts() if result.backtest else [],
                    "skipped": result.skipped,
                    "weights": result.weights,
                    "store": context.tracker.shown,
                }
            )
            return
        console = stdout()
        print_result(result.etl.told, as_json=False)
        if result.backtest is not None:
            print_backtest(console, result.backtest)
        if result.weights is not None:
            console.print(f"weights of the forecast: {result.weights}", highlight=False)
        print_windows(console, context, result.windows.tables)
        print_ui(console, context)


@app.command()
def etl(
    config: Config = None,
    override: Override = None,
    out: Out = None,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only run the checks of the reference tables.")
    ] = False,
    engine: Annotated[
        str | None, typer.Option("--engine", help="Who reads an order book: local, ray or gpu.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Raw sources to the canonical panel."""
    if check:
        check_reference_tables(as_json=as_json)
        return
    chosen = [f"data.engine={engine}"] if engine is not None else []
    settings = resolved_settings(config, [*(override or []), *chosen])
    with step_context(settings, out) as context:
        from pipelines.etl import run_etl

        result = run_etl(context)
        figures = {
            "run": result.run_id,
            "rows": result.panel.height,
            "items": result.panel["item_id"].n_unique(),
            **result.told,
        }
        print_result(figures, as_json=as_json)


@app.command()
def backtest(
    config: Config = None,
    override: Override = None,
    out: Out = None,
    etl_run: EtlRun = None,
    *,
    as_json: Json = False,
) -> None:
    """Score every forecaster on the past, as it was known then."""
    settings = resolved_settings(config, override)
    with step_context(settings, out) as context:
        from pipelines.backtest import run_backtest

        result = run_backtest(context, etl_run)
        if as_json:
            figures = {"run": result.run_id, "weights": result.weights}
            print_json({**figures, "leaderboard": result.leaderboard.to_dicts()})
            return
        print_backtest(stdout(), result)


@app.command()
def train(
    config: Config = None,
    override: Override = None,
    out: Out = None,
    etl_run: EtlRun = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Optimiser steps at most.")] = None,
    device: Device = None,
    *,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Train a new network rather than fine-tune.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fine-tune the network on an etl run's panel; it becomes champion if it beats the present one."""
    options = {
        "forecast.device": device,
        "train.from_scratch": from_scratch or None,
        "train.fine_tuning.steps": steps,
        "train.scratch.steps": steps,
    }
    settings = resolved_settings(config, with_options(override, options))
    with step_context(settings, out) as context:
        from pipelines.report import print_table
        from pipelines.train import run_train

        result = run_train(context, etl_run)
        figures = {"run": result.run_id, "version": result.version, **result.verdict.figures()}
        if as_json:
            rows = result.leaderboard.to_dicts()
            print_json({**figures, "validation": result.validation, "leaderboard": rows})
            return
        print_table(stdout(), result.leaderboard, title="test (days that the training had not seen)")
        for sentence in result.told:
            stdout().print(sentence, highlight=False, soft_wrap=True)
        print_ui(stdout(), context)


@app.command()
def forecast(
    config: Config = None,
    override: Override = None,
    out: Out = None,
    model: Model = None,
    device: Device = None,
    etl_run: EtlRun = None,
    *,
    as_json: Json = False,
) -> None:
    """Joint sample paths of orders and capacity from an etl run's panel."""
    options = {"forecast.model": model, "forecast.device": device}
    settings = resolved_settings(config, with_options(override, options))
    with step_context(settings, out) as context:
        from pipelines.forecast import run_forecast

        result = run_forecast(context, etl_run)
        figures = {
            "run": result.run_id,
            "items": len(result.paths.item_ids),
            "paths": result.paths.paths,
            "horizon": result.paths.horizon,
            **({} if result.weights is None else {"weights": result.weights}),
            "skipped": dict(result.skipped),
        }
        print_result(figures, as_json=as_json)


@app.command()
def windows(
    config: Config = None,
    override: Override = None,
    out: Out = None,
    forecast_run: Annotated[
        str | None, typer.Option("--forecast-run", help="Run whose paths are used.")
    ] = None,
    policy: Annotated[
        list[str] | None, typer.Option("--policy", help="Policy to apply (name or path); may be given again.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Saturation dates and export windows from a forecast run's paths."""
    overrides = list(override or [])
    if policy:
        overrides.append(f"policies={json.dumps(policy)}")
    settings = resolved_settings(config, overrides)
    with step_context(settings, out) as context:
        from pipelines.windows import run_windows

        result = run_windows(context, forecast_run)
        if as_json:
            rows = {name: table.to_dicts() for name, table in result.tables.items()}
            print_json({"run": result.run_id, "now": result.now, **rows})
            return
        print_windows(stdout(), context, result.tables)


@app.command()
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
    ] = "statistical",
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="Folder with weights of the network to use.")
    ] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Forecast any long table of series: quantiles and joint sample paths."""
    with told_in_one_sentence():
        from rich.console import Console

        from forecasting.errors import InputError
        from forecasting.periods import Frequency
        from pipelines.long_forecast import Question
        from pipelines.predict import PredictRequest, named_model
        from pipelines.predict import predict as carry_out

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
            question=Question(horizon=horizon, quantile_levels=levels, paths=paths, seed=seed),
            model=named_model(model),
            checkpoint=checkpoint,
            device=device or "auto",
        )
        figures: dict[str, Any] = {**carry_out(request, Console(stderr=True)), "out": str(out)}
        print_result(figures, as_json=as_json)


@app.command(name="config")
def show_config(config: Config = None, override: Override = None, *, as_json: Json = False) -> None:
    """Print the resolved configuration, after validation."""
    settings = resolved_settings(config, override)
    with told_in_one_sentence():
        from pipelines.config import dump

        if as_json:
            print_json(settings.model_dump(mode="json"))
        else:
            typer.echo(dump(settings), nl=False)


def main() -> None:
    """Entry point of the command `overspill`."""
    try:
        app()
    except KeyboardInterrupt:
        fail("interrupted", 130)


if __name__ == "__main__":
    main()
