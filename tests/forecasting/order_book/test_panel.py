"""The panel of an order book: orders, capacity and shipments by a plain loop; its grid, items and units."""

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from forecasting.errors import InputError
from forecasting.frequencies import Frequency, add_periods
from forecasting.order_book.calendar import Calendar
from forecasting.order_book.panel import order_book_panel
from forecasting.panel.schema import check_panel
from forecasting.reference.chips import Chip, catalogue

FEW = settings(deadline=None, max_examples=30)
QUARTERS = Calendar(frequency=Frequency.QUARTER)
FIRST = dt.date(2023, 3, 31)
DECAY, TOLERANCE = 0.8, 0.1
CHIPS = {
    "a": catalogue()["H100"],
    "a2": catalogue()["H100"],
    "b": catalogue()["H200"],
    "c": catalogue()["MI300X"],
}
COUNTS = ("orders", "shipments", "cancellations", "overdue_units")


def series(markets, *, incomplete=(), calendar=QUARTERS, first=FIRST):
    """Series of {(sku, destination): [(orders, shipments, cancellations, overdue) per period]}."""
    rows = []
    for (sku, destination), periods in markets.items():
        end = first
        for number, counts in enumerate(periods):
            if number:
                number_of = pl.select(
                    calendar.end_of(calendar.period_number(pl.lit(first, pl.Date)) + number)
                ).item()
                end = number_of
            row = {"sku": sku, "destination": destination, "period": end, "complete": end not in incomplete}
            rows.append(row | {"chip_id": CHIPS[sku].chip_id} | dict(zip(COUNTS, counts, strict=True)))
    return pl.DataFrame(rows)


def panel(table, *, calendar=QUARTERS, decay=DECAY, tolerance=TOLERANCE, chips=CHIPS):
    made = order_book_panel(
        table, calendar=calendar, chips=chips, capacity_decay=decay, tight_tolerance=tolerance
    ).collect()
    return check_panel(made, frequency=calendar.frequency, where="order book")


def values(made, item, variate):
    return made.filter(pl.col("item_id") == item, pl.col("variate") == variate)["value"].to_list()


NUMBER = st.integers(0, 50)
PERIODS = st.integers(1, 8).flatmap(
    lambda count: st.lists(st.tuples(NUMBER, NUMBER, NUMBER, NUMBER), min_size=count, max_size=count)
)


@FEW
@given(us=PERIODS, export=PERIODS)
def test_orders_and_capacity_are_those_of_a_plain_loop(us, export):
    made = panel(series({("a", "us"): us, ("a", "export"): export}))
    orders, capacity, shipments, peak, owed = [], [], [], 0.0, 0
    for number in range(max(len(us), len(export))):
        ordered, shipped, cancelled, overdue = us[number] if number < len(us) else (0, 0, 0, 0)
        away = export[number][1] if number < len(export) else 0
        net = owed + ordered - cancelled
        owed = min(net, 0)
        orders.append(max(net, 0))
        peak = max(shipped + away, DECAY * peak)
        capacity.append(shipped if overdue > TOLERANCE * shipped else peak)
        shipments.append(shipped)
    assert values(made, "H100", "orders") == orders
    assert values(made, "H100", "shipments") == shipments
    assert values(made, "H100", "capacity") == pytest.approx(capacity, rel=1e-8)
    exact = made.filter(pl.col("value") == pl.col("value_p05"), pl.col("value") == pl.col("value_p95"))
    assert exact.height == made.height


def test_skus_of_one_chip_are_added():
    counts = [(10, 5, 1, 0), (20, 6, 2, 1)]
    twice = panel(series({("a", "us"): counts, ("a2", "us"): counts}))
    doubled = panel(series({("a", "us"): [tuple(2 * n for n in row) for row in counts]}))
    assert_frame_equal(twice, doubled)


def test_a_chip_that_is_only_exported_has_no_us_orders_and_its_exports_as_capacity():
    made = panel(series({("a", "export"): [(9, 7, 0, 0), (0, 2, 0, 3)]}))
    assert values(made, "H100", "orders") == values(made, "H100", "shipments") == [0, 0]
    assert values(made, "H100", "capacity") == [7, pytest.approx(5.6)]


