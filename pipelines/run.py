"""`overspill run`: every step under one parent run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipelines.backtest.origins import NoOriginError
from pipelines.backtest.step import BacktestResult, recorded_backtest, run_backtest
from pipelines.etl.step import run_etl
from pipelines.forecast.step import run_forecast
from pipelines.runtime.step.context import Context
from pipelines.runtime.step.etl_result import EtlResult
from pipelines.runtime.step.inputs import read_panel
from pipelines.train.step import run_train
from pipelines.windows.run_page import links, markdown
from pipelines.windows.step import WindowsResult, run_windows


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Run ids of the parent and its steps, and the tables people read.

    `train` is None where it was not requested, `backtest` where it was skipped, and `weights` where the
    network was not used.
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
    """Result of the train step: figures for machines, and sentences."""

    figures: Mapping[str, Any]
    told: Sequence[str]


def run_all(context: Context, *, train: bool = False) -> RunResult:
    """Run etl, optionally train, backtest, forecast and windows, each reading from the run before it.

    With a state, steps that an interrupted process of the same job finished are not repeated.
    """
    tracker = context.tracker
    with context.opened("run") as parent:
        context.log_settings(parent)
        inner = replace(context, parent_run_id=parent.run_id)
        with _timed(context, "etl"):
            etl = _etl(inner)
        trained = None
        if train:
            with _timed(context, "train"):
                trained = _train(inner, etl.run_id)
        with _timed(context, "backtest"):
            backtest = _backtest(inner, etl.run_id)
        with _timed(context, "forecast"):
            forecast = _forecast(inner, etl.run_id)
        with _timed(context, "windows"):
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
        skipped=forecast.skipped,
        weights=forecast.weights,
    )


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Result of the forecast step: its run, items without a forecast and why, the network's weights."""

    run_id: str
    skipped: dict[str, str]
    weights: str | None


def _left(context: Context, step: str) -> dict[str, Any] | None:
    """Result of a step that an earlier process of this job finished; None where it is still to be done."""
    left = None if context.state is None else context.state.done(step)
    if left is not None:
        context.tell(f"{step}: done before the interruption, run {left['run']}")
    return left


def _remember(context: Context, step: str, left: Mapping[str, Any]) -> None:
    if context.state is not None:
        context.state.remember(step, left)


def _etl(context: Context) -> EtlResult:
    left = _left(context, "etl")
    if left is not None:
        panel = read_panel(context.tracker, left["run"], context.settings).table
        return EtlResult(run_id=left["run"], panel=panel, told=left["told"])
    result = run_etl(context)
    _remember(context, "etl", {"run": result.run_id, "told": dict(result.told)})
    return result


def _train(context: Context, etl_run_id: str) -> Trained:
    left = _left(context, "train")
    if left is not None:
        return Trained(figures=left["figures"], told=left["told"])
    result = run_train(context, etl_run_id)
    trained = Trained(figures=result.figures(), told=result.told)
    _remember(context, "train", {"run": result.run_id, **asdict(trained)})
    return trained


def _backtest(context: Context, etl_run_id: str) -> BacktestResult | None:
    """The backtest; where it may choose its own origins and the history allows none, a sentence instead."""
    left = _left(context, "backtest")
    if left is not None:
        return recorded_backtest(context, left["run"], weights=left["weights"])
    try:
        result = run_backtest(context, etl_run_id)
    except NoOriginError as error:
        if context.settings.backtest.first_origin is not None:
            raise
        context.console.print(f"backtest skipped: {error.rule}", highlight=False, soft_wrap=True)
        return None
    _remember(context, "backtest", {"run": result.run_id, "weights": result.weights})
    return result


def _forecast(context: Context, etl_run_id: str) -> Forecast:
    left = _left(context, "forecast")
    if left is not None:
        return Forecast(run_id=left["run"], skipped=left["skipped"], weights=left["weights"])
    result = run_forecast(context, etl_run_id)
    told = {"skipped": dict(result.skipped), "weights": result.weights}
    _remember(context, "forecast", {"run": result.run_id, **told})
    return Forecast(run_id=result.run_id, skipped=dict(result.skipped), weights=result.weights)


@contextmanager
def _timed(context: Context, step: str) -> Iterator[None]:
    started = time.monotonic()
    with context.console.status(f"{step} ...") if context.console.is_terminal else _nothing():
        yield
    context.console.print(f"{step:<9} {time.monotonic() - started:5.1f} s", highlight=False)


@contextmanager
def _nothing() -> Iterator[None]:
    yield
