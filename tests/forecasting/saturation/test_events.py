"""Events of any series: plain loops, cases by hand, laws, and the same numbers as the saturation date's."""

import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forecasting.errors import InputError
from forecasting.forecasters.base import PathSet
from forecasting.frequencies import Frequency
from forecasting.panel.history import exact_history
from forecasting.policy.terms import SupplyRule
from forecasting.saturation.events import EventQuery
from forecasting.saturation.first_passage import first_passage, never, probability_by_step
from forecasting.saturation.market import market
from forecasting.saturation.measures import Measure, measured_series

VALUES = st.one_of(st.sampled_from([0.0, 1.0, 2.0]), st.floats(0.01, 10))


def history_of(values, variates):
    return exact_history(
        values,
        item_ids=tuple(f"item {number}" for number in range(len(values))),
        variates=variates,
        origins=(dt.date(2025, 12, 31),) * len(values),
        frequency=Frequency.QUARTER,
    )


def asked(*events, hold=1, of="series", horizon=4096):
    return EventQuery.parse(events, hold=hold, measure=of, horizon=horizon)


def only(query, history, future, levels=(0.5,)):
    ((_, forecast),) = query.forecast(history, future, levels).values()
    return forecast


@st.composite
def cases(draw, variates=1):
    steps, horizon, paths = draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.integers(1, 5))
    past = draw(arrays(np.float64, (2, variates, steps), elements=VALUES))
    future = draw(arrays(np.float64, (2, paths, horizon, variates), elements=VALUES))
    names = ("y",) if variates == 1 else ("orders", "capacity")
    return history_of(past, names), future


def searched(series, *, origin, side, level, hold):
    """First step from the origin in which a list of values has held, by walking along it; None if never."""
    run = 0
    for t, value in enumerate(series):
        run = run + 1 if (value > level if side == "above" else value < level) else 0
        if t >= origin and run >= hold:
            return t - origin
    return None


def in_queue(orders, capacity):
    waiting, all_waiting = 0.0, []
    for ordered, offered in zip(orders, capacity, strict=True):
        waiting = max(0.0, waiting + ordered - offered)
        all_waiting.append(waiting)
    return all_waiting


def in_periods(waiting, offered):
    return 0.0 if waiting == 0 else math.inf if offered == 0 else waiting / offered


def as_divided(first, second):
    return math.nan if first == second == 0 else math.inf if second == 0 else first / second


SERIES = {
    "ratio": lambda first, second: [as_divided(a, b) for a, b in zip(first, second, strict=True)],
    "backlog": in_queue,
    "cover": lambda first, second: [
        in_periods(waiting, offered) for waiting, offered in zip(in_queue(first, second), second, strict=True)
    ],
}


@settings(deadline=None, max_examples=60)
@given(
    cases(variates=2),
    st.sampled_from(["series", *SERIES]),
    st.sampled_from(["above", "below"]),
    st.sampled_from([0.0, 0.5, 1.0, 1.5, 3.0]),
    st.integers(1, 5),
)
def test_probabilities_agree_with_a_walk_along_every_path(case, of, side, level, hold):
    history, future = case
    forecast = only(asked(f"{side} {level}", hold=hold, of=of), history, future)
    steps = future.shape[2] + 1
    for item, past in enumerate(history.values):
        paths = [np.concatenate([past, path.T], axis=1) for path in future[item]]
        made = [list(path) if of == "series" else [SERIES[of](*path)] for path in paths]
        for k in range(len(made[0])):
            found = [
                searched(each[k], origin=history.context_length - 1, side=side, level=level, hold=hold)
                for each in made
            ]
            by = [np.mean([first is not None and first <= t for first in found]) for t in range(steps)]
            np.testing.assert_allclose(forecast.probability[item, k], by)
            assert forecast.never[item, k] == pytest.approx(np.mean([first is None for first in found]))
            reached = next((t for t in range(steps) if by[t] >= 0.5), math.nan)
            np.testing.assert_equal(forecast.quantiles[item, k, 0], reached)


@settings(deadline=None, max_examples=40)
@given(cases(), st.sampled_from(["above", "below"]), st.floats(0, 10), st.floats(0, 10), st.integers(1, 4))
def test_a_level_farther_away_is_never_passed_sooner(case, side, one, other, hold):
    near, far = sorted((one, other), reverse=side == "below")
    first, later = (only(asked(f"{side} {level!r}", hold=hold), *case).probability for level in (near, far))
    assert (first >= later).all()