def test_families_and_portfolios_are_sums_in_h100e_by_total_processing_performance():
    made = panel(
        series({("a", "us"): [(10, 5, 1, 0)], ("b", "us"): [(20, 6, 2, 9)], ("c", "us"): [(3, 3, 0, 0)]})
    )
    tpp = {
        chip: catalogue()[chip].required_tpp() / catalogue()["H100"].required_tpp()
        for chip in ("H200", "MI300X")
    }
    nvidia, amd = 5 + 6 * tpp["H200"], 3 * tpp["MI300X"]
    shipped = made.filter(pl.col("variate") == "shipments")
    found = dict(shipped.select("item_id", "value").iter_rows())
    assert found == pytest.approx(
        {
            "H100": 5,
            "H200": 6,
            "MI300X": 3,
            "Hopper": nvidia,
            "CDNA3": amd,
            "portfolio/nvidia": nvidia,
            "portfolio/amd": amd,
            "portfolio/us": nvidia + amd,
        },
        rel=1e-8,
    )
    units = dict(shipped.select("item_id", "unit").iter_rows())
    assert units["H100"] == "units"
    assert units["portfolio/us"] == units["Hopper"] == "H100e"


def test_capacity_is_reported_where_supply_was_tight_and_derived_where_it_had_to_be_inferred():
    made = panel(series({("a", "us"): [(10, 5, 0, 4), (0, 5, 0, 0)]}))
    capacity = made.filter(pl.col("item_id") == "H100", pl.col("variate") == "capacity")
    assert capacity["kind"].to_list() == ["reported", "derived"]


def test_a_period_that_has_not_ended_is_left_out():
    last = add_periods(FIRST, 1, Frequency.QUARTER)
    made = panel(series({("a", "us"): [(10, 5, 0, 4), (1, 1, 0, 0)]}, incomplete=(last,)))
    assert made["timestamp"].unique().to_list() == [FIRST]


@pytest.mark.parametrize(
    ("calendar", "first", "timestamps"),
    [
        pytest.param(
            Calendar(frequency=Frequency.QUARTER, fiscal_year_end_month=1),
            dt.date(2024, 1, 31),
            [dt.date(2023, 12, 31), dt.date(2024, 3, 31)],
            id="quarters that end in January are those that end in December",
        ),
        pytest.param(
            Calendar(frequency=Frequency.WEEK, week_end=6),
            dt.date(2024, 1, 6),
            [dt.date(2024, 1, 7), dt.date(2024, 1, 14)],
            id="weeks to Saturday are weeks to the Sunday after",
        ),
        pytest.param(
            Calendar(frequency=Frequency.MONTH, fiscal_year_end_month=1),
            dt.date(2024, 1, 31),
            [dt.date(2024, 1, 31), dt.date(2024, 2, 29)],
            id="months stay",
        ),
    ],
)
def test_fiscal_periods_stand_on_the_grid_of_the_panel_and_are_known_only_when_over(
    calendar, first, timestamps
):
    table = series({("a", "us"): [(4, 3, 0, 0), (4, 3, 0, 0)]}, calendar=calendar, first=first)
    made = panel(table, calendar=calendar).filter(pl.col("item_id") == "H100", pl.col("variate") == "orders")
    assert made["timestamp"].to_list() == timestamps
    ends = table["period"].to_list()
    assert made["published_at"].to_list() == [max(pair) for pair in zip(ends, timestamps, strict=True)]


def test_the_peak_fades_as_fast_in_weeks_as_in_quarters():
    weeks = Calendar(frequency=Frequency.WEEK)
    counts = [(0, 100, 0, 0), *[(0, 0, 0, 0)] * 13]
    made = panel(series({("a", "us"): counts}, calendar=weeks, first=dt.date(2024, 1, 7)), calendar=weeks)
    assert values(made, "H100", "capacity")[13] == pytest.approx(100 * DECAY, rel=0.01)


@pytest.mark.parametrize("decay", [0.0, 1.5])
def test_a_decay_outside_its_range_is_refused(decay):
    with pytest.raises(InputError, match="above 0 and is at most 1"):
        panel(series({("a", "us"): [(1, 1, 0, 0)]}), decay=decay)


def test_a_chip_without_specs_is_refused_by_name():
    bare = Chip(**{**vars(catalogue()["H100"]), "chip_id": "X1", **dict.fromkeys(RATES)})
    table = series({("a", "us"): [(1, 1, 0, 0)]}).with_columns(chip_id=pl.lit("X1"))
    with pytest.raises(InputError, match="chip X1: a chip without specs"):
        panel(table, chips={"a": bare})


RATES = ("fp16_dense_tflops", "fp8_dense_tflops", "fp6_dense_tflops", "fp4_dense_tflops")
