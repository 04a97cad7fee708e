"""Which run a step reads from: the given one, or the newest with the settings that matter to the step."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from forecasting.errors import InputError
from pipelines.runtime.config.deviations import differing, lines, relevant, stated, what_if
from pipelines.runtime.config.loader import flatten
from pipelines.runtime.step.context import Context
from pipelines.runtime.step.derived_settings import without_derived
from pipelines.runtime.tracking import PARAM_LENGTH, what_if_of

Differences = Mapping[str, tuple[str | None, str | None]]
NEWEST, MOST = 20, 1000  # runs that are looked at first, and at most
SHORT = 8  # characters of a run's id that tell it apart


def input_run(context: Context, step: str, given: str | None) -> str:
    """Id of the run of a step that another step reads from; it is printed, with what deviates in it.

    Parameters
    ----------
    context : Context
    step : {"etl", "forecast", "windows"}
        Step of the run that is looked for.
    given : str, optional
        Its id, or the first characters of it; by default the newest finished run whose settings that matter
        are those of the context.

    Raises
    ------
    InputError
        If there is no such run, or several begin with these characters.
    """
    run: Any = _newest(context, step) if given is None else context.tracker.finished(given, step)
    started = dt.datetime.fromtimestamp(run.info.start_time / 1000, dt.UTC)
    context.note(f"input: {step} run {run.info.run_id} of {started:%Y-%m-%d %H:%M} UTC")
    for line in lines(_differences(context, step, run, of=stated), other="here"):
        context.note(f"  of that run: {line}")
    return str(run.info.run_id)


def _newest(context: Context, step: str) -> Any:  # noqa: ANN401 - MLflow's run, which tracking alone imports
    newest = None
    for run in _finished(context, step):
        newest = newest or run
        if not _differences(context, step, run):
            return run
    if newest is None:
        return context.tracker.finished(context.tracker.newest(step), step)  # which says what to do
    found = lines(_differences(context, step, newest), other="here")
    short = newest.info.run_id[:SHORT]
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    raise InputError(
        f"no finished {step} run has these settings",
        expected=f"`overspill {step}` first with the same --config and --set, or --{step}-run {short}",
        found=f"the newest, {short}, has {found[0]}{more}",
        where=f"{context.tracker.shown}, experiment {context.tracker.experiment}",
    )


def _finished(context: Context, step: str) -> Iterator[Any]:
    """Finished runs of a step, newest first."""
    seen = 0
    for limit in (NEWEST, MOST):
        runs = context.tracker.runs(step=step, finished=True, limit=limit)
        yield from runs[seen:]
        seen = len(runs)
        if seen < limit:
            return


def _differences(
    context: Context,
    step: str,
    run: Any,  # noqa: ANN401
    *,
    of: Callable[[Mapping[str, str], str], Mapping[str, str]] = relevant,
) -> Differences:
    """How settings of a run, and of what it was computed from, differ from the context's."""
    mine: Mapping[str, str] = {key: value[:PARAM_LENGTH] for key, value in flatten(context.settings).items()}
    theirs, mine = without_derived(run.data.params, mine, run.data.tags)
    own = differing(of(theirs, step), of(mine, step))
    inherited = differing(relevant(what_if_of(run), step), relevant(what_if(context.settings), step))
    return inherited | own
