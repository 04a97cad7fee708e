"""`overspill show`: what a finished run found, without computing anything anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.terminal.console import (
    print_answer,
    print_json,
    print_windows,
    resolved_settings,
    stdout,
    step_context,
)
from pipelines.cli.terminal.options import Json, StoreConfig, StoreOverride

if TYPE_CHECKING:
    from rich.console import Console

    from pipelines.windows.recorded_run import RecordedWindows

WHAT = ("answer", "windows", "caps", "statements", "backtest")


def show(
    what: Annotated[
        str,
        typer.Argument(help="answer, windows, caps, statements, backtest, or the start of a run's id."),
    ] = "answer",
    run: Annotated[
        str | None,
        typer.Option("--run", help="Run that is shown: id, or its first characters (newest)."),
    ] = None,
    config: StoreConfig = None,
    override: StoreOverride = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All of it: answer, windows and caps.")] = False,
    as_json: Json = False,
) -> None:
    """What a finished run found: answer, windows, readings of the cap, statements, backtest, or any run."""
    settings = resolved_settings(config, override)
    with step_context(settings, None) as context:
        from forecasting.errors import InputError
        from pipelines.cli.terminal.run_table import print_run
        from pipelines.runtime.tracking import run_by_prefix
        from pipelines.windows.recorded_run import recorded_windows, run_of_step

        tracker = context.tracker
        if what not in WHAT:
            if not set(what) <= set("0123456789abcdef"):
                raise InputError(
                    "no such thing to show",
                    expected=f"{', '.join(WHAT)} or the id of a run",
                    found=repr(what),
                )
            found: Any = run_by_prefix(tracker, what)
            step = found.data.tags["overspill.step"]
            if step not in ("run", "windows", "backtest"):
                print_run(stdout(), tracker, found, as_json=as_json)
                return
            what, run = "backtest" if step == "backtest" else "answer", found.info.run_id
        if what == "backtest":
            _backtest(tracker, run_of_step(tracker, "backtest", run), as_json=as_json)
            return
        read = recorded_windows(tracker, run_of_step(tracker, "windows", run))
        if as_json:
            print_json(read.as_json(what if not everything else "all"))
            return
        _print(stdout(), read, what="all" if everything else what)


def _print(console: Console, read: RecordedWindows, *, what: str) -> None:
    from pipelines.cli.terminal.tables import print_cap_readings, print_statements

    if what in ("windows", "all"):
        print_windows(console, read.settings, read.tables)
    if what == "caps":
        for policy in read.settings.policies:
            print_cap_readings(console, read.tables["cap_readings"], policy=policy.name)
    if what == "statements":
        print_statements(console, read.answer.basis.statements)
    if what in ("answer", "all"):
        print_answer(console, read.answer, run_id=read.run_id)


def _backtest(tracker: Any, run_id: str, *, as_json: bool) -> None:  # noqa: ANN401 - imported late
    from pipelines.backtest.step import recorded_tables
    from pipelines.cli.terminal.tables import print_table

    tables = recorded_tables(tracker, run_id)
    if as_json:
        print_json({"run": run_id, **{name: table.to_dicts() for name, table in tables.items()}})
        return
    print_table(
        stdout(),
        tables["leaderboard"],
        title="backtest (skill: error saved against the best single model)",
    )
    if "known_case" in tables:
        print_table(stdout(), tables["known_case"], title="the known case")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(show)