@settings(deadline=None, max_examples=40)
@given(cases(), st.sampled_from(["above", "below"]), st.floats(0, 10), st.integers(1, 4))
def test_probability_never_falls_with_time_and_with_the_censored_mass_makes_one(case, side, level, hold):
    forecast = only(asked(f"{side} {level!r}", hold=hold), *case)
    assert (np.diff(forecast.probability, axis=-1) >= 0).all()
    np.testing.assert_allclose(forecast.probability[..., -1] + forecast.never, 1.0)


@settings(deadline=None, max_examples=40)
@given(cases(), st.floats(0, 10), st.integers(1, 4))
def test_a_longer_hold_is_never_confirmed_sooner(case, level, hold):
    short, long = (only(asked(f"above {level!r}", hold=each), *case).probability for each in (hold, hold + 1))
    assert (short >= long).all()


@settings(deadline=None, max_examples=40)
@given(cases(), st.floats(0, 10))
def test_with_a_hold_of_one_the_running_maximum_from_the_origin_decides(case, level):
    history, future = case
    forecast = only(asked(f"above {level!r}"), history, future)
    origin = np.broadcast_to(history.values[:, :, None, -1:], (2, 1, future.shape[1], 1))
    highest = np.maximum.accumulate(np.concatenate([origin, np.moveaxis(future, 3, 1)], axis=-1), axis=-1)
    np.testing.assert_allclose(forecast.probability, (highest > level).mean(axis=2))


@settings(deadline=None, max_examples=40)
@given(cases(), st.floats(0, 10), st.integers(1, 4))
def test_below_is_above_of_the_mirror_image(case, level, hold):
    history, future = case
    mirrored = history_of(-history.values, history.variates)
    one = only(asked(f"below {level!r}", hold=hold), history, future)
    other = only(asked(f"above {-level!r}", hold=hold), mirrored, -future)
    np.testing.assert_array_equal(one.probability, other.probability)


def test_past_periods_count_towards_the_hold():
    future = np.array([[[[5.0], [5.0], [0.0]]]])
    for past, first in (([0.0, 0.0, 0.0], [0, 0, 0, 0]), ([0.0, 0.0, 5.0], [0, 0, 1, 1])):
        forecast = only(asked("above 4", hold=3), history_of(np.array([[past]]), ("y",)), future)
        np.testing.assert_array_equal(forecast.probability[0, 0], first)
    held = only(asked("above 4", hold=3), history_of(np.array([[[5.0, 5.0, 5.0]]]), ("y",)), future)
    np.testing.assert_array_equal(held.probability[0, 0], [1, 1, 1, 1])
    assert held.quantiles[0, 0, 0] == 0


def test_missing_periods_do_not_count_as_held():
    history = history_of(np.array([[[5.0, np.nan, 5.0]]]), ("y",))
    forecast = only(asked("above 4", hold=3), history, np.full((1, 1, 2, 1), 5.0))
    np.testing.assert_array_equal(forecast.probability[0, 0], [0, 0, 1])


def test_a_relative_level_is_a_multiple_of_the_last_observed_value():
    history = history_of(np.array([[[8.0, 10.0, np.nan]], [[8.0, 10.0, 20.0]]]), ("y",))
    forecast = only(asked("above 1.2x"), history, np.full((2, 1, 1, 1), 15.0))
    np.testing.assert_allclose(forecast.level, [[12.0], [24.0]])
    np.testing.assert_array_equal(forecast.probability[:, 0, -1], [1.0, 0.0])


def test_a_backlog_starts_with_the_first_period_of_both_and_goes_on_into_the_future():
    past = np.array([[[np.nan, 9.0, 5.0, 4.0], [np.nan, np.nan, 3.0, 3.0]]])
    future = np.array([[[[4.0, 3.0], [-1.0, 9.0]]]])
    series = measured_series(history_of(past, ("orders", "capacity")), future, Measure.parse("backlog"))
    np.testing.assert_array_equal(series.past[0, 0], [0, 0, 2, 3])
    np.testing.assert_array_equal(series.future[0, 0, 0], [4, 0])  # an amount below zero counts as zero


def test_first_and_second_variate_are_orders_and_capacity_else_by_name_else_as_given():
    future = np.ones((1, 1, 1, 2))
    for variates, text, label in (
        (("capacity", "orders"), "ratio", "orders/capacity"),
        (("visits", "sales"), "ratio", "sales/visits"),
        (("visits", "sales"), "ratio:visits,sales", "visits/sales"),
        (("visits", "sales"), "cover: visits, sales", "cover visits/sales"),
    ):
        series = measured_series(history_of(np.ones((1, 2, 3)), variates), future, Measure.parse(text))
        assert series.names == (label,)


