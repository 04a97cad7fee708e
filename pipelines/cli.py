"""The command line. Heavy imports live inside the commands, so that `--help` answers at once."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from pipelines.context import Context
    from pipelines.settings import Settings

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
Model = Annotated[str | None, typer.Option("--model", help="Forecaster: statistical or network.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of tables.")]
TABLE_WIDTH = 180  # where the output is no terminal, rows stay on one line


@app.command()
def run(
    config: Config = None,
    override: Override = None,
    out: Out = None,
    model: Model = None,
    *,
    as_json: Json = False,
) -> None:
    """All steps: etl, backtest, forecast and export windows, ending with the answer."""
    settings = _settings(config, _with_model(override, model))
    with _context(settings, out) as context:
        from pipelines.run import run_all

        result = run_all(context)
        if as_json:
            tables = result.windows.tables
            _print_json(
                {
                    "runs": result.run_ids,
                    "now": result.windows.now,
                    "windows": tables["windows"].to_dicts(),
                    "cap_readings": tables["cap_readings"].to_dicts(),
                    "leaderboard": result.backtest.leaderboard.to_dicts(),
                    "skipped": result.skipped,
                    "store": context.tracker.shown,
                }
            )
            return
        from pipelines.report import print_table

        console = _stdout()
        print_table(
            console, result.backtest.leaderboard, title="backtest (skill against the best single model)"
        )
        if result.backtest.case is not None:
            print_table(console, result.backtest.case, title=result.backtest.case_title)
        _print_windows(console, context, result.windows.tables)
        _print_ui(console, context)


@app.command()
def etl(
    config: Config = None,
    override: Override = None,
    out: Out = None,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only run the checks of the reference tables.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Raw sources to the canonical panel."""
    if check:
        _check_reference(as_json=as_json)
        return
    settings = _settings(config, override)
    with _context(settings, out) as context:
        from pipelines.etl import run_etl

        result = run_etl(context)
        figures = {
            "run": result.run_id,
            "rows": result.panel.height,
            "items": result.panel["item_id"].n_unique(),
        }
        _print_result(figures, as_json=as_json)


