"""Random order books with every oddity, and what should come of them by plain loops over rows."""

import datetime as dt
import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache

import polars as pl
import pytest

from forecasting.frequencies import Frequency
from forecasting.order_book.calendar import Calendar
from forecasting.order_book.normalise import Intake

START, AS_OF = dt.date(2024, 1, 1), dt.date(2025, 3, 10)
NORMAL_LEAD_DAYS = 42
UNITED_STATES = {"US", "PR", "GU", "VI", "AS", "MP", "UM"}
SKUS = {"sku-1": "H100", "sku-2": "H200", "sku-3": "H100"}
RAW = {
    "order_id": pl.String(),
    "line": pl.Int64(),
    "split": pl.Int64(),
    "sku": pl.String(),
    "customer_id": pl.String(),
    "customer_country": pl.String(),
    "end_use_country": pl.String(),
    "quantity": pl.Int64(),
    "ordered_at": pl.Date(),
    "requested_at": pl.Date(),
    "promised_at": pl.Date(),
    "shipped_at": pl.Date(),
    "shipped_quantity": pl.Int64(),
    "cancelled_at": pl.Date(),
    "unit_price": pl.Float64(),
    "updated_at": pl.Datetime("us"),
    "return_reason": pl.String(),
}
ODDITIES = {
    "unknown_sku": lambda row: row.update(sku="sku-9"),
    "unknown_country": lambda row: row.update(end_use_country="ZZ"),
    "unknown_customer_country": lambda row: row.update(customer_country=None),
    "no_quantity": lambda row: row.update(quantity=None),
    "too_large": lambda row: row.update(quantity=10**12 + 1),
    "too_large_shipment": lambda row: row.update(shipped_at=AS_OF, shipped_quantity=2**62),
    "zero": lambda row: row.update(quantity=0),
    "return": lambda row: row.update(quantity=-3, return_reason="broken", requested_at=None),
    "return_without_reason": lambda row: row.update(quantity=-3),
    "no_order": lambda row: row.update(order_id=None),
    "no_line": lambda row: row.update(line=None),
    "long_ago": lambda row: row.update(ordered_at=dt.date(1900, 1, 1)),
    "far_promise": lambda row: row.update(promised_at=dt.date(9999, 12, 31)),
    "not_ordered": lambda row: row.update(ordered_at=None),
    "not_requested": lambda row: row.update(requested_at=None),
    "no_shipping_day": lambda row: row.update(shipped_at=None, shipped_quantity=1),
    "future": lambda row: row.update(shipped_at=AS_OF + dt.timedelta(days=1)),
    "late_update": lambda row: row.update(updated_at=dt.datetime(2025, 3, 11)),  # noqa: DTZ001
    "future_return": lambda row: row.update(
        quantity=-3, return_reason="broken", shipped_at=AS_OF + dt.timedelta(days=1)
    ),
    "far_return": lambda row: row.update(
        quantity=-3, return_reason="broken", cancelled_at=dt.date(9999, 12, 31)
    ),
    "early": lambda row: row.update(shipped_at=dt.date(2023, 12, 31)),
    "too_much": lambda row: row.update(shipped_at=AS_OF, shipped_quantity=99),
    "negative_shipment": lambda row: row.update(shipped_at=AS_OF, shipped_quantity=-1),
    "cancelled_early": lambda row: row.update(cancelled_at=dt.date(2023, 12, 31)),
}


def random_row(source):
    """A line that keeps the rules, in a small world: keys, days and updates coincide often."""
    ordered = START + dt.timedelta(days=source.randrange(400))
    quantity = source.randrange(1, 8)
    row = dict.fromkeys(RAW) | {
        "order_id": f"o{source.randrange(30)}",
        "line": source.randrange(1, 3),
        "split": source.choice([None, 0, 1]),
        "sku": source.choice(list(SKUS)),
        "customer_id": source.choice([None, "c1"]),
        "customer_country": source.choice(["US", "DE"]),
        "end_use_country": source.choice(["US", "US", "PR", "DE", "CN"]),
        "quantity": quantity,
        "ordered_at": ordered,
        "requested_at": ordered + dt.timedelta(days=source.randrange(-20, 90)),
        "updated_at": source.choice([None, dt.datetime(2025, 1, 1, 8), dt.datetime(2025, 1, 1, 9)]),  # noqa: DTZ001
    }

    if source.random() < 0.4:
        row["promised_at"] = ordered + dt.timedelta(days=source.randrange(120))
    if source.random() < 0.7:
        row["shipped_at"] = closing_day(source, row)
        row["shipped_quantity"] = source.choice([None, 0, quantity, source.randrange(quantity + 1)])
    if source.random() < 0.3:
        row["cancelled_at"] = closing_day(source, row)
    if source.random() < 0.25:
        ODDITIES[source.choice(list(ODDITIES))](row)
    return row


