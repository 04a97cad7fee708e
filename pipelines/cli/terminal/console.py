"""What the commands share: settings and context, errors in one sentence, and how results are printed.

Heavy imports live inside the functions, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pipelines.cli.terminal.collection import without_collection

if TYPE_CHECKING:
    from rich.console import Console

    from pipelines.backtest.step import BacktestResult
    from pipelines.runtime.config.settings import Settings
    from pipelines.runtime.jobs.state import JobState
    from pipelines.runtime.step.context import Context
    from pipelines.windows.answer import Answer

TABLE_WIDTH = 180  # where the output is no terminal, rows stay on one line


@contextmanager
def report_errors() -> Iterator[None]:
    """Turn errors into one sentence and the exit status; OVERSPILL_TRACEBACK=1 shows the traceback."""
    from forecasting.errors import OverspillError
    from models.errors import ModelError

    try:
        yield
    except (OverspillError, ModelError) as error:
        if os.environ.get("OVERSPILL_TRACEBACK"):
            raise
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except (MemoryError, OSError) as error:
        if os.environ.get("OVERSPILL_TRACEBACK"):
            raise
        fail(f"{type(error).__name__}: {error}", 1)


def fail(sentence: str, code: int) -> None:
    """Print the sentence and end with this exit status."""
    line = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in sentence)
    print(f"error: {line}", file=sys.stderr)  # noqa: T201
    raise SystemExit(code)


def resolved_settings(
    config: str | None, overrides: list[str] | None, options: Mapping[str, object] | None = None
) -> Settings:
    """Merged and validated settings; whatever is wrong ends the command with exit status 2.

    Parameters
    ----------
    config : str, optional
    overrides : list of str, optional
    options : mapping, optional
        Values of the command's own options, each under the key that it sets; None where it was not given.
    """
    with report_errors(), without_collection():
        from pipelines.runtime.config.loader import resolve

        return resolve(config, overrides or [], options or {})
    raise AssertionError  # the context above never swallows an error


@contextmanager
def step_context(
    settings: Settings,
    out: Path | None,
    state: Path | None = None,
    open_state: Callable[[Path | None, Settings], JobState | None] | None = None,
    command: str = "",
    *,
    brief: bool = False,
) -> Iterator[Context]:
    """The context of a step on the configured store; errors inside end the command in one sentence.

    Of several processes of a job only the first runs this: the others serve it and end with its exit status.

    Parameters
    ----------
    settings : Settings
    out : Path, optional
        Folder that receives a copy of the step's files.
    state : Path, optional
        Folder that records progress.
    open_state : callable, optional
        Opens the state in that folder; by default that of a job of this command and these settings.
    command : str
        The command with those of its options that are no settings.
    brief : bool
        Print no notes on a terminal, where the command ends with the answer alone.
    """
    with report_errors():
        with without_collection():
            from rich.console import Console

            from pipelines.runtime.jobs.job import job_state, join_ranks
            from pipelines.runtime.step.context import Context
            from pipelines.runtime.store.address import resolve_uri
            from pipelines.runtime.tracking import Spooling, Tracker, close_abandoned

        tracking, console = settings.tracking, Console(stderr=True)

        def tell(sentence: str) -> None:
            console.print(sentence, highlight=False, soft_wrap=True)

        with join_ranks(settings) as ranks:
            _check(settings, out)
            kept = open_state(state, settings) if open_state else job_state(state, settings, command)
            spooling = Spooling(folder=tracking.spool, from_start=tracking.when_away == "spool", tell=tell)
            with without_collection():  # a database's classes are laid out here
                opened = Tracker(resolve_uri(tracking.uri), tracking.experiment, spooling=spooling)
            with opened as tracker:
                for sentence in close_abandoned(tracker):
                    tell(sentence)
                yield Context(
                    settings=settings,
                    tracker=tracker,
                    console=console,
                    out=out,
                    ranks=ranks,
                    state=kept,
                    brief=brief and console.is_terminal,
                )


def _check(settings: Settings, out: Path | None) -> None:
    """Reject early what would only fail later."""
    from pipelines.runtime.files.artifacts import check_writable

    if settings.forecast.device == "gpu":
        from pipelines.runtime.registry.weights import require_device

        require_device("gpu")
    if out is not None:
        check_writable(out)


def stdout() -> Console:
    """Console on standard output, wide enough for one row per line where it is no terminal."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=TABLE_WIDTH)


