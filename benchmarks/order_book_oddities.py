"""Put the oddities of real order books into drawn lines, in known numbers: `batches` is the whole book.

N rows of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from order_book_lines import (
    COUNTRIES,
    CYCLE,
    EXPORTS_TO,
    MISSING,
    SKUS,
    Book,
    Rows,
    cycle_position,
    fulfil,
    ordered_rows,
    ship,
    touch,
    unship,
)

BATCH = 250_000
SLIP = 14_610  # days: forty years, a slip of the pen
UNKNOWN_COUNTRIES = ("XA", "XB", "XX", "ZZ")
REASONS = ("defective", "wrong item", "damaged in transit", "lease ended")
SLOTS = (EXPORTS_TO, EXPORTS_TO + 3)  # days of a cycle on which a US line is due that an export overtakes
ROWS_ADDED = {  # share of all lines, at least one of each
    "amended": 0.02,
    "amended_across": 0.01,
    "duplicate": 2e-4,
    "duplicate_across": 1e-4,
    "conflict": 1e-4,
    "conflict_across": 5e-5,
}
RULES = (  # broken by the row alone, each by the same share of all lines
    "unknown_sku",
    "unknown_country",
    "bad_quantity",
    "negative_without_reason",
    "missing_order_id",
    "bad_date",
    "missing_ordered_at",
    "missing_requested_at",
    "missing_shipped_at",
    "future_date",
    "shipped_before_ordered",
    "shipped_more_than_ordered",
    "cancelled_before_ordered",
)
UNSHIPPED = ("bad_quantity", "negative_without_reason", "future_date", "cancelled_before_ordered")
MISSING_FIELD = {
    "missing_order_id": "order",
    "missing_ordered_at": "ordered_at",
    "missing_requested_at": "requested_at",
}
RULE_SHARE = 2e-4
FATES = (*RULES, "duplicate_line", "conflicting_versions", "superseded", "accepted")
SPLITS, RETURNS, OVERTAKEN = 0.04, 0.01, 2e-5


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows `first` to `last` (not included) of the book, all in one file, and how many of each oddity."""

    file: int
    first: int
    last: int
    counts: dict[str, int]