def test_the_same_paths_and_rule_have_the_probabilities_of_the_saturation_date():
    rng = np.random.default_rng(3)
    past = rng.lognormal(3.0, 0.2, (2, 2, 6)) * np.array([[1.2], [1.0]])
    future = np.moveaxis(rng.lognormal(3.0, 0.3, (2, 500, 2, 8)), 2, 3)
    history = history_of(past, ("orders", "capacity"))
    drawn = np.broadcast_to(past.transpose(0, 2, 1)[:, None], (2, 500, 6, 2))
    values = np.concatenate([drawn, future], axis=2)
    paths = PathSet(
        item_ids=history.item_ids,
        variates=("orders", "capacity", "shipments"),
        origins=history.origins,
        frequency=Frequency.QUARTER,
        context_length=6,
        values=np.concatenate([values, np.full((*values.shape[:3], 1), np.nan)], axis=3),
    )
    weeks = 0.6 * Frequency.QUARTER.weeks
    rule = SupplyRule(normal_lead_time_weeks=weeks, fill_rate_min=0.0, hold_periods=3, scopes=("product",))
    forecast = only(asked("below 0.6", hold=3, of="cover"), history, future)
    for item, item_id in enumerate(history.item_ids):
        one = market(paths, item_id)
        passage = first_passage(one.demand_met(rule), one.origin_column)
        np.testing.assert_array_equal(forecast.probability[item, 0], probability_by_step(passage, 9))
        assert forecast.never[item, 0] == never(passage, 9)
    assert 0.1 < forecast.never.mean() < 0.9


@pytest.mark.parametrize("hold", [None, 3])
def test_no_event_no_question(hold):
    if hold is None:
        assert EventQuery.parse([], hold=None, measure=None, horizon=4) is None
    else:
        with pytest.raises(InputError, match="--hold: the option is about an event: expected --event beside"):
            EventQuery.parse([], hold=hold, measure=None, horizon=4)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("over 120", "a side and a level: expected 'above 120'.*found 'over 120'"),
        ("above", "a side and a level"),
        ("", "a side and a level"),
        ("above 120 units", "a side and a level"),
        ("above high", "finite number: found 'high'"),
        ("above nan", "finite number: found 'nan'"),
        ("below inf", "finite number: found 'inf'"),
        ("below 1e999", "finite number: found '1e999'"),
        ("above -1.2x", "multiple of the last value must be positive: found '-1.2x'"),
        ("above x", "finite number: found 'x'"),
    ],
)
def test_an_event_that_cannot_be_read_is_refused(text, sentence):
    with pytest.raises(InputError, match=sentence):
        asked(text)


@pytest.mark.parametrize(
    ("of", "sentence"),
    [
        ("queue", "unknown measure: expected ratio, backlog or cover"),
        (
            "ratio:orders",
            "made of two variates: expected such as ratio:orders,capacity, found 'ratio:orders'",
        ),
        ("ratio:orders,orders", "made of two variates"),
        ("ratio:", "made of two variates"),
        ("series:orders,capacity", "made of two variates"),
    ],
)
def test_a_measure_that_cannot_be_read_is_refused(of, sentence):
    with pytest.raises(InputError, match=sentence):
        asked("above 1", of=of)


@pytest.mark.parametrize("hold", [0, -1, 5])
def test_a_hold_outside_the_horizon_is_refused(hold):
    with pytest.raises(InputError, match=f"--hold: .*expected 1 to 4 periods, found {hold}"):
        asked("above 1", hold=hold, horizon=4)


def test_an_event_given_twice_is_refused():
    with pytest.raises(InputError, match="given once"):
        asked("above 1", "above 1.0")


def test_a_measure_needs_its_variates_and_their_amounts():
    future = np.ones((1, 1, 1, 2))
    one = history_of(np.ones((1, 1, 3)), ("y",))
    with pytest.raises(InputError, match=r"ratio needs two variates: .* found 1 \(y\)"):
        only(asked("above 1", of="ratio"), one, future[..., :1])
    two = history_of(np.ones((1, 2, 3)), ("a", "b"))
    with pytest.raises(InputError, match="series item 0: there is no variate 'c': expected a, b"):
        only(asked("above 1", of="ratio:a,c"), two, future)
    for broken in (-1.0, np.nan):
        holes = history_of(np.array([[[1.0, broken, 1.0], [1.0, 1.0, 1.0]]]), ("orders", "capacity"))
        with pytest.raises(InputError, match="series item 0: .*orders >= 0.*, 1 periods before the last"):
            only(asked("above 1", of="backlog"), holes, future)
    for last in (0.0, -2.0):
        falling = history_of(np.array([[[1.0, 1.0, last]]]), ("y",))
        with pytest.raises(InputError, match=f"'above 2x', series item 0, y: .*found {last:g}"):
            only(asked("above 2x"), falling, future[..., :1])
