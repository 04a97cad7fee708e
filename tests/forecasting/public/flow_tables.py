"""Assumptions, their ranges narrowed, and tables of shipments, for the tests of the flows."""

import datetime as dt
import math

import polars as pl
from hypothesis import settings
from hypothesis import strategies as st

from forecasting.frequencies import Frequency, add_periods
from forecasting.panel.measurement_error import Z_95
from forecasting.public.assumptions import Assumption, PublicAssumptions

Q = Frequency.QUARTER
START = dt.date(2023, 3, 31)
VINTAGE = dt.date(2026, 4, 2)
FEW = settings(deadline=None, max_examples=25)
UNITS = st.lists(st.floats(1.0, 1e6), min_size=3, max_size=3).map(sorted)
WIDER = st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
DEFAULTS = {
    "us_end_use_share": (0.85, 0.7, 1.0),
    "unknown_owner_us_share": (0.4, 0.2, 0.6),
    "carried_share_drift": (0.06, 0.03, 0.1),
    "nowcast_persistence": (0.35, 0.0, 0.6),
    "nowcast_step": (0.45, 0.3, 0.6),
    "nowcast_portfolio_step": (0.16, 0.12, 0.3),
    "h200_midpoint_quarters": (2.0, 1.0, 3.0),
    "h200_ramp_quarters": (0.75, 0.5, 1.25),
    "tight_lead_time_weeks": (13.0, 6.5, 26.0),
    "capacity_decay": (0.8, 0.6, 0.9),
    "short_ends": (0.12, 0.06, 0.25),
    "end_hazard": (0.35, 0.15, 0.6),
    "delivery_duration_quarters": (20.0, 16.0, 28.0),
    "coreweave_double_counted_share": (0.6, 0.3, 0.9),
    "microsoft_basis_ratio": (0.836, 0.8, 0.87),
}


def assumptions(**changes):
    return PublicAssumptions(
        **{
            name: Assumption(value=value, low=low, high=high, unit="", reason="")
            for name, (value, low, high) in (DEFAULTS | changes).items()
        }
    )


def narrowed(name, by):
    """The default range of an assumption, of which only the shares `by` are left on either side."""
    value, low, high = DEFAULTS[name]
    return {name: (value, value - (value - low) * by[0], value + (high - value) * by[1])}


def shipments(series, *, ratio=None, down=0.0, up=0.0, ratio_spread=0.0):
    """Shipments of {item: [per quarter]}, with the columns that `orders_and_capacity` asks for."""
    return pl.LazyFrame(
        [
            {
                "vintage": VINTAGE,
                "item_id": item,
                "timestamp": add_periods(START, step, Q),
                "shipments": float(amount),
                "down": down,
                "up": up,
                "ratio": 1.0 if ratio is None else ratio[step],
                "ratio_down": ratio_spread,
                "ratio_up": ratio_spread,
                "ahead": 0,
                "source_id": "source",
            }
            for item, amounts in series.items()
            for step, amount in enumerate(amounts)
        ]
    )


def spread_by_hand(low, middle, high):
    return math.log(middle / min(low, middle, high)) / Z_95, math.log(max(low, middle, high) / middle) / Z_95