@app.command()
def backtest(
    config: Config = None,
    override: Override = None,
    out: Out = None,
    etl_run: Annotated[str | None, typer.Option("--etl-run", help="Run whose panel is used.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Score every forecaster on the past, as it was known then."""
    settings = _settings(config, override)
    with _context(settings, out) as context:
        from pipelines.backtest import run_backtest
        from pipelines.report import print_table

        result = run_backtest(context, etl_run)
        if as_json:
            _print_json({"run": result.run_id, "leaderboard": result.leaderboard.to_dicts()})
            return
        print_table(_stdout(), result.leaderboard, title="backtest (skill against the best single model)")
        if result.case is not None:
            print_table(_stdout(), result.case, title=result.case_title)


@app.command()
def forecast(
    config: Config = None,
    override: Override = None,
    out: Out = None,
    model: Model = None,
    etl_run: Annotated[str | None, typer.Option("--etl-run", help="Run whose panel is used.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Joint sample paths of orders and capacity from an etl run's panel."""
    settings = _settings(config, _with_model(override, model))
    with _context(settings, out) as context:
        from pipelines.forecast import run_forecast

        result = run_forecast(context, etl_run)
        figures = {
            "run": result.run_id,
            "items": len(result.paths.item_ids),
            "paths": result.paths.paths,
            "horizon": result.paths.horizon,
            "skipped": dict(result.skipped),
        }
        _print_result(figures, as_json=as_json)


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
    settings = _settings(config, overrides)
    with _context(settings, out) as context:
        from pipelines.windows import run_windows

        result = run_windows(context, forecast_run)
        if as_json:
            rows = {name: table.to_dicts() for name, table in result.tables.items()}
            _print_json({"run": result.run_id, "now": result.now, **rows})
            return
        _print_windows(_stdout(), context, result.tables)


@app.command()
def predict(
    panel: Annotated[Path, typer.Argument(help="Long table unique_id, ds, y[, variate]; CSV or Parquet.")],
    horizon: Annotated[int, typer.Option("--horizon", help="Steps ahead.")],
    freq: Annotated[str, typer.Option("--freq", help="h, D, W, M, Q or Y.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for quantiles.parquet and paths.parquet.")],
    quantiles: Annotated[
        str, typer.Option("--quantiles", help="Levels between 0 and 1, comma-separated.")
    ] = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9",
    paths: Annotated[int, typer.Option("--paths", help="Joint sample paths to write; 0 for none.")] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the sampling.")] = 0,
    model: Annotated[
        str, typer.Option("--model", help="Forecaster: statistical or network.")
    ] = "statistical",
    *,
    as_json: Json = False,
) -> None:
    """Forecast any long table of series: quantiles and joint sample paths."""
    with _told_in_one_sentence():
        from rich.console import Console

        from forecasting.errors import InputError
        from forecasting.periods import Frequency
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
            horizon=horizon,
            frequency=Frequency.parse(freq),
            quantile_levels=levels,
            paths=paths,
            seed=seed,
            model=named_model(model),
        )
        figures: dict[str, Any] = {**carry_out(request, Console(stderr=True)), "out": str(out)}
        _print_result(figures, as_json=as_json)


@app.command(name="config")
def show_config(config: Config = None, override: Override = None, *, as_json: Json = False) -> None:
    """Print the resolved configuration, after validation."""
    settings = _settings(config, override)
    with _told_in_one_sentence():
        from pipelines.config import dump

        if as_json:
            _print_json(settings.model_dump(mode="json"))
        else:
            typer.echo(dump(settings), nl=False)


def main() -> None:
    """Entry point of the command `overspill`."""
    try:
        app()
    except KeyboardInterrupt:
        _fail("interrupted", 130)


@contextmanager
def _told_in_one_sentence() -> Iterator[None]:
    """Turn errors into one sentence and the exit status; OVERSPILL_TRACEBACK=1 shows where they arose."""
    from forecasting.errors import OverspillError

    try:
        yield
    except OverspillError as error:
        if os.environ.get("OVERSPILL_TRACEBACK"):
            raise
        _fail(str(error), error.exit_code)
    except (MemoryError, OSError) as error:
        if os.environ.get("OVERSPILL_TRACEBACK"):
            raise
        _fail(f"{type(error).__name__}: {error}", 1)


def _fail(sentence: str, code: int) -> None:
    print(f"error: {sentence}", file=sys.stderr)  # noqa: T201
    raise SystemExit(code)


def _with_model(override: list[str] | None, model: str | None) -> list[str]:
    return [*(override or []), *([f"forecast.model={model}"] if model is not None else [])]


def _settings(config: str | None, overrides: list[str] | None) -> Settings:
    with _told_in_one_sentence():
        from pipelines.config import resolve

        return resolve(config, overrides or [])
    raise AssertionError  # the context above never swallows an error


@contextmanager
def _context(settings: Settings, out: Path | None) -> Iterator[Context]:
    with _told_in_one_sentence():
        from rich.console import Console

        from pipelines.artifacts import check_writable
        from pipelines.context import Context
        from pipelines.tracking import Tracker, resolve_uri

        if out is not None:
            check_writable(out)
        tracker = Tracker(resolve_uri(settings.tracking.uri), settings.tracking.experiment)
        yield Context(settings=settings, tracker=tracker, console=Console(stderr=True), out=out)


def _stdout() -> Console:
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=TABLE_WIDTH)


def _print_windows(console: Console, context: Context, tables: dict[str, Any]) -> None:
    from forecasting.periods import Frequency
    from pipelines.report import print_answer, print_cap_readings

    frequency = Frequency(context.settings.data.frequency)
    end = tables["saturation"]["timestamp"].max()
    print_answer(console, tables["windows"], frequency=frequency, end=end)
    print_cap_readings(console, tables["cap_readings"], policy=context.settings.policies[0].name)


def _print_ui(console: Console, context: Context) -> None:
    from pipelines.tracking import ui_command

    console.print(f"MLflow UI: {ui_command(context.tracker.uri)}", highlight=False, soft_wrap=True)


def _print_result(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        _print_json(figures)
        return
    for key, value in figures.items():
        shown = "; ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{key:<14} {shown}")


def _print_json(content: dict[str, Any]) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False, default=str))


def _check_reference(*, as_json: bool) -> None:
    with _told_in_one_sentence():
        from pipelines.etl import check_reference

        checks = check_reference()
        if as_json:
            _print_json({"checks": [vars(check) for check in checks]})
        else:
            for check in checks:
                typer.echo(
                    f"{'ok' if check.passed else 'FAILED':<7} {check.table:<22} {check.rule}: {check.detail}"
                )
        failed = sum(not check.passed for check in checks)
        if failed:
            _fail(f"{failed} of {len(checks)} checks of the reference tables failed", 1)


if __name__ == "__main__":
    main()
