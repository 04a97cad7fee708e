"""`overspill run`: every step under one parent run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipelines.backtest import BacktestResult, run_backtest
from pipelines.config import flatten
from pipelines.context import Context
from pipelines.etl import run_etl
from pipelines.etl_result import EtlResult
from pipelines.forecast import run_forecast
from pipelines.inputs import read_panel
from pipelines.standpoints import NoOriginError
from pipelines.story import links, markdown
from pipelines.train import run_train
from pipelines.windows import WindowsResult, run_windows


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Run ids of the parent and its steps, and the tables people read.

    There is no training where none was asked for, no backtest where it was skipped, and there are no weights
    where no network forecast.
    """

    run_ids: dict[str, str]
    etl: EtlResult
    train: Trained | None
    backtest: BacktestResult | None
    windows: WindowsResult
    skipped: dict[str, str]
    weights: str | None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What the train step has left: figures for machines, and sentences."""

    figures: Mapping[str, Any]
    told: Sequence[str]


def run_all(context: Context, *, train: bool = False) -> RunResult:
    """Run etl, train where asked, backtest, forecast and windows, each reading from the run before it.

    With a state, what an interrupted process of the same job has finished is not done again: the panel and
    the training, which take long; the rest is.
    """
    tracker = context.tracker
    with context.opened("run") as parent:
        parent.log_params(flatten(context.settings))
        inner = replace(context, parent_run_id=parent.run_id)
        with _told(context, "etl"):
            etl = _etl(inner)
        trained = None
        if train:
            with _told(context, "train"):
                trained = _train(inner, etl.run_id)
        with _told(context, "backtest"):
            backtest = _backtest(inner, etl.run_id)
        with _told(context, "forecast"):
            forecast = run_forecast(inner, etl.run_id)
        with _told(context, "windows"):
            windows = run_windows(inner, forecast.run_id)
        steps = {
            "etl": etl.run_id,
            **({} if trained is None else {"train": str(trained.figures["run"])}),
            **({} if backtest is None else {"backtest": backtest.run_id}),
            "forecast": forecast.run_id,
            "windows": windows.run_id,
        }
        parent.describe(f"{markdown(windows.tables['windows'])}\n\nSteps: {links(tracker, steps)}")
    if context.state is not None:
        context.state.clear()
    return RunResult(
        run_ids={"run": parent.run_id, **steps},
        etl=etl,
        train=trained,
        backtest=backtest,
        windows=windows,
        skipped=dict(forecast.skipped),
        weights=forecast.weights,
    )


def _etl(context: Context) -> EtlResult:
    """The etl step, or what it left to an earlier process of this job."""
    left = None if context.state is None else context.state.done("etl")
    if left is not None:
        panel = read_panel(context.tracker, left["run"], context.settings).table
        context.tell(f"going on with the panel of run {left['run']}")
        return EtlResult(run_id=left["run"], panel=panel, told=left["told"])
    result = run_etl(context)
    if context.state is not None:
        context.state.remember("etl", {"run": result.run_id, "told": dict(result.told)})
    return result


def _train(context: Context, etl_run_id: str) -> Trained:
    """The train step, or what it left to an earlier process of this job."""
    left = None if context.state is None else context.state.done("train")
    if left is not None:
        context.tell(f"going on with the training of run {left['figures']['run']}")
        return Trained(**left)
    result = run_train(context, etl_run_id)
    trained = Trained(figures=result.figures(), told=result.told)
    if context.state is not None:
        context.state.remember("train", asdict(trained))
    return trained


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
