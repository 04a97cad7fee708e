"""How probable it is that a market is short of supply, has its orders met, or has lost its supply.

Shipments alone are published, and they fall for two opposite reasons: nobody orders any more, or nobody makes
any more. A hidden Markov model keeps both open. Three states follow each other from quarter to quarter:

    short   all that is made is sold and orders wait     log growth of shipments about +0.10, scale 0.25
    met     orders are served, capacity is left          about -0.10, scale 0.45
    ended   the vendor makes (nearly) none any more      about -0.70, scale 1.00

with the tails of Student's t of 4 degrees of freedom, so that no one quarter decides, and the scale widened
by the measurement error of the two quarters. Growth beyond `FASTEST` says no more than that: a ramp is no
stronger sign of shortage for being steep. Supply ends with a hazard that rises as the successor outsells the
product and shipments fall below the peak:

    hazard = end_hazard * successor's share of both * 1 / (1 + (shipments / peak / 0.15)^2).

The filter looks back only. Beside the shipments it reads quoted lead times (`statements`); the
dated statements that judge it (`saturation_checkpoints`) are kept out. A quarter without an
estimate moves the states by the transitions alone.

N series, T quarters; states in the order of `STATES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl

from forecasting.panel.history import Bools, Floats
from forecasting.public.assumptions import PublicAssumptions
from forecasting.public.statements import likelihood
from forecasting.reference.chips import catalogue

STATES = ("short", "met", "ended")
AT_LAUNCH = np.array([0.7, 0.3, 0.0])  # a new chip sells what can be made of it
GROWTH_MEAN = np.array([0.10, -0.10, -0.70])
GROWTH_DEVIATION = np.array([0.25, 0.45, 1.0])
DEGREES = 4.0
FASTEST = 0.15
SLOWEST = -3.0
BACK = 0.05  # supply that had ended is taken up again
TURNS_SHORT = 0.08  # a met market runs short
EARLY_SHARE_OF_PEAK = 0.15
SAME_ERROR = 0.7  # correlation of the errors of successive quarters, of which growth sees only the rest
SERIES = ["vintage", "item_id"]
ADDED = ("short", "ended", "end_hazard")


@dataclass(frozen=True, kw_only=True)
class Observations:
    """What the filter reads, each [N, T].

    Attributes
    ----------
    growth : array
        Log change of shipments; NaN where it is not observed.
    variance : array
        Of the measurement error of `growth`.
    hazard : array
        Probability that supply ends within the quarter.
    is_past : bool array
        False before a series begins.
    stated : array [N, T, 3], optional
        Likelihood of each state given the lead times quoted in the quarter; 1 where none was.
    """

    growth: Floats
    variance: Floats
    hazard: Floats
    is_past: Bools
    stated: Floats | None = None


def filtered(observed: Observations, *, short_ends: float) -> Floats:
    """Probability of each state given the quarters up to each [N, T, 3].

    Parameters
    ----------
    observed : Observations
    short_ends : float
        Probability that a shortage is over within a quarter.
    """
    series, quarters = observed.growth.shape
    belief = np.tile(AT_LAUNCH, (series, 1))
    found = np.empty((series, quarters, len(STATES)))
    for t in range(quarters):
        moved = _moved(belief, observed.hazard[:, t], short_ends) * _likelihood(observed, t)
        starts = ~observed.is_past[:, t]
        belief = np.where(starts[:, None], AT_LAUNCH, moved)
        if observed.stated is not None:
            belief = belief * observed.stated[:, t]
        belief = belief / belief.sum(axis=1, keepdims=True)
        found[:, t] = belief
    return found


def _moved(belief: Floats, hazard: Floats, short_ends: float) -> Floats:
    """Beliefs [N, 3] one quarter later, before anything of it is seen."""
    short, met, ended = belief.T
    stays = 1 - hazard
    return np.stack(
        [
            stays * ((1 - short_ends) * short + TURNS_SHORT * met),
            stays * (short_ends * short + (1 - TURNS_SHORT) * met) + BACK * ended,
            (short + met) * hazard + (1 - BACK) * ended,
        ],
        axis=1,
    )


def _likelihood(observed: Observations, t: int) -> Floats:
    """Density [N, 3] of the growth in quarter `t` under each state; 1 where it is not observed."""
    growth = np.clip(observed.growth[:, t], SLOWEST, FASTEST)[:, None]
    deviation = np.sqrt(GROWTH_DEVIATION**2 + observed.variance[:, t, None])
    z = (growth - GROWTH_MEAN) / deviation
    density = (1 + z**2 / DEGREES) ** (-(DEGREES + 1) / 2) / deviation
    return np.where(np.isnan(growth), 1.0, density)


def with_states(
    flows: pl.LazyFrame, assumptions: PublicAssumptions, quoted: pl.DataFrame | None = None
) -> pl.LazyFrame:
    """Add the columns `short`, `ended` and `end_hazard` (probabilities) to shipments.

    Parameters
    ----------
    flows : LazyFrame
        vintage, item_id, timestamp, shipments, down, up, ahead.
    assumptions : PublicAssumptions
    quoted : DataFrame, optional
        Lead times as `statements.lead_times` gives them; each counts for vintages from its day on.
    """
    ready = _with_successor_share(flows)
    schema = pl.Schema({**ready.collect_schema(), **{name: pl.Float64() for name in ADDED}})
    return ready.map_batches(
        lambda frame: _filter_frame(frame, assumptions, quoted),
        schema=schema,
        predicate_pushdown=False,
        projection_pushdown=False,
    ).drop("successor_share")


def _with_successor_share(flows: pl.LazyFrame) -> pl.LazyFrame:
    """Add `successor_share`: the successor's shipments over both by processing performance, or 0."""
    known = pl.LazyFrame(
        [
            {"item_id": item, "successor": other, "weight": ratio}
            for item, (other, ratio) in successors().items()
        ]
    )
    others = flows.select("vintage", "timestamp", successor="item_id", other="shipments")
    theirs = pl.col("other") * pl.col("weight")
    share = theirs / (theirs + pl.col("shipments"))
    return (
        flows.join(known, on="item_id", how="left")
        .join(others, on=["vintage", "timestamp", "successor"], how="left")
        .with_columns(successor_share=pl.when(share.is_finite()).then(share).otherwise(0.0).fill_null(0.0))
        .drop("successor", "weight", "other")
    )


