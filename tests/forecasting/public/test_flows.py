"""Orders and capacity from shipments, against plain loops; rules look back only; errors widen with ranges."""

import datetime as dt
import math

import polars as pl
import pytest
from flow_tables import FEW, VINTAGE, WIDER, assumptions, narrowed, shipments
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from forecasting.panel.measurement_error import Z_95
from forecasting.public.flows import orders_and_capacity

WEEKS = 13.0


def flows(series, a=None, **terms):
    table = orders_and_capacity(shipments(series, **terms), a or assumptions(), weeks_per_period=WEEKS)
    return table.collect().sort("item_id", "timestamp")


def assert_same(one, other):
    """Equal but for the last bits, which depend on how rows fall into vector registers."""
    assert_frame_equal(one, other, rel_tol=1e-12, abs_tol=1e-12)


def flows_by_loop(amounts, ratio, table, a):
    """Oracle: capacity, orders and queue of one item, quarter by quarter, under the states of the table."""
    rows = []
    envelope = excess = 0.0
    lead_time = a.tight_lead_time_weeks.value / WEEKS
    for shipped, factor, row in zip(amounts, ratio, table, strict=True):
        envelope = max(shipped, a.capacity_decay.value * envelope)
        met = 1 - row["short"] - row["ended"]
        excess = max(0.0, excess + (factor - 1) * shipped)
        queue = row["short"] * (lead_time * shipped + excess)
        rows.append((met * envelope + (1 - met) * shipped, factor * shipped, queue))
    return rows


AMOUNTS = st.lists(st.just(0.0) | st.floats(1.0, 1e6), min_size=1, max_size=12)
SERIES = st.dictionaries(st.sampled_from(["H100", "H200", "B200"]), AMOUNTS, min_size=1)
RATIO = st.lists(st.floats(0.5, 2.0), min_size=12, max_size=12)


@FEW
@given(series=SERIES, ratio=RATIO, decay=st.floats(0.3, 1.0), lead_time=st.floats(0.0, 52.0))
def test_orders_and_capacity_agree_with_a_quarter_by_quarter_walk(series, ratio, decay, lead_time):
    a = assumptions(capacity_decay=(decay, 0.3, 1.0), tight_lead_time_weeks=(lead_time, 0.0, 52.0))
    rows = list(flows(series, a, ratio=ratio).iter_rows(named=True))
    for item, amounts in series.items():
        own = [row for row in rows if row["item_id"] == item]
        walked = flows_by_loop(amounts, ratio[: len(amounts)], own, a)
        for found, (capacity, orders, queue) in zip(own, walked, strict=True):
            assert found["capacity"] == pytest.approx(capacity)
            assert found["orders"] == pytest.approx(orders, abs=1e-9)
            assert found["backlog"] == pytest.approx(queue, rel=1e-6, abs=1e-3)


def test_a_fading_product_by_hand():
    table = flows({"H200": [100.0, 200.0, 190.0, 80.0, 80.0]})
    met = 1 - table["short"] - table["ended"]
    # the peak of 200 decays by 0.8: 160 is not beaten by 190; then 0.8 * 190 = 152 and 121.6
    peaks = [100.0, 200.0, 190.0, 152.0, 121.6]
    expected = [m * peak + (1 - m) * s for m, peak, s in zip(met, peaks, table["shipments"], strict=True)]
    assert table["capacity"].to_list() == pytest.approx(expected)
    assert table["orders"].to_list() == table["shipments"].to_list()
    assert met[3] > met[1] + 0.2  # a fall by more than half speaks for met demand
    assert met[4] == pytest.approx(met[3], abs=0.15)  # and a flat quarter takes little of that back


@FEW
@given(amounts=st.lists(st.floats(1.0, 1e6), min_size=1, max_size=12))
def test_states_are_probabilities_and_capacity_is_no_less_than_shipments(amounts):
    table = flows({"B200": amounts})
    assert table["short"].is_between(0, 1).all()
    assert table["ended"].is_between(0, 1).all()
    assert (table["short"] + table["ended"] <= 1 + 1e-12).all()
    assert (table["capacity"] >= table["shipments"] * (1 - 1e-12)).all()


def test_supply_ends_only_where_a_successor_outsells_the_product():
    fading = [100.0, 90.0, 20.0, 5.0, 5.0]
    alone = flows({"H200": fading})
    beside = flows({"H200": fading, "B200": [1.0, 100.0, 200.0, 300.0, 300.0]})
    assert (alone["ended"] == 0).all()
    assert beside.filter(pl.col("item_id") == "H200")["ended"][-1] > 0.5


