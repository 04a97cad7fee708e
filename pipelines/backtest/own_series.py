"""`overspill backtest TABLE`: models on the past of a table of series, from several origins of each.

I items, V variates, P paths, L context steps, H horizon steps, K covariates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from forecasting.errors import InputError, require_at_least
from forecasting.evaluation import scores
from forecasting.evaluation.rolling_origin import LEVELS, skill
from forecasting.forecasters.base import PathForecaster
from forecasting.forecasters.bounds import Floor
from forecasting.forecasters.combination.validation_windows import until
from forecasting.forecasters.covariate_effects import CovariateEffects, covariate_effects
from forecasting.panel.history import Floats, History
from forecasting.panel.known_covariates import past_covariates
from forecasting.panel.long_table import LongTable, histories
from forecasting.panel.table_checks import MIN_OBSERVATIONS
from forecasting.saturation.events import EventQuery
from pipelines.forecast.long_table import Block, forecast_block
from pipelines.forecast.uneven_ends import Demand

PATHS = 500
FLOOR_MODEL = "seasonal naive"


@dataclass(frozen=True, kw_only=True)
class BacktestOptions:
    """What is asked of a backtest.

    Attributes
    ----------
    horizon, origins : int
        Steps ahead, and origins of each series.
    step : int
        Steps between two origins; the newest leaves `horizon` steps to be scored.
    seed : int
    floor : Floor
    events : EventQuery, optional
    """

    horizon: int
    origins: int = 3
    step: int = 1
    seed: int = 0
    floor: Floor = "auto"
    events: EventQuery | None = None


class SeriesBacktest(NamedTuple):
    """Tables of a backtest.

    `scores` has a row per model, series and origin, `quantiles` and `actual` what was forecast and came,
    `leaderboard` a row per model, the best first; `events` a row per model and event, where asked for.
    """

    scores: pl.DataFrame
    quantiles: pl.DataFrame
    leaderboard: pl.DataFrame
    events: pl.DataFrame | None


class _Past(NamedTuple):
    """Items as they stood at one origin, what followed [I, H, V], and the stamps from the origin on."""

    history: History
    last: pl.DataFrame
    effects: CovariateEffects | None
    actual: Floats
    stamps: pl.Series


def backtest_series(
    table: LongTable,
    forecasters: Mapping[str, PathForecaster],
    options: BacktestOptions,
    progress: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> SeriesBacktest:
    """Forecast every series from its origins with every model, and score what came.

    Raises
    ------
    InputError
        If a number is out of range, or no series is long enough for one origin.
    """
    require_at_least(1, horizon=options.horizon, origins=options.origins, step=options.step)
    pasts = list(_pasts(table, options))
    if not pasts:
        raise InputError(
            "no series is long enough for a backtest",
            expected=f"at least {MIN_OBSERVATIONS} observations before the last {options.horizon} steps",
            found=f"{table.rows.select(table.keys).unique().height} series, all shorter",
            where="--horizon",
        )
    rows, quantiles, events = [], [], []
    for name, past in progress([(name, past) for name in forecasters for past in pasts]):
        drawn = _drawn(forecasters[name], past, options)
        rows += [{"model": name, **row} for row in _scores(past, drawn, table)]
        quantiles.append(_quantile_rows(name, past, drawn, table))
        if options.events is not None:
            events += [{"model": name, **row} for row in _event_rows(past, drawn, options.events)]
    found = pl.DataFrame(rows, infer_schema_length=None)
    return SeriesBacktest(
        scores=found,
        quantiles=pl.concat(quantiles),
        leaderboard=_leaderboard(found),
        events=_event_scores(events) if options.events is not None else None,
    )


def _pasts(table: LongTable, options: BacktestOptions) -> Iterator[_Past]:
    """Items at each origin, the oldest origin first, those with enough observations before it."""
    for history, last in histories(table):
        known = past_covariates(table, history, last) if table.covariates else None
        groups = _groups(table, last)
        for origin in reversed(range(options.origins)):
            cut = options.horizon + origin * options.step
            if cut >= history.context_length:
                continue
            ahead = history.values[..., history.context_length - cut :][..., : options.horizon]
            enough = (history.observed_mask[..., :-cut].sum(axis=2) >= MIN_OBSERVATIONS).all(axis=1)
            some = np.flatnonzero(enough & ~np.isnan(ahead).all(axis=(1, 2))).tolist()
            if not some:
                continue
            past = until(history.select(some), cut)
            effects = None
            if known is not None:
                start = history.context_length - cut
                effects = covariate_effects(
                    past,
                    known[some][..., :start],
                    known[some][..., start : start + options.horizon],
                    groups=[groups[item] for item in some],
                )
            stamps = table.future(last[some], horizon=options.horizon - cut, first=-cut - 1)
            yield _Past(
                past,
                last[some],
                effects,
                np.moveaxis(ahead[some], 1, 2),
                stamps.sort("unique_id", "step")["ds"],
            )


def _groups(table: LongTable, last: pl.DataFrame) -> list[str]:
    """The group of each item, see `covariate_effects`."""
    if not table.statics:
        return [""] * last.height
    rows = table.rows.group_by("unique_id").agg(pl.col("group").first())
    return last.join(rows, on="unique_id", maintain_order="left")["group"].to_list()


def _drawn(forecaster: PathForecaster, past: _Past, options: BacktestOptions) -> Floats:
    """Paths [I, P, H, V]."""
    demand = Demand(horizon=options.horizon, levels=LEVELS, paths=PATHS, seed=options.seed)
    block = Block(forecaster, past.history, past.last, past.effects)
    return forecast_block(block, demand, options.floor).paths[:, :PATHS]


def _scores(past: _Past, drawn: Floats, table: LongTable) -> Iterator[dict[str, Any]]:
    """A row per series; steps without an actual do not count."""
    steps = past.actual.shape[1]
    season = table.frequency.season_length
    for item, v in np.ndindex(len(past.history.item_ids), len(past.history.variates)):
        known = np.flatnonzero(~np.isnan(past.actual[item, :, v]))
        if not len(known):
            continue
        paths, actual = drawn[item][:, known, v], past.actual[item, known, v]
        scale = scores.naive_scale(past.history.values[item, v], season)
        crps = float(scores.crps(paths, actual).mean())
        quantiles = np.quantile(paths, LEVELS, axis=0)
        yield {
            "unique_id": past.last["unique_id"][item],
            **({"variate": past.history.variates[v]} if table.has_variates else {}),
            "origin": past.stamps[item * (steps + 1)],
            "steps": len(known),
            "crps": crps,
            "scaled_crps": crps / scale,
            "mase": scores.mase(np.median(paths, axis=0), actual, past.history.values[item, v], season),
            "quantile_loss": 2 * float(scores.quantile_loss(quantiles, actual, LEVELS).mean(axis=0).sum()),
            "size": float(np.abs(actual).sum()),
            "coverage_80": scores.coverage(paths, actual),
        }


def _quantile_rows(name: str, past: _Past, drawn: Floats, table: LongTable) -> pl.DataFrame:
    """Median and 80 % interval of each step beside what came."""
    low, middle, high = np.quantile(drawn, (0.1, 0.5, 0.9), axis=1)  # each [I, H, V]
    items, steps, variates = middle.shape
    origin = (np.arange(items) * (steps + 1)).repeat(steps * variates)
    ahead = origin + np.tile(np.arange(1, steps + 1).repeat(variates), items)
    columns: dict[str, Any] = {
        "model": [name] * middle.size,
        "unique_id": past.last["unique_id"][np.arange(items).repeat(steps * variates)],
        "origin": past.stamps[origin],
        "ds": past.stamps[ahead],
    }
    if table.has_variates:
        columns["variate"] = np.tile(np.array(past.history.variates), items * steps)
    values = {"q10": low, "q50": middle, "q90": high, "actual": past.actual}
    numbers = {key: each.ravel() for key, each in values.items()}
    return pl.DataFrame({**columns, **numbers}).with_columns(pl.col("actual").fill_nan(None))


def _event_rows(past: _Past, drawn: Floats, query: EventQuery) -> Iterator[dict[str, Any]]:
    """Mean squared error of P(confirmed by t) over the horizon, per event and measured series.

    What came is read as the only path there is; items with a missing actual do not count.
    """
    whole = np.flatnonzero(~np.isnan(past.actual).any(axis=(1, 2))).tolist()
    if not whole:
        return
    history = past.history.select(whole)
    said = query.forecast(history, drawn[whole], [0.5])
    came = query.forecast(history, past.actual[whole][:, None], [0.5])
    for event, (_, forecast) in said.items():
        outcome = came[event][1].probability[..., 1:]
        error = (forecast.probability[..., 1:] - outcome) ** 2
        for place in np.ndindex(error.shape[:2]):
            yield {
                "event": event,
                "brier": float(error[place].mean()),
                "probability": float(forecast.probability[place][-1]),
                "came": float(outcome[place][-1]),
            }


def _event_scores(rows: list[dict[str, Any]]) -> pl.DataFrame:
    texts: dict[str, pl.DataType] = {"model": pl.String(), "event": pl.String()}
    table = pl.DataFrame(
        rows, schema=texts | {name: pl.Float64() for name in ("brier", "probability", "came")}
    )
    return (
        table.group_by("model", "event", maintain_order=True)
        .agg(pl.len().alias("forecasts"), pl.col("brier", "probability", "came").mean())
        .sort("event", "brier")
    )


def _leaderboard(found: pl.DataFrame) -> pl.DataFrame:
    """A row per model: means over series and origins, the least scaled CRPS first."""
    board = found.group_by("model").agg(
        forecasts=pl.len(),
        scaled_crps=pl.col("scaled_crps").mean(),
        mase=pl.col("mase").mean(),
        wql=pl.col("quantile_loss").sum() / pl.col("size").sum(),
        coverage_80=(pl.col("coverage_80") * pl.col("steps")).sum() / pl.col("steps").sum(),
    )
    floor = board.filter(pl.col("model") == FLOOR_MODEL)["scaled_crps"]
    gained = [skill(score, floor[0]) if len(floor) else None for score in board["scaled_crps"]]
    return board.with_columns(pl.Series("skill", gained, dtype=pl.Float64)).sort("scaled_crps", "model")