def closing_day(source, row):
    """A day from the order to the end; often the last in time, or the first that is late."""
    days = (AS_OF - row["ordered_at"]).days
    until = [due_day(row), row["requested_at"] + dt.timedelta(days=NORMAL_LEAD_DAYS)]
    edges = [(day - row["ordered_at"]).days + late for day in until for late in (0, 1)]
    return row["ordered_at"] + dt.timedelta(
        days=source.choice([day for day in [*edges, *[source.randint(0, days)] * 4] if 0 <= day <= days])
    )


def random_rows(seed, count):
    """Rows of a book; some stand twice, some once more in another version."""
    source, rows = random.Random(seed), []  # noqa: S311
    for _ in range(count):
        if rows and source.random() < 0.2:
            row = dict(source.choice(rows))
            if source.random() < 0.5:
                row["updated_at"] = dt.datetime(2025, 1, 2)  # noqa: DTZ001
        else:
            row = random_row(source)
        rows.append(row)
    return rows


def broken_rule(row):
    """First rule that a row breaks, by plain questions in the order of the contract."""
    quantity, sent = row["quantity"], row["shipped_quantity"]
    ordered, asked, promised = row["ordered_at"], row["requested_at"], row["promised_at"]
    shipped, cancelled = row["shipped_at"], row["cancelled_at"]
    order = quantity is not None and quantity > 0
    questions = [
        ("unknown_sku", row["sku"] not in SKUS),
        ("unknown_country", {row["customer_country"], row["end_use_country"]} - {"US", "PR", "DE", "CN"}),
        (
            "bad_quantity",
            not quantity or abs(quantity) > 10**12 or (sent is not None and not 0 <= sent <= 10**12),
        ),
        ("negative_without_reason", not order and row["return_reason"] is None),
        ("missing_order_id", row["order_id"] is None or row["line"] is None),
        (
            "bad_date",
            any(
                day is not None and not 1950 <= day.year < 2100
                for day in (ordered, asked, promised, shipped, cancelled)
            ),
        ),
        ("missing_ordered_at", ordered is None),
        ("missing_requested_at", order and asked is None),
        ("missing_shipped_at", order and sent and shipped is None),
        (
            "future_date",
            any(day is not None and day > AS_OF for day in (ordered, shipped, cancelled))
            or (row["updated_at"] is not None and row["updated_at"].date() > AS_OF),
        ),
        ("shipped_before_ordered", order and shipped is not None and ordered and shipped < ordered),
        ("shipped_more_than_ordered", order and sent is not None and sent > quantity),
        ("cancelled_before_ordered", order and cancelled is not None and ordered and cancelled < ordered),
    ]
    return next((rule for rule, holds in questions if holds), None)


def outcomes(rows):
    """What becomes of each row: accepted, superseded, or the rule under which it is quarantined."""
    found = [broken_rule(row) for row in rows]
    versions = defaultdict(list)
    for place, row in enumerate(rows):
        if found[place] is None:
            returned = row["ordered_at"] if row["quantity"] < 0 else None
            key = (row["order_id"], row["line"], row["split"] or 0, returned)
            versions[key].append(place)
    for places in versions.values():
        standing = []
        for update in {rows[place]["updated_at"] for place in places}:
            same = [place for place in places if rows[place]["updated_at"] == update]
            contents = {repr(rows[place] | {"split": rows[place]["split"] or 0}) for place in same}
            if len(contents) > 1:
                for place in same:
                    found[place] = "conflicting_versions"
            else:
                standing.append(same[0])
                for place in same[1:]:
                    found[place] = "duplicate_line"
        standing.sort(key=lambda place: rows[place]["updated_at"] or dt.datetime.min, reverse=True)  # noqa: DTZ901
        for rank, place in enumerate(standing):
            found[place] = "superseded" if rank else "accepted"
    return found


