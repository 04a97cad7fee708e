"""`overspill backtest`: every forecaster on the past, of the panel or of a table of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.terminal.console import (
    print_backtest,
    print_json,
    print_result,
    report_errors,
    resolved_settings,
    stdout,
    step_context,
)
from pipelines.cli.terminal.options import Config, Device, Engine, EtlRun, Json, Out, Override
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

OF_A_TABLE = "of a TABLE"
PANEL_ONLY = ("config", "override", "etl_run", "engine")


def backtest(
    context: typer.Context,
    table: Annotated[
        Path | None,
        typer.Argument(
            help="Table of one's own series, as of `predict`; without it, the panel of an etl run."
        ),
    ] = None,
    config: Config = None,
    override: Override = None,
    out: Out = None,
    etl_run: EtlRun = None,
    engine: Engine = None,
    *,
    horizon: Annotated[int | None, typer.Option("--horizon", help="Steps ahead, of a TABLE.")] = None,
    origins: Annotated[int, typer.Option("--origins", help="Origins of each series, of a TABLE.")] = 3,
    step: Annotated[int, typer.Option("--step", help="Steps between two origins, of a TABLE.")] = 1,
    models: Annotated[
        str,
        typer.Option("--models", help="Models beside the seasonal naive one, comma-separated, of a TABLE."),
    ] = "auto,network,bank,statistical",
    freq: Freq = None,
    event: Event = None,
    hold: Hold = None,
    event_of: EventOf = None,
    id_col: IdCol = "unique_id",
    time_col: TimeCol = "ds",
    target_col: TargetCol = "y",
    covariates: Covariates = "",
    statics: Statics = "",
    calendar: CalendarFile = None,
    encoding: Encoding = None,
    separator: Separator = None,
    checkpoint: Checkpoint = None,
    device: Device = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Score every forecaster on the past, as it was known then; of a TABLE, on its own last steps."""
    given = [name for name in context.params if _is_given(context, name)]
    if table is None:
        with report_errors():
            _refuse(given, allowed=(*PANEL_ONLY, "out", "as_json"), rule="the option is about a TABLE")
        _backtest_panel(config, override, out, etl_run, engine, as_json=as_json)
        return
    with report_errors():
        from forecasting.errors import InputError
        from forecasting.frequencies import Frequency
        from forecasting.saturation.events import EventQuery
        from pipelines.backtest.own_series import BacktestOptions
        from pipelines.backtest.own_series_command import BacktestRequest
        from pipelines.runtime.config.model_names import named_model

        others = set(context.params) - set(PANEL_ONLY)
        _refuse(given, allowed=tuple(others), rule="the option is about the panel, not about a TABLE")
        if horizon is None or out is None:
            lacking = "--horizon" if horizon is None else "--out"
            raise InputError(f"a backtest {OF_A_TABLE} needs the option", where=lacking)
        request = BacktestRequest(
            source=table,
            out=out,
            options=BacktestOptions(
                horizon=horizon,
                origins=origins,
                step=step,
                seed=seed,
                events=EventQuery.parse(event or [], hold=hold, measure=event_of, horizon=horizon),
            ),
            models=tuple(named_model(name.strip()) for name in models.split(",") if name.strip()),
            frequency=None if freq is None else Frequency.parse(freq),
            columns=table_columns(
                id_col=id_col,
                time_col=time_col,
                target_col=target_col,
                covariates=covariates,
                statics=statics,
            ),
            calendar=calendar,
            encoding=encoding,
            separator=one_byte(separator),
            checkpoint=checkpoint,
            device=device or "auto",
        )
        _backtest_table(request, as_json=as_json)


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _refuse(given: list[str], *, allowed: tuple[str, ...], rule: str) -> None:
    from forecasting.errors import InputError

    for name in given:
        if name not in allowed:
            option = "--set" if name == "override" else f"--{name.replace('_', '-')}"
            raise InputError(rule, where=option)


def _backtest_panel(
    config: str | None,
    override: list[str] | None,
    out: Path | None,
    etl_run: str | None,
    engine: str | None,
    *,
    as_json: bool,
) -> None:
    settings = resolved_settings(config, override, {"backtest.engine": engine})
    with step_context(settings, out) as context:
        from pipelines.backtest.step import run_backtest

        result = run_backtest(context, etl_run)
        if as_json:
            figures = {"run": result.run_id, "weights": result.weights}
            print_json({**figures, "leaderboard": result.leaderboard.to_dicts()})
            return
        print_backtest(stdout(), result)


def _backtest_table(request: Any, *, as_json: bool) -> None:  # noqa: ANN401 - its module is heavy
    from rich.console import Console

    from pipelines.backtest.own_series_command import backtest_table
    from pipelines.cli.terminal.tables import print_table

    found, figures = backtest_table(request, Console(stderr=True))
    figures |= {"out": str(request.out)}
    events = [] if found.events is None else found.events.to_dicts()
    if as_json:
        print_json({**figures, "leaderboard": found.leaderboard.to_dicts(), "events": events})
        return
    print_result(figures, as_json=False)
    title = "backtest (skill: share of the seasonal naive model's scaled CRPS that is saved)"
    print_table(stdout(), found.leaderboard, title=title)
    if found.events is not None:
        print_table(
            stdout(), found.events, title="events (Brier score of P(come by t), mean over the horizon)"
        )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backtest)
