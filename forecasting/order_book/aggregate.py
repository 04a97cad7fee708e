"""What one file adds to the series: small integer sums that add up in any order and can be taken back.

Additive, so merging is associative and commutative and `negate` is its inverse: a row that a later file
supersedes is taken out by adding the negated partial of that row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import NamedTuple

import polars as pl

from forecasting.order_book.calendar import FIRST_DAY, LAST_DAY, PERIODS, Calendar
from forecasting.order_book.countries import COUNTRIES, US, US_TERRITORIES, is_us_end_use

DESTINATIONS = ("us", "export")
FATES = ("shipped", "cancelled", "open", "returned")
NO_PERIOD = PERIODS - 1
ADDED_AT_ONCE = 32
MAX_DAYS = (LAST_DAY - FIRST_DAY).days + 1
DESTINATION, FATE, COUNTRY = pl.Enum(DESTINATIONS), pl.Enum(FATES), pl.Enum(COUNTRIES)
PART = {"sku": pl.String(), "destination": DESTINATION, "fate": FATE}
KEYS: Mapping[str, Mapping[str, pl.DataType]] = {
    "ageing": {**PART, "ordered_period": pl.Date(), "closed_period": pl.Date()},
    "dues": {**PART, "due_period": pl.Date(), "closed_period": pl.Date()},
    "lead_days": {
        "sku": pl.String(),
        "destination": DESTINATION,
        "period": pl.Date(),
        "days": pl.Int32(),
    },
    "shipped_by_country": {"sku": pl.String(), "country": COUNTRY, "period": pl.Date()},
}
SUMS: Mapping[str, tuple[str, ...]] = {
    "ageing": ("units",),
    "dues": ("units", "on_time_units", "normal_lead_units"),
    "lead_days": ("units",),
    "shipped_by_country": ("units",),
}


@dataclass(frozen=True, kw_only=True)
class Partial:
    """Sums of units (Int64) over accepted order lines, each key once, in no order (`merge_partials` sorts).

    A line falls into parts, each with a fate: what was shipped, what was cancelled, what is open; or it is a
    return. A part is closed in the period in which it was shipped or cancelled (null: open, or a return).

    Attributes
    ----------
    ageing : DataFrame
        sku, destination (us, export), fate (shipped, cancelled, open, returned), ordered_period,
        closed_period -> units.
    dues : DataFrame
        sku, destination, fate, due_period, closed_period -> units, on_time_units (shipped by the due day),
        normal_lead_units (shipped within the normal lead time of the request). Without returns and what was
        cancelled by its due day (see `due_at`): that was never due.
    lead_days : DataFrame
        sku, destination, period (of the shipment), days (from request to shipment) -> units.
    shipped_by_country : DataFrame
        sku, country, period (of the shipment) -> units.
    """

    ageing: pl.DataFrame
    dues: pl.DataFrame
    lead_days: pl.DataFrame
    shipped_by_country: pl.DataFrame

    def tables(self) -> dict[str, pl.DataFrame]:
        """The tables by name, to be stored; `Partial(**tables)` is the way back."""
        return {table.name: getattr(self, table.name) for table in fields(self)}


def partial_plans(
    lines: pl.LazyFrame, *, calendar: Calendar, normal_lead_days: int
) -> dict[str, pl.LazyFrame]:
    """Lazy plans whose frames `partial_from` turns into a partial.

    For a caller that makes more of the same lines. A file of any size is best read in batches, by
    `LazyFrame.collect_batches`, and this done for each: Polars reads it more than once for one plan with many
    ends, and keeps in memory what one end has not yet taken.

    Parameters
    ----------
    lines : LazyFrame
        As `normalise` returns them; rows with a `broken_rule` are left out.
    calendar : Calendar
    normal_lead_days : int
        Days from request to shipment that count as the normal lead time.
    """
    skus = lines.collect_schema()["sku"]
    if not isinstance(skus, pl.Enum):
        raise TypeError(f"sku must be an enumeration of the mapping's SKUs, found {skus}")
    parts = lines.with_columns(**_units()).with_columns(**_places(calendar))
    market = Axis("market", 2 * len(skus.categories))
    fate, country = Axis("fate", len(FATES)), Axis("country", len(COUNTRIES))
    ordered, due, shipped, cancelled = (
        Axis(what, PERIODS) for what in ("ordered", "due", "shipped", "cancelled")
    )
    units, left = pl.col("shipped_units"), pl.col("left_units")
    gone = parts.filter(units > 0)
    stayed = parts.filter(left != 0).with_columns(**_fates(calendar))
    sums = {
        "shipped": grouped(
            gone.with_columns(
                on_time=pl.col("shipped_at") <= pl.col("due_at"),
                normal_lead=pl.col("lead") <= normal_lead_days + MAX_DAYS,
            ),
            [market, ordered, due, shipped, Axis("on_time", 2), Axis("normal_lead", 2)],
            units=units,
        ),
        "lead_days": grouped(gone, [market, shipped, Axis("lead", 2 * MAX_DAYS)], units=units),
        "elsewhere": grouped(
            gone.filter(pl.col("end_use_country") != US), [market, country, shipped], units=units
        ),
        "left": grouped(stayed, [market, fate, ordered, due, cancelled, Axis("was_due", 2)], units=left),
    }
    return {name: _named(plan, skus) for name, plan in sums.items()}


def due_at() -> pl.Expr:
    """Day by which a line should ship: promised, but never before it was requested or ordered."""
    return pl.max_horizontal("promised_at", "requested_at", "ordered_at")


def wanted_at() -> pl.Expr:
    """Day by which the customer wanted a line, whatever was promised; never before it was ordered.

    The US-first check counts a delay from here: docs/decisions/0011-delay-counts-from-the-request.md.
    """
    return pl.max_horizontal("requested_at", "ordered_at")


def shipped_units() -> pl.Expr:
    """Units of a line that were shipped: all if a day stands without a quantity; none of a return."""
    shipped = (pl.col("quantity") > 0) & pl.col("shipped_at").is_not_null()
    return pl.when(shipped).then(pl.coalesce("shipped_quantity", "quantity")).otherwise(0)


def _units() -> dict[str, pl.Expr]:
    """What was shipped of a line, what is left of it (of a return: its negative quantity), its due day."""
    accepted = pl.col("broken_rule").is_null()
    return {
        "shipped_units": pl.when(accepted).then(shipped_units()).otherwise(0),
        "left_units": pl.when(accepted).then(pl.col("quantity") - shipped_units()).otherwise(0),
        "due_at": due_at(),
    }


def _places(calendar: Calendar) -> dict[str, pl.Expr]:
    """Where a line stands on the axes that all lines have."""
    days = pl.col("shipped_at").to_physical() - pl.col("requested_at").to_physical()
    return {
        "market": pl.col("sku").to_physical().cast(pl.Int32) * 2 + ~is_us_end_use(),
        "country": pl.col("end_use_country").to_physical(),
        "ordered": calendar.period_number(pl.col("ordered_at")),
        "due": calendar.period_number(pl.col("due_at")),
        "shipped": calendar.period_number(pl.col("shipped_at")),
        "lead": days + MAX_DAYS,
    }


def _fates(calendar: Calendar) -> dict[str, pl.Expr]:
    """What became of units that were not shipped, and when they were cancelled."""
    order, cancelled = pl.col("quantity") > 0, pl.col("cancelled_at")
    closed = pl.when(cancelled.is_null()).then(pl.lit("open")).otherwise(pl.lit("cancelled"))
    never_due = (cancelled <= pl.col("due_at")).fill_null(value=False)
    return {
        "fate": pl.when(order).then(closed).otherwise(pl.lit("returned")).cast(FATE).to_physical(),
        "cancelled": pl.when(order).then(calendar.period_number(cancelled)).fill_null(NO_PERIOD),
        "was_due": order & ~never_due,
    }


def _named(sums: pl.LazyFrame, skus: pl.Enum) -> pl.LazyFrame:
    """SKU, destination, fate and country by name; periods stay numbers."""
    count = len(skus.categories)
    code = pl.UInt8 if count <= 2**8 else pl.UInt16 if count <= 2**16 else pl.UInt32
    market = pl.col("market")
    named = {
        "sku": (market // 2).cast(code).cat.to(skus).cast(pl.String),
        "destination": (market % 2).cast(pl.UInt8).cat.to(DESTINATION),
    }
    for name, words in (("fate", FATE), ("country", COUNTRY)):
        if name in sums.collect_schema():
            named[name] = pl.col(name).cast(pl.UInt8).cat.to(words)
    return sums.with_columns(**named).select(pl.exclude("market", "units"), "units")


def sum_parts(parts: Iterable[Mapping[str, pl.DataFrame]]) -> dict[str, pl.DataFrame]:
    """Collected `partial_plans` of several sets of lines as those of all of them; few are held at a time."""
    total: dict[str, pl.DataFrame] = {}
    remaining = iter(parts)
    while few := list(islice(remaining, ADDED_AT_ONCE)):
        tables = [*([total] if total else []), *few]
        plans = {
            name: pl.concat([table[name].lazy() for table in tables]).group_by(pl.exclude("units")).sum()
            for name in tables[0]
        }
        total = dict(zip(plans, pl.collect_all(plans.values(), engine="in-memory"), strict=True))
    return total


def partial_from(frames: Mapping[str, pl.DataFrame], calendar: Calendar) -> Partial:
    """Partial of the collected `partial_plans`, which were made with the same calendar."""
    dated = {name: _dated(frame.lazy(), calendar) for name, frame in frames.items()}
    fate, us, none = pl.lit("shipped").cast(FATE), pl.lit(US).cast(COUNTRY), pl.lit(0, pl.Int64)
    shipped = dated["shipped"].with_columns(fate=fate, closed_period="shipped", period="shipped")
    left = dated["left"].with_columns(pl.col("units").abs(), closed_period="cancelled")
    elsewhere = dated["elsewhere"].with_columns(period="shipped")
    to_territories = pl.col("country").cast(pl.String).is_in(US_TERRITORIES)
    tables = {
        "ageing": [part.with_columns(ordered_period="ordered") for part in (shipped, left)],
        "dues": [
            shipped.with_columns(
                due_period="due",
                on_time_units=pl.col("units") * pl.col("on_time"),
                normal_lead_units=pl.col("units") * pl.col("normal_lead"),
            ),
            left.filter(pl.col("was_due") == 1).with_columns(
                due_period="due", on_time_units=none, normal_lead_units=none
            ),
        ],
        "lead_days": [dated["lead_days"].with_columns(period="shipped", days=_lead_days())],
        "shipped_by_country": [
            shipped.filter(pl.col("destination") == "us").with_columns(country=us),
            elsewhere.filter(to_territories).with_columns(-pl.col("units"), country=us),  # from the row above
            elsewhere,
        ],
    }
    plans = [
        pl.concat([part.select(*KEYS[name], *SUMS[name]) for part in parts])
        .group_by(list(KEYS[name]))
        .agg(pl.col(SUMS[name]).sum())
        for name, parts in tables.items()
    ]
    return Partial(**dict(zip(tables, pl.collect_all(plans, engine="in-memory"), strict=True)))


def _dated(sums: pl.LazyFrame, calendar: Calendar) -> pl.LazyFrame:
    """Last days of periods for their numbers."""
    numbers = [name for name in ("ordered", "due", "shipped", "cancelled") if name in sums.collect_schema()]
    return sums.with_columns(
        calendar.end_of(pl.when(pl.col(number) != NO_PERIOD).then(pl.col(number))).alias(number)
        for number in numbers
    )


def _lead_days() -> pl.Expr:
    return (pl.col("lead") - MAX_DAYS).cast(pl.Int32)


def partial_of(lines: pl.LazyFrame, *, calendar: Calendar, normal_lead_days: int) -> Partial:
    """Partial of order lines, in one pass (streaming engine); parameters as for `partial_plans`."""
    plans = partial_plans(lines, calendar=calendar, normal_lead_days=normal_lead_days)
    frames = pl.collect_all(plans.values(), engine="streaming")
    return partial_from(dict(zip(plans, frames, strict=True)), calendar)


def merge_partials(partials: Iterable[Partial]) -> Partial:
    """Sum of partials, its rows sorted by key, zeros left out; of none: the empty partial."""
    parts = [partial.tables() for partial in partials]
    plans = []
    for name, keys in KEYS.items():
        empty = pl.LazyFrame(schema={**keys, **dict.fromkeys(SUMS[name], pl.Int64())})
        plans.append(
            pl.concat([empty, *(tables[name].lazy() for tables in parts)])
            .group_by(list(keys))
            .agg(pl.col(SUMS[name]).sum())
            .filter(pl.any_horizontal(pl.col(SUMS[name]) != 0))
            .sort(list(keys))
        )
    return Partial(**dict(zip(KEYS, pl.collect_all(plans, engine="in-memory"), strict=True)))


def negate(partial: Partial) -> Partial:
    """The partial that takes `partial` back: merge_partials([p, negate(p)]) is empty."""
    taken = {name: table.with_columns(-pl.col(SUMS[name])) for name, table in partial.tables().items()}
    return Partial(**taken)


KEY = "key"


class Axis(NamedTuple):
    """A column of whole numbers from 0 to size - 1."""

    column: str
    size: int


def grouped(rows: pl.LazyFrame, axes: Sequence[Axis], **sums: pl.Expr) -> pl.LazyFrame:
    """Sums of some expressions over each combination of the axes' values.

    Groups whose sums are all 0 and those with a null on an axis are left out.

    Returns
    -------
    LazyFrame
        The axes' columns (Int64), then the sums, in no order.

    Raises
    ------
    OverflowError
        If the axes have more than 2^63 combinations.
    """
    if math.prod(axis.size for axis in axes) > 2**63:
        raise OverflowError(f"axes do not fit into 64 bits: {', '.join(map(str, axes))}")
    first, *others = axes
    key = pl.col(first.column).cast(pl.Int64)
    for axis in others:
        key = key * axis.size + pl.col(axis.column).cast(pl.Int64)
    columns, rest = [], pl.col(KEY)
    for axis in reversed(axes):
        columns.append((rest % axis.size).alias(axis.column))
        rest = rest // axis.size
    return (
        rows.group_by(key.alias(KEY))
        .agg(total.sum().alias(name) for name, total in sums.items())
        .filter(pl.col(KEY).is_not_null() & pl.any_horizontal(pl.col(*sums) != 0))
        .select(*reversed(columns), *sums)
    )