@cache
def successors() -> Mapping[str, tuple[str, float]]:
    """Successor of each chip and family, and how much a unit of it counts in units of the item.

    The successor of a family is that of its chips outside the family; both are in H100e.
    """
    chips = catalogue()
    found: dict[str, tuple[str, float]] = {}
    for chip in chips.values():
        if chip.successor_chip_id is None:
            continue
        after = chips[chip.successor_chip_id]
        if chip.tpp and after.tpp:
            found[chip.chip_id] = (after.chip_id, after.required_tpp() / chip.required_tpp())
        if after.family != chip.family:
            found[chip.family] = (after.family, 1.0)
    return found


def _stated(frame: pl.DataFrame, quoted: pl.DataFrame, assumptions: PublicAssumptions) -> Floats:
    """Likelihood [rows, 3] of each row's state given the lead times quoted in its quarter by its vintage."""
    rows = frame.select(*SERIES, "timestamp").with_row_index("row")
    found = rows.join(quoted, on=["item_id", "timestamp"]).filter(pl.col("stated_on") <= pl.col("vintage"))
    chances = np.ones((frame.height, len(STATES)))
    each = likelihood(found["weeks"].to_numpy(), found["error"].to_numpy(), assumptions.tight_lead_time_weeks)
    np.multiply.at(chances, found["row"].to_numpy(), each)
    return chances


def _filter_frame(
    frame: pl.DataFrame, assumptions: PublicAssumptions, quoted: pl.DataFrame | None
) -> pl.DataFrame:
    """Run the filter over all series of a frame at once."""
    frame = frame.sort(*SERIES, "timestamp")
    row = frame.select(pl.struct(SERIES).rle_id().cast(pl.Int64)).to_series().to_numpy()
    column = frame.select(pl.int_range(pl.len()).over(SERIES)).to_series().to_numpy()
    shape = (int(row.max(initial=-1)) + 1, int(column.max(initial=-1)) + 1)

    def laid_out(values: npt.NDArray[np.float64], empty: float = np.nan) -> Floats:
        array = np.full(shape, empty)
        array[row, column] = values
        return array

    shipped, share, ahead = (
        frame[name].to_numpy().astype(np.float64) for name in ("shipments", "successor_share", "ahead")
    )
    error = np.maximum(frame["down"].to_numpy(), frame["up"].to_numpy())
    amounts, errors = laid_out(shipped), laid_out(error, 0.0)
    stated = None
    if quoted is not None and quoted.height:
        stated = np.ones((*shape, len(STATES)))
        stated[row, column] = _stated(frame, quoted, assumptions)
    hazard = assumptions.end_hazard.value * laid_out(share, 0.0) * _late(amounts)
    observed = Observations(
        growth=_growth(amounts, is_nowcast=laid_out(ahead, 0.0) > 0),
        variance=(1 - SAME_ERROR) * (errors**2 + np.pad(errors, ((0, 0), (1, 0)))[:, :-1] ** 2),
        hazard=hazard,
        is_past=np.broadcast_to(np.arange(shape[1]) > 0, shape),
        stated=stated,
    )
    states = filtered(observed, short_ends=assumptions.short_ends.value)
    return frame.with_columns(
        short=states[row, column, 0], ended=states[row, column, 2], end_hazard=hazard[row, column]
    )


def _growth(amounts: Floats, *, is_nowcast: Bools) -> Floats:
    """Log change [N, T] from the quarter before; NaN at the start, after nil, and where none is observed."""
    growth = np.full(amounts.shape, np.nan)
    before, after = amounts[:, :-1], amounts[:, 1:]
    seen = (before > 0) & ~np.isnan(after) & ~is_nowcast[:, 1:]
    ratio = np.divide(after, before, out=np.ones_like(before), where=seen)
    growth[:, 1:] = np.where(seen, np.log(np.maximum(ratio, np.exp(SLOWEST))), np.nan)
    return growth


def _late(amounts: Floats) -> Floats:
    """How far shipments have fallen below their peak [N, T], from 0 (not at all) to 1."""
    known = np.nan_to_num(amounts)
    peak = np.maximum.accumulate(known, axis=1) if known.size else known
    share = np.divide(known, peak, out=np.ones_like(known), where=peak > 0)
    return np.asarray(1 / (1 + (share / EARLY_SHARE_OF_PEAK) ** 2))
