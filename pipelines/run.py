"""`overspill run`: every step under one parent run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pipelines.backtest.origins import NoOriginError
from pipelines.backtest.step import BacktestResult, recorded_backtest, run_backtest
from pipelines.etl.step import run_etl
from pipelines.forecast.step import run_forecast
from pipelines.runtime.step.context import Context
from pipelines.runtime.step.etl_result import EtlResult
from pipelines.runtime.step.inputs import read_panel
from pipelines.windows.run_page import answer_tags, links
from pipelines.windows.step import WindowsResult, run_windows

T = TypeVar("T")
Left = dict[str, Any]  # of a finished step, as JSON: what a process that goes on with the job needs of it


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
    messages: Sequence[str]


def run_all(context: Context, *, train: bool = False) -> RunResult:
    """Run etl, optionally train, backtest, forecast and windows, each reading from the run before it.

    With a state, steps that an interrupted process of the same job finished are not repeated.
    """
    tracker = context.tracker
    with context.opened("run") as parent:
        context.log_settings(parent)
        inner = replace(context, parent_run_id=parent.run_id)
        etl = _etl(inner)
        trained = _train(inner, etl.run_id) if train else None
        backtest = _backtest(inner, etl.run_id)
        forecast = _forecast(inner, etl.run_id)
        with _timed(context, "windows"):
            windows = run_windows(inner, forecast["run"])
        steps = {
            "etl": etl.run_id,
            **({} if trained is None else {"train": str(trained.figures["run"])}),
            **({} if backtest is None else {"backtest": backtest.run_id}),
            "forecast": forecast["run"],
            "windows": windows.run_id,
        }
        parent.describe(f"{windows.page}\n\nSteps: {links(tracker, steps)}")
        parent.set_tags(answer_tags(windows.answer))
        parent.rename(windows.answer.name)
    if context.state is not None:
        context.state.clear()
    return RunResult(
        run_ids={"run": parent.run_id, **steps},
        etl=etl,
        train=trained,
        backtest=backtest,
        windows=windows,
        skipped=forecast["skipped"],
        weights=forecast["weights"],
    )


def _once(
    context: Context,
    step: str,
    work: Callable[[], tuple[T, Left | None]],
    again: Callable[[Left], T],
) -> T:
    """Do a step, or have what an interrupted process of this job left of it.

    Parameters
    ----------
    context : Context
    step : str
    work : callable
        Does the step; returns its result and what is remembered of it (None: nothing, it is done again).
    again : callable
        The result from what was remembered.
    """
    with _timed(context, step):
        remembered = None if context.state is None else context.state.done(step)
        if remembered is not None:
            context.tell(f"{step}: done before the interruption, run {remembered['run']}")
            return again(remembered)
        result, left = work()
        if context.state is not None and left is not None:
            context.state.remember(step, left)
        return result


def _etl(context: Context) -> EtlResult:
    def work() -> tuple[EtlResult, Left]:
        result = run_etl(context)
        return result, {"run": result.run_id, "summary": dict(result.summary)}

    def again(left: Left) -> EtlResult:
        panel = read_panel(context.tracker, left["run"], context.settings).table
        return EtlResult(run_id=left["run"], panel=panel, summary=left["summary"])

    return _once(context, "etl", work, again)


def _train(context: Context, etl_run_id: str) -> Trained:
    from pipelines.train.step import run_train  # noqa: PLC0415 - loads Lightning, which only training needs

    def work() -> tuple[Trained, Left]:
        result = run_train(context, etl_run_id)
        trained = Trained(figures=result.figures(), messages=result.messages)
        return trained, {"run": result.run_id, "figures": trained.figures, "messages": trained.messages}

    return _once(
        context, "train", work, lambda left: Trained(figures=left["figures"], messages=left["messages"])
    )


def _backtest(context: Context, etl_run_id: str) -> BacktestResult | None:
    """The backtest; where it may choose its own origins and the history allows none, a sentence instead."""

    def work() -> tuple[BacktestResult | None, Left | None]:
        try:
            result = run_backtest(context, etl_run_id)
        except NoOriginError as error:
            if context.settings.backtest.first_origin is not None:
                raise
            context.console.print(f"backtest skipped: {error.rule}", highlight=False, soft_wrap=True)
            return None, None
        return result, {"run": result.run_id, "weights": result.weights}

    return _once(
        context,
        "backtest",
        work,
        lambda left: recorded_backtest(context, left["run"], weights=left["weights"]),
    )


def _forecast(context: Context, etl_run_id: str) -> Left:
    def work() -> tuple[Left, Left]:
        result = run_forecast(context, etl_run_id)
        left = {"run": result.run_id, "skipped": dict(result.skipped), "weights": result.weights}
        return left, left

    return _once(context, "forecast", work, dict)


@contextmanager
def _timed(context: Context, step: str) -> Iterator[None]:
    started = time.monotonic()
    with context.console.status(f"{step} ...") if context.console.is_terminal else nullcontext():
        yield
    context.note(f"{step:<9} {time.monotonic() - started:5.1f} s")
