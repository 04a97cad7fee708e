"""The canonical panel: one long table of what was known when, checked, and its view as arrays.

Both ways in (public figures, order books) end here, and every later step starts here.
A key (item_id, timestamp, variate) may stand several times, once for each date on which its figure was
published or revised; `as_of` keeps what had been published by a date, so a backtest never sees the future.
"""

from __future__ import annotations

import datetime as dt
import difflib
import hashlib
from collections.abc import Sequence

import dataframely as dy
import numpy as np
import polars as pl

from forecasting.errors import InputError
from forecasting.frequencies import Frequency, add_periods, period_end, periods_between
from forecasting.panel.history import Floats, History

STATE = ("short", "ended", "end_hazard")  # probabilities of the market's state, where it is not known
RATIO = "due_to_delivered"  # orders over shipments, where orders are inferred
VARIATES = ("orders", "capacity", "shipments", "backlog", "spending", *STATE, RATIO)
NOWCAST = "nowcast"  # kind of a figure of a period that has ended and has no estimate yet
KINDS = ("reported", "derived", "estimated", NOWCAST)
KEY = ("item_id", "timestamp", "variate")
CHINA = "china/"  # prefix of items that hold shipments to China and Macau
CONTEXT = "context/"  # prefix of series that are shown beside the answer and never forecast


class PanelSchema(dy.Schema):
    """Columns of `panel.parquet`."""

    item_id = dy.String(
        primary_key=True,
        min_length=1,
        description="a chip, a family, portfolio/<vendor>, portfolio/us, china/<chip> or context/<series>",
    )
    timestamp = dy.Date(primary_key=True, description="last day of the period")
    variate = dy.Enum(VARIATES, primary_key=True, description="which flow (or, for backlog, stock) is meant")
    published_at = dy.Date(
        primary_key=True, description="when the figure was published, or this revision of it"
    )
    value = dy.Float64(min=0, description="central figure per period", metadata={"unit": "see unit"})
    value_p05 = dy.Float64(min=0, description="5 % point of what the true figure may be")
    value_p95 = dy.Float64(min=0, description="95 % point of what the true figure may be")
    unit = dy.String(description="units, H100e or USD million, per period")
    kind = dy.Enum(
        KINDS, description="reported by its source, derived by arithmetic, estimated, or a nowcast"
    )
    source_id = dy.String(description="key of sources.yaml; several joined by +")

    @dy.rule()
    def p05_value_p95_ordered(cls) -> pl.Expr:
        """The three points of a figure are in order (a part in 10^9 is left to rounding)."""
        slack = 1e-9 * pl.col("value").abs()
        return (pl.col("value_p05") <= pl.col("value") + slack) & (
            pl.col("value") <= pl.col("value_p95") + slack
        )


COLUMNS = tuple(PanelSchema.column_names())
TYPES: dict[str, pl.DataType] = {name: column.dtype for name, column in PanelSchema.columns().items()}


def check_panel(panel: pl.DataFrame, *, frequency: Frequency, where: str = "panel") -> pl.DataFrame:
    """Return the panel sorted by key and publication date, its columns in order, if it keeps every rule.

    Raises
    ------
    InputError
        For a missing column or one of a wrong type, a null, a nameless item, a negative figure, p05 above the
        value or p95 below it, a key that stands twice for one publication date, a timestamp that is no period
        end, or a gap inside a series as finally known. The sentence names the column or item, and the found
        value.
    """
    _check_columns(panel, where)
    try:
        panel = panel.select(COLUMNS).cast(TYPES)  # type: ignore[arg-type]
    except pl.exceptions.InvalidOperationError as error:
        raise InputError(
            "a value is outside its column's words", found=str(error).split("\n")[0], where=where
        ) from error
    _check_values(panel, where)
    _check_keys(panel, where)
    _check_grid(panel, frequency, where)
    return panel.sort(*KEY, "published_at")


def _check_columns(panel: pl.DataFrame, where: str) -> None:
    for column in COLUMNS:
        if column not in panel.columns:
            near = difflib.get_close_matches(column, panel.columns, n=1)
            hint = f"; the nearest is {near[0]!r}" if near else ""
            raise InputError(
                f"column {column!r} is missing", found=", ".join(panel.columns) + hint, where=where
            )
        wanted, found = TYPES[column], panel.schema[column]
        text = isinstance(wanted, pl.Enum) and (
            found == pl.String or isinstance(found, pl.Enum | pl.Categorical)
        )
        number = wanted == pl.Float64 and found.is_numeric()
        if not (found == wanted or text or number):
            raise InputError(
                f"column {column!r} is of the wrong type", expected=str(wanted), found=str(found), where=where
            )
        if nulls := panel[column].null_count():
            raise InputError(f"column {column!r} must not be empty", found=f"{nulls} nulls", where=where)