def print_backtest(console: Console, result: BacktestResult) -> None:
    """Print the leaderboard, the known case, and which weights the network used."""
    from pipelines.cli.terminal.tables import print_table

    print_table(
        console,
        result.leaderboard,
        title="backtest (skill: error saved against the best single model)",
    )
    if result.case is not None:
        print_table(console, result.case, title=result.case_title)
    console.print(f"weights of the network: {result.weights}", highlight=False, soft_wrap=True)


def print_windows(console: Console, settings: Settings, tables: Mapping[str, Any]) -> None:
    """Print the windows of every policy and the readings of the cap of the first."""
    from forecasting.frequencies import Frequency
    from pipelines.cli.terminal.tables import print_cap_readings, print_windows_table

    frequency = Frequency.parse(settings.data.frequency)
    end = tables["saturation"]["timestamp"].max()
    print_windows_table(console, tables["windows"], frequency=frequency, end=end)
    print_cap_readings(console, tables["cap_readings"], policy=settings.policies[0].name)


def print_answer(
    console: Console,
    answer: Answer,
    *,
    run_id: str,
    out: Path | None = None,
    book: Mapping[str, Any] | None = None,
) -> None:
    """Print the first screen: the answer in at most twenty lines.

    Parameters
    ----------
    console : Console
    answer : Answer
    run_id : str
        The windows run.
    out : Path, optional
        Folder that received the files.
    book : mapping, optional
        Counts of an order book, as its etl step tells them; empty for other data.
    """
    from pipelines.cli.terminal.answer import answer_lines

    rows = f"{book['accepted']:,} of {book['rows in']:,} rows accepted" if book else None
    lines = answer_lines(answer, run_id=run_id, out=None if out is None else str(out), rows=rows)
    for place, line in enumerate(lines):
        console.print(
            line, style="bold" if place == 0 else None, highlight=False, markup=False, soft_wrap=True
        )


def print_ui(console: Console, context: Context) -> None:
    """Print how to open the MLflow UI."""
    from pipelines.runtime.store.address import ui_command

    console.print(f"MLflow UI: {ui_command(context.tracker.uri)}", highlight=False, soft_wrap=True)


def print_result(figures: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a step's figures, as text or JSON."""
    if as_json:
        print_json(figures)
        return
    for key, value in figures.items():
        shown = "; ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{key:<14} {shown}")


def print_json(content: Mapping[str, Any]) -> None:
    """Print JSON for machines."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False, default=str))


def check_reference_tables(*, as_json: bool) -> None:
    """Run and print the checks of the reference tables; exit status 1 if one fails."""
    with report_errors():
        from pipelines.etl.step import check_reference

        checks = check_reference()
        if as_json:
            print_json({"checks": [vars(check) for check in checks]})
        else:
            for check in checks:
                typer.echo(
                    f"{'ok' if check.passed else 'FAILED':<7} {check.table:<22} {check.rule}: {check.detail}"
                )
        failed = sum(not check.passed for check in checks)
        if failed:
            fail(f"{failed} of {len(checks)} checks of the reference tables failed", 1)


def begin_job(context: Context) -> None:
    """Send what earlier jobs left, and see to a champion now: the server may be away when it is needed."""
    from pipelines.runtime.jobs.sync import sync_quietly
    from pipelines.runtime.registry.registry import hold_champion
    from pipelines.runtime.registry.shipped import register_shipped

    if context.tracker.is_unreachable:
        return
    sync_quietly(context.settings, context.console)
    message = register_shipped(context.tracker)
    if message is not None:
        (context.note if message.startswith("registered") else context.tell)(message)
    hold_champion(context.tracker)
