"""Orders and capacity from shipments, against plain loops; rules look back only; errors widen with ranges."""

import datetime as dt
import math

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.stats import norm

from forecasting.errors import InputError
from forecasting.panel.measurement_error import Z_95
from forecasting.periods import Frequency, add_periods
from forecasting.public.assumptions import Assumption, PublicAssumptions
from forecasting.public.flows import (
    OWN,
    Sides,
    aggregate_shipments,
    combine_errors,
    orders_and_capacity,
    sides,
    split_hopper,
    spread_columns,
    us_shipments,
)

Q = Frequency.QUARTER
START = dt.date(2023, 3, 31)
VINTAGE = dt.date(2026, 4, 2)
WEEKS = 13.0
FEW = settings(deadline=None, max_examples=25)

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


WIDER = st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0))


def select_items(name, by):
    """The default range of an assumption, of which only the shares `by` are left on either side."""
    value, low, high = DEFAULTS[name]
    return {name: (value, value - (value - low) * by[0], value + (high - value) * by[1])}


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
    narrow, wide = flows(series, assumptions(**select_items(name, by))), flows(series)
    for spread in SPREADS:
        assert (wide[spread] >= narrow[spread] - 1e-12).all()


def test_the_range_of_the_decay_reaches_the_spread_of_capacity():
    series = {"H200": [100.0, 200.0, 190.0, 80.0, 80.0]}
    narrow, wide = flows(series, assumptions(**select_items("capacity_decay", (0.0, 0.0)))), flows(series)
    for spread in ("capacity_down", "capacity_up"):
        assert (wide[spread] - narrow[spread]).max() > 0.01


def owners(rows):
    """Raw shipments of (pool, step, region, p05, p50, p95) rows."""
    schema = ["chip_pool", "step", "owner_region", "units_p05", "units_p50", "units_p95"]
    return pl.LazyFrame(rows, schema=schema, orient="row").select(
        pl.exclude("step"),
        vintage=pl.lit(VINTAGE),
        vendor=pl.lit("nvidia"),
        source_id=pl.lit("source"),
        carried=pl.lit(0),
        timestamp=pl.col("step").map_elements(lambda step: add_periods(START, step, Q), pl.Date),
    )


