"""Editions of the shipments: the newest word counts, owners add up to totals, contradictions are refused."""

import datetime as dt
from dataclasses import replace

import polars as pl
import pytest

from forecasting.errors import InputError
from forecasting.public.assumptions import Assumption
from forecasting.public.editions import (
    NEVER,
    Edition,
    Unreported,
    known_editions,
    shipments_by_region,
)
from forecasting.reference.reconcile import reconciled

ENDS = [dt.date(2025, 9, 30), dt.date(2025, 12, 31), dt.date(2026, 3, 31), dt.date(2026, 6, 30)]
APRIL, SEPTEMBER, DECEMBER = dt.date(2026, 4, 30), dt.date(2026, 9, 24), dt.date(2026, 12, 20)
PUBLISHED = pl.col("quarter_end") + pl.duration(days=92)


def totals(rows, *, pool="X"):
    """Totals of (step, units) rows, 10 % either way."""
    return pl.LazyFrame(
        [
            {
                "quarter_end": ENDS[step],
                "vendor": "nvidia",
                "chip_pool": pool,
                **{f"{unit}_p05": 0.9 * units for unit in ("units", "h100e")},
                **{f"{unit}_p50": float(units) for unit in ("units", "h100e")},
                **{f"{unit}_p95": 1.1 * units for unit in ("units", "h100e")},
                "partial_quarter": False,
                "source_id": "s",
            }
            for step, units in rows
        ]
    )


def owners(rows, *, pool="X"):
    """Owners of (step, owner, region, units, counted) rows; a counted one has no range."""
    return pl.LazyFrame(
        [
            {
                "quarter_end": ENDS[step],
                "vendor": "nvidia",
                "chip_pool": pool,
                "owner": owner,
                "owner_region": region,
                "units_p05": None if counted else 0.8 * units,
                "units_p50": float(units),
                "units_p95": None if counted else 1.2 * units,
                "partial_quarter": False,
                "source_id": "s",
            }
            for step, owner, region, units, counted in rows
        ],
        schema_overrides={"units_p05": pl.Float64, "units_p95": pl.Float64},
    )


FIRST = Edition(
    published=APRIL,
    totals=totals([(0, 100), (1, 200)]),
    owners=owners([(0, "A", "US", 100, False), (1, "A", "US", 150, False), (1, "B", "unknown", 50, False)]),
)


def newest(rows):
    return rows.filter(pl.col("superseded_at") == NEVER).sort("quarter_end", "owner_region")


def made(*editions, unreported=()):
    return shipments_by_region(editions, unreported, PUBLISHED)


def test_an_edition_without_owners_carries_the_last_shares_forward():
    rows = newest(made(FIRST, Edition(published=SEPTEMBER, totals=totals([(2, 400), (3, 80)]))))
    found = rows.filter(pl.col("quarter_end") >= ENDS[2])
    assert found.select("owner_region", "units_p50", "carried").rows() == [
        ("US", 300.0, 1),
        ("unknown", 100.0, 1),
        ("US", 60.0, 2),
        ("unknown", 20.0, 2),
    ]
    assert set(found["published_at"]) == {SEPTEMBER}


def test_a_revision_supersedes_and_a_repetition_does_not():
    second = Edition(published=SEPTEMBER, totals=totals([(0, 101), (1, 220), (2, 10)]))
    rows = made(FIRST, second)
    before = rows.filter(pl.col("published_at") < SEPTEMBER)
    assert before.filter(pl.col("superseded_at") == SEPTEMBER)["quarter_end"].unique().to_list() == [ENDS[1]]
    now = newest(rows).group_by("quarter_end").agg(pl.col("units_p50").sum()).sort("quarter_end")
    assert now["units_p50"].to_list() == pytest.approx([100, 220, 10])


def test_a_third_edition_with_owners_ends_the_carrying():
    second = Edition(published=SEPTEMBER, totals=totals([(2, 400)]))
    third = Edition(
        published=DECEMBER,
        totals=totals([(2, 430), (3, 100)]),
        owners=owners([(2, "A", "US", 430, False), (3, "A", "US", 100, False)]),
    )
    rows = newest(made(FIRST, second, third)).filter(pl.col("quarter_end") >= ENDS[2])
    assert rows.select("owner_region", "units_p50", "carried").rows() == [("US", 430.0, 0), ("US", 100.0, 0)]


def test_a_new_chip_takes_the_shares_of_its_vendor():
    second = Edition(published=SEPTEMBER, totals=totals([(2, 400)], pool="Y"))
    found = newest(made(FIRST, second)).filter(pl.col("chip_pool") == "Y")
    assert found["units_p50"].to_list() == [300.0, 100.0]


def test_a_counted_owner_is_in_the_sum_once():
    rows = [(0, "A", "US", 60, False), (0, "B", "unknown", 40, False), (0, "xAI", "US", 30, True)]
    whole = reconciled(owners(rows).collect(), totals([(0, 100)]).collect())
    assert dict(whole.select("owner", "units_p50").iter_rows()) == {"A": 42.0, "B": 28.0, "xAI": 30.0}
    assert whole["units_p50"].sum() == pytest.approx(100)


def test_an_edition_that_contradicts_an_earlier_one_is_refused():
    second = Edition(published=SEPTEMBER, totals=totals([(1, 300)]))
    with pytest.raises(InputError, match=r"contradicts .* 180 to 220 units, found 270 to 330") as error:
        made(FIRST, second)
    assert error.value.where == "edition of 2026-09-24, X, 2025-12-31"


def test_owners_without_a_total_are_refused():
    alone = replace(FIRST, totals=totals([(0, 100)]))
    with pytest.raises(InputError, match="needs the total of each chip and quarter"):
        made(alone)


def test_a_quarter_that_an_edition_leaves_out_needs_a_stated_range():
    second = Edition(published=SEPTEMBER, totals=totals([(3, 80)]))
    with pytest.raises(InputError, match=r"data\.unreported") as error:
        made(FIRST, second)
    assert error.value.where.endswith("X, 2026-03-31")
    units = Assumption(value=50, low=0, high=200, unit="", reason="")
    rows = made(FIRST, second, unreported=[Unreported(chip_pool="X", quarter_end=ENDS[2], units=units)])
    sums = (
        newest(rows).filter(pl.col("quarter_end") == ENDS[2]).select(pl.col("units_p05", "units_p50").sum())
    )
    assert sums.row(0) == pytest.approx((12.5, 50.0))


def test_nothing_is_known_before_the_first_edition():
    editions = (Edition(published=SEPTEMBER, totals=totals([(2, 1)])), FIRST)
    assert [each.published for each in known_editions(editions, None)] == [APRIL, SEPTEMBER]
    assert known_editions(editions, dt.date(2026, 9, 23)) == (FIRST,)
    with pytest.raises(InputError, match=r"expected 2026-04-30 or later, found 2026-04-29"):
        known_editions(editions, dt.date(2026, 4, 29))
    with pytest.raises(InputError, match="on one day"):
        known_editions((FIRST, FIRST), None)
