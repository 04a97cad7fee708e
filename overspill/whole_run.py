"""What the command `overspill run` computes, and the joint paths it rests on, as objects."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from rich.console import Console

from forecasting.errors import InputError
from forecasting.forecasters.base import PathSet
from forecasting.forecasters.path_table import from_table
from forecasting.frequencies import Frequency, period_end, period_ends
from pipelines.run import run_all
from pipelines.runtime.config.loader import load_settings, resolve
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.files.artifacts import read_table
from pipelines.runtime.registry.shipped import register_shipped
from pipelines.runtime.spool.delivery import Spooling
from pipelines.runtime.step.context import Context
from pipelines.runtime.step.inputs import read_input
from pipelines.runtime.store.address import resolve_uri
from pipelines.runtime.tracking import Tracker

CALENDAR = (Frequency.DAY, Frequency.WEEK, Frequency.MONTH, Frequency.QUARTER, Frequency.YEAR)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A whole run: the answer, the tables beside it, and where they are recorded.

    Attributes
    ----------
    now : date
        Period end that "now" means: the last period that had ended when the newest source was published.
    windows : DataFrame
        One row per policy, chip and scope, as `windows.parquet`.
    tables : mapping of name to DataFrame
        `windows`, `window_steps`, `saturation`, `lead_time`, `cap_readings` and `headroom`.
    leaderboard : DataFrame or None
        One row per forecaster; None where the history is too short for a backtest.
    skipped : mapping of item to reason
        Items that were not forecast.
    run_ids : mapping of step to MLflow run id
        `run` is the parent of the others.
    settings : Settings
        As resolved.
    """

    now: dt.date
    windows: pl.DataFrame
    tables: Mapping[str, pl.DataFrame]
    leaderboard: pl.DataFrame | None
    skipped: Mapping[str, str]
    run_ids: Mapping[str, str]
    settings: Settings


def run(
    config: str | Path | None = None,
    *,
    overrides: Mapping[str, object] | Sequence[str] = (),
    out: str | Path | None = None,
    train: bool = False,
    progress: bool = False,
) -> Run:
    """Build the panel, score forecasters on the past, forecast, and estimate the export windows.

    Parameters
    ----------
    config : str or path, optional
        Experiment on top of the defaults: the name of one that ships (`quick`, `order_book`), or a path.
    overrides : mapping or sequence of "key=value"
        Single settings, such as `{"forecast.horizon": 8}`.
    out : path, optional
        Folder that receives a copy of every step's files.
    train : bool
        Fine-tune the network too; it forecasts if it is better.
    progress : bool
        Show notes and progress on standard error.

    Raises
    ------
    InputError
        If a setting, a file or a policy is not in order.
    StepError
        If the store does not answer, or a file cannot be written.

    Examples
    --------
    >>> import overspill
    >>> few = {"forecast.model": "statistical", "forecast.paths": 40, "backtest.paths": 20}
    >>> result = overspill.run("quick", overrides={**few, "backtest.first_origin": "2025-09-30"}, out="out")
    >>> result.windows.filter(chip="H200", policy="bis_2026_01")["scope"].to_list()
    ['product', 'portfolio']
    >>> overspill.load_paths("out").variates
    ('orders', 'capacity', 'shipments', 'backlog', 'ended')
    """
    given = list(overrides) if not isinstance(overrides, Mapping) else _as_texts(overrides)
    settings = resolve(None if config is None else str(config), given)
    console = Console(stderr=True, quiet=not progress)
    with _tracker(settings, console) as tracker:
        context = Context(
            settings=settings, tracker=tracker, console=console, out=None if out is None else Path(out)
        )
        register_shipped(tracker)
        result = run_all(context, train=train)
    return Run(
        now=result.windows.now,
        windows=result.windows.tables["windows"],
        tables=result.windows.tables,
        leaderboard=None if result.backtest is None else result.backtest.leaderboard,
        skipped=result.skipped,
        run_ids=result.run_ids,
        settings=settings,
    )


def load_paths(path_or_run: str | Path | Run) -> PathSet:
    """Read joint sample paths of orders and capacity.

    Parameters
    ----------
    path_or_run : path, str or Run
        A `paths.parquet`, a folder that holds one, what `run` returned, or the id of a forecast run in the
        configured store (`MLFLOW_TRACKING_URI`, else `mlruns/` here).

    Returns
    -------
    PathSet
        `values` [I, P, L + H, V]: drawn history, then sampled future.

    Raises
    ------
    InputError
        If there are no such paths, or they are not in order.
    """
    if isinstance(path_or_run, Run):
        return _recorded_paths(path_or_run.run_ids["forecast"], path_or_run.settings)
    path = Path(path_or_run)
    if not path.exists() and isinstance(path_or_run, str) and path_or_run.isalnum():
        return _recorded_paths(path_or_run, resolve())
    file = path / "paths.parquet" if path.is_dir() else path
    table = read_table(file)
    return from_table(table, frequency=_frequency(table, str(file)), where=str(file))


def _as_texts(overrides: Mapping[str, object]) -> list[str]:
    return [f"{key}={json.dumps(value, default=str)}" for key, value in overrides.items()]


def _tracker(settings: Settings, console: Console) -> Tracker:
    tracking = settings.tracking

    def tell(sentence: str) -> None:
        console.print(sentence, highlight=False, soft_wrap=True)

    spooling = Spooling(folder=tracking.spool, from_start=tracking.when_away == "spool", tell=tell)
    return Tracker(resolve_uri(tracking.uri), tracking.experiment, spooling=spooling)


def _recorded_paths(run_id: str, settings: Settings) -> PathSet:
    """Paths of a forecast run, refused unless their digest is the recorded one."""
    with _tracker(settings, Console(quiet=True)) as tracker:
        read = read_input(tracker, run_id, step="forecast", name="paths")
        with tracker.artifact(read.run_id, "settings-forecast.yaml") as file:
            frequency = load_settings(file).data.panel_frequency
    return from_table(read.table, frequency=frequency, where=f"paths of run {read.run_id}")


def _frequency(table: pl.DataFrame, where: str) -> Frequency:
    """The frequency whose period ends the paths' timestamps are."""
    if "timestamp" not in table.columns or table.is_empty():
        raise InputError(
            "the table holds no paths of orders and capacity",
            expected="item_id, path, step, timestamp and one column per variate",
            found=", ".join(table.columns),
            where=where,
        )
    ends = table["timestamp"].unique().sort().to_list()
    for frequency in CALENDAR:
        if (
            period_end(ends[0], frequency) == ends[0]
            and period_ends(ends[0], range(len(ends)), frequency) == ends
        ):
            return frequency
    raise InputError("the timestamps are the period ends of no frequency", where=where)
