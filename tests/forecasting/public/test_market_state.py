"""The state of a market from its shipments: memory, no jump by flat figures, withdrawal beside met demand."""

import datetime as dt
import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.panel.schema import latest
from forecasting.public.market_state import (
    AT_LAUNCH,
    BACK,
    DEGREES,
    FASTEST,
    GROWTH_DEVIATION,
    GROWTH_MEAN,
    SLOWEST,
    TURNS_SHORT,
    Observations,
    filtered,
    successors,
)

FEW = settings(deadline=None, max_examples=25)
ENDS = 0.12


def observations(growth, *, hazard=0.0, variance=0.0):
    growth = np.array([[np.nan, *growth]])
    return Observations(
        growth=growth,
        variance=np.full(growth.shape, variance),
        hazard=np.broadcast_to(np.asarray(hazard, dtype=np.float64), growth.shape),
        is_past=np.array([[False] + [True] * (growth.shape[1] - 1)]),
    )


def states(growth, **terms):
    return filtered(observations(growth, **terms), short_ends=ENDS)[0]


def by_enumeration(growth, hazard):
    """Oracle: the last state's probabilities summed over every sequence of states."""
    moves = np.array(
        [
            [(1 - hazard) * (1 - ENDS), (1 - hazard) * ENDS, hazard],
            [(1 - hazard) * TURNS_SHORT, (1 - hazard) * (1 - TURNS_SHORT), hazard],
            [0, BACK, 1 - BACK],
        ]
    )
    total = np.zeros(3)
    for sequence in itertools.product(range(3), repeat=len(growth) + 1):
        weight = AT_LAUNCH[sequence[0]]
        for before, after, change in zip(sequence, sequence[1:], growth, strict=False):
            z = (min(max(change, SLOWEST), FASTEST) - GROWTH_MEAN[after]) / GROWTH_DEVIATION[after]
            density = (1 + z**2 / DEGREES) ** (-(DEGREES + 1) / 2) / GROWTH_DEVIATION[after]
            weight *= moves[before, after] * density
        total[sequence[-1]] += weight
    return total / total.sum()


@FEW
@given(growth=st.lists(st.floats(-2.0, 1.0), max_size=5), hazard=st.floats(0.0, 0.5))
def test_the_filter_agrees_with_a_sum_over_all_sequences(growth, hazard):
    assert states(growth, hazard=hazard)[-1] == pytest.approx(by_enumeration(growth, hazard))


@FEW
@given(past=st.lists(st.floats(-2, 1), max_size=6), future=st.lists(st.floats(-2, 1), max_size=4))
def test_no_probability_changes_because_of_a_later_quarter(past, future):
    assert states(past + future)[: len(past) + 1] == pytest.approx(states(past))
    assert states(past).sum(axis=1) == pytest.approx(np.ones(len(past) + 1))


@pytest.mark.parametrize("falls", [1, 2, 3, 4])
def test_two_flat_quarters_move_the_state_and_do_not_flip_it(falls):
    before, _, after = states([-0.3] * falls + [0.0, 0.0])[-3:, 1]
    assert after == pytest.approx(before, abs=0.3)
    assert after > 0.6 * before


def test_supply_that_is_withdrawn_is_told_from_orders_that_fade():
    fades = states([-0.4, -0.4, -0.4])[-1]
    assert fades.argmax() == 1
    withdrawn = states([-0.4, -0.4, -1.6, -1.5], hazard=[0, 0, 0.05, 0.3, 0.34])[-1]
    assert withdrawn.argmax() == 2


def test_without_an_estimate_the_transitions_alone_act():
    seen, unseen = states([0.1])[-1], states([0.1, np.nan])[-1]
    short, met, _ = seen
    assert unseen[0] == pytest.approx((1 - ENDS) * short + TURNS_SHORT * met)


def test_a_figure_that_is_known_badly_says_less():
    exact, vague = (states([-0.5], variance=v)[-1, 1] for v in (0.0, 1.0))
    unseen = states([np.nan])[-1, 1]
    assert abs(vague - unseen) < abs(exact - unseen)


def test_a_chip_and_a_family_have_their_successor():
    chips = successors()
    assert chips["H200"][0] == "B200"
    assert chips["H200"][1] == pytest.approx(36_000 / 15_832, rel=0.01)
    assert chips["Hopper"] == ("Blackwell", 1.0)


def probability(public, item, variate, end):
    rows = latest(public.panel.lazy()).collect()
    return rows.filter(pl.col("item_id") == item, pl.col("variate") == variate, pl.col("timestamp") == end)[
        "value"
    ][0]


def test_the_panel_says_which_supply_was_withdrawn(public):
    half, end = dt.date(2026, 3, 31), dt.date(2025, 9, 30)
    assert probability(public, "H200", "ended", half) > 0.8  # while rents rose
    assert probability(public, "H200", "ended", end) < 0.1  # the vendor had enough for every order
    assert probability(public, "B300", "short", half) > 0.7
    assert probability(public, "portfolio/nvidia", "ended", half) == 0


def test_two_newer_quarters_do_not_flip_the_mi325x(public):
    ends = [dt.date(2025, 12, 31), dt.date(2026, 3, 31), dt.date(2026, 6, 30)]
    short = [probability(public, "MI325X", "short", end) for end in ends]
    assert max(short) - min(short) < 0.2
    orders = [probability(public, "portfolio/amd", "orders", end) for end in ends]
    assert max(orders) / min(orders) < 1.6
