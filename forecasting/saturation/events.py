"""Events of any series: when a level is first passed and held.

I items, V variates, K measured series of an item, P paths, L context steps, H horizon steps, Q quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias, cast, get_args

import numpy as np

from forecasting.errors import InputError
from forecasting.panel.history import Bools, Floats, History
from forecasting.saturation.first_passage import (
    confirmed,
    first_passage,
    never,
    probability_by_step,
    quantile_steps,
)
from forecasting.saturation.measures import Measure, Measured, measured_series

Side: TypeAlias = Literal["above", "below"]


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A level and the side of it on which the event holds; a value equal to the level is on neither side.

    Attributes
    ----------
    side : "above" or "below"
    level : float
        In the unit of the series, or as a multiple of its last observed value.
    relative : bool
        Whether it is such a multiple.
    """

    side: Side
    level: float
    relative: bool = False

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Read `above 120`, `below 0.5` or, relative to the last value, `above 1.2x`.

        >>> Threshold.parse("below 0.9x").label
        'below 0.9x'

        Raises
        ------
        InputError
            For an unknown word, a level that is no finite number, or a multiple that is not positive.
        """
        side, *rest = text.split() or [""]
        if side not in get_args(Side) or len(rest) != 1:
            raise InputError(
                "an event is a side and a level",
                expected="'above 120', 'below 120', or with a multiple of the last value 'above 1.2x'",
                found=repr(text),
                where="--event",
            )
        relative = rest[0].endswith("x")
        try:
            level = float(rest[0].removesuffix("x"))
        except ValueError:
            level = math.nan
        if not math.isfinite(level):
            raise InputError(
                "the level of an event must be a finite number", found=repr(rest[0]), where="--event"
            )
        if relative and level <= 0:
            raise InputError(
                "a multiple of the last value must be positive", found=repr(rest[0]), where="--event"
            )
        return cls(side=cast("Side", side), level=level, relative=relative)

    @property
    def label(self) -> str:
        """The event as it is written on the command line."""
        return f"{self.side} {self.level:.15g}{'x' if self.relative else ''}"

    def holds(self, values: Floats, level: Floats) -> Bools:
        """Where values [..., T] lie beyond levels [...]; a missing value lies on neither side."""
        beyond = values > level[..., None] if self.side == "above" else values < level[..., None]
        return np.asarray(beyond)


class EventForecast(NamedTuple):
    """When one event of each measured series is first confirmed; step 0 is the origin.

    Attributes
    ----------
    level : array [I, K]
        In the unit of the series.
    probability : array [I, K, H + 1]
        P(T <= t) for t = 0 ... H.
    never : array [I, K]
        P(T > H), the censored mass.
    quantiles : array [I, K, Q]
        Steps; NaN where censored.
    """

    level: Floats
    probability: Floats
    never: Floats
    quantiles: Floats


@dataclass(frozen=True, kw_only=True)
class EventQuery:
    """Events that are asked about: each holds for `hold` periods in a row, the past included."""

    thresholds: tuple[Threshold, ...]
    hold: int = 1
    measure: Measure = field(default_factory=Measure)

    @classmethod
    def parse(
        cls, events: Sequence[str], *, hold: int | None, measure: str | None, horizon: int
    ) -> EventQuery | None:
        """Read what the command line asks; None if it asks about no event.

        Raises
        ------
        InputError
            For events that cannot be read, one that stands twice, a hold that is not 1 to `horizon`, or a
            hold or measure without an event.
        """
        if not events:
            for option, value in (("--hold", hold), ("--event-of", measure)):
                if value is not None:
                    raise InputError(
                        "the option is about an event", expected="--event beside it", where=option
                    )
            return None
        thresholds = tuple(Threshold.parse(text) for text in events)
        if len(set(thresholds)) < len(thresholds):
            raise InputError("an event may be given once", found=", ".join(events), where="--event")
        held = 1 if hold is None else hold
        if not 1 <= held <= horizon:
            raise InputError(
                "an event must hold for at least one period and no longer than the horizon",
                expected=f"1 to {horizon} periods",
                found=str(held),
                where="--hold",
            )
        return cls(thresholds=thresholds, hold=held, measure=Measure.parse(measure or "series"))

    def forecast(
        self, history: History, future: Floats, quantile_levels: Sequence[float]
    ) -> dict[str, tuple[tuple[str, ...], EventForecast]]:
        """Names of the measured series and their forecast, by the label of the event.

        Parameters
        ----------
        history : History
        future : array [I, P, H, V]
        quantile_levels : sequence of Q floats in (0, 1]
        """
        series = measured_series(history, future, self.measure)
        found = {}
        for threshold in self.thresholds:
            level = event_levels(series, threshold, history)
            passage = passages(series, threshold, level=level, hold=self.hold)
            steps = series.future.shape[-1] + 1
            found[threshold.label] = (
                series.names,
                EventForecast(
                    level=level,
                    probability=probability_by_step(passage, steps),
                    never=never(passage, steps),
                    quantiles=quantile_steps(passage, quantile_levels, steps),
                ),
            )
        return found


def event_levels(series: Measured, threshold: Threshold, history: History) -> Floats:
    """Level [I, K] of an event in the unit of each measured series.

    Raises
    ------
    InputError
        For a multiple of a last value that is not positive.
    """
    shape = series.past.shape[:2]
    if not threshold.relative:
        return np.full(shape, threshold.level)
    observed = ~np.isnan(series.past)
    newest = series.past.shape[-1] - 1 - np.argmax(observed[..., ::-1], axis=-1)
    last = np.take_along_axis(series.past, newest[..., None], axis=-1)[..., 0]
    usable = (last > 0) & np.isfinite(last)
    if not usable.all():
        item, place = (int(index[0]) for index in np.nonzero(~usable))
        raise InputError(
            "a level relative to the last value needs a positive last value",
            found=f"{last[item, place]:g}",
            where=f"--event {threshold.label!r}, series {history.item_ids[item]}, {series.names[place]}",
        )
    return np.asarray(threshold.level * last)


def passages(
    series: Measured, threshold: Threshold, *, level: Floats, hold: int
) -> np.typing.NDArray[np.int64]:
    """First step [I, K, P] in which the event has held for `hold` periods in a row.

    0 where that is so at the origin already, H + 1 where it does not come within the horizon. Periods of the
    past count; what lies before the first one, or is missing, does not.
    """
    future = threshold.holds(series.future, level[..., None])
    before = threshold.holds(series.past[..., -hold:], level)[:, :, None]
    before = np.broadcast_to(before, (*future.shape[:3], before.shape[-1]))
    state = np.concatenate([before, future], axis=-1)
    return np.asarray(first_passage(confirmed(state, hold), before.shape[-1] - 1))
