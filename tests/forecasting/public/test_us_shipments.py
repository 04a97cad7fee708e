"""Shipments to the US: shares of what owners hold, Hopper split into its chips, chips summed to groups."""

import math

import polars as pl
import pytest
from flow_tables import FEW, START, UNITS, VINTAGE, WIDER, Q, assumptions, narrowed, shipments, spread_by_hand
from hypothesis import given
from hypothesis import strategies as st

from forecasting.frequencies import add_periods
from forecasting.public.flows import aggregate_shipments, split_hopper, us_shipments


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
        for a in (assumptions(**narrowed(name, by)), assumptions())
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
    narrow = hopper([100.0] * 8, assumptions(**narrowed("h200_midpoint_quarters", by)))
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
