"""Draw order lines as a maker of accelerators might see them: orders, lines, splits, and what became of them.

N rows of a batch.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Rows = dict[str, npt.NDArray[np.int64]]
Stamps = Literal["date", "datetime", "zoned"]

MISSING = np.iinfo(np.int64).min  # becomes null
LEAST_ROWS_PER_FILE = 100
EPOCH = dt.date(1970, 1, 1)

CHIPS = {  # chip of the catalogue: the year in which it sells most, and its price in USD
    "A100": (2022.0, 12_000),
    "H100": (2023.2, 27_000),
    "L40S": (2023.8, 8_000),
    "H20": (2024.3, 12_000),
    "H200": (2024.9, 31_000),
    "B200": (2025.6, 38_000),
}
FORMS = ("SXM", "HGX", "NVL", "PCIE")
SKUS = {f"{chip}-{form}": chip for chip in CHIPS for form in FORMS}
COUNTRIES = ("US", "CN", "TW", "DE", "GB", "JP", "SG", "FR", "KR", "IN", "NL", "AE", "CA", "SA", "MY", "AU")
CUSTOMERS = 2_000
US_SHARE = 0.6

CANCELLED, PARTIAL, LATE = 0.03, 0.05, 0.2  # chances, where the dates allow it

# Each SKU goes through cycles of eight weeks: in the first five US lines may ship late and no export ships;
# then exports ship for two; the last takes the planted cases of overtaken US lines.
CYCLE, EXPORTS_FROM, EXPORTS_TO = 56, 35, 49


@dataclass(frozen=True, kw_only=True)
class Book:
    """What to write: rows over all files, and the days of the first and the last order."""

    lines: int
    files: int = 1
    seed: int = 0
    first_day: dt.date = dt.date(2022, 1, 3)
    as_of: dt.date = dt.date(2025, 12, 31)
    stamps: Stamps = "date"
    zone: str = "America/Los_Angeles"
    csv: bool = False

    def __post_init__(self) -> None:
        """Refuse files that are too small to hold every oddity."""
        if self.lines < LEAST_ROWS_PER_FILE * self.files:
            raise ValueError(
                f"a file takes at least {LEAST_ROWS_PER_FILE} lines: {self.lines} in {self.files}"
            )

    @property
    def last(self) -> int:
        """Day number of `as_of`."""
        return (self.as_of - EPOCH).days


def order_days(book: Book) -> npt.NDArray[np.float64]:
    """Share of all orders placed up to each day: doubling in two years, a yearly season, quiet weekends."""
    days = np.arange((book.first_day - EPOCH).days, book.last)
    years = days / 365.25
    weekend = (days + 3) % 7 >= 5
    rate = 2 ** (years / 2) * (1 + 0.2 * np.sin(2 * np.pi * years)) * np.where(weekend, 0.15, 1.0)
    upto: npt.NDArray[np.float64] = np.cumsum(rate) / rate.sum()
    return upto


def sku_of(rng: np.random.Generator, day: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Draw a SKU [N] for lines of these days: generations replace each other."""
    peaks = np.repeat([peak for peak, _ in CHIPS.values()], len(FORMS))
    first, last = day.min(), day.max()
    months = np.arange(first // 30, last // 30 + 1)
    distance = (1970 + (months[:, None] + 0.5) * 30 / 365.25 - peaks) / 1.2
    weight = np.exp(-0.5 * distance**2) * np.tile([4.0, 3.0, 2.0, 1.0], len(CHIPS)) + 1e-3
    upto = np.cumsum(weight, axis=1) / weight.sum(axis=1, keepdims=True)
    rows = day // 30 - first // 30
    drawn = np.searchsorted((upto + np.arange(len(months))[:, None]).ravel(), rows + rng.random(len(day)))
    sku: npt.NDArray[np.int64] = np.minimum(drawn - rows * len(SKUS), len(SKUS) - 1)
    return sku


def cycle_position(sku: npt.NDArray[np.int64], day: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Day within the cycle of the SKU [N], 0 to 55."""
    return (day + 17 * sku) % CYCLE


def ordered_rows(rng: np.random.Generator, book: Book, first: int, last: int, *, N: int, splits: int) -> Rows:
    """N rows as they were ordered, `splits` of them further parts of the line before, sorted by day.

    The days are those of the rows `first` to `last` of the book; order numbers start at `first`.
    """
    at = np.arange(N)
    goes_on = np.zeros(N, dtype=np.bool_)
    goes_on[rng.choice(at[1:], splits, replace=False)] = True
    new_order = ~goes_on & (rng.random(N) < 0.55)
    new_order[0] = True
    order = np.maximum.accumulate(np.where(new_order, at, 0))
    line = np.maximum.accumulate(np.where(goes_on, 0, at))
    upto = np.cumsum(~goes_on)
    share = np.sort(rng.uniform(first / book.lines, last / book.lines, N))
    day = (book.first_day - EPOCH).days + np.searchsorted(order_days(book), share)[order]
    country = np.where(rng.random(N) < US_SHARE, 0, 1 + (len(COUNTRIES) - 1) * rng.random(N) ** 2)
    country = country.astype(np.int64)[order]
    elsewhere = rng.integers(0, len(COUNTRIES), N)
    requested = day + (14 + rng.gamma(3.0, 20.0, N)).astype(np.int64)[line]
    sku = sku_of(rng, day)[line]
    price = np.repeat([usd for _, usd in CHIPS.values()], len(FORMS))[sku]
    promised = requested + np.where(rng.random(N) < 0.3, rng.integers(1, 30, N), 0)[line]
    return {
        "order": first + order,
        "line": upto - upto[order] + 1,
        "split": at - line,
        "sku": sku,
        "customer": (CUSTOMERS * rng.random(N) ** 3).astype(np.int64)[order],
        "customer_country": np.where(rng.random(N) < 0.06, elsewhere, country)[order],
        "end_use_country": country,
        "quantity": 1 + rng.lognormal(2.5, 1.2, N).astype(np.int64),
        "ordered_at": day,
        "requested_at": requested,
        "promised_at": np.where((rng.random(N) < 0.15)[line], MISSING, promised),
        "cents": (rng.normal(1.0, 0.03, N) * 100 * price).astype(np.int64),
        "minute": rng.integers(6 * 60, 24 * 60, N),
        "return_reason": np.full(N, MISSING),
    }


def shipping_days(rng: np.random.Generator, rows: Rows, due: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Day on which each row is to ship [N]: US late only within its weeks, exports only within theirs."""
    N = len(due)
    position = cycle_position(rows["sku"], due)
    late = (rng.random(N) < LATE) & (position < EXPORTS_FROM - 1)
    delay = 1 + (rng.random(N) * (EXPORTS_FROM - 1 - position)).astype(np.int64)
    us = due + np.where(late, delay, -rng.integers(0, 8, N))
    wait = EXPORTS_FROM - position + np.where(position < EXPORTS_TO, 0, CYCLE)
    in_turn = (position >= EXPORTS_FROM) & (position < EXPORTS_TO)
    export = due + np.where(in_turn, 0, wait + rng.integers(0, EXPORTS_TO - EXPORTS_FROM, N))
    return np.where(rows["end_use_country"] == 0, us, export)


def fulfil(rng: np.random.Generator, book: Book, rows: Rows) -> None:
    """Add what has happened to the rows up to `as_of`: shipped, in part, cancelled, or open."""
    N = len(rows["order"])
    quantity, ordered, us = rows["quantity"], rows["ordered_at"], rows["end_use_country"] == 0
    due = rows["requested_at"]  # a delay counts from it, whatever was promised
    shipped = shipping_days(rng, rows, due)
    cancelled = ordered + 1 + (rng.random(N) * (due - ordered)).astype(np.int64)
    whole = (rng.random(N) < CANCELLED) & (cancelled <= book.last)
    sent = ~whole & (shipped <= book.last)
    partial = sent & (rng.random(N) < PARTIAL) & (quantity > 1)
    part = 1 + (rng.random(N) * (quantity - 1)).astype(np.int64)
    # A US line keeps an open rest only where no export will ship between its requested day and `as_of`.
    position = cycle_position(rows["sku"], np.full(N, book.last))
    quiet_from = book.last - np.where(position < EXPORTS_FROM, position, 0)
    rest = shipped + rng.integers(0, 20, N)
    rest = np.where(us, np.maximum(shipped, np.minimum(rest, due)), rest)
    dropped = partial & ((rng.random(N) < 0.5) | (us & (due < quiet_from))) & (rest <= book.last)
    rows["shipped_at"] = np.where(sent, shipped, MISSING)
    rows["shipped_quantity"] = np.where(partial, part, np.where(sent, quantity, MISSING))
    rows["cancelled_at"] = np.where(whole, cancelled, np.where(dropped, rest, MISSING))
    touch(rows)


def touch(rows: Rows) -> None:
    """Date each row's state by its last event."""
    rows["updated_at"] = np.maximum(np.maximum(rows["ordered_at"], rows["shipped_at"]), rows["cancelled_at"])


def unship(rows: Rows, at: npt.NDArray[np.int64]) -> None:
    """Take the rows back to how they stood before anything shipped or was cancelled."""
    for name in ("shipped_at", "shipped_quantity", "cancelled_at"):
        rows[name][at] = MISSING


def ship(rows: Rows, at: npt.NDArray[np.int64], day: npt.NDArray[np.int64]) -> None:
    """Let the rows ship whole on these days."""
    rows["shipped_at"][at] = day
    rows["shipped_quantity"][at] = rows["quantity"][at]
    rows["cancelled_at"][at] = MISSING
