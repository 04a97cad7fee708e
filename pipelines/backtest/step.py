"""The backtest step: every forecaster on the past, as it was known then, against the actuals.

At each origin a forecaster sees only what had been published. It is scored on orders and capacity (paths and
marginals) and on the date on which demand was met, which depends on whole paths.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from forecasting.errors import InputError
from forecasting.evaluation.rolling_origin import skill
from forecasting.evaluation.scores import reliability
from forecasting.frequencies import Frequency, label
from forecasting.saturation.first_passage import first_passage, never, probability_by_step, quantile_steps
from forecasting.saturation.market import Market, market
from pipelines.backtest.charts import backtest_charts
from pipelines.backtest.origins import BacktestOrigin, backtest_origins, origin_on
from pipelines.backtest.parallel import spread
from pipelines.backtest.scores import Row, forecast_from, observed_step, score_task
from pipelines.figures.page import BACKTEST_PAGE, write_figures
from pipelines.forecast.forecasters import backtest_forecasters
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.registry.registry import chosen_weights
from pipelines.runtime.registry.weights import Weights, shipped_weights
from pipelines.runtime.step.context import Context
from pipelines.runtime.step.inputs import read_input, read_panel
from pipelines.runtime.step.selection import input_run
from pipelines.runtime.store.tags import DIGEST_TAG
from pipelines.runtime.tracking import Tracker

SCORES = ("crps", "mase", "coverage_80", "energy", "variogram", "date_crps", "date_brier")
SKILLS = {"crps": "skill_flows", "date_crps": "skill_date"}
CASE_LEVELS = (0.1, 0.5, 0.9)


@dataclass(frozen=True, kw_only=True)
class BacktestResult:
    """Result of the step: its run, mean scores per forecaster, the known case with its title.

    `weights` says which weights the network used.
    """

    run_id: str
    leaderboard: pl.DataFrame
    case: pl.DataFrame | None
    case_title: str
    weights: str


def run_backtest(context: Context, etl_run_id: str | None = None) -> BacktestResult:
    """Score every forecaster at every origin, work out the known case, and record the run."""
    settings, tracker = context.settings, context.tracker
    read = read_panel(tracker, input_run(context, "etl", etl_run_id), settings)
    panel = read.table
    origins = backtest_origins(panel, settings)
    weights = _weights(context)
    with context.step("backtest", upstream_run_id=read.run_id) as (run, folder):
        read.log(run)
        run.set_tags(weights.tags())
        tasks = [
            (origin, forecaster)
            for origin in origins
            for forecaster in backtest_forecasters(settings, known_by(origin.as_of, weights, settings))
        ]
        scored = spread(
            context,
            partial(score_task, settings=settings),
            tasks,
            description="backtest",
            engine=settings.backtest.engine,
        )
        rows = [row for own, _ in scored for row in own]
        events = [event for _, stated in scored for event in stated]
        scores = pl.DataFrame(rows)
        leaderboard = rank(scores, baselines=settings.statistical.candidates)
        case = known_case(panel, settings, weights)
        tables = {"scores": scores, "leaderboard": leaderboard, "reliability": calibration(events)}
        context.write(run, folder, tables | ({} if case is None else {"known_case": case}))
        run.log_metrics(
            {
                f"{name}/{row['forecaster']}": row[name]
                for row in leaderboard.iter_rows(named=True)
                for name in (*SCORES, *SKILLS.values())
            }
        )
        used = _weights_label(weights)
        run.describe(_page_text(leaderboard, origins, used))
        write_figures(
            folder,
            backtest_charts(tables["reliability"], leaderboard),
            heading="How good are the forecasts? The past, as it was known then",
            page=BACKTEST_PAGE,
            pictures=settings.figures.pictures,
        )
    return BacktestResult(
        run_id=run.run_id, leaderboard=leaderboard, case=case, case_title=_case_title(settings), weights=used
    )


def recorded_backtest(context: Context, run_id: str, *, weights: str) -> BacktestResult:
    """The result of a finished run, read from the store."""
    read = partial(read_input, context.tracker, run_id, step="backtest")
    return BacktestResult(
        run_id=run_id,
        leaderboard=read(name="leaderboard").table,
        case=None if context.settings.backtest.case is None else read(name="known_case").table,
        case_title=_case_title(context.settings),
        weights=weights,
    )


def recorded_tables(tracker: Tracker, run_id: str) -> dict[str, pl.DataFrame]:
    """Leaderboard of a finished run, and the known case where it has one.

    Raises
    ------
    InputError
        If there is no such run, or its tables are missing or altered.
    """
    tags = tracker.finished(run_id, "backtest").data.tags
    names = [name for name in ("leaderboard", "known_case") if f"{DIGEST_TAG}{name}" in tags]
    return {name: read_input(tracker, run_id, step="backtest", name=name).table for name in names}


def known_by(day: dt.date, weights: Weights, settings: Settings) -> Weights:
    """The weights if their training had seen nothing published after a day, else those of the package."""
    until = weights.trained_until
    return weights if until is None or until <= day else shipped_weights(settings.forecast.device)


def _weights(context: Context) -> Weights:
    """Weights of the network; a champion that cannot be used is reported and does not stop the backtest."""
    forecast = context.settings.forecast
    try:
        return chosen_weights(context.tracker, checkpoint=forecast.checkpoint, device=forecast.device)
    except InputError as error:
        if forecast.checkpoint is not None:
            raise
        context.tell(f"{error}; using the package's weights instead")
        return shipped_weights(forecast.device)


def rank(scores: pl.DataFrame, *, baselines: Sequence[str]) -> pl.DataFrame:
    """Mean scores per forecaster, with skill and rank by the flows and by the date; best mean skill first.

    A skill is the share of the error of the best single model that is saved: in the CRPS of orders and
    capacity (`skill_flows`), in the censored CRPS of the date on which demand is met (`skill_date`). Where
    that model makes no error there is nothing to save, and the skill is 0.
    """
    means = scores.group_by("forecaster").agg(pl.col(*SCORES).mean(), forecasts=pl.len())
    single = means.filter(pl.col("forecaster").is_in(list(baselines)))
    for score, name in SKILLS.items():
        best = min(single[score])
        found = [skill(each, best) if best > 0 else 0.0 for each in means[score]]
        means = means.with_columns(
            pl.Series(name, found, dtype=pl.Float64),
            pl.col(score).rank("min").cast(pl.Int64).alias(name.replace("skill", "rank")),
        )
    ahead = pl.mean_horizontal(*SKILLS.values())
    return means.sort(-ahead, "forecaster")


def calibration(events: Sequence[Row], bins: int = 5) -> pl.DataFrame:
    """Reliability of "demand is met by t": per forecaster and bin the stated and the observed frequency."""

    def rows() -> Iterator[Row]:
        for name in dict.fromkeys(event["forecaster"] for event in events):
            own = [event for event in events if event["forecaster"] == name]
            found = reliability(
                np.array([event["probability"] for event in own]),
                np.array([event["outcome"] for event in own]),
                bins,
            )
            for place in range(bins):
                yield {
                    "forecaster": name,
                    "bin": place,
                    "stated": float(found.forecast[place]),
                    "observed": float(found.observed[place]),
                    "count": int(found.size[place]),
                }

    return pl.DataFrame(list(rows())).with_columns(pl.col("stated", "observed").fill_nan(None))


def known_case(panel: pl.DataFrame, settings: Settings, weights: Weights) -> pl.DataFrame | None:
    """What each forecaster said of the configured case, and what happened; None if none is configured.

    Raises
    ------
    InputError
        If the item could not be forecast on that day.
    """
    case = settings.backtest.case
    if case is None:
        return None
    origin = origin_on(panel, case.as_of, settings)
    if origin is None or case.item_id not in origin.history.item_ids:
        raise InputError(
            "the item of the known case could not be forecast on that day",
            expected="one of " + ", ".join(origin.history.item_ids if origin else ("no item",)),
            found=case.item_id,
            where="backtest.case",
        )
    frequency, rule = settings.data.panel_frequency, settings.policies[0].supply
    rows = []
    for forecaster in backtest_forecasters(settings, known_by(case.as_of, weights, settings)):
        paths = forecast_from(
            origin, forecaster, settings, horizon=max(origin.steps, settings.backtest.horizon)
        )
        of = market(paths, case.item_id)
        passage = first_passage(of.demand_met(rule), of.origin_column)
        steps = of.horizon + 1
        dates = quantile_steps(passage, CASE_LEVELS, steps)
        observed = observed_step(origin.actuals[case.item_id], rule, origin.steps)
        stated = probability_by_step(passage, steps)
        rows.append(
            {
                "forecaster": forecaster.name,
                **{
                    f"met_q{100 * level:g}": _named(of, step, frequency)
                    for level, step in zip(CASE_LEVELS, dates, strict=True)
                },
                "p_never": float(never(passage, steps)),
                "p_by_then": None if observed is None else float(stated[observed]),
                "happened": "not yet" if observed is None else _named(of, observed, frequency),
                "known_until": label(origin.history.origins[0], frequency),
            }
        )
    return pl.DataFrame(rows)


def _named(of: Market, step: float, frequency: Frequency) -> str:
    stamps = of.timestamps(0)
    return f"after {label(stamps[-1], frequency)}" if np.isnan(step) else label(stamps[int(step)], frequency)


def _case_title(settings: Settings) -> str:
    case = settings.backtest.case
    return "" if case is None else f"as known on {case.as_of}: when was US demand for {case.item_id} met?"


def _weights_label(weights: Weights) -> str:
    """Which weights the network used, and from when on."""
    if weights.trained_until is None:
        return weights.label
    return (
        f"{weights.label} at origins from {weights.trained_until} on, which its training had not seen; "
        "before that the package's own"
    )


def _page_text(leaderboard: pl.DataFrame, origins: Sequence[BacktestOrigin], weights: str) -> str:
    names = ["forecaster", *SCORES, *SKILLS.values()]
    lines = [
        f"{len(origins)} days from {origins[0].as_of} to {origins[-1].as_of}.",
        "What was known before the first edition of the shipment estimates is hypothetical.",
        f"The network's weights: {weights}.",
        "",
        "| " + " | ".join(name.replace("_", " ") for name in names) + " |",
        "|---" * len(names) + "|",
    ]
    for row in leaderboard.iter_rows(named=True):
        cells = [row["forecaster"], *(f"{row[name]:.3f}" for name in names[1:])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