UNITS = st.lists(st.floats(1.0, 1e6), min_size=3, max_size=3).map(sorted)
OWNERS = st.lists(
    st.tuples(
        st.sampled_from(["H100/H200", "B200"]),
        st.integers(0, 3),
        st.sampled_from(["US", "unknown", "China"]),
        UNITS,
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
).map(
    lambda rows: [
        (pool, step, region, None if exact else units[0], units[1], None if exact else units[2])
        for pool, step, region, units, exact in rows
    ]
)


def spread_by_hand(low, middle, high):
    return math.log(middle / min(low, middle, high)) / Z_95, math.log(max(low, middle, high) / middle) / Z_95


@FEW
@given(rows=OWNERS)
def test_us_shipments_agree_with_a_loop_over_owners(rows):
    a = assumptions()
    kept = {}
    for pool, step, region, p05, p50, p95 in rows:
        if region != "China":
            share = a.us_end_use_share if region == "US" else a.unknown_owner_us_share
            kept.setdefault((pool, add_periods(START, step, Q)), []).append(
                (share, p05 or p50, p50, p95 or p50)
            )
    table = us_shipments(owners(rows), a).collect()
    assert {(r["item_id"], r["timestamp"]) for r in table.iter_rows(named=True)} == kept.keys()
    for found in table.iter_rows(named=True):
        parts = kept[found["item_id"], found["timestamp"]]
        middle = sum(share.value * p50 for share, _, p50, _ in parts)
        estimate = spread_by_hand(
            sum(share.value * p05 for share, p05, _, _ in parts),
            middle,
            sum(share.value * p95 for share, _, _, p95 in parts),
        )
        seat = spread_by_hand(
            sum(share.low * p50 for share, _, p50, _ in parts),
            middle,
            sum(share.high * p50 for share, _, p50, _ in parts),
        )
        assert found["shipments"] == pytest.approx(middle)
        assert found["down"] == pytest.approx(math.hypot(estimate[0], seat[0]))
        assert found["up"] == pytest.approx(math.hypot(estimate[1], seat[1]))


@FEW
@given(rows=OWNERS, by=WIDER, name=st.sampled_from(["us_end_use_share", "unknown_owner_us_share"]))
def test_wider_shares_of_us_end_use_give_wider_spreads(rows, by, name):
    narrow, wide = (
        us_shipments(owners(rows), a).sort("item_id", "timestamp").collect()
        for a in (assumptions(**select_items(name, by)), assumptions())
    )
    for spread in ("down", "up"):
        assert (wide[spread] >= narrow[spread] - 1e-12).all()


HOPPER = pl.lit("H100/H200").alias("item_id")
LAUNCH = add_periods(START, 2, Q)


def hopper(amounts, a=None, **terms):
    pooled = shipments({"pool": amounts}, **terms).with_columns(HOPPER)
    table = split_hopper(pooled, a or assumptions(), launch=LAUNCH).collect()
    return {item: table.filter(pl.col("item_id") == item).sort("timestamp") for item in ("H100", "H200")}


@FEW
@given(amounts=st.lists(st.floats(1.0, 1e6), min_size=1, max_size=10))
def test_the_two_hopper_chips_make_up_their_pool_by_a_logistic_ramp(amounts):
    parts = hopper(amounts)
    assert parts["H100"].height == len(amounts)
    assert parts["H200"]["timestamp"].to_list() == [add_periods(START, t, Q) for t in range(2, len(amounts))]
    h200 = [0.0] * (len(amounts) - parts["H200"].height) + parts["H200"]["shipments"].to_list()
    for t, amount in enumerate(amounts):
        share = 0.0 if t < 2 else 1 / (1 + math.exp(-(t - 2 - 2.0) / 0.75))
        assert h200[t] == pytest.approx(share * amount)
        assert h200[t] + parts["H100"]["shipments"][t] == pytest.approx(amount, rel=1e-12)


def test_the_split_widens_errors_by_the_range_of_its_midpoint():
    parts = hopper([100.0] * 5, down=0.3, up=0.4)
    share = [1 / (1 + math.exp(-(2 - midpoint) / 0.75)) for midpoint in (3.0, 2.0, 1.0)]  # two quarters on
    down, up = spread_by_hand(*share)
    assert parts["H200"]["down"][2] == pytest.approx(math.hypot(0.3, down))
    assert parts["H200"]["up"][2] == pytest.approx(math.hypot(0.4, up))
    down, up = spread_by_hand(*(1 - each for each in share))
    assert parts["H100"]["down"][4] == pytest.approx(math.hypot(0.3, down))
    assert parts["H100"]["up"][4] == pytest.approx(math.hypot(0.4, up))
    assert parts["H100"]["down"].to_list()[:2] == pytest.approx(
        [0.3, 0.3]
    )  # before the launch nothing is split


@FEW
@given(by=WIDER)
def test_a_wider_midpoint_range_gives_wider_spreads(by):
    wide = hopper([100.0] * 8)
    narrow = hopper([100.0] * 8, assumptions(**select_items("h200_midpoint_quarters", by)))
    for item in ("H100", "H200"):
        for spread in ("down", "up"):
            assert (wide[item][spread] >= narrow[item][spread] - 1e-12).all()


def test_other_chips_pass_the_split_untouched():
    table = split_hopper(shipments({"B200": [5.0, 6.0]}), assumptions(), launch=LAUNCH).collect()
    assert table.equals(shipments({"B200": [5.0, 6.0]}).collect())


@FEW
@given(
    series=st.dictionaries(
        st.sampled_from(["H100", "H200", "MI300X", "Unknown"]),
        st.lists(st.floats(1.0, 1e6), min_size=1, max_size=6),
        min_size=1,
    ),
    down=st.floats(0.0, 1.0),
    up=st.floats(0.0, 1.0),
)
def test_groups_are_the_sums_of_their_chips_and_of_their_error_points(series, down, up):
    rows = [
        ("H100", "Hopper", 1.0),
        ("H200", "Hopper", 1.0),
        ("MI300X", "CDNA3", 1.25),
        ("H100", "all", 1.0),
        ("H200", "all", 1.0),
        ("MI300X", "all", 1.25),
    ]
    groups = pl.LazyFrame(rows, schema=["chip_pool", "group", "h100e_per_unit"], orient="row")
    expected = {}
    for chip_id, group, per_unit in rows:
        for step, amount in enumerate(series.get(chip_id, [])):
            key = group, add_periods(START, step, Q)
            expected[key] = expected.get(key, 0.0) + per_unit * amount
    table = aggregate_shipments(shipments(series, down=down, up=up), groups).collect()
    found = {(r["item_id"], r["timestamp"]): r["shipments"] for r in table.iter_rows(named=True)}
    assert found == pytest.approx(expected)
    # errors of chips are alike: their quantiles add, so a common spread stays what it is
    assert table["down"].to_list() == pytest.approx([down] * table.height, abs=1e-9)
    assert table["up"].to_list() == pytest.approx([up] * table.height, abs=1e-9)


def spread(expressions, **columns):
    return pl.DataFrame(columns).select(spread_columns(expressions)).row(0)


@FEW
@given(points=UNITS)
def test_sides_are_the_log_distances_from_the_middle_in_standard_deviations(points):
    low, middle, high = points
    columns = {"low": [low], "middle": [middle], "high": [high]}
    expected = spread_by_hand(low, middle, high)
    assert spread(sides(pl.col("low"), pl.col("middle"), pl.col("high")), **columns) == pytest.approx(
        expected
    )
    assert spread(sides(pl.col("high"), pl.col("middle"), pl.col("low")), **columns) == pytest.approx(
        expected
    )
    assert norm.ppf(0.95) == pytest.approx(Z_95, rel=1e-12)


@pytest.mark.parametrize("zero", ["low", "middle", "high"])
def test_a_zero_among_the_points_means_no_spread(zero):
    points = {"low": [1.0], "middle": [2.0], "high": [3.0], zero: [0.0]}
    assert spread(sides(pl.col("low"), pl.col("middle"), pl.col("high")), **points) == (0.0, 0.0)


@FEW
@given(errors=st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2)), min_size=1, max_size=4))
def test_independent_errors_add_in_quadrature(errors):
    both = combine_errors(*(Sides(pl.lit(down), pl.lit(up)) for down, up in errors))
    expected = math.hypot(*(down for down, _ in errors)), math.hypot(*(up for _, up in errors))
    assert spread(both, any=[1]) == pytest.approx(expected)
    assert spread(combine_errors(OWN), down=[0.1], up=[0.2]) == pytest.approx((0.1, 0.2))


@FEW
@given(points=st.lists(st.floats(0, 100), min_size=3, max_size=3))
def test_an_assumption_lies_within_its_own_range(points):
    value, low, high = points
    terms = {"value": value, "low": low, "high": high, "unit": "weeks", "reason": "because"}
    if low <= value <= high:
        assert Assumption(**terms).value == value
        return
    assume(low <= high)
    sentence = f"must lie within its own range: expected a value from {low:g} to {high:g}, found {value:g}"
    with pytest.raises(InputError) as error:
        Assumption(**terms)
    assert sentence in str(error.value)


def test_assumptions_are_listed_by_name():
    assert [name for name, _ in assumptions().items()] == list(DEFAULTS)
    assert dict(assumptions().items())["capacity_decay"].value == 0.8