def _check_values(panel: pl.DataFrame, where: str) -> None:
    def refuse(bad: pl.Expr, rule: str, expected: str, shown: Sequence[str]) -> None:
        rows = panel.filter(bad)
        if rows.height:
            row = rows.sort(*KEY).row(0, named=True)
            figures = ", ".join(f"{name} {row[name]:g}" for name in shown)
            at = f"{where}, {row['item_id']} {row['variate']} {row['timestamp']}"
            raise InputError(rule, expected=expected, found=f"{figures} ({rows.height} such rows)", where=at)

    for name in ("value", "value_p05", "value_p95"):
        refuse(~pl.col(name).is_finite(), f"{name} must be a finite number", "a number", [name])
        refuse(pl.col(name) < 0, f"{name} must not be negative", "0 or more", [name])
    slack = 1e-9 * pl.col("value").abs()
    refuse(
        pl.col("value_p05") > pl.col("value") + slack,
        "the 5 % point must not lie above the central figure",
        "p05 <= value",
        ["value_p05", "value"],
    )
    refuse(
        pl.col("value_p95") < pl.col("value") - slack,
        "the 95 % point must not lie below the central figure",
        "value <= p95",
        ["value", "value_p95"],
    )


def _check_keys(panel: pl.DataFrame, where: str) -> None:
    if nameless := panel.filter(pl.col("item_id") == "").height:
        raise InputError(
            "an item must have a name",
            expected="text in 'item_id'",
            found=f"{nameless} rows without",
            where=where,
        )
    twice = panel.group_by(*KEY, "published_at").len().filter(pl.col("len") > 1).sort(*KEY)
    if twice.height:
        row = twice.row(0, named=True)
        raise InputError(
            "an item may have one figure per period, variate and publication date",
            expected="1 row",
            found=f"{row['len']} rows ({twice.height} such keys)",
            where=f"{where}, {row['item_id']} {row['variate']} {row['timestamp']}",
        )


def _check_grid(panel: pl.DataFrame, frequency: Frequency, where: str) -> None:
    stamps = panel["timestamp"].unique().sort().to_list()
    for stamp in stamps:
        if period_end(stamp, frequency) != stamp:
            raise InputError(
                "a timestamp must be the last day of its period",
                expected=str(period_end(stamp, frequency)),
                found=str(stamp),
                where=where,
            )
    spans = panel.group_by("item_id", "variate").agg(
        pl.col("timestamp").min().alias("first"),
        pl.col("timestamp").max().alias("last"),
        pl.col("timestamp").n_unique().alias("count"),
    )
    for row in spans.sort("item_id", "variate").iter_rows(named=True):
        wanted = periods_between(row["first"], row["last"], frequency) + 1
        if row["count"] != wanted:
            raise InputError(
                "a series must not have gaps",
                expected=f"{wanted} periods from {row['first']} to {row['last']}",
                found=str(row["count"]),
                where=f"{where}, {row['item_id']} {row['variate']}",
            )


def as_of(panel: pl.LazyFrame, date: dt.date) -> pl.LazyFrame:
    """Keep, for each key, the newest figure that had been published by `date` (inclusive).

    Post-condition: no row has `published_at` after `date`, and each key stands once.
    """
    return (
        panel.filter(pl.col("published_at") <= date)
        .sort(*KEY, "published_at")
        .unique(subset=KEY, keep="last", maintain_order=True)
    )


def latest(panel: pl.LazyFrame) -> pl.LazyFrame:
    """Keep the newest published figure for each key."""
    return as_of(panel, dt.date.max)


def estimates(panel: pl.LazyFrame) -> pl.LazyFrame:
    """Keep what has been reported, derived or estimated of its period: no nowcast, which is no outcome."""
    return panel.filter(pl.col("kind") != NOWCAST)


def observed_until(panel: pl.DataFrame) -> dict[str, dt.date]:
    """Last period of each item whose orders and capacity are not a nowcast."""
    known = estimates(panel.lazy()).filter(pl.col("variate").is_in(FLOWS))
    return dict(known.group_by("item_id").agg(pl.col("timestamp").max()).collect().iter_rows())


def content_digest(frame: pl.DataFrame) -> str:
    """SHA-256 of a table's content: the same whatever the order of its rows or the file that held it."""
    ordered = frame.select(sorted(frame.columns))
    ordered = ordered.sort(ordered.columns)
    header = ";".join(f"{name}:{dtype}" for name, dtype in ordered.schema.items())
    body = ordered.write_csv(float_scientific=True, float_precision=16)  # 17 digits tell any two floats apart
    return hashlib.sha256(f"{header}\n{body}".encode()).hexdigest()


