"""`overspill run`: every step under one parent run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pipelines.backtest import BacktestResult, run_backtest
from pipelines.config import flatten
from pipelines.context import Context
from pipelines.etl import run_etl
from pipelines.etl_result import EtlResult
from pipelines.forecast import run_forecast
from pipelines.standpoints import NoOriginError
from pipelines.story import links, markdown
from pipelines.windows import WindowsResult, run_windows


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Run ids of the parent and its steps, and the tables people read.

    There is no backtest where it was skipped, and there are no weights where no network forecast.
    """

    run_ids: dict[str, str]
    etl: EtlResult
    backtest: BacktestResult | None
    windows: WindowsResult
    skipped: dict[str, str]
    weights: str | None


def run_all(context: Context) -> RunResult:
    """Run etl, backtest, forecast and windows, each reading from the run before it."""
    tracker = context.tracker
    with tracker.step("run") as parent:
        parent.log_params(flatten(context.settings))
        inner = replace(context, parent_run_id=parent.run_id)
        with _told(context, "etl"):
            etl = run_etl(inner)
        with _told(context, "backtest"):
            backtest = _backtest(inner, etl.run_id)
        with _told(context, "forecast"):
            forecast = run_forecast(inner, etl.run_id)
        with _told(context, "windows"):
            windows = run_windows(inner, forecast.run_id)
        steps = {
            "etl": etl.run_id,
            **({} if backtest is None else {"backtest": backtest.run_id}),
            "forecast": forecast.run_id,
            "windows": windows.run_id,
        }
        parent.describe(f"{markdown(windows.tables['windows'])}\n\nSteps: {links(tracker, steps)}")
    return RunResult(
        run_ids={"run": parent.run_id, **steps},
        etl=etl,
        backtest=backtest,
        windows=windows,
        skipped=dict(forecast.skipped),
        weights=forecast.weights,
    )


def _backtest(context: Context, etl_run_id: str) -> BacktestResult | None:
    """The backtest; where it may choose its own origins and the history allows none, a sentence instead."""
    try:
        return run_backtest(context, etl_run_id)
    except NoOriginError as error:
        if context.settings.backtest.first_origin is not None:
            raise
        context.console.print(f"backtest skipped: {error.rule}", highlight=False, soft_wrap=True)
        return None


@contextmanager
def _told(context: Context, step: str) -> Iterator[None]:
    started = time.monotonic()
    with context.console.status(f"{step} ...") if context.console.is_terminal else _nothing():
        yield
    context.console.print(f"{step:<9} {time.monotonic() - started:5.1f} s", highlight=False)


@contextmanager
def _nothing() -> Iterator[None]:
    yield