def plan(book: Book) -> list[Batch]:
    """Cut the book into batches and share every oddity out among them, to the unit."""
    shares = {**ROWS_ADDED, **dict.fromkeys(RULES, RULE_SHARE)}
    shares |= {"splits": SPLITS, "returns": RETURNS, "overtaken": OVERTAKEN}
    totals = {kind: max(1, round(share * book.lines)) for kind, share in shares.items()}
    if not book.csv:
        totals["bad_date"] = 0  # a column of dates cannot hold one
    cuts = [book.lines * file // book.files for file in range(book.files + 1)]
    batches = []
    for file in range(book.files):
        for first in range(cuts[file], cuts[file + 1], BATCH):
            last = min(first + BATCH, cuts[file + 1])
            counts = {}
            for kind, total in totals.items():
                end = cuts[-2] if kind.endswith("_across") else book.lines
                counts[kind] = total * min(last, end) // end - total * min(first, end) // end if end else 0
            batches.append(Batch(file=file, first=first, last=last, counts=counts))
    return batches


def take_back(rng: np.random.Generator, rows: Rows, at: npt.NDArray[np.int64]) -> None:
    """Turn rows into returns: a negative quantity with a reason, dated by its order."""
    unship(rows, at)
    rows["quantity"][at] *= -1
    rows["requested_at"][at] = rows["ordered_at"][at]
    rows["promised_at"][at] = MISSING
    rows["return_reason"][at] = rng.integers(0, len(REASONS), len(at))


def break_rule(rng: np.random.Generator, rows: Rows, at: npt.NDArray[np.int64], rule: str) -> None:
    """Spoil rows so that they break this rule and no other."""
    rows["fate"][at] = FATES.index(rule)
    some = rng.integers(1, 30, len(at))
    if rule in UNSHIPPED:
        unship(rows, at)
    if rule == "unknown_sku":
        rows["sku"][at] = len(SKUS)
    elif rule == "unknown_country":
        rows["end_use_country"][at] = len(COUNTRIES) + some % len(UNKNOWN_COUNTRIES)
    elif rule == "bad_quantity":
        rows["quantity"][at] = np.where(some % 2, 0, MISSING)
    elif rule == "negative_without_reason":
        rows["quantity"][at] *= -1
    elif rule in MISSING_FIELD:
        rows[MISSING_FIELD[rule]][at] = MISSING
    else:
        break_course(rows, at, rule, some)


def break_course(rows: Rows, at: npt.NDArray[np.int64], rule: str, some: npt.NDArray[np.int64]) -> None:
    """Spoil the course of events of rows, by `some` days or units."""
    ordered = rows["ordered_at"]
    if rule == "missing_shipped_at":
        ship(rows, at, np.full(len(at), MISSING))
    elif rule == "future_date":
        ordered[at] += SLIP
        rows["requested_at"][at] += SLIP
        rows["promised_at"][at] = MISSING
    elif rule == "shipped_before_ordered":
        ship(rows, at, ordered[at] - some)
    elif rule == "shipped_more_than_ordered":
        ship(rows, at, ordered[at] + 1)
        rows["shipped_quantity"][at] += some
    elif rule == "cancelled_before_ordered":
        rows["cancelled_at"][at] = ordered[at] - some


def overtake(
    rows: Rows, pairs: npt.NDArray[np.int64], free_from: npt.NDArray[np.int64], last: int
) -> list[int]:
    """Let the second row of each pair, an export, ship while the first, for the US, is late; tell the units.

    Each pair has days of its SKU to itself; a pair that finds none before `last` stays as it was.
    """
    units = []
    for us, export in pairs:
        sku = rows["sku"][us]
        earliest = max(free_from[sku], rows["ordered_at"][us], rows["ordered_at"][export])
        position = cycle_position(sku, earliest)
        slot = next((slot for slot in SLOTS if slot >= position), SLOTS[0] + CYCLE)
        due = earliest + slot - position
        if due + 2 > last:
            continue
        free_from[sku] = due + 1
        both = np.array([us, export])
        rows["sku"][both] = sku
        rows["end_use_country"][both] = 0, COUNTRIES.index("CN")
        rows["requested_at"][both] = rows["promised_at"][both] = due
        ship(rows, both, np.array([due + 2, due + 1]))
        units.append(int(rows["quantity"][both].min()))
    return units


def added_rows(rows: Rows, at: npt.NDArray[np.int64], kind: str) -> Rows:
    """Further rows of the keys `at`: a later version, a copy, or one that contradicts; rows is adapted."""
    more = {name: column[at] for name, column in rows.items()}
    if kind == "amended":
        unship(rows, at)
        rows["quantity"][at] += more["minute"] % 3
        rows["fate"][at] = FATES.index("superseded")
        rows["updated_at"][at] = rows["ordered_at"][at]
        more["updated_at"] = np.maximum(more["updated_at"], more["ordered_at"] + 1)
    elif kind == "duplicate":
        more["fate"][:] = FATES.index("duplicate_line")
    else:
        more["quantity"] += 1
        more["fate"][:] = rows["fate"][at] = FATES.index("conflicting_versions")
    return more


def joined(parts: list[Rows]) -> Rows:
    """The rows of all parts."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def batches(book: Book, overtaken: list[int]) -> Iterator[tuple[int, Rows]]:
    """File number and rows, batch by batch; the units of overtaken US lines are appended to `overtaken`."""
    free_from = np.zeros(len(SKUS), dtype=np.int64)
    due_in_next_file: list[Rows] = []
    file = 0
    for number, batch in enumerate(plan(book)):
        rng = np.random.default_rng([book.seed, number])
        arrived = due_in_next_file if batch.file != file else []
        if batch.file != file:
            file, due_in_next_file = batch.file, []
        N = batch.last - batch.first - sum(len(part["order"]) for part in arrived)
        N -= sum(batch.counts[kind] for kind in ROWS_ADDED if not kind.endswith("_across"))
        rows = ordered_rows(rng, book, batch.first, batch.last, N=N, splits=batch.counts["splits"])
        fulfil(rng, book, rows)
        rows["fate"] = np.full(N, FATES.index("accepted"))
        alone = rows["split"] == 0
        alone[:-1] &= rows["split"][1:] == 0
        sizes = {**batch.counts, "splits": 0, "overtaken": 2 * batch.counts["overtaken"]}
        hands = np.split(rng.permutation(np.flatnonzero(alone)), np.cumsum(list(sizes.values())))
        hand = dict(zip(sizes, hands, strict=False))
        for rule in RULES:
            break_rule(rng, rows, hand[rule], rule)
        take_back(rng, rows, hand["returns"])
        overtaken += overtake(rows, hand["overtaken"].reshape(-1, 2), free_from, book.last)
        touch(rows)
        for kind in ROWS_ADDED:
            more = added_rows(rows, hand[kind], kind.removesuffix("_across"))
            (due_in_next_file if kind.endswith("_across") else arrived).append(more)
        yield batch.file, joined([rows, *arrived])