def newest_period(panel: pl.DataFrame, items: Sequence[str] | None = None) -> dt.date:
    """Newest period end that any of the items reaches with orders and capacity: the forecast origin."""
    aside = pl.col("item_id").str.starts_with(CONTEXT) | pl.col("item_id").str.starts_with(CHINA)
    flows = panel.filter(pl.col("variate").is_in(["orders", "capacity"]), ~aside)
    if items is not None:
        flows = flows.filter(pl.col("item_id").is_in(items))
    newest = flows["timestamp"].max()
    if not isinstance(newest, dt.date):
        raise InputError("the panel holds no orders and capacity to forecast from", where="panel")
    return newest


def to_history(
    panel: pl.DataFrame,
    *,
    items: Sequence[str],
    origin: dt.date,
    frequency: Frequency,
    variates: Sequence[str] = ("orders", "capacity"),
) -> History:
    """Lay some items of a panel (one figure per key) out as arrays that end at `origin`.

    The context starts at the first period of any item; periods before an item's own start are NaN.

    Raises
    ------
    InputError
        If an item has no figure at all, or does not reach the origin, in one of the variates.
    """
    chosen = panel.filter(
        pl.col("item_id").is_in(list(items)),
        pl.col("variate").is_in(list(variates)),
        pl.col("timestamp") <= origin,
    )
    first = chosen["timestamp"].min()
    if not isinstance(first, dt.date):
        raise InputError("none of the items has a figure", found=", ".join(items), where="panel")
    length = periods_between(first, origin, frequency) + 1
    columns = {add_periods(first, step, frequency): step for step in range(length)}
    arrays = {
        name: np.full((len(items), len(variates), length), np.nan)
        for name in ("value", "value_p05", "value_p95")
    }
    rows = {item: i for i, item in enumerate(items)}
    places = {variate: v for v, variate in enumerate(variates)}
    for row in chosen.iter_rows(named=True):
        place = rows[row["item_id"]], places[row["variate"]], columns[row["timestamp"]]
        for name, array in arrays.items():
            array[place] = row[name]
    _check_reaches_origin(arrays["value"], items, variates, origin)
    return History(
        item_ids=tuple(items),
        variates=tuple(variates),
        values=arrays["value"],
        value_p05=arrays["value_p05"],
        value_p95=arrays["value_p95"],
        origins=(origin,) * len(items),
        frequency=frequency,
    )


def _check_reaches_origin(
    values: Floats, items: Sequence[str], variates: Sequence[str], origin: dt.date
) -> None:
    for i, item in enumerate(items):
        for v, variate in enumerate(variates):
            if np.isnan(values[i, v, -1]):
                raise InputError(
                    "an item must have a figure at the forecast origin",
                    expected=f"{variate} at {origin}",
                    found="none",
                    where=f"panel, {item}",
                )


FLOWS = ("orders", "capacity")


def path_variates(panel: pl.DataFrame) -> list[str]:
    """Variates from which paths are drawn: flows, shipments and, where the panel has them, the states."""
    has_states = panel.filter(pl.col("variate") == STATE[0]).height > 0
    return [*FLOWS, "shipments", *((*STATE, RATIO) if has_states else ())]


def forecastable(panel: pl.DataFrame, min_observations: int) -> tuple[list[str], dict[str, str]]:
    """Items that can be forecast from the panel's newest period, and for each other one the reason why not.

    Parameters
    ----------
    panel : DataFrame
        One figure per key.
    min_observations : int
        Fewest periods with orders and capacity.
    """
    origin = newest_period(panel)
    flows = panel.filter(
        pl.col("variate").is_in(FLOWS), ~pl.col("item_id").str.contains(f"^({CHINA}|{CONTEXT})")
    )
    spans = flows.group_by("item_id", "variate").agg(pl.len(), pl.col("timestamp").max().alias("last"))
    items = (
        spans.group_by("item_id")
        .agg(pl.col("len").min(), pl.col("last").min(), pl.col("variate").n_unique())
        .sort("item_id")
    )
    chosen, skipped = [], {}
    for row in items.iter_rows(named=True):
        if row["variate"] < len(FLOWS):
            skipped[row["item_id"]] = "orders or capacity is missing"
        elif row["last"] < origin:
            skipped[row["item_id"]] = f"no shipments since {row['last']}"
        elif row["len"] < min_observations:
            skipped[row["item_id"]] = f"{row['len']} observations, at least {min_observations} needed"
        else:
            chosen.append(row["item_id"])
    return chosen, skipped