@FEW
@given(
    past=AMOUNTS,
    futures=st.tuples(AMOUNTS, AMOUNTS),
    ratio=RATIO.map(lambda ratio: ratio * 2),
)
def test_no_figure_changes_because_of_a_later_one(past, futures, ratio):
    one, other = (
        flows({"H200": past + future}, ratio=ratio, down=0.1, up=0.2).head(len(past)) for future in futures
    )
    assert_same(one, other)
    assert_same(one, flows({"H200": past}, ratio=ratio, down=0.1, up=0.2))


@FEW
@given(series=SERIES, order=st.randoms(use_true_random=False))
def test_the_order_of_rows_is_irrelevant_to_flows(series, order):
    frame = shipments(series).collect()
    places = list(range(frame.height))
    order.shuffle(places)
    shuffled = orders_and_capacity(frame[places].lazy(), assumptions(), weeks_per_period=WEEKS).collect()
    assert_same(shuffled.sort("item_id", "timestamp"), flows(series))


@FEW
@given(series=SERIES)
def test_items_and_vintages_do_not_touch_each_other(series):
    earlier = shipments({item: [1e9, *amounts] for item, amounts in series.items()})
    both = pl.concat([shipments(series), earlier.with_columns(vintage=pl.lit(dt.date(2020, 1, 1)))])
    table = orders_and_capacity(both, assumptions(), weeks_per_period=WEEKS).collect()
    assert_same(table.filter(pl.col("vintage") == VINTAGE).sort("item_id", "timestamp"), flows(series))


@FEW
@given(series=SERIES, factor=st.sampled_from([0.125, 8.0, 1024.0]))
def test_flows_scale_with_the_unit(series, factor):
    scaled = {item: [factor * amount for amount in amounts] for item, amounts in series.items()}
    before, after = flows(series, down=0.1), flows(scaled, down=0.1)
    for name in ("orders", "capacity"):
        assert after[name].to_list() == pytest.approx((factor * before[name]).to_list())
        assert after[f"{name}_down"].to_list() == pytest.approx(before[f"{name}_down"].to_list(), abs=1e-9)


SPREADS = ("orders_down", "orders_up", "capacity_down", "capacity_up")


@FEW
@given(series=SERIES, spread=st.just(0.0) | st.floats(0.01, 1.0))
def test_the_five_percent_point_never_lies_above_nor_the_95_below(series, spread):
    table = flows(series, down=spread, up=spread, ratio_spread=spread)
    for name in SPREADS:
        assert table[name].is_finite().all()
        assert (table[name] >= spread * (1 - 1e-9)).all()


def test_spreads_add_in_quadrature_by_hand():
    table = flows({"H200": [100.0, 200.0, 190.0, 80.0, 80.0]}, down=0.3, up=0.4, ratio_spread=0.1)
    # the envelope's decay from 190 by 0.6, 0.8 or 0.9; at 0.6 the last quarter's 80 is a new peak
    envelopes = [(s, s, s) for s in (100.0, 200.0, 190.0)] + [(152.0, 114.0, 171.0), (121.6, 80.0, 153.9)]
    for row, ends in zip(table.iter_rows(named=True), envelopes, strict=True):
        met = 1 - row["short"] - row["ended"]
        middle, low, high = (met * end + (1 - met) * row["shipments"] for end in ends)
        assert row["capacity_down"] == pytest.approx(math.hypot(0.3, math.log(middle / low) / Z_95))
        assert row["capacity_up"] == pytest.approx(math.hypot(0.4, math.log(high / middle) / Z_95))
    assert table["orders_down"].to_list() == pytest.approx([math.hypot(0.3, 0.1)] * 5)
    assert table["orders_up"].to_list() == pytest.approx([math.hypot(0.4, 0.1)] * 5)


@FEW
@given(
    series=st.dictionaries(
        st.sampled_from(["H100", "H200"]),
        st.lists(st.floats(1.0, 1e6), min_size=2, max_size=10),
        min_size=1,
    ),
    by=WIDER,
    name=st.sampled_from(["capacity_decay"]),
)
def test_wider_ranges_give_wider_spreads_of_flows(series, by, name):
    narrow, wide = flows(series, assumptions(**narrowed(name, by))), flows(series)
    for spread in SPREADS:
        assert (wide[spread] >= narrow[spread] - 1e-12).all()


def test_the_range_of_the_decay_reaches_the_spread_of_capacity():
    series = {"H200": [100.0, 200.0, 190.0, 80.0, 80.0]}
    narrow, wide = flows(series, assumptions(**narrowed("capacity_decay", (0.0, 0.0)))), flows(series)
    for spread in ("capacity_down", "capacity_up"):
        assert (wide[spread] - narrow[spread]).max() > 0.01