@cache
def end_of_period(day, calendar):
    """Last day of a period, by walking to it."""
    while True:
        tomorrow = day + dt.timedelta(days=1)
        month_ends = tomorrow.day == 1
        if calendar.frequency == Frequency.WEEK and day.isoweekday() == calendar.week_end:
            return day
        if calendar.frequency == Frequency.MONTH and month_ends:
            return day
        quarter_ends = (day.month - calendar.fiscal_year_end_month) % 3 == 0
        if calendar.frequency == Frequency.QUARTER and month_ends and quarter_ends:
            return day
        day = tomorrow


def parts_of(row):
    """Parts of a line: fate, units, and the day it closed (None: open)."""
    if row["quantity"] < 0:
        return []
    sent = 0
    if row["shipped_at"] is not None:
        sent = row["quantity"] if row["shipped_quantity"] is None else row["shipped_quantity"]
    rest = row["quantity"] - sent
    closed = row["cancelled_at"]
    parts = [("shipped", sent, row["shipped_at"]), ("cancelled" if closed else "open", rest, closed)]
    return [part for part in parts if part[1]]


def due_day(row):
    """Day by which a line should ship."""
    return max(row["promised_at"] or row["requested_at"], row["requested_at"], row["ordered_at"])


@dataclass(frozen=True)
class Plain:
    """The figures of a book by loops: rows accepted, and calendar."""

    rows: list
    calendar: Calendar

    def markets(self):
        """Market and period ends of the grid."""
        firsts = {}
        for row in self.rows:
            market = (row["sku"], "us" if row["end_use_country"] in UNITED_STATES else "export")
            firsts[market] = min(firsts.get(market, dt.date.max), row["ordered_at"])
        for market, first in sorted(firsts.items()):
            end = end_of_period(first, self.calendar)
            ends = [end]
            while end < AS_OF:
                end = end_of_period(end + dt.timedelta(days=1), self.calendar)
                ends.append(end)
            yield market, ends

    def of(self, market):
        """Accepted rows of a market."""
        sku, destination = market
        return [
            r
            for r in self.rows
            if r["sku"] == sku and (r["end_use_country"] in UNITED_STATES) == (destination == "us")
        ]

    def figures(self, market, start, end):
        """Every figure of one market and one period, which runs from `start` to `end`."""
        f, lead, due, in_time, normal, shipped_in_time = Counter(), [], 0, 0, 0, 0
        for row in self.of(market):
            ordered_here = start <= row["ordered_at"] <= end
            if row["quantity"] < 0:
                f["returns"] -= row["quantity"] * ordered_here
                continue
            f["orders"] += row["quantity"] * ordered_here
            for fate, units, closed in parts_of(row):
                closes_here = closed is not None and start <= closed <= end
                late = fate == "shipped" and closed > due_day(row)
                days = (closed - row["requested_at"]).days if fate == "shipped" else None
                f["shipments"] += units * (fate == "shipped" and closes_here)
                f["cancellations"] += units * (fate == "cancelled" and closes_here)
                if fate == "shipped" and closes_here:
                    lead += [days] * units
                    shipped_in_time += units * (not late)
                never_due = fate == "cancelled" and closed <= due_day(row)
                if start <= due_day(row) <= end and not never_due:
                    due += units
                    in_time += units * (fate == "shipped" and not late)
                    normal += units * (fate == "shipped" and days <= NORMAL_LEAD_DAYS)
                if row["ordered_at"] <= end and (closed is None or closed > end):
                    f["closing_backlog"] += units
                    f["overdue_units"] += units * (due_day(row) <= end)
                    age = (end - end_of_period(row["ordered_at"], self.calendar)).days
                    f[bucket(age)] += units
        return f, lead, (due, in_time, normal, shipped_in_time)


def bucket(age):
    """Column of an age in days."""
    if age > 365:
        return "open_over_365_days"
    return "open_0_90_days" if age <= 90 else "open_91_180_days" if age <= 180 else "open_181_365_days"


class Book:
    """What the tests of this folder share."""

    START, AS_OF, SKUS, RAW, NORMAL_LEAD_DAYS = START, AS_OF, SKUS, RAW, NORMAL_LEAD_DAYS
    rows = staticmethod(random_rows)
    outcomes = staticmethod(outcomes)
    broken_rule = staticmethod(broken_rule)
    end_of_period = staticmethod(end_of_period)
    Plain = Plain
    intake = Intake(skus=SKUS, as_of=AS_OF)

    @staticmethod
    def frame(rows):
        """Rows as a file would hold them."""
        return pl.DataFrame(rows, schema=RAW, orient="row")


@pytest.fixture(scope="session")
def book():
    return Book
